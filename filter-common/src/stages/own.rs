//! Sources and destinations that this host's own addresses and routes rule out.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    config::{flags, lists},
    packet::{Address, Packet},
    reason::Reason,
    state::{Route, State},
};

#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, state: &S) -> Verdict {
    let config = state.config();
    if config.has(flags::OWN_SOURCES) && is_own(packet, state) {
        return Break(Reason::OwnSource);
    }
    if config.has(flags::DIRECTED_BROADCAST) && is_directed_broadcast(packet, state) {
        return Break(Reason::DirectedBroadcast);
    }
    if config.has(flags::REVERSE_PATH) && !leads_back(packet, state) {
        return Break(Reason::ReversePath);
    }
    Continue(())
}

/// Whether [`check`] has to look closer (or, for a reverse path, at every packet).
#[inline(always)]
pub(super) fn may_object<S: State>(packet: &Packet, state: &S) -> bool {
    let config = state.config();
    if config.has(flags::OWN_SOURCES) && (config.own_len != 0 || may_be_own(packet, state)) {
        return true;
    }
    config.has(flags::DIRECTED_BROADCAST) && may_be_broadcast(packet, state)
}

#[inline(always)]
fn may_be_own<S: State>(packet: &Packet, state: &S) -> bool {
    state.hints().is_some_and(|hints| hints.may_be_own(&packet.source))
}

#[inline(always)]
fn may_be_broadcast<S: State>(packet: &Packet, state: &S) -> bool {
    // Where a network has a broadcast address (RFC 3021), it ends in two ones at least.
    !packet.is_v6
        && u32::from_be(packet.destination.v4()) & 3 == 3
        && state.hints().is_some_and(|hints| hints.may_be_broadcast(&packet.destination))
}

#[inline(always)]
fn is_own<S: State>(packet: &Packet, state: &S) -> bool {
    let config = state.config();
    lists(&config.own, config.own_len, &packet.source) || is_address(&packet.source, state)
}

/// Whether it is an address of this host, for addresses that mostly are not.
#[inline(always)]
pub(super) fn is_address<S: State>(address: &Address, state: &S) -> bool {
    state.hints().is_some_and(|hints| hints.may_be_own(address)) && state.is_local(address)
}

/// RFC 2644: a router must not forward these by default, so what arrives is an attack or a neighbour's.
#[inline(always)]
fn is_directed_broadcast<S: State>(packet: &Packet, state: &S) -> bool {
    may_be_broadcast(packet, state) && state.is_broadcast(&packet.destination)
}

/// Unicast reverse path (RFC 3704): loose wants a route to the source, strict wants it to leave where the packet came in.
#[inline(always)]
fn leads_back<S: State>(packet: &Packet, state: &S) -> bool {
    match state.route_back(packet) {
        Route::Here | Route::Unknown => true,
        Route::Elsewhere => !state.config().has(flags::REVERSE_PATH_STRICT),
        Route::None => false,
    }
}
