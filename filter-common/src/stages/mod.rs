//! The pipeline: cheap and stateless first, and it reads as a list.
//!
//! A stage is `fn check(..) -> ControlFlow<Reason>`: it ends the packet's way with a reason or lets it go on.
//! Whoever calls [`decide`] is the one exit: it counts the reason and acts on it.

use core::ops::ControlFlow::{self, Break, Continue};

use crate::{
    config::flags,
    frame::Frame,
    packet::{self, Family, Packet, Parsed, parse_into},
    reason::{Action, Reason},
    state::State,
};

pub mod calm;
pub mod egress;
mod fragment;
mod gtsm;
mod icmp;
pub mod limit;
mod link;
mod lists;
mod management;
mod odd_headers;
#[cfg(feature = "user")]
pub mod order;
mod own;
mod protocol;
pub mod proven;
mod query;
pub mod rules;
pub mod segment;
mod service;
mod spoofed;
mod syn;
mod tcp_flags;
mod tuple;
mod udp;

use self::{rules::Ruled, service::Found};

/// What a stage says: go on, or this is the packet's fate.
pub type Verdict = ControlFlow<Reason>;

/// A packet's fate: what happens to it, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Why.
    pub reason: Reason,
    /// It passes and is counted apart: the host, the interface or the service is only observed.
    pub observed: bool,
}

impl Fate {
    /// What is done with the packet.
    #[must_use]
    #[inline(always)]
    pub const fn action(&self) -> Action {
        if self.observed { Action::Pass } else { self.reason.action() }
    }
}

/// As [`judge`], without telling what is only observed.
#[inline(always)]
pub fn decide<F: Frame, S: State>(frame: &mut F, state: &S) -> Reason {
    judge(frame, state).reason
}

/// The fate of the packet in `frame`; a [`Action::Reply`] has been written into it already.
///
/// Where it is only observed the reason is what would have happened, and the frame is untouched.
#[inline(always)]
pub fn judge<F: Frame, S: State>(frame: &mut F, state: &S) -> Fate {
    let mut packet = Packet::EMPTY;
    let way = short(frame, &mut packet, state);
    match way.next {
        Next::Ends => way.fate,
        Next::Admitted => converse(frame, &packet, way.service, Ruled::GoesOn, state),
        Next::Long => long(frame, &packet, state),
        Next::Odd => whole(frame, state),
    }
}

/// All of the pipeline, without the short way.
#[inline(always)]
fn whole<F: Frame, S: State>(frame: &mut F, state: &S) -> Fate {
    let mut packet = Packet::EMPTY;
    if let Break(reason) = parse_into(frame, &mut packet) {
        return fate(reason, state);
    }
    if let Break(reason) = early(&packet, state) {
        return fate(reason, state);
    }
    long(frame, &packet, state)
}

/// What comes behind [`early`].
#[inline(always)]
fn long<F: Frame, S: State>(frame: &mut F, packet: &Packet, state: &S) -> Fate {
    let has_rules = state.config().has(flags::RULES);
    let ruled = if has_rules { rules::check(packet, state) } else { Ruled::GoesOn };
    if let Ruled::Drop(reason) = ruled {
        return fate(reason, state);
    }
    match admit(frame, packet, ruled, state) {
        Break(fate) => fate,
        Continue(service) => converse(frame, packet, service, ruled, state),
    }
}

/// What is next for a packet that has gone the short way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: its fate is known.
    Ends,
    /// Its service's stage: it is TCP and admitted, and there are no rules.
    Admitted,
    /// Rules and [`admit`]: it has passed [`early`].
    Long,
    /// The whole parser.
    Odd,
}

/// Where [`short`] leads.
///
/// No enum with a payload: where that is not there would be a register without a value, which the kernel refuses to compute with.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// What is next.
    pub next: Next,
    /// If it ends.
    pub fate: Fate,
    /// If it is admitted.
    pub service: u32,
}

impl Way {
    const LONG: Self = Self::to(Next::Long);

    const fn to(next: Next) -> Self {
        Self { next, fate: Fate { reason: Reason::Pass, observed: false }, service: 0 }
    }

    const fn ends(fate: Fate) -> Self {
        Self { fate, ..Self::to(Next::Ends) }
    }

    const fn admitted(service: u32) -> Self {
        Self { service, ..Self::to(Next::Admitted) }
    }
}

/// The short way of a plain packet: parsed, looked at [`early`], and in calm let through.
///
/// Both families have code of their own, so that an IPv4 address is a word in a register. What is sent to a group of hosts
/// takes the other way.
#[inline(always)]
pub fn short<F: Frame, S: State>(frame: &F, packet: &mut Packet, state: &S) -> Way {
    let mut cursor = frame.cursor();
    let family = match packet::link(frame, &mut cursor, packet) {
        Break(reason) => return Way::ends(fate(reason, state)),
        Continue(family) => family,
    };
    if packet.to_group {
        return Way::to(Next::Odd);
    }
    match family {
        Family::V4 => plain(packet::plain_v4(frame, &mut cursor, packet), packet, state),
        Family::V6 => plain(packet::plain_v6(frame, &mut cursor, packet), packet, state),
    }
}

#[inline(always)]
fn plain<S: State>(parsed: Parsed<bool>, packet: &Packet, state: &S) -> Way {
    match parsed {
        Break(reason) => return Way::ends(fate(reason, state)),
        Continue(false) => return Way::to(Next::Odd),
        Continue(true) => {}
    }
    if let Break(reason) = early(packet, state) {
        return Way::ends(fate(reason, state));
    }
    calm::check(packet, state)
}

/// The fate of a packet that is no service's.
#[inline(always)]
pub fn fate<S: State>(reason: Reason, state: &S) -> Fate {
    Fate { reason, observed: state.config().has(flags::OBSERVE) }
}

/// The fate of a service's packet; what the whole host can't take is not the service's to try.
#[inline(always)]
fn fate_of<S: State>(reason: Reason, service: Found<'_>, state: &S) -> Fate {
    let Fate { observed, .. } = fate(reason, state);
    Fate { reason, observed: observed || service.is_observed(state) && reason != Reason::HostRate }
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

/// Who it is from, what it is for, and whether that is within limits, for a packet that [`early`] and the rules let through; the
/// number of its service.
///
/// A function of its own to the kernel's verifier, as are [`early`], [`greet`] and [`go_on`]: it would follow each way through one of
/// them to the end of the next, and add up their stacks.
#[inline(always)]
pub fn admit<F: Frame, S: State>(
    frame: &F,
    packet: &Packet,
    ruled: Ruled,
    state: &S,
) -> ControlFlow<Fate, u32> {
    if let Break(reason) = own::check(packet, state) {
        return Break(fate(reason, state));
    }
    if ruled == Ruled::Pass {
        return Break(fate(Reason::RulePass, state));
    }
    if let Break(reason) = of_any_service(frame, packet, state) {
        return Break(fate(reason, state));
    }
    let service = service::find(packet, state);
    match admission(frame, packet, service, state) {
        Break(reason) => Break(fate_of(reason, service, state)),
        Continue(()) => Continue(service.number),
    }
}

#[inline(always)]
fn of_any_service<F: Frame, S: State>(frame: &F, packet: &Packet, state: &S) -> Verdict {
    fragment::limit(packet, state)?;
    icmp::check(frame, packet, state)
}

#[inline(always)]
fn admission<F: Frame, S: State>(frame: &F, packet: &Packet, service: Found<'_>, state: &S) -> Verdict {
    gtsm::check(packet, service)?;
    udp::check(frame, packet, service, state)?;
    limit::check(packet, service, state)?;
    protocol::check(packet, state)
}

/// The number of the packet's service; 0 for none.
#[cfg(feature = "user")]
pub fn service_of<S: State>(packet: &Packet, state: &S) -> u32 {
    service::find(packet, state).number
}

/// TCP's handshakes and connections, for a packet that [`admit`] let through to that service.
#[inline(always)]
fn converse<F: Frame, S: State>(
    frame: &mut F,
    packet: &Packet,
    service: u32,
    ruled: Ruled,
    state: &S,
) -> Fate {
    if packet.is_syn() {
        greet(frame, packet, service, ruled, state)
    } else {
        go_on(frame, packet, service, state)
    }
}

/// The fate of a SYN.
#[inline(always)]
pub fn greet<F: Frame, S: State>(
    frame: &mut F,
    packet: &Packet,
    service: u32,
    ruled: Ruled,
    state: &S,
) -> Fate {
    let service = service::numbered(service, state);
    fate_of(end(syn::check(frame, packet, service, ruled == Ruled::Challenge, state)), service, state)
}

/// The fate of anything else.
#[inline(always)]
pub fn go_on<F: Frame, S: State>(frame: &mut F, packet: &Packet, service: u32, state: &S) -> Fate {
    let service = service::numbered(service, state);
    fate_of(end(segment::check(frame, packet, service, state)), service, state)
}

/// Nothing objected.
#[inline(always)]
const fn end(verdict: Verdict) -> Reason {
    match verdict {
        Break(reason) => reason,
        Continue(()) => Reason::Pass,
    }
}

#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod packet_tests;
#[cfg(test)]
mod short_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
