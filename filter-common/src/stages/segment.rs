//! Segments that open nothing: of a socket that the stack knows, with a valid cookie, or nobody's.
//!
//! In calm one in [`crate::state::SAMPLE`] is looked up. Strays among them arm the look-up of all, and strays are then
//! dropped. Cookie services look every ACK up, since only its cookie brings the connection about.

use core::ops::ControlFlow::{Break, Continue};

use super::{
    Verdict, limit, proven,
    service::{self, Found},
    syn, tuple,
};
use crate::{
    abi::TcpReqAttrs,
    arm::{self, Arm},
    bucket::charge,
    challenge,
    config::{LocalTcp, Service, flags, syn_mode, tcp},
    cookie::{self, Cookie, Memory, NO_SCALE},
    frame::Frame,
    headers::flag,
    options::TcpOptions,
    packet::Packet,
    reason::{Action, Reason},
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
    found: Found<'_>,
    state: &S,
) -> Verdict {
    let config = state.config();
    if !packet.is_tcp()
        || packet.tcp.is_syn()
        || !(found.is_some() || config.has(flags::CHECK_STATE_OF_HOST | flags::CHALLENGE_RULES))
    {
        return Continue(());
    }
    let Found { number, service } = found;
    let Some(arm) = state.arm(number) else { return Continue(()) };
    let answering = answers(found, arm, state);
    let challenging = answering || config.has(flags::CHALLENGE_RULES) && !found.is_observed(state);
    if challenging && packet.tcp.is_rst() && proves(packet, state) {
        return Break(Reason::ChallengePassed);
    }
    if number == 0 && !config.has(flags::CHECK_STATE_OF_HOST) {
        return Continue(());
    }
    if number != 0 && service::protects(number, packet, state) {
        return forwarded(packet, found, answering, arm, state);
    }
    let view = View {
        arm,
        cookies: answering && packet.tcp.is_ack() && sends_cookies(service, state),
        armed: config.has(flags::CHECK_STATE) && arm.state.is_on(0, || state.now()),
    };
    if !(view.cookies || view.armed || config.has(flags::CHECK_STATE) && state.sampled()) {
        return limit::charge(packet, found, state);
    }
    if !(view.cookies || view.armed) {
        // A sample: now and then, so that the others need not compare a time that is past with the clock.
        arm.state.forget(state.now(), 0);
    }
    let (reason, attrs) = match judge(frame, packet, &view, state) {
        Finding::Fate(reason) => (reason, None),
        Finding::Opens(attrs) => (Reason::CookieAccepted, Some(attrs)),
        Finding::Stray(calm) => (stray(packet, &view, state, calm), None),
    };
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

/// Whether [`check`] would do no more with a segment that opens nothing than charge it; it is then counted for the sample.
/// There are no rules.
#[inline(always)]
pub(super) fn is_calm<S: State>(found: Found<'_>, state: &S) -> bool {
    let config = state.config();
    if !found.is_some() && !config.has(flags::CHECK_STATE_OF_HOST) {
        return true;
    }
    let Some(arm) = state.arm(found.number) else { return false };
    if config.protected_len != 0 || answers(found, arm, state) {
        return false;
    }
    !config.has(flags::CHECK_STATE) || (!arm.state.is_on(0, || state.now()) && state.is_unsampled())
}

/// How segments of a service are looked at, at this moment.
struct View<'a> {
    arm: &'a Arm,
    /// This one may be the ACK of a cookie.
    cookies: bool,
    /// Strays are dropped.
    armed: bool,
}

/// Whether SYNs of this service are answered, or were a moment ago: cookies and challenges may be in flight.
#[inline(always)]
fn answers<S: State>(found: Found<'_>, arm: &Arm, state: &S) -> bool {
    if found.is_observed(state) {
        return false;
    }
    match found.service.syn_mode {
        syn_mode::CHALLENGE | syn_mode::COOKIE => true,
        syn_mode::AUTO => arm.syn.is_on(state.config().in_flight, || state.now()),
        _ => false,
    }
}

/// Whether its answers may be cookies.
#[inline(always)]
fn sends_cookies<S: State>(service: &Service, state: &S) -> bool {
    state.config().has(flags::COOKIES) && matches!(service.syn_mode, syn_mode::COOKIE | syn_mode::AUTO)
}

/// Whether a RST answers a challenge; its source is then proven.
#[inline(always)]
fn proves<S: State>(packet: &Packet, state: &S) -> bool {
    let Some(keys) = state.keys() else { return false };
    let valid = challenge::proves(keys, state.now(), packet);
    if valid {
        proven::note(packet, state);
    }
    valid
}

/// Segments for somebody behind this host: no socket table tells whose they are, so while SYNs are challenged sources that
/// have proved nothing share a budget.
#[inline(always)]
fn forwarded<S: State>(packet: &Packet, found: Found<'_>, answering: bool, arm: &Arm, state: &S) -> Verdict {
    limit::charge(packet, found, state)?;
    let (config, now) = (state.config(), state.now());
    // Without a key nobody could prove anything.
    if !answering || !config.unproven.is_some() || !state.keys().is_some_and(|keys| keys.issuing(now)) {
        return Continue(());
    }
    if proven::left(packet, state) != 0 {
        return Break(Reason::Proven);
    }
    if charge(&arm.unproven, config.unproven, now) { Continue(()) } else { Break(Reason::UnprovenRate) }
}

/// What the socket table and the cookie say of a segment.
enum Finding {
    /// Its fate.
    Fate(Reason),
    /// It brings this connection about.
    Opens(TcpReqAttrs),
    /// It belongs to nobody; that is its fate while there are few.
    Stray(Reason),
}

/// Looks for the segment's socket, else for its cookie.
#[inline(always)]
fn judge<F: Frame, S: State>(frame: &F, packet: &Packet, view: &View<'_>, state: &S) -> Finding {
    let listener = match state.socket(packet) {
        Socket::Connection => {
            if view.arm.served.load() == 0 {
                view.arm.served.store(1);
            }
            return Finding::Fate(Reason::Established);
        }
        Socket::StackCookie => {
            // Its data may come before the stack has made the socket.
            mark(packet, state, Who::Xdp);
            return Finding::Fate(Reason::StackCookie);
        }
        Socket::None => return Finding::Stray(Reason::NoListener),
        listener => listener,
    };
    let takes = if view.cookies { syn::takes_cookies(listener, packet, state) } else { Break(Reason::Stray) };
    if let Break(reason) = takes
        && !matches!(reason, Reason::Stray | Reason::ListenerMptcp)
    {
        return Finding::Fate(reason);
    }
    let marked = marked(packet, state, Who::Xdp);
    if marked > RECENT_NS - HAND_OVER_ONCE_NS {
        return Finding::Fate(Reason::RecentHandshake);
    }
    if takes.is_continue()
        && let Some(attrs) = accept(frame, packet, state)
    {
        return Finding::Opens(attrs);
    }
    match takes {
        _ if marked > 0 => Finding::Fate(Reason::RecentHandshake),
        Break(reason) => Finding::Stray(reason),
        Continue(()) => unknown(packet, state),
    }
}

/// A segment of no connection, on its way to a host that has nothing for it: `calm` is its fate while there are few.
#[inline(always)]
fn stray<S: State>(packet: &Packet, view: &View<'_>, state: &S, calm: Reason) -> Reason {
    let config = state.config();
    if !config.has(flags::CHECK_STATE) {
        return calm;
    }
    if !state.is_local(&packet.destination) {
        return Reason::NotLocal;
    }
    if view.arm.served.load() == 0 {
        return calm;
    }
    let buckets = [&view.arm.stray_on, &view.arm.stray_off];
    // Before it is armed only a sample is counted: `stray_on` knows that. Where cookies are due all are looked up.
    if view.armed || !view.cookies || state.sampled() {
        arm::watch(
            &view.arm.state,
            buckets,
            [config.stray_on, config.stray_off],
            config.stray_hold,
            state.now(),
        );
    }
    if !view.armed {
        return calm;
    }
    if !packet.tcp.is_rst() && within_budget(state) { Reason::UnknownAck } else { kind(packet) }
}

/// Which of the floods a stray is part of.
#[inline(always)]
const fn kind(packet: &Packet) -> Reason {
    let tcp = &packet.tcp;
    if tcp.is_rst() {
        Reason::StrayRst
    } else if tcp.flags & flag::SYN != 0 {
        Reason::StraySynAck
    } else if tcp.flags & flag::FIN != 0 {
        Reason::StrayFin
    } else if tcp.payload != 0 {
        Reason::StrayData
    } else {
        Reason::StrayAck
    }
}

/// What the kernel needs to know of the connection whose cookie `frame` carries, once for each: for a tc program
/// whose driver has no XDP metadata.
#[must_use]
#[inline(always)]
pub fn decode<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Option<TcpReqAttrs> {
    let is_candidate = sends_cookies(service::find(packet, state).service, state);
    if !is_candidate
        || !packet.is_tcp()
        || !packet.tcp.is_ack()
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
fn unknown<S: State>(packet: &Packet, state: &S) -> Finding {
    // Where no cookie can be due it is a stray as anywhere else.
    let Continue(keys) = syn::issuing(state) else { return Finding::Stray(Reason::CookieUnavailable) };
    if packet.l3 > syn::MAX_L3 {
        return Finding::Stray(Reason::CookieUnavailable);
    }
    if state.is_stepped_down(packet.ports.destination) {
        return Finding::Stray(Reason::SteppedDown);
    }
    if state.now() < keys.grace_until {
        return Finding::Fate(Reason::CookieGrace);
    }
    Finding::Fate(if within_budget(state) { Reason::UnknownAck } else { Reason::CookieInvalid })
}

/// A peer whose connection this host has forgotten (a reboot, a moved address) wants its reset.
#[inline(always)]
fn within_budget<S: State>(state: &S) -> bool {
    let budget = state.config().unknown_acks;
    budget.is_some() && state.take_total(Total::UnknownAcks, budget, state.now())
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
    state.mark(Table::Recent, tuple_hash(packet, state, who), state.now() + RECENT_NS);
}

/// Nanoseconds that the packet's tuple stays marked.
#[inline(always)]
fn marked<S: State>(packet: &Packet, state: &S, who: Who) -> u64 {
    state.marked(Table::Recent, tuple_hash(packet, state, who), state.now())
}

#[inline(always)]
fn tuple_hash<S: State>(packet: &Packet, state: &S, who: Who) -> u64 {
    let rest = packet.ports.source as u64 | (packet.ports.destination as u64) << 16 | (who as u64) << 32;
    tuple::hash(state.config().seed, packet.is_v6, [&packet.source, &packet.destination], rest)
}
