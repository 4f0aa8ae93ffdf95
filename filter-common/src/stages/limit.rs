//! Per-source limits: an IPv4 address or an IPv6 /64 gets its share of packets, and of SYNs apart.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, service::Found};
use crate::{
    arm::Arm,
    bucket::{self, WAYS},
    config::Limit,
    packet::Packet,
    reason::Reason,
    siphash::sip13,
    state::{State, Table, Total},
};

/// What a bucket counts; part of its key.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Kind {
    Packets = 0,
    Syns = 1,
    Proven = 2,
}

/// One look-up for each packet: a SYN is charged to the SYN limit if there is one, anything else to the
/// packet limit.
///
/// TCP segments other than SYNs are charged by [`super::segment`], where looked up once their connection is known:
/// forged ones can't use up the share of the address that they bear.
#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    if packet.is_tcp() && !packet.tcp.is_syn() {
        return Continue(());
    }
    charge(packet, found, state)
}

/// Charges the packet to its source.
#[inline(always)]
pub(super) fn charge<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    if !found.is_some() {
        return Continue(());
    }
    let Found { number, service } = found;
    let is_syn = packet.is_tcp() && packet.tcp.is_syn();
    let (limit, kind, reason) = if is_syn && service.per_source_syn.is_some() {
        (service.per_source_syn, Kind::Syns, Reason::SourceSynRate)
    } else {
        (service.per_source, Kind::Packets, Reason::SourceRate)
    };
    if take(packet, state, kind, number, limit) { Continue(()) } else { Break(reason) }
}

/// SYNs of a source that has answered a challenge: it is real, so it can flood; and all of them together.
#[inline(always)]
pub(super) fn proven<S: State>(packet: &Packet, found: Found<'_>, arm: &Arm, state: &S) -> Reason {
    if !take(packet, state, Kind::Proven, found.number, state.config().proven_syns) {
        return Reason::SourceSynRate;
    }
    // A host that knows nothing of it resets a challenge, too: forged SYNs can prove live addresses, many of them.
    let all = found.service.on;
    let within = !all.is_some() || bucket::charge(&arm.proven, all, state.now());
    if within { Reason::Proven } else { Reason::SynLimit }
}

/// SYN-ACKs go to possibly forged sources: limited per prefix and in total, so that we reflect little.
#[inline(always)]
pub(super) fn reply<S: State>(packet: &Packet, state: &S) -> Verdict {
    let config = state.config();
    if !take_of_prefix(packet, state, config.reply_per_prefix) {
        return Break(Reason::ReplyPrefixRate);
    }
    if config.reply_total.is_some() && !state.take_total(Total::Replies, config.reply_total, state.now()) {
        return Break(Reason::ReplyTotalRate);
    }
    Continue(())
}

#[inline(always)]
fn take<S: State>(packet: &Packet, state: &S, kind: Kind, service: u32, limit: Limit) -> bool {
    !limit.is_some() || state.take(source_words(packet, kind, service), limit, state.now())
}

/// Takes a token from the bucket of those words: what [`State::take`] does.
#[inline(always)]
pub fn take_from<S: State>(state: &S, words: [u64; 2], limit: Limit, now: u64) -> bool {
    let config = state.config();
    let hash = sip13(config.seed, words);
    let (index, tag) = bucket::place_of_limit(hash, config.lines[Table::Sources as usize], limit);
    match state.line(Table::Sources, index) {
        Some(line) => bucket::take(line, tag, limit, now),
        None => true,
    }
}

/// The source as a bucket knows it, IPv4 address or IPv6 /64, and what is counted.
#[inline(always)]
fn source_words(packet: &Packet, kind: Kind, service: u32) -> [u64; 2] {
    [packet.source_network(), (service as u64) << 32 | (kind as u64) << 40 | (packet.is_v6 as u64) << 48]
}

/// Takes a token from the bucket of the source's /24 or /48.
///
/// These buckets have no tags: prefixes with the same hash share one. Every answer touches the table, also under a flood
/// of random sources, so it has to stay in the CPU's cache; and a limit far above honest use makes sharing harmless.
#[inline(always)]
fn take_of_prefix<S: State>(packet: &Packet, state: &S, limit: Limit) -> bool {
    if !limit.is_some() {
        return true;
    }
    let config = state.config();
    let prefix = if packet.is_v6 {
        // The last two bytes of the mask are free: the family.
        packet.source.words()[0] & 0xffff_ffff_ffff_0000_u64.to_be() | 1 << 63
    } else {
        (packet.source.v4() & 0xffff_ff00_u32.to_be()) as u64
    };
    let hash = sip13(config.seed, [prefix]);
    let (index, tag) = bucket::place(hash, config.lines[Table::Replies as usize]);
    match state.line(Table::Replies, index) {
        Some(line) => bucket::charge(&line.0[(tag >> 32) as usize & (WAYS - 1)].until, limit, state.now()),
        None => true,
    }
}
