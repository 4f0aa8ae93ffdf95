//! Bans as they lie in the maps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::{
    ban::{Ban, REASON_LEN, gate, key_v4, key_v6},
    packet::Address,
};
use ipnet::IpNet;

use super::{New, end};
use crate::dataplane::bytes::address_key;

/// Words of a [`Ban`].
pub(super) const WORDS: usize = size_of::<Ban>() / 8;
/// A [`Ban`] as a map's value.
pub(super) type Raw = [u64; WORDS];

/// Which table a prefix goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `BANS`, with that key.
    Source(u64),
    /// `BANNED`.
    Prefix,
}

pub(super) fn place(net: &IpNet) -> Place {
    let words = address_key(net.network());
    match net {
        IpNet::V4(net) if net.prefix_len() == 32 => Place::Source(key_v4(words[3])),
        IpNet::V6(net) if net.prefix_len() == 64 => Place::Source(key_v6(&Address(words))),
        _ => Place::Prefix,
    }
}

/// The address as limits and bans see it: itself, or its /64.
#[must_use]
pub fn source_of(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, length).map_or(IpNet::from(address), |net| net.trunc())
}

/// Whom a key of `BANS` is about.
pub(super) fn net_of_key(key: u64) -> IpNet {
    let [low, high] = [key as u32, (key >> 32) as u32];
    if low == 0 {
        return IpNet::from(IpAddr::from(Ipv4Addr::from(high.to_ne_bytes())));
    }
    source_of(Ipv6Addr::from(u128::from(u64::from_be(key)) << 64).into())
}

/// Whom a key of `BANNED` is about.
pub(super) fn net_of_lpm(length: u32, words: [u32; 4]) -> IpNet {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default());
    let (address, length) = match address.to_ipv4_mapped() {
        Some(v4) if length >= 96 => (IpAddr::from(v4), length - 96),
        _ => (address.into(), length),
    };
    IpNet::new(address, length as u8).unwrap_or(IpNet::from(address))
}

/// The gate of a source.
pub(super) const fn gate_of_key(key: u64) -> u64 {
    if key as u32 == 0 { gate::SOURCES_V4 } else { gate::SOURCES_V6 }
}

/// The gate of a prefix.
pub(super) const fn gate_of(net: &IpNet) -> u64 {
    match net {
        IpNet::V4(_) => gate::PREFIXES_V4,
        IpNet::V6(_) => gate::PREFIXES_V6,
    }
}

/// A ban as it is kept.
pub(super) fn new(new: &New<'_>, now: u64) -> Ban {
    let mut reason = [0; REASON_LEN];
    let cut = &new.reason.as_bytes()[..new.reason.floor_char_boundary(REASON_LEN)];
    reason[..cut.len()].copy_from_slice(cut);
    let until = end(now, new.length);
    let since = (now / 1_000_000_000).saturating_sub(new.age.as_secs());
    Ban { until, own: until, since: since as u32, origin: new.origin as u32, reason }
}

pub(super) fn raw_of(ban: &Ban) -> Raw {
    let mut raw = [ban.until, ban.own, u64::from(ban.since) | u64::from(ban.origin) << 32, 0, 0, 0, 0];
    for (word, bytes) in raw[3..].iter_mut().zip(ban.reason.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    raw
}

pub(super) fn ban_of(raw: &Raw) -> Ban {
    let mut reason = [0; REASON_LEN];
    for (bytes, word) in reason.as_chunks_mut().0.iter_mut().zip(&raw[3..]) {
        *bytes = word.to_ne_bytes();
    }
    Ban { until: raw[0], own: raw[1], since: raw[2] as u32, origin: (raw[2] >> 32) as u32, reason }
}

/// The entries whose end is not the latest of all that hold them, with that end.
pub(super) fn covered(mut entries: Vec<(IpNet, Raw)>) -> Vec<(IpNet, Raw)> {
    // Wider prefixes come before what they hold.
    entries.sort_unstable_by_key(|(net, _)| (net.network(), net.prefix_len()));
    let mut around: Vec<(IpNet, u64)> = Vec::new();
    let mut changed = Vec::new();
    for (net, mut raw) in entries {
        while around.last().is_some_and(|(wider, _)| !wider.contains(&net)) {
            around.pop();
        }
        let until = around.last().map_or(0, |(_, until)| *until).max(raw[1]);
        around.push((net, until));
        if raw[0] != until {
            raw[0] = until;
            changed.push((net, raw));
        }
    }
    changed
}
