//! Limits: an IPv4 address or an IPv6 /64 gets its share of packets, SYNs and bytes, a prefix and a service theirs.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, proven, query, service::Found};
use crate::{
    arm::Arm,
    bucket::{self, WAYS},
    config::{Limit, MAX_SERVICES, Service, flags, syn_mode},
    nh,
    packet::Packet,
    reason::Reason,
    state::{State, Table, Total},
    word::Word,
};

/// What a bucket counts; part of its key.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Kind {
    Packets = 0,
    Syns = 1,
    Proven = 2,
    Bytes = 3,
    Prefix = 4,
    Flows = 5,
    Fragments = 16,
    Errors = 17,
    Echoes = 18,
}

/// One look-up for each packet: a SYN is charged to the SYN limit if there is one, anything else to the
/// packet limit. SYNs that are answered are charged to nobody ([`spares`]).
///
/// TCP segments other than SYNs are charged by [`super::segment`], where looked up once their connection is known:
/// forged ones can't use up the share of the address that they bear.
#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    if packet.is_tcp() && !packet.tcp.is_syn() {
        return Continue(());
    }
    if state.config().has(flags::MORE_LIMITS) {
        over(state.limits(Part::Flows, packet, found.number))?;
    }
    charge_unless(spares(packet, found, state), packet, found, state)
}

/// Charges the packet to its source, and to whatever else has a limit.
#[inline(always)]
pub(super) fn charge<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    charge_unless(false, packet, found, state)
}

#[inline(always)]
fn charge_unless<S: State>(spared: bool, packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    let Found { number, service } = found;
    let more = state.config().has(flags::MORE_LIMITS);
    if !found.is_some() && !more {
        return Continue(());
    }
    let (limit, kind, reason) = share(packet, service);
    if !spared && !take(packet, state, kind, number, limit) {
        return Break(reason);
    }
    if !more {
        return Continue(());
    }
    over(state.limits(Part::Narrow, packet, number))?;
    over(state.limits(Part::Wide, packet, number))
}

/// What a packet is charged to its source as, and the reason if it is too many.
#[inline(always)]
const fn share(packet: &Packet, service: &Service) -> (Limit, Kind, Reason) {
    if packet.is_syn() && service.per_source_syn.is_some() {
        (service.per_source_syn, Kind::Syns, Reason::SourceSynRate)
    } else {
        (service.per_source, Kind::Packets, Reason::SourceRate)
    }
}

/// Whether the packet is a SYN that the service answers: its source may be forged, so it uses up nobody's share of packets.
///
/// Limits of replies bound what a source gets of them. A limit of SYNs is there because the operator wants it, and holds.
#[inline(always)]
fn spares<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> bool {
    let service = found.service;
    if !packet.is_syn() || service.per_source_syn.is_some() {
        return false;
    }
    match service.syn_mode {
        syn_mode::COOKIE | syn_mode::CHALLENGE => true,
        syn_mode::AUTO => state.arm(found.number).is_some_and(|arm| arm.syn.is_on(0, || state.now())),
        _ => false,
    }
}

/// Charges a SYN that [`check`] has spared, and that the stack gets after all.
#[inline(always)]
pub(super) fn make_up<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    let (limit, kind, reason) = share(packet, found.service);
    if !spares(packet, found, state) || take(packet, state, kind, found.number, limit) {
        Continue(())
    } else {
        Break(reason)
    }
}

/// As [`charge`] where nothing but sources of services has limits, in place.
#[inline(always)]
pub(super) fn of_source<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    let (limit, kind, reason) = share(packet, found.service);
    if !found.is_some() || !limit.is_some() || spares(packet, found, state) {
        return Continue(());
    }
    let words = source_words(packet, kind, found.number, limit.is_slow());
    if take_from(state, words, limit, state.now()) { Continue(()) } else { Break(reason) }
}

/// What [`more`] said.
#[inline(always)]
const fn over(reason: u32) -> Verdict {
    const PREFIX: u32 = Reason::PrefixRate as u32;
    const SOURCE_BYTES: u32 = Reason::SourceByteRate as u32;
    const SERVICE: u32 = Reason::ServiceRate as u32;
    const SERVICE_BYTES: u32 = Reason::ServiceByteRate as u32;
    const FLOWS: u32 = Reason::FlowRate as u32;
    match reason {
        0 => Continue(()),
        PREFIX => Break(Reason::PrefixRate),
        SOURCE_BYTES => Break(Reason::SourceByteRate),
        SERVICE => Break(Reason::ServiceRate),
        SERVICE_BYTES => Break(Reason::ServiceByteRate),
        FLOWS => Break(Reason::FlowRate),
        _ => Break(Reason::HostRate),
    }
}

/// Limits besides packets and SYNs per source, in parts that the kernel shell makes functions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of sources and prefixes.
    Narrow,
    /// Of services and of the host.
    Wide,
    /// Of new UDP flows.
    Flows,
}

/// 0, or the number of the reason that speaks against the packet.
///
/// The narrow ones come first: what a source has too much of is not charged to the service. Totals don't count against
/// sources that have shown that they can receive, and not against SYNs that a ladder answers: a flood of forged sources
/// uses up a total, and must not take them along.
#[inline(always)]
pub fn more<S: State>(part: Part, packet: &Packet, number: u32, state: &S) -> u32 {
    let number = number as usize & (MAX_SERVICES - 1);
    let service = &state.config().services[number];
    let verdict = match part {
        Part::Narrow => narrow(packet, number as u32, service, state),
        Part::Wide => wide(packet, number as u32, service, state),
        Part::Flows => flow(packet, number as u32, service, state),
    };
    match verdict {
        Break(reason) => reason as u32,
        Continue(()) => 0,
    }
}

#[inline(always)]
fn narrow<S: State>(packet: &Packet, number: u32, service: &Service, state: &S) -> Verdict {
    let bytes = service.per_source_bytes;
    let words = source_words(packet, Kind::Bytes, number, bytes.is_slow());
    if bytes.is_some() && !state.take(words, bytes.of_bytes(packet.length), state.now()) {
        return Break(Reason::SourceByteRate);
    }
    let prefix = service.per_prefix;
    let words = [prefix_of(packet), words_of(packet, Kind::Prefix, number, prefix.is_slow())];
    if prefix.is_some() && !state.take(words, prefix, state.now()) {
        return Break(Reason::PrefixRate);
    }
    Continue(())
}

#[inline(always)]
fn wide<S: State>(packet: &Packet, number: u32, service: &Service, state: &S) -> Verdict {
    let Some(arm) = state.arm(number) else { return Continue(()) };
    if packet.is_syn() && service.syn_mode != syn_mode::OFF {
        return Continue(());
    }
    let (config, now) = (state.config(), state.now());
    let within = |bucket: &Word, limit: Limit| !limit.is_some() || bucket::charge(bucket, limit, now);
    let host = |total, limit: Limit| !limit.is_some() || state.take_total(total, limit, now);
    let over = if !within(&arm.packets, service.total) {
        Reason::ServiceRate
    } else if !within(&arm.bytes, service.total_bytes.of_bytes(packet.length)) {
        Reason::ServiceByteRate
    } else if !host(Total::HostPackets, config.host_packets)
        || !host(Total::HostBytes, config.host_bytes.of_bytes(packet.length))
    {
        Reason::HostRate
    } else {
        return Continue(());
    };
    if proven::left(packet, state) != 0 { Continue(()) } else { Break(over) }
}

/// A flow of one packet is forgotten soon: strangers can't push out flows that go on.
const NEW_FLOW_NS: u64 = 2_000_000_000;
/// How long a flow that goes on is known after its last packet (RFC 4787 4.3 asks NATs for two minutes).
const FLOW_NS: u64 = 120_000_000_000;

/// The first packet of a flow needs a token, the others none.
#[inline(always)]
fn flow<S: State>(packet: &Packet, number: u32, service: &Service, state: &S) -> Verdict {
    if !packet.is_udp() || !(service.flows.is_some() || service.per_source_flows.is_some()) {
        return Continue(());
    }
    let Some(arm) = state.arm(number) else { return Continue(()) };
    let (hash, now) = (query::incoming(packet, state), state.now());
    let left = state.marked(Table::Flows, hash, now);
    if left == 0 {
        if !take(packet, state, Kind::Flows, number, service.per_source_flows)
            || (service.flows.is_some() && !bucket::charge(&arm.flows, service.flows, now))
        {
            return Break(Reason::FlowRate);
        }
        state.mark(Table::Flows, hash, now + NEW_FLOW_NS);
    } else if left < FLOW_NS / 2 {
        state.mark(Table::Flows, hash, now + FLOW_NS);
    }
    Continue(())
}

/// SYNs of a source that has answered a challenge: it is real, so it can flood; and all of them together.
#[inline(always)]
pub(super) fn syn_of_proven<S: State>(packet: &Packet, found: Found<'_>, arm: &Arm, state: &S) -> Reason {
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
    if let Some(bucket) = bucket_of_prefix(packet, state)
        && !bucket::charge(bucket, config.reply_per_prefix, state.now())
    {
        return Break(Reason::ReplyPrefixRate);
    }
    if config.reply_total.is_some() && !state.take_total(Total::Replies, config.reply_total, state.now()) {
        return Break(Reason::ReplyTotalRate);
    }
    Continue(())
}

/// Takes a token from the bucket of the packet's source.
#[inline(always)]
pub(super) fn take<S: State>(packet: &Packet, state: &S, kind: Kind, service: u32, limit: Limit) -> bool {
    !limit.is_some() || state.take(source_words(packet, kind, service, limit.is_slow()), limit, state.now())
}

/// The limit as it is now. The bucket is the same: what a source has used up stays used up.
#[inline(always)]
fn tightened<S: State>(limit: Limit, word: u64, now: u64, state: &S) -> Limit {
    let factor = u64::from(state.config().tighten);
    if factor <= 1 || word >> RULE & 1 != 0 {
        return limit;
    }
    let Some(arm) = state.arm((word >> SERVICE) as u32 & (MAX_SERVICES as u32 - 1)) else { return limit };
    // 1 if the lease ends behind the clock: the sign, since the verifier would follow both ways of a branch.
    let is_tight = now.wrapping_sub(arm.tight.load()) >> 63;
    Limit { interval: limit.interval.wrapping_mul(1 + is_tight * (factor - 1)), tolerance: limit.tolerance }
}

/// Takes a token from the bucket of those words: what [`State::take`] does.
#[inline(always)]
pub fn take_from<S: State>(state: &S, words: [u64; 2], limit: Limit, now: u64) -> bool {
    let config = state.config();
    let hash = nh::hash(config.seed, words);
    let (index, tag) =
        bucket::place_of_limit(hash, config.lines[Table::Sources as usize], words[1] >> SLOW != 0);
    match state.line(Table::Sources, index) {
        Some(line) => bucket::take(line, tag, tightened(limit, words[1], now, state), now),
        None => true,
    }
}

/// The source as a bucket knows it, IPv4 address or IPv6 /64, and what is counted.
#[inline(always)]
fn source_words(packet: &Packet, kind: Kind, service: u32, slow: bool) -> [u64; 2] {
    [packet.source_network(), words_of(packet, kind, service, slow)]
}

/// Bit of a key's second word: the limit is slow.
const SLOW: u32 = 63;
/// Another: the limit is a rule's, and no service's.
pub(super) const RULE: u32 = 56;
/// The service's number in that word.
const SERVICE: u32 = 32;

#[inline(always)]
fn words_of(packet: &Packet, kind: Kind, service: u32, slow: bool) -> u64 {
    (service as u64) << SERVICE | (kind as u64) << 40 | (packet.is_v6 as u64) << 48 | (slow as u64) << SLOW
}

/// The source's /24 or /48; the last two bytes of the latter are free: they tell the family.
#[inline(always)]
const fn prefix_of(packet: &Packet) -> u64 {
    if packet.is_v6 {
        packet.source.words()[0] & 0xffff_ffff_ffff_0000_u64.to_be() | 1 << 63
    } else {
        (packet.source.v4() & 0xffff_ff00_u32.to_be()) as u64
    }
}

/// Asks for the memory of what [`reply`] needs. Look-ups of sockets and hashes come in between, and the CPU needn't wait.
#[inline(always)]
pub(super) fn expect_reply<S: State>(packet: &Packet, state: &S) {
    if let Some(bucket) = bucket_of_prefix(packet, state) {
        bucket.load();
    }
}

/// The bucket of replies to the source's /24 or /48.
///
/// These buckets have no tags: prefixes with the same hash share one. Every answer touches the table, also under a flood
/// of random sources, so it has to stay in the CPU's cache; and a limit far above honest use makes sharing harmless.
#[inline(always)]
fn bucket_of_prefix<'a, S: State>(packet: &Packet, state: &'a S) -> Option<&'a Word> {
    let config = state.config();
    if !config.reply_per_prefix.is_some() {
        return None;
    }
    let hash = nh::hash(config.seed, [prefix_of(packet), 0]);
    let (index, tag) = bucket::place(hash, config.lines[Table::Replies as usize]);
    let line = state.line(Table::Replies, index)?;
    Some(&line.0[(tag >> 32) as usize & (WAYS - 1)].until)
}
