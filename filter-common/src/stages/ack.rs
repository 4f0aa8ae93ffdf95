//! ACKs to a service in cookie mode: of a socket that the stack knows, with a valid cookie, or nobody's.

use core::ops::ControlFlow::{Break, Continue};

use super::{
    Verdict,
    service::{self, Found},
    syn,
};
use crate::{
    abi::TcpReqAttrs,
    bucket,
    config::{Config, flags, service as bits},
    cookie::{self, Cookie, Keys, Memory, NO_SCALE},
    frame::Frame,
    options::TcpOptions,
    packet::Packet,
    reason::Reason,
    siphash::sip13,
    state::{Socket, State, Table},
};

/// How long a tuple counts as just established, nanoseconds: the stack's socket is there within one NAPI
/// poll, a busy host may take longer.
const RECENT_NS: u64 = 2_000_000_000;

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
    let listener = match state.socket(packet) {
        Socket::Connection => return Break(Reason::Established),
        Socket::None => return Break(Reason::NoListener),
        listener => listener,
    };
    syn::takes_cookies(listener, packet, state)?;
    let keys = syn::issuing(state)?;
    if let Some(attrs) = accept(frame, packet, keys, state) {
        remember(packet, state);
        frame.hand_over(&attrs);
        return Break(Reason::CookieAccepted);
    }
    Break(unknown(packet, keys, state))
}

/// What the kernel needs to know of the connection whose cookie `frame` carries: for a tc program whose driver
/// has no XDP metadata.
#[must_use]
#[inline(always)]
pub fn decode<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Option<TcpReqAttrs> {
    if !is_candidate(packet, service::find(packet, state)) {
        return None;
    }
    accept(frame, packet, state.keys()?, state)
}

#[inline(always)]
fn is_candidate(packet: &Packet, found: Option<Found<'_>>) -> bool {
    let Some(Found { service, .. }) = found else { return false };
    service.flags & bits::SYN_COOKIE != 0 && packet.is_tcp() && packet.tcp.is_ack()
}

/// The connection that a valid cookie stands for.
#[inline(always)]
fn accept<F: Frame, S: State>(frame: &F, packet: &Packet, keys: &Keys, state: &S) -> Option<TcpReqAttrs> {
    let options = frame.options(packet);
    let cookie = Cookie { isn: packet.tcp.acknowledgment.wrapping_sub(1), tsval: options.tsecr };
    let client_isn = packet.tcp.sequence.wrapping_sub(1);
    let memory = cookie::decode(keys, state.now(), packet, client_isn, cookie, options.timestamps)?;
    Some(attributes(state.config(), packet, &options, &memory))
}

#[inline(always)]
fn attributes(config: &Config, packet: &Packet, options: &TcpOptions, memory: &Memory) -> TcpReqAttrs {
    let scaled = memory.scale != NO_SCALE;
    TcpReqAttrs {
        rcv_tsval: options.tsval,
        rcv_tsecr: options.tsecr,
        mss: memory.mss(packet.is_v6),
        rcv_wscale: if scaled { config.tcp.window_scale } else { 0 },
        snd_wscale: if scaled { memory.scale } else { 0 },
        ecn_ok: memory.ecn.into(),
        wscale_ok: scaled.into(),
        sack_ok: memory.sack.into(),
        tstamp_ok: memory.timestamps.into(),
        usec_ts_ok: 0,
        reserved: [0; 3],
    }
}

/// An ACK of no socket and without a valid cookie: honest only shortly after something changed.
#[inline(always)]
fn unknown<S: State>(packet: &Packet, keys: &Keys, state: &S) -> Reason {
    if state.now() < keys.grace_until {
        return Reason::CookieGrace;
    }
    let (index, tag) = recent_place(packet, state);
    match state.line(Table::Recent, index) {
        Some(line) if bucket::marked(line, tag, state.now()) => Reason::RecentHandshake,
        _ => Reason::CookieInvalid,
    }
}

/// Segments right behind the first ACK may pass XDP before the stack has worked on it.
#[inline(always)]
fn remember<S: State>(packet: &Packet, state: &S) {
    let (index, tag) = recent_place(packet, state);
    if let Some(line) = state.line(Table::Recent, index) {
        bucket::mark(line, tag, state.now() + RECENT_NS);
    }
}

#[inline(always)]
fn recent_place<S: State>(packet: &Packet, state: &S) -> (u32, u64) {
    let config = state.config();
    let ports = packet.ports.source as u64 | (packet.ports.destination as u64) << 16;
    let hash = if packet.is_v6 {
        let [s0, s1] = packet.source.words();
        let [d0, d1] = packet.destination.words();
        sip13(config.seed, [s0, s1, d0, d1, ports])
    } else {
        let pair = packet.source.v4() as u64 | (packet.destination.v4() as u64) << 32;
        sip13(config.seed, [pair, ports])
    };
    bucket::place(hash, config.lines[Table::Recent as usize])
}
