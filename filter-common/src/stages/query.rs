//! What this host has sent and awaits replies to: a table of tuples that only packets leaving the host fill.
//!
//! A flood from outside makes no entry, so it can push none out. What is full gives up the entry that would end first.

use super::tuple;
use crate::{
    config::flags,
    cursor::index,
    packet::Packet,
    state::{State, Table},
};

/// Notes a datagram or a ping that leaves, unless it is a service's own: services don't wait for replies, and whoever makes
/// them answer forged sources could fill the table.
#[inline(always)]
pub(super) fn note<S: State>(packet: &Packet, state: &S) {
    if (packet.is_udp() && !serves(packet.ports.source, state)) || packet.is_echo() {
        let hash = hash(packet, Way::Out, state);
        let until = state.now() + state.config().reply_window;
        state.mark(Table::Queries, hash, until);
        if let Some(hints) = state.hints() {
            hints.await_from(packet.ports.destination, until);
        }
    }
}

/// Whether anything was sent to that port a moment ago: most reflectors' ports nobody here has asked.
#[inline(always)]
pub(super) fn awaits_from<S: State>(port: u16, state: &S) -> bool {
    state.config().has(flags::REPLIES)
        && state.hints().is_some_and(|hints| hints.awaits_from(port, || state.now()))
}

#[inline(always)]
fn serves<S: State>(port: u16, state: &S) -> bool {
    state.ports().udp.get(index(port)).is_some_and(|number| *number != 0)
}

/// Whether the datagram or the echo reply answers what was noted.
#[inline(always)]
pub(super) fn is_reply<S: State>(packet: &Packet, state: &S) -> bool {
    state.config().has(flags::REPLIES)
        && state.marked(Table::Queries, hash(packet, Way::In, state), state.now()) != 0
}

/// The hash of a received datagram's tuple.
#[inline(always)]
pub(super) fn incoming<S: State>(packet: &Packet, state: &S) -> u64 {
    hash(packet, Way::In, state)
}

/// Which side of a packet is this host's.
#[derive(Clone, Copy)]
enum Way {
    Out,
    In,
}

/// No other table hashes these words.
const OF_QUERIES: u64 = 1 << 62;
/// Pings have an identifier in the place of ports, and are no datagrams.
const OF_PINGS: u64 = 1 << 61;

#[inline(always)]
fn hash<S: State>(packet: &Packet, way: Way, state: &S) -> u64 {
    let Packet { source, destination, ports, .. } = packet;
    let (ours, theirs, our_port, their_port) = match way {
        Way::Out => (source, destination, ports.source, ports.destination),
        Way::In => (destination, source, ports.destination, ports.source),
    };
    let ends = if packet.is_icmp() {
        packet.icmp_id as u64 | OF_PINGS
    } else {
        our_port as u64 | (their_port as u64) << 16
    };
    tuple::hash(state.config().seed, packet.is_v6, [ours, theirs], ends | OF_QUERIES)
}
