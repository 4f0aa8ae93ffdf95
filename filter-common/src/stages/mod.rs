//! The pipeline: cheap and stateless first, and it reads as a list.
//!
//! A stage is `fn check(..) -> ControlFlow<Reason>`: it ends the packet's way with a reason or lets it go on.
//! Whoever calls [`decide`] is the one exit: it counts the reason and acts on it.

use core::ops::ControlFlow::{self, Break, Continue};

use crate::{
    config::flags,
    frame::Frame,
    packet::{Packet, parse},
    reason::{Action, Reason},
    state::State,
};

pub mod egress;
mod fragment;
mod gtsm;
mod icmp;
pub mod limit;
mod link;
mod lists;
mod management;
mod odd_headers;
mod own;
mod protocol;
pub mod proven;
mod query;
pub mod segment;
mod service;
mod spoofed;
mod syn;
mod tcp_flags;
mod udp;

/// What a stage says: go on, or this is the packet's fate.
pub type Verdict = ControlFlow<Reason>;

/// The fate of the packet in `frame`; a [`Action::Reply`] has been written into it already.
///
/// In observe mode the reason is what would have happened, and the frame is untouched.
#[inline(always)]
pub fn decide<F: Frame, S: State>(frame: &mut F, state: &S) -> Reason {
    let fate = || -> ControlFlow<Reason, (Packet, u32)> {
        let packet = parse(frame)?;
        early(&packet, state)?;
        let service = admit(frame, &packet, state)?;
        Continue((packet, service))
    };
    match fate() {
        Break(reason) => reason,
        Continue((packet, service)) => converse(frame, &packet, service, state),
    }
}

/// What needs no more than the packet itself, and the lists that nothing overrules.
#[inline(always)]
pub fn early<S: State>(packet: &Packet, state: &S) -> Verdict {
    link::check(packet)?;
    management::check(packet, state)?;
    let class = lists::allowed(packet, state)?;
    odd_headers::check(packet, state)?;
    icmp::early(packet, state)?;
    spoofed::check(packet, state)?;
    tcp_flags::check(packet)?;
    lists::blocked(packet, class, state)?;
    fragment::check(packet)
}

/// Who it is from, what it is for, and whether that is within limits; the number of its service.
///
/// A function of its own to the kernel's verifier, as are [`early`] and [`converse`]: it would follow each way through one of
/// them to the end of the next, and add up their stacks.
#[inline(always)]
pub fn admit<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> ControlFlow<Reason, u32> {
    own::check(packet, state)?;
    fragment::limit(packet, state)?;
    icmp::check(frame, packet, state)?;
    let service = service::find(packet, state);
    gtsm::check(packet, service)?;
    udp::check(frame, packet, service, state)?;
    limit::check(packet, service, state)?;
    protocol::check(packet, state)?;
    Continue(service.number)
}

/// TCP's handshakes and connections, for a packet that [`admit`] let through to that service.
#[inline(always)]
pub fn converse<F: Frame, S: State>(frame: &mut F, packet: &Packet, service: u32, state: &S) -> Reason {
    match conversation(frame, packet, service::numbered(service, state), state) {
        Break(reason) => reason,
        Continue(()) => Reason::Pass,
    }
}

#[inline(always)]
fn conversation<F: Frame, S: State>(
    frame: &mut F,
    packet: &Packet,
    service: service::Found<'_>,
    state: &S,
) -> Verdict {
    syn::check(frame, packet, service, state)?;
    segment::check(frame, packet, service, state)
}

/// What is done with a packet of that reason.
#[must_use]
#[inline(always)]
pub fn action<S: State>(reason: Reason, state: &S) -> Action {
    if state.config().has(flags::OBSERVE) { Action::Pass } else { reason.action() }
}

#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod packet_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
