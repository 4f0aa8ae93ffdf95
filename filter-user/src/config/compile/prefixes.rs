//! Prefixes in the data path's terms.

use std::net::{IpAddr, Ipv6Addr};

use filter_common::{
    bogon::{is_bogon_v4, is_bogon_v6},
    config::{Prefix, Profile, Summary, summary_bit_v6},
    packet::Address,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bit 0 when any is IPv4, bit 1 when any is IPv6.
pub(super) fn families(prefixes: &[IpNet]) -> u32 {
    prefixes.iter().fold(0, |bits, prefix| bits | if matches!(prefix, IpNet::V4(_)) { 1 } else { 2 })
}

/// An address as the data path keeps it: v4-mapped, words as they lie in memory.
fn words(address: Ipv6Addr) -> [u32; 4] {
    let bytes = address.octets();
    std::array::from_fn(|i| {
        u32::from_ne_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
    })
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// A prefix as the data path compares it.
#[must_use]
pub fn mapped(prefix: &IpNet) -> Prefix {
    let bits = match prefix {
        IpNet::V4(v4) => 96 + v4.prefix_len(),
        IpNet::V6(v6) => v6.prefix_len(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    Prefix { network: words(as_v6(prefix.network())), mask: words(Ipv6Addr::from(mask)) }
}

/// The networks of these own addresses whose other hosts would be bogons. Link-local ones never: nothing
/// behind a router can use them, and their control traffic passes anyway.
pub(super) fn connected(addresses: &[IpNet], profile: Profile) -> Vec<IpNet> {
    let exempt = addresses
        .iter()
        // A host route has no neighbours; our own address as a source is spoofed.
        .filter(|network| network.prefix_len() != 0 && network.prefix_len() < network.max_prefix_len())
        .filter(|network| is_private_bogon(network.addr(), profile))
        .map(IpNet::trunc)
        .collect();
    IpNet::aggregate(&exempt)
}

fn is_private_bogon(address: IpAddr, profile: Profile) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !v4.is_loopback()
                && !v4.is_link_local()
                && !v4.is_unspecified()
                && is_bogon_v4(v4.to_bits(), profile)
        }
        IpAddr::V6(v6) => {
            let ours = !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified();
            ours && is_bogon_v6(&Address(words(v6)), profile)
        }
    }
}

/// Sets the bits of all packets that `prefix` could match.
pub(super) fn summarise(summary: &mut Summary, prefix: &IpNet) {
    match prefix {
        IpNet::V4(v4) => summarise_v4(&mut summary.v4, *v4),
        IpNet::V6(v6) => summarise_v6(&mut summary.v6, v6),
    }
}

fn set(words: &mut [u64], bit: u16) {
    words[usize::from(bit / 64)] |= 1 << (bit % 64);
}

fn summarise_v4(words: &mut [u64], prefix: Ipv4Net) {
    let top = |address: std::net::Ipv4Addr| (address.to_bits() >> 16) as u16;
    for bit in top(prefix.network())..=top(prefix.broadcast()) {
        set(words, bit);
    }
}

fn summarise_v6(words: &mut [u64], prefix: &Ipv6Net) {
    // Shorter than /16: more than 65536 values of the first 32 bits, which hash to every bit.
    if prefix.prefix_len() < 16 {
        words.fill(u64::MAX);
        return;
    }
    let top = |address: Ipv6Addr| (address.to_bits() >> 96) as u32;
    for first_32 in top(prefix.network())..=top(prefix.broadcast()) {
        set(words, summary_bit_v6(first_32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn exempts_private_neighbours_only_where_they_are_bogons() {
        let addresses = nets(&[
            "10.1.2.3/16",
            "9.9.9.9/24",
            "169.254.1.1/16",
            "127.0.0.1/8",
            "10.9.9.9/32",
            "fd00::1/64",
            "fe80::1/64",
            "2620:fe::9/64",
            "198.18.0.1/24",
        ]);
        let internet = connected(&addresses, Profile::Internet);
        assert_eq!(internet, nets(&["10.1.0.0/16", "198.18.0.0/24", "fd00::/64"]));
        assert_eq!(connected(&addresses, Profile::Lan), nets(&["198.18.0.0/24"]));
    }

    #[test]
    fn neighbouring_networks_become_one() {
        let addresses = nets(&["10.0.0.1/24", "10.0.1.1/24"]);
        assert_eq!(connected(&addresses, Profile::Internet), nets(&["10.0.0.0/23"]));
    }

    #[test]
    fn ipv4_is_stored_mapped() {
        let prefix = mapped(&"10.1.0.0/16".parse().unwrap());
        assert_eq!(prefix.network, [0, 0, 0x0000_ffff_u32.to_be(), 0x0a01_0000_u32.to_be()]);
        assert_eq!(prefix.mask, [u32::MAX, u32::MAX, u32::MAX, 0xffff_0000_u32.to_be()]);
        assert_eq!(mapped(&"::/0".parse().unwrap()).mask, [0; 4]);
    }

    #[test]
    fn the_summary_covers_what_the_prefix_covers() {
        let has = |words: &[u64], bit: u16| words[usize::from(bit / 64)] >> (bit % 64) & 1 == 1;
        let mut summary = Summary::EMPTY;
        for prefix in nets(&["192.31.196.9/32", "44.0.0.0/14", "2620:fe::/33", "2a00::/29"]) {
            summarise(&mut summary, &prefix);
        }
        let count = |words: &[u64]| words.iter().map(|word| word.count_ones()).sum::<u32>();
        assert_eq!(count(&summary.v4), 1 + 4);
        assert!(has(&summary.v4, 0xc01f) && has(&summary.v4, 0x2c03) && !has(&summary.v4, 0x2c04));
        assert_eq!(count(&summary.v6), 1 + 8);
        assert!(
            has(&summary.v6, summary_bit_v6(0x2620_00fe)) && has(&summary.v6, summary_bit_v6(0x2a00_0007))
        );
        summarise(&mut summary, &"2000::/3".parse().unwrap());
        assert_eq!(count(&summary.v6), 65536);
    }
}
