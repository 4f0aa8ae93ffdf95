//! What no feed blocks: who has to get through, and what is not somebody's public address anyway.

use std::net::IpAddr;

use ipnet::IpNet;

use super::entries::Ranges;
use crate::config::{Host, Settings};

/// Addresses that are nobody's on the Internet. Feeds of bogons hold them, and some hold the private ones that hosts are managed from
/// (FireHOL level 1); what comes from outside with such a source is dropped as forged by the interface's profile.
const NOT_PUBLIC: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/8",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Public addresses: 221 of 256 /8s and a bit for IPv4, 2000::/3 for IPv6.
pub(super) const PUBLIC_V4: u64 = (256 - 32 - 3) << 24;
/// In /64s.
pub(super) const PUBLIC_V6: u64 = 1 << 61;

/// The part that is the same everywhere.
#[must_use]
pub fn not_public() -> Ranges {
    NOT_PUBLIC.iter().filter_map(|text| text.parse::<IpNet>().ok()).collect()
}

/// All of it: not public, management, `ban.never`, own addresses, the networks that they are in, and `also` (gateways, resolvers).
#[must_use]
pub fn spared(settings: &Settings, host: &Host, also: &[IpAddr]) -> Ranges {
    let management = settings.management.allow.iter().map(|prefix| prefix.as_ref().trunc());
    let never = settings.ban.never.iter().map(|prefix| prefix.as_ref().trunc());
    let protected = settings.service.iter().flat_map(|service| &service.protect).map(|p| p.as_ref().trunc());
    let networks = host.links.values().flat_map(|link| &link.addresses).map(IpNet::trunc);
    // A device without a network still has an address.
    let networks = networks.filter(|net| net.prefix_len() > 0);
    let single = host.local().into_iter().chain(also.iter().copied()).map(|a| IpNet::from(a.to_canonical()));
    let nets: Ranges = management.chain(never).chain(protected).chain(networks).chain(single).collect();
    let Ranges { mut v4, mut v6 } = not_public();
    v4.extend(nets.v4);
    v6.extend(nets.v6);
    Ranges { v4, v6 }.without(Ranges::default())
}

/// How many of these ranges touch one of `spared`, which is disjoint and ascending.
#[must_use]
pub fn touched(
    v4: impl Iterator<Item = (u32, u32)>,
    v6: impl Iterator<Item = (u128, u128)>,
    spared: &Ranges,
) -> u64 {
    (count(v4, &spared.v4) + count(v6, &spared.v6)) as u64
}

fn count<A: Copy + Ord>(ranges: impl Iterator<Item = (A, A)>, spared: &[(A, A)]) -> usize {
    let touches = |(first, last): &(A, A)| {
        let from = spared.partition_point(|(_, end)| end < first);
        spared.get(from).is_some_and(|(start, _)| start <= last)
    };
    ranges.filter(touches).count()
}
