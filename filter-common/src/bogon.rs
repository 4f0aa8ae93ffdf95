//! Sources that cannot come from there: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890,
//! as of 2025-10), as comparisons that cost a few nanoseconds.

use crate::{config::Profile, packet::Address};

/// One bit for each first octet under which anything is a bogon for some profile: all but a few sources end here.
const SUSPECT: [u64; 4] = suspect();

const fn suspect() -> [u64; 4] {
    let mut bits = [0, 0, 0, u64::MAX << 32];
    let octets = [0, 10, 100, 127, 169, 172, 192, 198, 203];
    let mut i = 0;
    while i < octets.len() {
        bits[octets[i] >> 6] |= 1 << (octets[i] & 63);
        i += 1;
    }
    bits
}

/// Whether an IPv4 source (host byte order) is a bogon for `profile`.
#[must_use]
#[inline(always)]
pub const fn is_bogon_v4(address: u32, profile: Profile) -> bool {
    let first = address >> 24;
    if SUSPECT[(first >> 6) as usize] >> (first & 63) & 1 == 0 {
        return false;
    }
    let [a, b, c, d] = address.to_be_bytes();
    match a {
        0 | 127 | 224..=255 => true,
        10 => is_internet(profile),
        100 => b & 0xc0 == 64 && is_internet(profile),
        169 => b == 254 && link_local_v4(c, profile),
        172 => b & 0xf0 == 16 && is_internet(profile),
        192 => match (b, c) {
            (168, _) => is_internet(profile),
            // 192.0.0.9 (PCP anycast) and 192.0.0.10 (TURN anycast) are globally reachable.
            (0, 0) => d != 9 && d != 10,
            (0, 2) | (88, 99) => true,
            _ => false,
        },
        198 => b & 0xfe == 18 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    }
}

#[inline(always)]
const fn is_internet(profile: Profile) -> bool {
    matches!(profile, Profile::Internet)
}

/// 169.254/16: normal on a LAN; in a cloud only the metadata services' 169.254.169/24.
#[inline(always)]
const fn link_local_v4(third: u8, profile: Profile) -> bool {
    match profile {
        Profile::Internet => true,
        Profile::Lan => false,
        Profile::Cloud => third != 169,
    }
}

/// Whether an IPv6 source is a bogon for `profile`.
#[must_use]
#[inline(always)]
pub const fn is_bogon_v6(address: &Address, profile: Profile) -> bool {
    let first = u32::from_be(address.0[0]);
    if first >> 29 == 1 {
        return is_bogon_global(address, first);
    }
    // NAT64's well-known prefix 64:ff9b::/96 carries public IPv4 sources.
    if first == 0x0064_ff9b && address.0[1] == 0 && address.0[2] == 0 {
        return false;
    }
    let is_private = first >> 25 == 0xfc >> 1 || first >> 22 == 0xfe80 >> 6;
    !is_private || is_internet(profile)
}

/// The special blocks inside 2000::/3.
#[inline(always)]
const fn is_bogon_global(address: &Address, first: u32) -> bool {
    match first >> 16 {
        // 2001::/23 is for protocols, 2001:db8::/32 for documentation.
        0x2001 => match first & 0xffff {
            0x0db8 => true,
            low => low < 0x200 && !is_global_protocol_block(address, low),
        },
        0x2002 => true,
        // 3fff::/20 is for documentation.
        0x3fff => first & 0xf000 == 0,
        _ => false,
    }
}

/// The globally reachable parts of 2001::/23.
#[inline(always)]
const fn is_global_protocol_block(address: &Address, low: u32) -> bool {
    match low {
        // 2001:1::1 PCP, ::2 TURN, ::3 DNS-SD anycast
        1 => {
            let last = u32::from_be(address.0[3]);
            address.0[1] == 0 && address.0[2] == 0 && last >= 1 && last <= 3
        }
        // AMT, ORCHIDv2, drone remote ID
        3 | 0x20..=0x3f => true,
        // 2001:4:112::/48, AS112
        4 => u32::from_be(address.0[1]) >> 16 == 0x112,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const PROFILES: [Profile; 3] = [Profile::Internet, Profile::Lan, Profile::Cloud];

    fn v4(text: &str, profile: Profile) -> bool {
        is_bogon_v4(text.parse::<Ipv4Addr>().expect("address").into(), profile)
    }

    fn v6(text: &str, profile: Profile) -> bool {
        let octets = text.parse::<Ipv6Addr>().expect("address").octets();
        let word = |i: usize| u32::from_ne_bytes(octets[i..i + 4].try_into().expect("four"));
        is_bogon_v6(&Address([word(0), word(4), word(8), word(12)]), profile)
    }

    /// First and last address inside, neighbours outside (empty: covered by another block), and whether
    /// internet, lan and cloud drop the inside.
    type Block = (&'static str, &'static str, &'static str, &'static str, [bool; 3]);

    const ALL: [bool; 3] = [true; 3];
    const PRIVATE: [bool; 3] = [true, false, false];

    const V4: &[Block] = &[
        ("0.0.0.0", "0.255.255.255", "", "1.0.0.0", ALL),
        ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0", PRIVATE),
        ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0", PRIVATE),
        ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0", ALL),
        ("169.254.0.0", "169.254.168.255", "169.253.255.255", "", [true, false, true]),
        ("169.254.169.0", "169.254.169.255", "", "", PRIVATE),
        ("169.254.170.0", "169.254.255.255", "", "169.255.0.0", [true, false, true]),
        ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0", PRIVATE),
        ("192.0.0.0", "192.0.0.8", "191.255.255.255", "192.0.0.9", ALL),
        ("192.0.0.11", "192.0.0.255", "192.0.0.10", "192.0.1.0", ALL),
        ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0", ALL),
        ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0", ALL),
        ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0", PRIVATE),
        ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0", ALL),
        ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0", ALL),
        ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0", ALL),
        ("224.0.0.0", "255.255.255.255", "223.255.255.255", "", ALL),
    ];

    const F: &str = "ffff:ffff:ffff:ffff:ffff:ffff";

    const V6: &[Block] = &[
        ("::", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "", "64:ff9b::", ALL),
        ("64:ff9b::1:0:0", "1fff:ffff:F", "64:ff9b::ffff:ffff", "2000::", ALL),
        ("::ffff:0:0", "::ffff:ffff:ffff", "", "", ALL),
        ("100::", "100::ffff:ffff:ffff:ffff", "", "", ALL),
        ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", "", "", ALL),
        ("2001::", "2001:1::", "2000:ffff:F", "2001:1::1", ALL),
        ("2001:1::4", "2001:2:F", "2001:1::3", "2001:3::", ALL),
        ("2001:4::", "2001:4:111:ffff:ffff:ffff:ffff:ffff", "2001:3:F", "2001:4:112::", ALL),
        ("2001:4:113::", "2001:1f:F", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "2001:20::", ALL),
        ("2001:40::", "2001:1ff:F", "2001:3f:F", "2001:200::", ALL),
        ("2001:db8::", "2001:db8:F", "2001:db7:F", "2001:db9::", ALL),
        ("2002::", "2002:ffff:F", "2001:ffff:F", "2003::", ALL),
        ("3fff::", "3fff:fff:F", "3ffe:ffff:F", "3fff:1000::", ALL),
        ("4000::", "fbff:ffff:F", "3fff:ffff:F", "", ALL),
        ("5f00::", "5f00:ffff:F", "", "", ALL),
        ("fc00::", "fdff:ffff:F", "", "", PRIVATE),
        ("fe00::", "fe7f:ffff:F", "", "", ALL),
        ("fe80::", "febf:ffff:F", "", "", PRIVATE),
        ("fec0::", "feff:ffff:F", "", "", ALL),
        ("ff00::", "ffff:ffff:F", "", "", ALL),
    ];

    fn check(blocks: &[Block], bogon: impl Fn(&str, Profile) -> bool) {
        for (first, last, before, after, dropped) in blocks {
            for (profile, dropped) in PROFILES.into_iter().zip(dropped) {
                for inside in [first, last] {
                    assert_eq!(bogon(inside, profile), *dropped, "{inside} {profile:?}");
                }
                for outside in [before, after] {
                    assert!(outside.is_empty() || !bogon(outside, profile), "{outside} {profile:?}");
                }
            }
        }
    }

    #[test]
    fn every_v4_block_and_its_neighbours() {
        check(V4, v4);
        for kept in ["192.31.196.0", "192.175.48.255", "192.52.193.1", "8.8.8.8"] {
            assert!(!v4(kept, Profile::Internet), "{kept}");
        }
    }

    #[test]
    fn every_v6_block_and_its_neighbours() {
        check(V6, |text, profile| v6(&text.replace(":F", &format!(":{F}")), profile));
        for kept in ["2620:4f:8000::1", "2a00::1", "2001:4860::1"] {
            assert!(!v6(kept, Profile::Internet), "{kept}");
        }
    }
}
