//! The short way: what nearly every packet is in calm, and needs no more than its source's bucket.
//!
//! Nothing is decided here that [`super::admit`] and what follows it would decide otherwise; it only asks less.

use core::ops::ControlFlow::{Break, Continue};

use super::{Way, fate_of, gtsm, limit, own, segment, service, udp};
use crate::{
    config::flags,
    packet::{Fragment, Packet},
    reason::Reason,
    state::State,
};

/// What takes the long way for every packet.
const LONG: u32 = flags::RULES | flags::MORE_LIMITS | flags::REVERSE_PATH | flags::SERVICES_BY_DESTINATION;

/// Where a packet goes that [`super::early`] let through. [`super::Next::Long`] leaves it with nothing counted or charged.
#[inline(always)]
pub fn check<S: State>(packet: &Packet, state: &S) -> Way {
    let is_whole = packet.fragment == Fragment::No;
    if state.config().has(LONG) || !is_whole || own::may_object(packet, state) {
        return Way::LONG;
    }
    let found = service::find(packet, state);
    if gtsm::applies(found) {
        return Way::LONG;
    }
    let is_syn = packet.is_syn();
    if packet.is_tcp() {
        if !is_syn && !segment::is_calm(found, state) {
            return Way::admitted(found.number);
        }
    } else {
        match udp::at_once(packet, found, state) {
            Some(Continue(())) => {}
            Some(Break(reason)) => return Way::ends(fate_of(reason, found, state)),
            None => return Way::LONG,
        }
    }
    match limit::of_source(packet, found, state) {
        Break(reason) => Way::ends(fate_of(reason, found, state)),
        Continue(()) if is_syn && found.is_some() => Way::admitted(found.number),
        Continue(()) => Way::ends(fate_of(Reason::Pass, found, state)),
    }
}
