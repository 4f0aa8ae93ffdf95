//! Every block of the IANA special-purpose registries: first and last address, and the neighbours outside.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{filter::Filter, packet::ip};

use super::config;

/// In which profiles a source is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Nowhere: a neighbour, or an exception.
    Nowhere,
    /// Private: normal in `lan` and `cloud`.
    Internet,
    /// Normal in `lan` only.
    NotLan,
    /// Everywhere.
    Everywhere,
}
use Where::{Everywhere, Internet, NotLan, Nowhere};

impl Where {
    fn includes(self, profile: &str) -> bool {
        match self {
            Nowhere => false,
            Internet => profile == "internet",
            NotLan => profile != "lan",
            Everywhere => true,
        }
    }
}

#[rustfmt::skip]
const V4: &[(Where, &[&str])] = &[
    (Everywhere, &["0.0.0.0", "0.255.255.255", "127.0.0.0", "127.255.255.255", "192.0.0.0", "192.0.0.8",
        "192.0.0.11", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "198.18.0.0",
        "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0",
        "239.255.255.255", "240.0.0.0", "255.255.255.255"]),
    (Internet, &["10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "169.254.169.0",
        "169.254.169.254", "169.254.169.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"]),
    (NotLan, &["169.254.0.0", "169.254.168.255", "169.254.170.0", "169.254.255.255"]),
    (Nowhere, &["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
        "192.0.0.9", "192.0.0.10", "192.0.1.0", "192.0.1.255", "192.0.3.0", "192.88.98.255", "192.88.100.0",
        "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0",
        "203.0.112.255", "203.0.114.0", "223.255.255.255", "192.31.196.0", "192.31.196.255", "192.175.48.0",
        "192.175.48.255", "192.52.193.0", "192.52.193.255"]),
];

#[rustfmt::skip]
const V6: &[(Where, &[&str])] = &[
    (Everywhere, &["::", "::1", "::ffff:0.0.0.0", "::ffff:255.255.255.255", "::2",
        "64:ff9b::1:0:0", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::",
        "100::ffff:ffff:ffff:ffff", "100:0:0:1::", "100::1:ffff:ffff:ffff:ffff",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001::", "2001:1::", "2001:1::4", "2001:2:ffff:ffff:ffff:ffff:ffff:ffff", "2001:4::",
        "2001:4:111:ffff:ffff:ffff:ffff:ffff", "2001:4:113::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:40::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "5f00::",
        "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    (Internet, &["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    (Nowhere, &["64:ff9b::", "64:ff9b::ffff:ffff", "2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:1::1", "2001:1::2", "2001:1::3", "2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "2001:20::",
        "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8000::", "2620:4f:8000::ffff"]),
];

#[test]
fn bogons_on_the_internet() -> Result<()> {
    blocks("internet")
}

#[test]
fn bogons_on_a_lan() -> Result<()> {
    blocks("lan")
}

#[test]
fn bogons_in_a_cloud() -> Result<()> {
    blocks("cloud")
}

fn blocks(profile: &str) -> Result<()> {
    let filter = Filter::new(&config(profile))?;
    for (destination, table) in [("192.31.196.2", V4), ("2620:4f:8000::2", V6)] {
        for (refused, sources) in table {
            let expected = if refused.includes(profile) { Reason::Bogon } else { Reason::Pass };
            for source in *sources {
                let frame = ip(source, destination).udp(9, 9999, b"").bytes();
                filter.expect(&format!("{source} in {profile}"), &frame, expected)?;
            }
        }
    }
    Ok(())
}
