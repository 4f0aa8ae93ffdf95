//! Frames that contradict themselves, and frames that only look odd.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{CUSTOMER, PROVIDER, Packet, ethernet, protocol, tcp::Segment},
};

use super::{Fixture, check, config, plain, plain6};

/// The first `len` bytes.
fn cut(packet: &Packet, len: usize) -> Vec<u8> {
    packet.bytes()[..len].to_vec()
}

/// With one byte replaced.
fn with(packet: &Packet, at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = packet.bytes();
    bytes[at] = byte;
    bytes
}

#[test]
fn frames_are_parsed() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    check(&filter, ethernet_frames())?;
    check(&filter, ipv4())?;
    check(&filter, ipv6())?;
    check(&filter, transports())
}

fn ethernet_frames() -> Vec<Fixture> {
    let udp = plain().udp(9, 9999, b"x");
    let one = udp.clone().vlan(CUSTOMER, 7);
    let two = one.clone().vlan(PROVIDER, 8);
    vec![
        ("a tag is announced and missing", ethernet(&[], CUSTOMER, &[]), Reason::EthernetTruncated),
        ("half a tag", ethernet(&[], CUSTOMER, &[0, 7]), Reason::EthernetTruncated),
        ("the second tag is missing", ethernet(&[(PROVIDER, 8)], CUSTOMER, &[0]), Reason::EthernetTruncated),
        ("one tag", one.bytes(), Reason::Pass),
        ("two tags", two.bytes(), Reason::Pass),
        ("two tags, both a customer's", one.clone().vlan(CUSTOMER, 8).bytes(), Reason::Pass),
        ("three tags", two.vlan(PROVIDER, 9).bytes(), Reason::VlanDepth),
        ("LLDP", ethernet(&[], 0x88cc, &[2, 7, 4]), Reason::NotIp),
        ("MPLS", ethernet(&[], 0x8847, &[0; 40]), Reason::NotIp),
        ("tagged ARP", ethernet(&[(CUSTOMER, 7)], 0x0806, &[0; 28]), Reason::NotIp),
        ("an 802.3 length, no EtherType", ethernet(&[], 38, &[0x42; 38]), Reason::NotIp),
        ("nothing behind the EtherType", ethernet(&[], 0x0800, &[]), Reason::Ipv4Truncated),
    ]
}

pub(crate) fn ipv4() -> Vec<Fixture> {
    let udp = plain().udp(9, 9999, b"some data");
    let syn = Segment::default().ports(40000, 9999).options(&[1; 4]);
    let mut padded = udp.bytes();
    padded.extend([0; 20]);
    vec![
        ("half a header", cut(&udp, 14 + 12), Reason::Ipv4Truncated),
        ("total length beyond the frame", cut(&udp, 14 + 36), Reason::Ipv4Truncated),
        ("total length below the header's", with(&udp, 17, 19), Reason::Ipv4Truncated),
        ("version 6 in an IPv4 frame", with(&udp, 14, 0x65), Reason::Ipv4Header),
        ("version 0", with(&udp, 14, 0x05), Reason::Ipv4Header),
        ("header of 16 bytes", with(&udp, 14, 0x44), Reason::Ipv4Header),
        ("header length beyond the total", with(&udp, 14, 0x4f), Reason::Ipv4Truncated),
        ("40 bytes of NOPs", plain().ipv4_options(&[1; 40]).udp(9, 9999, b"").bytes(), Reason::Pass),
        ("Ethernet padding", padded, Reason::Pass),
        ("GRE, which nobody looks into", plain().raw(47, &[0; 24]).bytes(), Reason::OtherProtocol),
        ("no payload at all", plain().raw(253, &[]).bytes(), Reason::OtherProtocol),
        ("a first fragment", plain().fragment(0, true).udp(9, 9999, &[0; 24]).bytes(), Reason::Pass),
        (
            "a later fragment",
            plain().fragment(1480, false).raw(protocol::UDP, &[0; 8]).bytes(),
            Reason::Fragment,
        ),
        (
            "a last fragment of one byte",
            plain().fragment(1480, false).raw(protocol::TCP, &[1]).bytes(),
            Reason::Fragment,
        ),
        ("a fragmented SYN", plain().fragment(0, true).tcp(&syn).bytes(), Reason::SynFragmented),
        ("a SYN with the reserved and DF bits", with(&plain().syn(9999), 20, 0xc0), Reason::Pass),
    ]
}

pub(crate) fn ipv6() -> Vec<Fixture> {
    let udp = plain6().udp(9, 9999, b"some data");
    let syn = Segment::default().ports(40000, 9999).options(&[1; 4]);
    let mut lying = plain6().extension(protocol::DESTINATION, 1).udp(9, 9999, b"").bytes();
    lying[14 + 41] = 200;
    let chain = |headers: usize| {
        let packet = (0..headers).fold(plain6(), |packet, _| packet.extension(protocol::DESTINATION, 1));
        packet.udp(9, 9999, b"").bytes()
    };
    let over = |kind| plain6().extension(kind, 2).syn(0).bytes();
    vec![
        ("half a header", cut(&udp, 14 + 20), Reason::Ipv6Truncated),
        ("payload length beyond the frame", cut(&udp, 14 + 50), Reason::Ipv6Truncated),
        ("version 4 in an IPv6 frame", with(&udp, 14, 0x40), Reason::Ipv6Header),
        ("an extension beyond the payload", lying, Reason::Ipv6Truncated),
        (
            "an extension is announced and missing",
            plain6().raw(protocol::HOP_BY_HOP, &[]).bytes(),
            Reason::Ipv6Truncated,
        ),
        ("six extension headers", chain(6), Reason::Pass),
        ("seven extension headers", chain(7), Reason::Ipv6Extensions),
        // Port 0 proves that the segment behind was found.
        ("behind hop-by-hop options", over(protocol::HOP_BY_HOP), Reason::PortZero),
        ("behind destination options", over(protocol::DESTINATION), Reason::PortZero),
        (
            "behind a routing header",
            plain6().extension_of(protocol::ROUTING, &[0, 0, 4, 0, 0, 0, 0, 0]).syn(0).bytes(),
            Reason::PortZero,
        ),
        ("behind an authentication header", over(protocol::AUTHENTICATION), Reason::PortZero),
        (
            "behind an atomic fragment (RFC 6946)",
            plain6().fragment(0, false).syn(0).bytes(),
            Reason::PortZero,
        ),
        ("no next header", plain6().raw(protocol::NO_NEXT, &[]).bytes(), Reason::UnknownHeader),
        ("ESP", plain6().raw(protocol::ESP, &[0; 32]).bytes(), Reason::OtherProtocol),
        ("a fragmented SYN", plain6().fragment(0, true).tcp(&syn).bytes(), Reason::SynFragmented),
        (
            "a fragmented SYN behind other headers",
            plain6().extension(protocol::HOP_BY_HOP, 1).fragment(0, true).tcp(&syn).bytes(),
            Reason::SynFragmented,
        ),
        (
            "a later fragment",
            plain6().fragment(1232, true).raw(protocol::TCP, &[0; 8]).bytes(),
            Reason::Fragment,
        ),
        (
            "a later fragment whose data look like headers",
            plain6().fragment(1232, false).raw(protocol::DESTINATION, &[6, 99, 0, 0, 0, 0, 0, 0]).bytes(),
            Reason::Fragment,
        ),
    ]
}

pub(crate) fn transports() -> Vec<Fixture> {
    let (tcp, tcp6) = (plain().raw(protocol::TCP, &[0; 19]), plain6().raw(protocol::TCP, &[0; 19]));
    let segment = plain().tcp(&Segment::default().ports(9, 9999));
    let udp = plain().udp(9, 9999, b"data");
    vec![
        ("19 bytes of TCP", tcp.bytes(), Reason::TcpTruncated),
        ("19 bytes of TCP, IPv6", tcp6.bytes(), Reason::TcpTruncated),
        ("data offset 4", with(&segment, 46, 0x40), Reason::TcpHeader),
        ("data offset 0", with(&segment, 46, 0x00), Reason::TcpHeader),
        ("options beyond the packet", with(&segment, 46, 0x60), Reason::TcpTruncated),
        ("7 bytes of UDP", plain().raw(protocol::UDP, &[0; 7]).bytes(), Reason::UdpTruncated),
        ("UDP length beyond the packet", with(&udp, 39, 13), Reason::UdpTruncated),
        ("UDP length 7", with(&udp, 39, 7), Reason::UdpTruncated),
        ("UDP length below the packet's", with(&udp, 39, 9), Reason::Pass),
        ("UDP from port 0, which is legal", plain().udp(0, 9999, b"").bytes(), Reason::Pass),
        ("UDP to port 0", plain().udp(9, 0, b"").bytes(), Reason::PortZero),
        ("TCP from port 0", plain().tcp(&Segment::default().ports(0, 9999)).bytes(), Reason::PortZero),
        ("TCP to port 0", plain().syn(0).bytes(), Reason::PortZero),
        ("3 bytes of ICMP", plain().raw(protocol::ICMP, &[8, 0, 0]).bytes(), Reason::IcmpTruncated),
        ("3 bytes of ICMPv6", plain6().raw(protocol::ICMPV6, &[128, 0, 0]).bytes(), Reason::IcmpTruncated),
        ("a ping", plain().icmp(8, 0, &[0; 12]).bytes(), Reason::Pass),
        ("a ping, IPv6", plain6().icmp(128, 0, &[0; 12]).bytes(), Reason::Pass),
    ]
}
