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
pub mod limit;
mod link;
mod management;
mod own;
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
    let packet = match parse(frame) {
        Break(reason) => return reason,
        Continue(packet) => packet,
    };
    match early(&packet, state) {
        Break(reason) => reason,
        Continue(()) => late(frame, &packet, state),
    }
}

/// What needs no more than the packet itself, and the lists that nothing overrules.
#[inline(always)]
pub fn early<S: State>(packet: &Packet, state: &S) -> Verdict {
    link::check(packet)?;
    management::check(packet, state)?;
    spoofed::check(packet, state)?;
    tcp_flags::check(packet)?;
    fragment::check(packet)
}

/// What asks tables, sockets and clocks, for a packet that [`early`] let through.
///
/// A function of its own to the kernel's verifier, which would otherwise follow each way through the parser to the end.
#[inline(always)]
pub fn late<F: Frame, S: State>(frame: &mut F, packet: &Packet, state: &S) -> Reason {
    match policies(frame, packet, state) {
        Break(reason) => reason,
        Continue(()) => Reason::Pass,
    }
}

#[inline(always)]
fn policies<F: Frame, S: State>(frame: &mut F, packet: &Packet, state: &S) -> Verdict {
    own::check(packet, state)?;
    let service = service::find(packet, state);
    gtsm::check(packet, service)?;
    udp::check(frame, packet, service, state)?;
    limit::check(packet, service, state)?;
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
mod tests;
#[cfg(test)]
mod wire_tests;
