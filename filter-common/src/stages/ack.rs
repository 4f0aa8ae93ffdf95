//! ACKs to a service in cookie mode: of a socket that the stack knows, with a valid cookie, or nobody's.

use core::ops::ControlFlow::{Break, Continue};

use super::{
    Verdict, limit,
    service::{self, Found},
    syn,
};
use crate::{
    abi::TcpReqAttrs,
    bucket,
    config::{LocalTcp, flags, service as bits, tcp},
    cookie::{self, Cookie, Memory, NO_SCALE},
    frame::Frame,
    options::TcpOptions,
    packet::Packet,
    reason::{Action, Reason},
    siphash::sip13,
    state::{Socket, State, Table, Total},
};

/// How long a tuple counts as just established, nanoseconds: the stack's socket is there within one NAPI
/// poll, a busy host may take longer.
const RECENT_NS: u64 = 2_000_000_000;

/// How long the next segments of a tuple are not handed over, nanoseconds. A request right behind its ACK carries the
/// same cookie and may come in the same NAPI poll: handed over, too, the kernel would lose it as a second
/// connection. A retransmission comes later, and may have to bring the connection about.
const HAND_OVER_ONCE_NS: u64 = 10_000_000;

#[inline(always)]
pub(super) fn check<F: Frame, S: State>(
    frame: &mut F,
    packet: &Packet,
    found: Option<Found<'_>>,
    state: &S,
) -> Verdict {
    if !is_candidate(packet, found) || state.config().has(flags::OBSERVE) {
        return Continue(());
    }
    let (reason, attrs) = judge(frame, packet, state);
    // Only now: what is dropped anyway must not use up the share of the address that it bears.
    if reason.action() == Action::Pass {
        limit::charge(packet, found, state)?;
    }
    if let Some(attrs) = attrs {
        mark(packet, state, Who::Xdp);
        frame.hand_over(&attrs);
    }
    Break(reason)
}

/// Whether a packet may be the ACK of a cookie.
#[inline(always)]
pub(super) fn is_candidate(packet: &Packet, found: Option<Found<'_>>) -> bool {
    let Some(Found { service, .. }) = found else { return false };
    service.flags & bits::SYN_COOKIE != 0 && packet.is_tcp() && packet.tcp.is_ack()
}

/// The packet's fate, and the connection that it brings about.
#[inline(always)]
fn judge<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> (Reason, Option<TcpReqAttrs>) {
    let listener = match state.socket(packet) {
        Socket::Connection => return (Reason::Established, None),
        Socket::None => return (Reason::NoListener, None),
        listener => listener,
    };
    if let Break(reason) = syn::takes_cookies(listener, packet, state) {
        return (reason, None);
    }
    let marked = marked(packet, state, Who::Xdp);
    if marked > RECENT_NS - HAND_OVER_ONCE_NS {
        return (Reason::RecentHandshake, None);
    }
    match accept(frame, packet, state) {
        Some(attrs) => (Reason::CookieAccepted, Some(attrs)),
        None if marked > 0 => (Reason::RecentHandshake, None),
        None => (unknown(packet, state), None),
    }
}

/// What the kernel needs to know of the connection whose cookie `frame` carries, once for each: for a tc program
/// whose driver has no XDP metadata.
#[must_use]
#[inline(always)]
pub fn decode<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Option<TcpReqAttrs> {
    if !is_candidate(packet, service::find(packet, state))
        || marked(packet, state, Who::Tc) > RECENT_NS - HAND_OVER_ONCE_NS
    {
        return None;
    }
    let attrs = accept(frame, packet, state)?;
    mark(packet, state, Who::Tc);
    Some(attrs)
}

/// The connection that a valid cookie stands for.
#[inline(always)]
fn accept<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Option<TcpReqAttrs> {
    let config = state.config();
    if !config.has(flags::COOKIES) || packet.l3 > syn::MAX_L3 {
        return None;
    }
    let keys = state.keys()?;
    let options = frame.options(packet);
    let cookie = Cookie { isn: packet.tcp.acknowledgment.wrapping_sub(1), tsval: options.tsecr };
    let client_isn = packet.tcp.sequence.wrapping_sub(1);
    let scale = config.tcp.window_scale;
    let memory = cookie::decode(keys, state.now(), packet, client_isn, scale, cookie, options.timestamps)?;
    attributes(&config.tcp, packet, &options, &memory)
}

/// None if `net.ipv4.tcp_*` has meanwhile forbidden what was negotiated: the kernel would refuse.
#[inline(always)]
fn attributes(
    local: &LocalTcp,
    packet: &Packet,
    options: &TcpOptions,
    memory: &Memory,
) -> Option<TcpReqAttrs> {
    let scaled = memory.scale != NO_SCALE;
    let needed = if memory.timestamps { tcp::TIMESTAMPS } else { 0 }
        | if memory.sack { tcp::SACK } else { 0 }
        | if scaled { tcp::WINDOW_SCALING } else { 0 };
    if local.flags & needed != needed {
        return None;
    }
    Some(TcpReqAttrs {
        rcv_tsval: options.tsval,
        rcv_tsecr: options.tsecr,
        mss: memory.mss(packet.is_v6),
        rcv_wscale: if scaled { local.window_scale } else { 0 },
        snd_wscale: if scaled { memory.scale } else { 0 },
        ecn_ok: memory.ecn.into(),
        wscale_ok: scaled.into(),
        sack_ok: memory.sack.into(),
        tstamp_ok: memory.timestamps.into(),
        usec_ts_ok: 0,
        reserved: [0; 3],
    })
}

/// An ACK of no socket and without a valid cookie: the stack's, while it may have sent cookies itself.
#[inline(always)]
fn unknown<S: State>(packet: &Packet, state: &S) -> Reason {
    let Continue(keys) = syn::issuing(state) else { return Reason::CookieUnavailable };
    if packet.l3 > syn::MAX_L3 {
        return Reason::CookieUnavailable;
    }
    if state.is_stepped_down(packet.ports.destination) {
        return Reason::SteppedDown;
    }
    if state.now() < keys.grace_until {
        return Reason::CookieGrace;
    }
    // A peer whose connection this host has forgotten (a reboot, a moved address) wants its reset.
    let budget = state.config().unknown_acks;
    if budget.is_some() && state.take_total(Total::UnknownAcks, budget, state.now()) {
        return Reason::UnknownAck;
    }
    Reason::CookieInvalid
}

/// Whose mark in the table of recent handshakes.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Who {
    Xdp = 0,
    Tc = 1,
}

/// Segments right behind the first ACK may pass XDP before the stack has worked on it.
#[inline(always)]
fn mark<S: State>(packet: &Packet, state: &S, who: Who) {
    state.mark(tuple_hash(packet, state, who), state.now() + RECENT_NS);
}

/// Nanoseconds that the packet's tuple stays marked.
#[inline(always)]
fn marked<S: State>(packet: &Packet, state: &S, who: Who) -> u64 {
    state.marked(tuple_hash(packet, state, who), state.now())
}

/// What [`State::marked`] does.
#[inline(always)]
pub fn marked_in<S: State>(state: &S, hash: u64, now: u64) -> u64 {
    let (index, tag) = bucket::place(hash, state.config().lines[Table::Recent as usize]);
    state.line(Table::Recent, index).map_or(0, |line| bucket::marked(line, tag, now))
}

/// What [`State::mark`] does.
#[inline(always)]
pub fn mark_in<S: State>(state: &S, hash: u64, until: u64) {
    let (index, tag) = bucket::place(hash, state.config().lines[Table::Recent as usize]);
    if let Some(line) = state.line(Table::Recent, index) {
        bucket::mark(line, tag, until);
    }
}

#[inline(always)]
fn tuple_hash<S: State>(packet: &Packet, state: &S, who: Who) -> u64 {
    let seed = state.config().seed;
    let ports = packet.ports.source as u64 | (packet.ports.destination as u64) << 16 | (who as u64) << 32;
    if packet.is_v6 {
        let [s0, s1] = packet.source.words();
        let [d0, d1] = packet.destination.words();
        sip13(seed, [s0, s1, d0, d1, ports])
    } else {
        let pair = packet.source.v4() as u64 | (packet.destination.v4() as u64) << 32;
        sip13(seed, [pair, ports])
    }
}
