//! Per-source limits: an IPv4 address or an IPv6 /64 gets its share of packets, and of SYNs apart.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, service::Found};
use crate::{
    bucket,
    config::Limit,
    packet::Packet,
    reason::Reason,
    siphash::sip13,
    state::{State, Table},
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
#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, found: Option<Found<'_>>, state: &S) -> Verdict {
    let Some(Found { number, service }) = found else { return Continue(()) };
    let is_syn = packet.is_tcp() && packet.tcp.is_syn();
    let (limit, kind, reason) = if is_syn && service.per_source_syn.is_some() {
        (service.per_source_syn, Kind::Syns, Reason::SourceSynRate)
    } else {
        (service.per_source, Kind::Packets, Reason::SourceRate)
    };
    if take(packet, state, Table::Sources, limit, key(number, kind)) { Continue(()) } else { Break(reason) }
}

/// SYN-ACKs go to possibly forged sources: limited per prefix and in total, so that we reflect little.
#[inline(always)]
pub(super) fn reply<S: State>(packet: &Packet, state: &S) -> Verdict {
    let config = state.config();
    if !take(packet, state, Table::Replies, config.reply_per_prefix, key(0, Kind::Replies)) {
        return Break(Reason::ReplyPrefixRate);
    }
    if config.reply_total.is_some() && !state.take_total(config.reply_total, state.now()) {
        return Break(Reason::ReplyTotalRate);
    }
    Continue(())
}

#[inline(always)]
const fn key(service: u32, kind: Kind) -> u64 {
    (service as u64) << 32 | (kind as u64) << 40
}

#[inline(always)]
fn take<S: State>(packet: &Packet, state: &S, table: Table, limit: Limit, key: u64) -> bool {
    if !limit.is_some() {
        return true;
    }
    let config = state.config();
    let hash = sip13(config.seed, source_words(packet, table, key));
    let (index, tag) = bucket::place(hash, config.lines[table as usize]);
    match state.line(table, index) {
        Some(line) => bucket::take(line, tag, limit, state.now()),
        None => true,
    }
}

/// The source as a bucket knows it: IPv4 address or IPv6 /64; for answers /24 or /48.
#[inline(always)]
fn source_words(packet: &Packet, table: Table, key: u64) -> [u64; 2] {
    let is_reply = matches!(table, Table::Replies);
    if packet.is_v6 {
        let high = packet.source.words()[0];
        let mask = if is_reply { 0xffff_ffff_ffff_0000_u64.to_be() } else { u64::MAX };
        [high & mask, key | 1 << 48]
    } else {
        let mask = if is_reply { 0xffff_ff00_u32.to_be() } else { u32::MAX };
        [(packet.source.v4() & mask) as u64, key]
    }
}
