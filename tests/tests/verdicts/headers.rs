//! IPv4 options, IPv6 extension headers, protocols that are neither TCP, UDP nor ICMP.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{ip, protocol},
};

use super::{Made, check, config, config_and, plain, plain6};

const LIBERAL: &str = "[ip]\noptions = \"pass\"\nrouting = \"pass\"\nheaders = \"pass\"";

/// Every kind of option, alone and behind a NOP; lengths that lie.
pub(crate) fn options(other: Reason) -> Vec<Made> {
    let mut made = Vec::new();
    for kind in [2, 7, 68, 82, 130, 131, 133, 134, 136, 137, 148, 205, 255] {
        let expected = if kind == 131 || kind == 137 { Reason::SourceRoute } else { other };
        for options in
            [vec![kind, 4, 0, 0], vec![1, kind, 3, 0], vec![1, 1, kind, 2], vec![kind, 8, 0, 0, 0, 0, 0, 0]]
        {
            let frame = plain().ipv4_options(&options).udp(9, 9999, b"").bytes();
            made.push((format!("option {options:?}"), frame, expected));
        }
    }
    for options in
        [vec![7, 5, 0, 0], vec![7, 1, 0, 0], vec![7, 0, 0, 0], vec![1, 1, 1, 131], vec![131, 255, 4, 0]]
    {
        let frame = plain().ipv4_options(&options).udp(9, 9999, b"").bytes();
        made.push((format!("option {options:?}"), frame, Reason::Ipv4OptionsMalformed));
    }
    for options in [vec![1; 4], vec![0, 131, 3, 4], vec![1; 40], vec![0; 40]] {
        let frame = plain().ipv4_options(&options).udp(9, 9999, b"").bytes();
        made.push((format!("no option {options:?}"), frame, Reason::Pass));
    }
    let last = [vec![1; 37], vec![137, 3, 4]].concat();
    made.push((
        "the 40th byte".into(),
        plain().ipv4_options(&last).udp(9, 9999, b"").bytes(),
        Reason::SourceRoute,
    ));
    made
}

/// Extension headers in an order or of a kind that is refused.
pub(crate) fn extensions(routed: Reason, unknown: Reason) -> Vec<Made> {
    let mut made = Vec::new();
    for before in [protocol::HOP_BY_HOP, protocol::DESTINATION, protocol::AUTHENTICATION] {
        let packet = plain6().extension(before, 1).extension(protocol::HOP_BY_HOP, 1).udp(9, 9999, b"");
        made.push((format!("hop-by-hop behind {before}"), packet.bytes(), Reason::Ipv6HopByHop));
    }
    for (kind, left, expected) in [
        (0, 0, Reason::RoutingHeader),
        (0, 1, Reason::RoutingHeader),
        (2, 1, routed),
        (3, 7, routed),
        (4, 255, routed),
        (2, 0, Reason::Pass),
        (4, 0, Reason::Pass),
        (254, 0, Reason::Pass),
    ] {
        let header = [0, 0, kind, left, 0, 0, 0, 0];
        let packet = plain6().extension_of(protocol::ROUTING, &header);
        made.push((
            format!("routing type {kind}, {left} left"),
            packet.clone().udp(9, 9999, b"").bytes(),
            expected,
        ));
        let behind = packet.extension(protocol::DESTINATION, 1).udp(9, 9999, b"");
        made.push((format!("routing type {kind}, {left} left, and more"), behind.bytes(), expected));
    }
    for next in [59, 135, 139, 140, 253, 254] {
        made.push((format!("next header {next}"), plain6().raw(next, &[0; 16]).bytes(), unknown));
        let behind = plain6().extension(protocol::DESTINATION, 1).raw(next, &[0; 16]);
        made.push((format!("next header {next} behind another"), behind.bytes(), unknown));
    }
    made
}

/// Each protocol that is not looked into.
pub(crate) fn protocols(listed: &[u8], other: Reason) -> Vec<Made> {
    let mut made = Vec::new();
    for number in [2, 4, 33, 41, 46, 47, 50, 88, 89, 103, 112, 115, 132, 136, 137, 252, 255] {
        let expected = if listed.contains(&number) { Reason::OtherProtocol } else { other };
        for packet in [plain(), plain6()] {
            let name = format!("protocol {number}: {packet:?}");
            made.push((name, packet.raw(number, &[0; 24]).bytes(), expected));
        }
    }
    // To IPv4 ICMPv6 is a stranger, and the other way round.
    let strangers = [plain().raw(58, &[128; 24]), plain6().raw(1, &[8; 24])];
    made.extend(strangers.map(|packet| (format!("{packet:?}"), packet.bytes(), other)));
    made
}

#[test]
fn odd_headers_by_default() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    check(&filter, options(Reason::Ipv4Options))?;
    check(&filter, extensions(Reason::RoutingHeader, Reason::UnknownHeader))?;
    check(&filter, protocols(&[], Reason::OtherProtocol))
}

#[test]
fn odd_headers_where_they_are_wanted() -> Result<()> {
    let filter = Filter::new(&config_and(LIBERAL))?;
    check(&filter, options(Reason::Pass))?;
    check(&filter, extensions(Reason::Pass, Reason::OtherProtocol))
}

#[test]
fn protocols_by_policy() -> Result<()> {
    let listed = "[protocols]\nallow = [\"esp\", \"gre\", \"ospf\", \"132\", \"135\"]\n";
    let filter = Filter::new(&config_and(&format!("{listed}other = \"drop\"")))?;
    check(&filter, protocols(&[47, 50, 89, 132], Reason::ProtocolDenied))?;
    filter.expect("a listed header", &plain6().raw(135, &[0; 16]).bytes(), Reason::OtherProtocol)?;
    filter.expect("one that is not", &plain6().raw(139, &[0; 16]).bytes(), Reason::UnknownHeader)?;
    let later = ip("8.8.8.8", "192.31.196.2").fragment(1480, false).raw(4, &[0; 16]).bytes();
    filter.expect("a later fragment, useless without its first", &later, Reason::Fragment)?;
    let filter = Filter::new(&config_and(&format!("{listed}rate = \"1/s burst 2\"")))?;
    let (esp, ipip) = (plain().raw(50, &[0; 32]).bytes(), plain().raw(4, &[0; 32]).bytes());
    for _ in 0..4 {
        filter.expect("a listed one", &esp, Reason::OtherProtocol)?;
    }
    filter.expect("another", &ipip, Reason::OtherProtocol)?;
    filter.expect("and its second", &ipip, Reason::OtherProtocol)?;
    filter.expect("and its third", &ipip, Reason::ProtocolRate).map(drop)
}
