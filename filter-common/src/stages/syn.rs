//! SYNs: the ladder of defences. The stack hears of a connection when its client has proved that it can receive.
//!
//! `cookie` steps down to `challenge` where the kernel or the listener can't take a cookie over, and `challenge`
//! without a key in its time to `limit`.

use core::ops::ControlFlow::{self, Break, Continue};

use super::{Verdict, limit, own, proven, service::Found};
use crate::{
    abi::StepDown,
    arm::{self, Arm},
    bucket::charge,
    challenge,
    config::{Service, flags, service, syn_mode, tcp},
    cookie::{self, Cookie, Keys, Memory, NO_SCALE},
    frame::Frame,
    headers::flag,
    packet::Packet,
    reason::{Action, Reason},
    reply::{self, SynAck},
    state::{Socket, State},
};

#[inline(always)]
pub(super) fn check<F: Frame, S: State>(
    frame: &mut F,
    packet: &Packet,
    found: Found<'_>,
    challenged: bool,
    state: &S,
) -> Verdict {
    if !(found.is_some() || challenged) || !packet.is_syn() {
        return Continue(());
    }
    if found.service.flags & service::DROP_SYN_DATA != 0 && packet.tcp.payload != 0 {
        return Break(Reason::SynData);
    }
    let Some(arm) = state.arm(found.number) else { return Continue(()) };
    let mode = if challenged { syn_mode::CHALLENGE } else { found.service.syn_mode };
    match mode {
        syn_mode::OFF => return Continue(()),
        syn_mode::LIMIT => return Break(budget(found.service, arm, state, Reason::Pass)),
        syn_mode::AUTO if !armed(found.service, arm, state) => return Continue(()),
        _ => {}
    }
    limit::expect_reply(packet, state);
    let rung = match rung(packet, found, mode, arm, state) {
        Continue(rung) => rung,
        Break(reason) => {
            if reason.action() == Action::Pass {
                limit::make_up(packet, found, state)?;
            }
            return Break(if steps_down(reason) {
                budget(found.service, arm, state, reason)
            } else {
                reason
            });
        }
    };
    let observed = match rung {
        Rung::Cookie(_) => Reason::CookieSent,
        Rung::Challenge(_) => Reason::ChallengeSent,
    };
    if found.is_observed(state) {
        return Break(observed);
    }
    limit::reply(packet, state)?;
    let local = &state.config().tcp;
    let answer = match rung {
        Rung::Cookie(keys) => cookie_answer(frame, packet, keys, state),
        Rung::Challenge(keys) => challenge_answer(packet, keys),
    };
    Break(if reply::syn_ack(frame, packet, local, &answer) { observed } else { Reason::ReplyFailed })
}

/// `auto`: whether SYNs are being answered; this one counts.
#[inline(always)]
fn armed<S: State>(service: &Service, arm: &Arm, state: &S) -> bool {
    let now = state.now();
    let is_on =
        arm::watch(&arm.syn, [&arm.syn_on, &arm.syn_off], [service.on, service.off], service.hold, now);
    if !is_on {
        arm.syn.forget(now, state.config().in_flight);
    }
    is_on
}

/// How a SYN is answered.
#[derive(Clone, Copy)]
enum Rung<'a> {
    Cookie(&'a Keys),
    Challenge(&'a Keys),
}

/// The best rung there is for this SYN, or its fate; or why there is none but the last ([`steps_down`]).
#[inline(always)]
fn rung<'a, S: State>(
    packet: &Packet,
    found: Found<'_>,
    mode: u32,
    arm: &Arm,
    state: &'a S,
) -> ControlFlow<Reason, Rung<'a>> {
    // TCP is unicast: "An incoming SYN ... addressed to a broadcast or multicast address MUST be silently
    // discarded" (RFC 9293 3.9.2.3, MUST-57); the stack does it.
    if packet.to_group {
        return Break(Reason::Pass);
    }
    let forwarded = super::service::protects(found.number, packet, state);
    let mut why = Reason::CookieUnavailable;
    if mode != syn_mode::CHALLENGE && !forwarded {
        match may_cookie(packet, state) {
            Continue(keys) => return Continue(Rung::Cookie(keys)),
            Break(reason) if !steps_down(reason) => return Break(reason),
            Break(reason) => why = reason,
        }
    }
    if !forwarded && !state.is_local(&packet.destination) {
        return Break(Reason::NotLocal);
    }
    // An answer to ourselves would come back as a SYN-ACK for no connection.
    if own::is_address(&packet.source, state) {
        return Break(Reason::OwnSource);
    }
    match state.keys() {
        Some(keys) if keys.issuing(state.now()) => {
            if proven::left(packet, state) != 0 {
                Break(limit::syn_of_proven(packet, found, arm, state))
            } else {
                Continue(Rung::Challenge(keys))
            }
        }
        _ => Break(why),
    }
}

/// Whether the next rung helps where a cookie doesn't.
#[inline(always)]
const fn steps_down(reason: Reason) -> bool {
    matches!(reason, Reason::CookieUnavailable | Reason::SteppedDown | Reason::ListenerMptcp)
}

/// The last rung: the stack gets so many SYNs and no more.
#[inline(always)]
fn budget<S: State>(service: &Service, arm: &Arm, state: &S, why: Reason) -> Reason {
    if service.on.is_some() && !charge(&arm.syn_on, service.on, state.now()) { Reason::SynLimit } else { why }
}

/// Offset of the IP header behind one VLAN tag.
pub(super) const MAX_L3: u16 = 18;

/// Whether this SYN is one that a cookie may answer, or what stands against it.
#[inline(always)]
fn may_cookie<'a, S: State>(packet: &Packet, state: &'a S) -> ControlFlow<Reason, &'a Keys> {
    let keys = issuing(state)?;
    // tc ingress sees the inner tag as the packet's protocol, and the kernel refuses the hand-over.
    if packet.l3 > MAX_L3 {
        return Break(Reason::CookieUnavailable);
    }
    listening(packet, state)?;
    Continue(keys)
}

/// The port whose step-down says that the driver has no XDP metadata: nothing could be handed over.
const NO_METADATA: u16 = 0;

/// The secrets, while the data path may make cookies with them.
#[inline(always)]
pub(super) fn issuing<S: State>(state: &S) -> ControlFlow<Reason, &Keys> {
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
    if own::is_address(&packet.source, state) { Break(Reason::OwnSource) } else { Continue(()) }
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
fn cookie_answer<F: Frame, S: State>(frame: &F, packet: &Packet, keys: &Keys, state: &S) -> SynAck {
    let local = &state.config().tcp;
    let options = reply::negotiate(&frame.options(packet), local);
    let memory = Memory::of(&options, packet.is_v6, wants_ecn(packet) && local.flags & tcp::ECN != 0);
    let cookie = cookie::encode(keys, packet, packet.tcp.sequence, local.window_scale, &memory);
    SynAck { cookie, memory, echo: options.tsval, acknowledgment: packet.tcp.sequence.wrapping_add(1) }
}

#[inline(always)]
fn challenge_answer(packet: &Packet, keys: &Keys) -> SynAck {
    let challenge = challenge::challenge(keys, packet);
    SynAck {
        cookie: Cookie { isn: challenge.sequence, tsval: 0 },
        memory: Memory { mss_index: 0, scale: NO_SCALE, sack: false, ecn: false, timestamps: false },
        echo: 0,
        acknowledgment: challenge.acknowledgment,
    }
}

/// An ECN-setup SYN has ECE and CWR (RFC 3168 6.1.1).
#[inline(always)]
const fn wants_ecn(packet: &Packet) -> bool {
    packet.tcp.flags & (flag::ECE | flag::CWR) == flag::ECE | flag::CWR
}
