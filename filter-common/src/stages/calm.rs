//! The short way: what nearly every packet is in calm, and needs no more than its source's bucket.
//!
//! Nothing is decided here that [`super::admit`] and [`super::converse`] would decide otherwise; it only asks less. `None`
//! leaves the packet to them, with nothing counted or charged.

use core::ops::ControlFlow::{Break, Continue};

use super::{Fate, fate_of, gtsm, limit, own, segment, service, udp};
use crate::{
    config::flags,
    packet::{Fragment, Packet},
    reason::Reason,
    state::State,
};

/// What takes a longer way for every packet.
const LONG: u32 = flags::RULES | flags::MORE_LIMITS | flags::REVERSE_PATH | flags::SERVICES_BY_DESTINATION;

/// The fate of a packet that [`super::early`] let through.
#[inline(always)]
pub fn check<S: State>(packet: &Packet, state: &S) -> Option<Fate> {
    let is_whole = packet.fragment == Fragment::No;
    let is_new = packet.is_tcp() && packet.tcp.is_syn();
    if state.config().has(LONG) || !is_whole || own::may_object(packet, state) {
        return None;
    }
    let found = service::find(packet, state);
    if is_new && found.is_some() {
        return None;
    }
    if gtsm::applies(found) {
        return None;
    }
    if packet.is_tcp() {
        if !is_new && !segment::is_calm(found, state) {
            return None;
        }
    } else if !packet.is_udp() {
        return None;
    } else if let Break(reason) = udp::at_once(packet, found, state)? {
        return Some(fate_of(reason, found, state));
    }
    let reason = match limit::of_source(packet, found, state) {
        Break(reason) => reason,
        Continue(()) => Reason::Pass,
    };
    Some(fate_of(reason, found, state))
}
