//! Who sends: addresses and prefixes, the same in every run.

use std::net::Ipv4Addr;

use filter_common::{
    bogon::is_bogon_v4,
    config::Profile,
    list::{Class, build::Span},
};
use ipnet::Ipv4Net;

/// Sources of a flood: more than any table of the data path holds by default.
const MANY: usize = 1 << 20;
/// Sources that are taken out of a list.
const OF_A_LIST: usize = 1 << 18;

/// The `index`th number of a fixed sequence (`SplitMix64`, Steele et al. 2014).
#[must_use]
pub const fn scattered(index: u64) -> u64 {
    let mut word = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// 32.0.0.0 to 63.255.255.255: no bogon among them.
const fn public(index: u64) -> u32 {
    0x2000_0000 | scattered(index) as u32 & 0x1fff_ffff
}

/// Addresses as they lie in a packet.
fn in_order(addresses: impl Iterator<Item = u32>) -> Vec<u32> {
    addresses.map(u32::to_be).collect()
}

/// The first of the public addresses.
#[must_use]
pub fn some(count: usize) -> Vec<u32> {
    in_order((0..count as u64).map(public))
}

/// So many that each is new.
#[must_use]
pub fn any() -> Vec<u32> {
    some(MANY)
}

/// Addresses of 198.18.0.0/15, which is for measuring and nobody's on the Internet (RFC 2544).
#[must_use]
pub fn bogons() -> Vec<u32> {
    in_order((0..OF_A_LIST as u64).map(|index| 0xc612_0000 | scattered(index) as u32 & 0x1_ffff))
}

/// Addresses of one prefix.
#[must_use]
pub fn within(prefix: Ipv4Net) -> Vec<u32> {
    let (network, hosts) = (prefix.network().to_bits(), prefix.hostmask().to_bits());
    in_order((0..OF_A_LIST as u64).map(|index| network | scattered(index) as u32 & hosts))
}

/// One prefix of a list as they are published: more than half single addresses, a third /24, few that are wider.
fn listed_prefix(index: u64) -> Ipv4Net {
    let (address, die) = (scattered(index) as u32, scattered(index) >> 32);
    let length = match die % 100 {
        0..2 => 16 + die / 100 % 5,
        2..10 => 21 + die / 100 % 3,
        10..40 => 24,
        40..50 => 25 + die / 100 % 7,
        _ => 32,
    };
    Ipv4Net::new(Ipv4Addr::from_bits(address), length as u8).unwrap_or_default().trunc()
}

/// A list of so many prefixes.
#[must_use]
pub fn list(entries: u32) -> Vec<Ipv4Net> {
    (0..entries.into()).map(listed_prefix).collect()
}

/// Addresses that such a list holds, each in another prefix; a power of two of them.
#[must_use]
pub fn listed(entries: u32) -> Vec<u32> {
    let inside = |index| {
        let prefix = listed_prefix(index);
        prefix.network().to_bits() | scattered(!index) as u32 & prefix.hostmask().to_bits()
    };
    let real = (0..entries.into()).map(inside).filter(|address| !is_bogon_v4(*address, Profile::Internet));
    power_of_two(in_order(real.take(OF_A_LIST)))
}

/// Addresses that are in none of the spans; a power of two of them.
#[must_use]
pub fn unlisted(spans: &[Span<u32>]) -> Vec<u32> {
    let is_free = |address: &u32| {
        let from = spans.partition_point(|span| span.last < *address);
        spans.get(from).is_none_or(|span| span.first > *address || span.class == Class::None)
    };
    power_of_two(in_order((0..2 * OF_A_LIST as u64).map(public).filter(is_free).take(OF_A_LIST)))
}

/// Every address is banned that [`some`] returns, as a prefix.
#[must_use]
pub fn banned(count: u32) -> Vec<Ipv4Net> {
    (0..count.into()).map(|index| Ipv4Net::from(Ipv4Addr::from_bits(public(index)))).collect()
}

/// Public addresses that [`banned`] does not hold.
#[must_use]
pub fn unbanned() -> Vec<u32> {
    // 64.0.0.0 to 95.255.255.255.
    in_order((0..MANY as u64).map(|index| 0x4000_0000 | scattered(index) as u32 & 0x1fff_ffff))
}

/// The first so many, where that is the largest power of two.
#[must_use]
pub fn power_of_two(mut addresses: Vec<u32>) -> Vec<u32> {
    if let Some(power) = addresses.len().checked_ilog2() {
        addresses.truncate(1 << power);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::lists;

    #[test]
    fn the_listed_are_on_the_list_and_others_are_not() {
        let nets = list(5000);
        let spans = lists::blocking(&nets).v4;
        let holds =
            |address: &u32| nets.iter().any(|net| net.contains(&Ipv4Addr::from_bits(u32::from_be(*address))));
        let (inside, outside) = (listed(5000), unlisted(&spans));
        assert_eq!((inside.len(), outside.len()), (4096, OF_A_LIST));
        assert!(inside.iter().all(holds));
        assert!(!outside.iter().take(2000).any(holds));
        assert!(nets.iter().filter(|net| net.prefix_len() == 32).count() > 2000);
    }

    #[test]
    fn none_is_a_bogon_but_the_bogons() {
        let is_bogon = |address: &u32| is_bogon_v4(u32::from_be(*address), Profile::Internet);
        assert!(bogons().iter().all(is_bogon));
        for addresses in [some(10_000), unbanned(), listed(1000), unlisted(&[])] {
            assert!(!addresses.iter().any(is_bogon));
        }
    }

    #[test]
    fn the_banned_are_the_first_ones() {
        let banned = banned(1000);
        assert!(
            some(1000).iter().zip(&banned).all(|(address, net)| net.addr().to_bits().to_be() == *address)
        );
        assert!(unbanned().iter().take(1000).all(|address| address.to_ne_bytes()[0] >= 64));
    }
}
