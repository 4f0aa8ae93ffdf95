//! SYNs to a service in cookie mode are answered here; the stack hears of a connection when its client has
//! proved that it can receive.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, limit, service::Found};
use crate::{
    abi::StepDown,
    config::{flags, service, tcp},
    cookie::{self, Keys, Memory},
    frame::Frame,
    headers::flag,
    packet::Packet,
    reason::Reason,
    reply::{self, SynAck},
    state::{Socket, State},
};

#[inline(always)]
pub(super) fn check<F: Frame, S: State>(
    frame: &mut F,
    packet: &Packet,
    found: Option<Found<'_>>,
    state: &S,
) -> Verdict {
    let Some(Found { service, .. }) = found else { return Continue(()) };
    if service.flags & service::SYN_COOKIE == 0 || !packet.is_tcp() || !packet.tcp.is_syn() {
        return Continue(());
    }
    let keys = may_answer(packet, state)?;
    if state.config().has(flags::OBSERVE) {
        return Break(Reason::CookieSent);
    }
    limit::reply(packet, state)?;
    Break(answer(frame, packet, keys, state))
}

/// Offset of the IP header behind one VLAN tag.
pub(super) const MAX_L3: u16 = 18;

/// Whether this SYN is one that a cookie may answer; everything else is the stack's.
#[inline(always)]
fn may_answer<'a, S: State>(packet: &Packet, state: &'a S) -> core::ops::ControlFlow<Reason, &'a Keys> {
    let keys = issuing(state)?;
    // tc ingress sees the inner tag as the packet's protocol, and the kernel refuses the hand-over.
    if packet.l3 > MAX_L3 {
        return Break(Reason::CookieUnavailable);
    }
    // TCP is unicast: "An incoming SYN ... addressed to a broadcast or multicast address MUST be silently
    // discarded" (RFC 9293 3.9.2.3, MUST-57); the stack does it.
    if packet.to_group {
        return Break(Reason::Pass);
    }
    listening(packet, state)?;
    Continue(keys)
}

/// The port whose step-down says that the driver has no XDP metadata: nothing could be handed over.
const NO_METADATA: u16 = 0;

/// The secrets, while the data path may make cookies with them.
#[inline(always)]
pub(super) fn issuing<S: State>(state: &S) -> core::ops::ControlFlow<Reason, &Keys> {
    match state.keys() {
        Some(keys)
            if state.config().has(flags::COOKIES)
                && keys.issuing(state.now())
                && (state.config().has(flags::DECODE_IN_TC) || !state.is_stepped_down(NO_METADATA)) =>
        {
            Continue(keys)
        }
        _ => Break(Reason::CookieUnavailable),
    }
}

/// Ends the packet's way unless a TCP listener of this host can take over a cookie for it.
#[inline(always)]
fn listening<S: State>(packet: &Packet, state: &S) -> Verdict {
    match state.socket(packet) {
        Socket::None => return Break(Reason::NoListener),
        Socket::Connection => return Break(Reason::TupleInUse),
        listener => takes_cookies(listener, packet, state)?,
    }
    if state.is_stepped_down(packet.ports.destination) {
        return Break(Reason::SteppedDown);
    }
    // An answer to ourselves would come back as a SYN-ACK for no connection.
    if state.is_local(&packet.source) { Break(Reason::OwnSource) } else { Continue(()) }
}

/// What stands against cookies although somebody listens.
#[inline(always)]
pub(super) fn takes_cookies<S: State>(listener: Socket, packet: &Packet, state: &S) -> Verdict {
    // A wildcard listener is found for forwarded packets, too; and no IPv6 packet is for a v4-mapped address.
    if (packet.is_v6 && packet.destination.is_v4_mapped()) || !state.is_local(&packet.destination) {
        return Break(Reason::NotLocal);
    }
    if listener == Socket::MptcpListener {
        state.step_down(packet.ports.destination, StepDown::Mptcp);
        return Break(Reason::ListenerMptcp);
    }
    Continue(())
}

#[inline(always)]
fn answer<F: Frame, S: State>(frame: &mut F, packet: &Packet, keys: &Keys, state: &S) -> Reason {
    let local = &state.config().tcp;
    let options = reply::negotiate(&frame.options(packet), local);
    let memory = Memory::of(&options, packet.is_v6, wants_ecn(packet) && local.flags & tcp::ECN != 0);
    let cookie = cookie::encode(keys, packet, packet.tcp.sequence, local.window_scale, &memory);
    let answer = SynAck { cookie, memory, echo: options.tsval };
    if reply::syn_ack(frame, packet, local, &answer) { Reason::CookieSent } else { Reason::ReplyFailed }
}

/// An ECN-setup SYN has ECE and CWR (RFC 3168 6.1.1).
#[inline(always)]
const fn wants_ecn(packet: &Packet) -> bool {
    packet.tcp.flags & (flag::ECE | flag::CWR) == flag::ECE | flag::CWR
}
