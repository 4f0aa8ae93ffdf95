//! Per-source limits: an IPv4 address or an IPv6 /64 gets its share of packets, and of SYNs apart.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, service::Found};
use crate::{
    bucket,
    config::{Limit, flags},
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
    Replies = 2,
}

/// One look-up for each packet: a SYN is charged to the SYN limit if there is one, anything else to the
/// packet limit.
///
/// Segments of connections to a service in cookie mode are charged by [`super::ack`] once their connection is
/// known: forged ones can't use up the share of the address that they bear.
#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, found: Option<Found<'_>>, state: &S) -> Verdict {
    if super::ack::is_candidate(packet, found) && !state.config().has(flags::OBSERVE) {
        return Continue(());
    }
    charge(packet, found, state)
}

/// Charges the packet to its source.
#[inline(always)]
pub(super) fn charge<S: State>(packet: &Packet, found: Option<Found<'_>>, state: &S) -> Verdict {
    let Some(Found { number, service }) = found else { return Continue(()) };
    let is_syn = packet.is_tcp() && packet.tcp.is_syn();
    let (limit, kind, reason) = if is_syn && service.per_source_syn.is_some() {
        (service.per_source_syn, Kind::Syns, Reason::SourceSynRate)
    } else {
        (service.per_source, Kind::Packets, Reason::SourceRate)
    };
    if take(packet, state, kind, number, limit) { Continue(()) } else { Break(reason) }
}

/// SYN-ACKs go to possibly forged sources: limited per prefix and in total, so that we reflect little.
#[inline(always)]
pub(super) fn reply<S: State>(packet: &Packet, state: &S) -> Verdict {
    let config = state.config();
    if !take(packet, state, Kind::Replies, 0, config.reply_per_prefix) {
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
    let table = if is_reply(words[1]) { Table::Replies } else { Table::Sources };
    let config = state.config();
    let hash = sip13(config.seed, words);
    let (index, tag) = bucket::place_of_limit(hash, config.lines[table as usize], limit);
    match state.line(table, index) {
        Some(line) => bucket::take(line, tag, limit, now),
        None => true,
    }
}

/// Whether the second word of a bucket's key is one of [`Kind::Replies`].
#[inline(always)]
const fn is_reply(word: u64) -> bool {
    word >> 40 & 3 == Kind::Replies as u64
}

/// The source as a bucket knows it: IPv4 address or IPv6 /64, for answers /24 or /48; and what is counted.
#[inline(always)]
fn source_words(packet: &Packet, kind: Kind, service: u32) -> [u64; 2] {
    let key = (service as u64) << 32 | (kind as u64) << 40;
    let is_reply = is_reply(key);
    if packet.is_v6 {
        let high = packet.source.words()[0];
        let mask = if is_reply { 0xffff_ffff_ffff_0000_u64.to_be() } else { u64::MAX };
        [high & mask, key | 1 << 48]
    } else {
        let mask = if is_reply { 0xffff_ff00_u32.to_be() } else { u32::MAX };
        [(packet.source.v4() & mask) as u64, key]
    }
}
