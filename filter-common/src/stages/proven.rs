//! The table of sources that have shown that they can receive: an IPv4 address or an IPv6 /64.
//!
//! Only a valid MAC makes an entry: a source that can't be reached makes none, so it can push none out. (A live host that
//! is not asked resets a challenge as well: whoever forges its address can have it proven.) What is full gives up
//! the entry that would end first.

use crate::{
    bucket,
    config::TABLES,
    packet::Packet,
    siphash::{Key, sip13},
    state::{State, Table},
};

/// For how long the source still counts as proven, nanoseconds; 0 if it doesn't.
#[inline(always)]
pub(super) fn left<S: State>(packet: &Packet, state: &S) -> u64 {
    state.marked(Table::Proven, hash(packet, state), state.now())
}

/// The source has just proved itself.
#[inline(always)]
pub(super) fn note<S: State>(packet: &Packet, state: &S) {
    state.mark(Table::Proven, hash(packet, state), state.now() + state.config().proven);
}

#[inline(always)]
fn hash<S: State>(packet: &Packet, state: &S) -> u64 {
    hash_of(state.config().seed, packet.source_network(), packet.is_v6)
}

/// The hash of a source, whose address is given as [`Packet::source_network`] gives it.
#[must_use]
#[inline(always)]
pub fn hash_of(seed: Key, network: u64, is_v6: bool) -> u64 {
    // The family and this table's own number; the seed is that of all tables.
    sip13(seed, [network, 1 << 56 | is_v6 as u64])
}

/// What [`State::marked`] does.
#[inline(always)]
pub fn marked_in<S: State>(state: &S, table: Table, hash: u64, now: u64) -> u64 {
    let (index, tag) = bucket::place(hash, state.config().lines[table as usize & (TABLES - 1)]);
    state.line(table, index).map_or(0, |line| bucket::marked(line, tag, now))
}

/// What [`State::mark`] does.
#[inline(always)]
pub fn mark_in<S: State>(state: &S, table: Table, hash: u64, until: u64) {
    let (index, tag) = bucket::place(hash, state.config().lines[table as usize & (TABLES - 1)]);
    if let Some(line) = state.line(table, index) {
        bucket::mark(line, tag, until);
    }
}
