use proptest::prelude::*;

use super::*;
use crate::{
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp, address, linux_options},
    world::Bytes,
};

fn read(bytes: &[u8]) -> Parsed<Packet> {
    parse(&Bytes::from(bytes.to_vec()))
}

fn packet(tcp: &Tcp) -> Packet {
    match read(&tcp.bytes()) {
        Continue(packet) => packet,
        Break(reason) => panic!("{reason:?}"),
    }
}

fn fate(bytes: &[u8]) -> Reason {
    match read(bytes) {
        Continue(packet) => panic!("{packet:?}"),
        Break(reason) => reason,
    }
}

#[test]
fn a_syn_of_either_family() {
    for (source, destination, l4) in [(CLIENT, SERVER, 34), (CLIENT6, SERVER6, 54)] {
        let packet = packet(&Tcp::syn(source, destination).options(&linux_options()));
        assert_eq!((packet.source, packet.destination), (address(source), address(destination)));
        assert_eq!(packet.ports, Transport { source: 40_000, destination: 80 });
        assert_eq!((packet.l3, packet.l4, packet.ttl), (14, l4, 57));
        assert_eq!((packet.tcp.sequence, packet.tcp.option_words), (0x1000_0000, 5));
        assert!(packet.tcp.is_syn() && !packet.tcp.is_ack() && packet.is_tcp());
    }
}

#[test]
fn vlan_tags_up_to_two() {
    for (vlans, l3) in [(vec![0x8100], 18), (vec![0x88a8, 0x8100], 22)] {
        let packet = packet(&Tcp { vlans, ..Tcp::syn(CLIENT, SERVER) });
        assert_eq!((packet.l3, packet.ports.destination), (l3, 80));
    }
    let three = Tcp { vlans: vec![0x88a8, 0x8100, 0x8100], ..Tcp::syn(CLIENT, SERVER) };
    assert_eq!(fate(&three.bytes()), Reason::VlanDepth);
}

#[test]
fn ipv4_options_are_stepped_over() {
    let packet = packet(&Tcp { between: (6, vec![1; 12]), ..Tcp::syn(CLIENT, SERVER) });
    assert_eq!((packet.l4, packet.ports.destination), (46, 80));
}

/// Hop-by-hop, destination, routing, AH (two words of ICV), fragment: each as long as its own field says.
fn extension(kind: u8, next: u8) -> Vec<u8> {
    match kind {
        51 => [vec![next, 4], vec![0; 22]].concat(),
        44 => vec![next, 0, 0, 0, 0, 0, 0, 9],
        _ => vec![next, 0, 1, 4, 0, 0, 0, 0],
    }
}

#[test]
fn ipv6_extension_headers_are_walked() {
    for kind in [0, 43, 44, 51, 60] {
        let packet = packet(&Tcp { between: (kind, extension(kind, 6)), ..Tcp::syn(CLIENT6, SERVER6) });
        assert_eq!((packet.protocol, packet.ports.destination), (6, 80), "header {kind}");
    }
    let chain: Vec<u8> = [extension(0, 60), extension(60, 44), extension(44, 6)].concat();
    assert_eq!(packet(&Tcp { between: (0, chain), ..Tcp::syn(CLIENT6, SERVER6) }).ports.source, 40_000);
}

#[test]
fn ipv6_chains_end() {
    let chain: Vec<u8> = (0..7).flat_map(|i| extension(60, if i == 6 { 6 } else { 60 })).collect();
    let long = Tcp { between: (60, chain), ..Tcp::syn(CLIENT6, SERVER6) };
    assert_eq!(fate(&long.bytes()), Reason::Ipv6Extensions);
    let mut lies = extension(60, 6);
    lies[1] = 255;
    let lying = Tcp { between: (60, lies), ..Tcp::syn(CLIENT6, SERVER6) };
    assert_eq!(fate(&lying.bytes()), Reason::Ipv6Truncated);
}

#[test]
fn fragments() {
    let first = packet(&Tcp { fragment: (0, true), payload: vec![0; 4], ..Tcp::syn(CLIENT, SERVER) });
    assert_eq!((first.fragment, first.ports.destination), (Fragment::First, 80));
    let later = packet(&Tcp { fragment: (9, false), ..Tcp::syn(CLIENT, SERVER) });
    assert_eq!((later.fragment, later.ports), (Fragment::Later, Transport::default()));
    assert!(!later.is_tcp());
    let mut v6 = extension(44, 6);
    v6[2..4].copy_from_slice(&(9_u16 << 3).to_be_bytes());
    let later = packet(&Tcp { between: (44, v6), ..Tcp::syn(CLIENT6, SERVER6) });
    assert_eq!(later.fragment, Fragment::Later);
}

#[test]
fn every_cut_has_its_reason() {
    for (source, destination, ip) in
        [(CLIENT, SERVER, Reason::Ipv4Truncated), (CLIENT6, SERVER6, Reason::Ipv6Truncated)]
    {
        let bytes = Tcp::syn(source, destination).options(&linux_options()).bytes();
        for length in 0..bytes.len() {
            let expected = if length < 14 { Reason::EthernetTruncated } else { ip };
            assert_eq!(fate(&bytes[..length]), expected, "{length}");
        }
    }
}

#[test]
fn headers_that_contradict_themselves() {
    let good = Tcp::syn(CLIENT, SERVER).bytes();
    let with = |offset: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[offset] = value;
        fate(&bytes)
    };
    assert_eq!(with(14, 0x65), Reason::Ipv4Header, "version 6 under the IPv4 EtherType");
    assert_eq!(with(14, 0x44), Reason::Ipv4Header, "IHL 4");
    assert_eq!(with(17, 19), Reason::Ipv4Truncated, "total length below the header's");
    assert_eq!(with(46, 0x40), Reason::TcpHeader, "data offset 4");
    assert_eq!(with(46, 0xf0), Reason::TcpTruncated, "data offset behind the end");
    let mut v6 = Tcp::syn(CLIENT6, SERVER6).bytes();
    v6[14] = 0x45;
    assert_eq!(fate(&v6), Reason::Ipv6Header);
    let mut arp = good.clone();
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(fate(&arp), Reason::NotIp);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Miri and the address sanitizer see any access outside; here: it ends, and offsets lie inside.
    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0_usize..6) {
        let mut bytes = bytes;
        let ethertypes: [[u8; 2]; 6] = [[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8], [8, 6], [0x86, 0xdd]];
        if bytes.len() > 14 {
            bytes[12..14].copy_from_slice(&ethertypes[kind]);
        }
        if let Continue(packet) = read(&bytes) {
            prop_assert!(packet.l3 as usize <= bytes.len() && packet.l4 as usize <= bytes.len());
            if packet.is_tcp() {
                prop_assert!(packet.l4 as usize + 20 + packet.tcp.option_words as usize * 4 <= bytes.len());
            }
        }
    }

    #[test]
    fn any_flipped_bit_ends(bit in 0_usize..8 * 74) {
        let mut bytes = Tcp::syn(CLIENT, SERVER).options(&linux_options()).bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&bytes);
    }
}

#[test]
fn segments_without_options_are_plain() {
    for (source, destination) in [(CLIENT, SERVER), (CLIENT6, SERVER6)] {
        let mut packet = Packet::EMPTY;
        let frame = Bytes::from(Tcp::syn(source, destination).bytes());
        assert_eq!(parse_plain(&frame, &mut packet), Continue(true));
    }
}

proptest! {
    #[test]
    fn what_is_plain_is_read_alike(
        is_v6: bool, cut in 0_usize..120, flips in prop::collection::vec(0_usize..640, 0..4),
    ) {
        let mut tcp = if is_v6 { Tcp::syn(CLIENT6, SERVER6) } else { Tcp::syn(CLIENT, SERVER) };
        tcp.header.destination_port = 80;
        let mut bytes = tcp.bytes();
        for bit in flips {
            let at = bit / 8 % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
        }
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(60)));
        let frame = Bytes::from(bytes);
        let (mut short, mut whole) = (Packet::EMPTY, Packet::EMPTY);
        match parse_plain(&frame, &mut short) {
            Continue(false) => {}
            Continue(true) => {
                prop_assert_eq!(parse_into(&frame, &mut whole), Continue(()));
                prop_assert_eq!(short, whole);
            }
            Break(reason) => prop_assert_eq!(parse_into(&frame, &mut whole), Break(reason)),
        }
    }
}
