//! Fragments, IPv4 options, extension chains, frames in several buffers: every length and edge.

use super::*;
use crate::{
    abi::TcpReqAttrs, cursor::Writer, options::TcpOptions, quote::Quote, testing::Raw, world::Bytes,
};

fn read(raw: &Raw) -> Parsed<Packet> {
    parse(&Bytes::from(raw.bytes()))
}

fn packet(raw: &Raw) -> Packet {
    match read(raw) {
        Continue(packet) => packet,
        Break(reason) => panic!("{reason:?}: {raw:?}"),
    }
}

fn fate(raw: &Raw) -> Option<Reason> {
    read(raw).break_value()
}

/// TCP with a data offset of `words`, UDP or ICMP: the right first bytes, `length` of them.
fn transport(protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length.max(40)];
    match protocol {
        6 => (bytes[12], bytes[13]) = (0x50, 0x10),
        17 => bytes[4..6].copy_from_slice(&60_000_u16.to_be_bytes()),
        _ => bytes[0] = 8,
    }
    bytes.truncate(length);
    bytes
}

const TRANSPORTS: [(u8, usize, Reason); 3] =
    [(6, 20, Reason::TcpTruncated), (17, 8, Reason::UdpTruncated), (1, 8, Reason::IcmpTruncated)];

fn of(is_v6: bool, protocol: u8) -> u8 {
    if is_v6 && protocol == 1 { 58 } else { protocol }
}

#[test]
fn a_first_fragment_has_its_whole_header() {
    for is_v6 in [false, true] {
        for (protocol, header, truncated) in TRANSPORTS {
            for length in 0..48 {
                let raw = Raw::new(is_v6, of(is_v6, protocol), &transport(protocol, length));
                let short = length < header;
                let expected = match length {
                    0 => Some(Reason::FragmentLength),
                    _ if length % 8 != 0 => Some(Reason::FragmentLength),
                    _ if short => Some(Reason::FragmentTiny),
                    _ => None,
                };
                assert_eq!(fate(&raw.clone().fragment(0, true)), expected, "{protocol} {length} v6 {is_v6}");
                // Without fragments a UDP datagram would have to be as long as it says.
                let whole = if protocol == 17 || short { Some(truncated) } else { None };
                assert_eq!(fate(&raw), whole, "{protocol} {length} v6 {is_v6}");
            }
        }
        let mut options = transport(6, 24);
        options[12] = 0x70;
        assert_eq!(fate(&Raw::new(is_v6, 6, &options).fragment(0, true)), Some(Reason::FragmentTiny));
    }
}

#[test]
fn later_fragments_of_every_length() {
    for is_v6 in [false, true] {
        for length in 0..40 {
            for more in [false, true] {
                let raw = Raw::new(is_v6, 17, &vec![0; length]).fragment(1480, more);
                let bad = length == 0 || (more && length % 8 != 0);
                assert_eq!(fate(&raw), bad.then_some(Reason::FragmentLength), "{length} {more} v6 {is_v6}");
            }
        }
        let later = packet(&Raw::new(is_v6, 17, &[0; 8]).fragment(1480, true));
        assert_eq!((later.fragment, later.fragment_offset, later.payload), (Fragment::Later, 1480, 8));
        assert!(!later.is_udp() && later.ports == Transport::default());
    }
}

#[test]
fn no_fragment_ends_beyond_65535() {
    // IPv4 repeats 20 bytes of header, IPv6 nothing.
    for (is_v6, most) in [(false, 65535 - 20 - 65504), (true, 65535 - 65504)] {
        for length in [1, most, most + 1, most + 2, 1400] {
            let raw = Raw::new(is_v6, 17, &vec![0; length]).fragment(65504, false);
            let expected = (length > most).then_some(Reason::FragmentOverflow);
            assert_eq!(fate(&raw), expected, "{length} v6 {is_v6}");
        }
        let ping_of_death = Raw::new(is_v6, of(is_v6, 1), &vec![0; 1480]).fragment(65528, false);
        assert_eq!(fate(&ping_of_death), Some(Reason::FragmentOverflow));
    }
    let with_options = Raw { options: vec![1; 12], ..Raw::new(false, 17, &[0; 8]) };
    assert_eq!(fate(&with_options.clone().fragment(65496, false)), Some(Reason::FragmentOverflow));
    assert_eq!(fate(&with_options.fragment(65488, false)), None);
    let behind = Raw::new(true, 17, &[0; 24]).extension(60, &PADDING);
    assert_eq!(fate(&behind.clone().fragment(65504, false)), Some(Reason::FragmentOverflow));
    assert_eq!(fate(&behind.fragment(65496, false)), None);
}

const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

#[test]
fn an_atomic_fragment_is_whole() {
    let atomic = packet(&Raw::new(true, 6, &transport(6, 20)).fragment(0, false));
    assert_eq!((atomic.fragment, atomic.fragment_offset), (Fragment::No, 0));
    assert!(atomic.is_tcp());
    assert_eq!(fate(&Raw::new(true, 6, &transport(6, 19)).fragment(0, false)), Some(Reason::TcpTruncated));
}

#[test]
fn one_fragment_header_and_no_more() {
    for first in [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 1]] {
        for second in [(0, false), (0, true), (1480, false)] {
            let raw = Raw::new(true, 17, &transport(17, 16)).extension(44, &first);
            assert_eq!(fate(&raw.fragment(second.0, second.1)), Some(Reason::FragmentNested), "{second:?}");
        }
    }
    // Behind a later fragment's header there are data, whatever they look like.
    let later = Raw::new(true, 44, &[6, 0, 0, 0, 0, 0, 0, 1]).fragment(1480, false);
    assert_eq!(packet(&later).fragment, Fragment::Later);
}

#[test]
fn the_whole_chain_is_in_the_first_fragment() {
    let chain = |header: &[u8]| {
        let raw = Raw::new(true, 60, header).fragment(0, true);
        fate(&raw)
    };
    assert_eq!(chain(&[6, 1, 1, 4, 0, 0, 0, 0]), Some(Reason::FragmentTiny), "16 bytes in 8");
    assert_eq!(chain(&PADDING_TO_TCP), Some(Reason::FragmentTiny), "and no transport");
    let whole = [&PADDING_TO_TCP[..], &transport(6, 24)].concat();
    assert_eq!(chain(&whole), None);
}

const PADDING_TO_TCP: [u8; 8] = [6, 0, 1, 4, 0, 0, 0, 0];

#[test]
fn options_are_marked() {
    let of =
        |options: &[u8]| read(&Raw { options: options.to_vec(), ..Raw::new(false, 6, &transport(6, 20)) });
    let marks = |options: &[u8]| of(options).continue_value().map(|packet| packet.marks);
    assert_eq!(marks(&[]), Some(0));
    assert_eq!(marks(&[1, 1, 1, 0]), Some(0));
    assert_eq!(marks(&[7, 4, 4, 0]), Some(mark::OPTIONS));
    assert_eq!(marks(&[131, 4, 4, 0]), Some(mark::SOURCE_ROUTE));
    assert_eq!(marks(&[148, 4, 0, 0, 137, 4, 4, 0]), Some(mark::OPTIONS | mark::SOURCE_ROUTE));
    assert_eq!(of(&[7, 5, 0, 0]).break_value(), Some(Reason::Ipv4OptionsMalformed));
    assert_eq!(of(&[1, 1, 1, 131]).break_value(), Some(Reason::Ipv4OptionsMalformed));
}

#[test]
fn hop_by_hop_options_come_first() {
    let tcp = Raw::new(true, 6, &transport(6, 20));
    assert!(packet(&tcp.clone().extension(0, &PADDING).extension(60, &PADDING)).is_tcp());
    for before in [0, 43, 51, 60] {
        let raw = tcp.clone().extension(before, &[0, 0, 9, 0, 0, 0, 0, 0]).extension(0, &PADDING);
        assert_eq!(fate(&raw), Some(Reason::Ipv6HopByHop), "{before}");
    }
}

#[test]
fn routing_headers_are_marked() {
    for (kind, left, expected) in [
        (0, 0, mark::ROUTING_0),
        (0, 1, mark::ROUTING_0),
        (2, 0, 0),
        (2, 1, mark::ROUTED),
        (4, 0, 0),
        (4, 255, mark::ROUTED),
    ] {
        let raw = Raw::new(true, 6, &transport(6, 20)).extension(43, &[0, 0, kind, left, 0, 0, 0, 0]);
        assert_eq!(packet(&raw).marks, expected, "type {kind}, {left} left");
        assert_eq!(packet(&raw.extension(60, &PADDING)).marks, expected, "and kept");
    }
}

#[test]
fn chains_of_every_length() {
    for headers in 0..9 {
        let raw =
            (0..headers).fold(Raw::new(true, 6, &transport(6, 20)), |raw, _| raw.extension(60, &PADDING));
        let expected = (headers > extensions::MAX_EXTENSIONS).then_some(Reason::Ipv6Extensions);
        assert_eq!(fate(&raw), expected, "{headers}");
    }
    for cut in 0..8 {
        let raw = Raw::new(true, 60, &PADDING_TO_TCP[..cut]);
        assert_eq!(fate(&raw), Some(Reason::Ipv6Truncated), "{cut}");
    }
}

/// A frame of which only the first bytes lie in the first buffer.
struct Split(Bytes, usize);

impl Frame for Split {
    fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.0.bytes[..self.1])
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.0.bytes[..self.1])
    }

    fn length(&self) -> u32 {
        self.0.length()
    }

    fn ipv4_options(&self, offset: u16, length: u16) -> u32 {
        ip_options::read(self.cursor().at(offset), length)
    }

    fn quote(&self, packet: &Packet) -> Quote {
        crate::quote::read(self.cursor(), packet)
    }

    fn options(&self, packet: &Packet) -> TcpOptions {
        self.0.options(packet)
    }

    fn extensions(&self, offset: u16, next: u8, payload: u16) -> u64 {
        extensions::walk(self.cursor().at(offset), next, payload)
    }

    fn resize(&mut self, _cut: u16, _length: u16) -> bool {
        false
    }

    fn hand_over(&mut self, _attrs: &TcpReqAttrs) {}
}

/// Every place where a buffer may end: in front of the end of the headers nothing is guessed, behind it all is as if whole.
#[test]
fn frames_in_several_buffers() {
    let tcp = [transport(6, 20), vec![0; 3000]].concat();
    let long = {
        let mut bytes = tcp.clone();
        bytes[12] = 0xf0;
        bytes
    };
    let v4 = |payload: &[u8]| Raw::new(false, 6, payload);
    for (raw, headers) in [
        (v4(&tcp), 14 + 20 + 20),
        (v4(&long), 14 + 20 + 60),
        (Raw { options: vec![1; 40], ..v4(&tcp) }, 14 + 60 + 20),
        (Raw::new(true, 6, &tcp), 14 + 40 + 20),
        (Raw::new(true, 6, &tcp).extension(60, &PADDING), 14 + 48 + 20),
        (Raw::new(false, 17, &[transport(17, 8), vec![0; 59992]].concat()), 14 + 20 + 8),
        (Raw::new(false, 1, &transport(1, 3000)), 14 + 20 + 8),
    ] {
        let bytes = raw.bytes();
        let whole = match parse(&Bytes::from(bytes.clone())) {
            Continue(packet) => packet,
            Break(reason) => panic!("{reason:?}"),
        };
        assert_eq!(whole.frame_length as usize, bytes.len());
        for first in 14..headers + 8 {
            match parse(&Split(Bytes::from(bytes.clone()), first)) {
                Continue(packet) => assert!(first >= headers && packet == whole, "{first} of {headers}"),
                Break(reason) => {
                    let expected = [Reason::HeadersSplit, Reason::Ipv4Truncated, Reason::Ipv6Truncated];
                    assert!(first < headers && expected.contains(&reason), "{first}: {reason:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_cut_is_cut_in_several_buffers_too() {
    let mut bytes = Raw::new(false, 6, &[transport(6, 20), vec![0; 3000]].concat()).bytes();
    bytes.truncate(3000);
    let mut packet = Packet::EMPTY;
    assert_eq!(parse_into(&Split(Bytes::from(bytes), 1000), &mut packet), Break(Reason::Ipv4Truncated));
    assert_eq!(packet.frame_length, 3000, "counted whole");
    let mut other = vec![0; 5000];
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(parse_into(&Split(Bytes::from(other), 100), &mut packet), Break(Reason::NotIp));
    assert_eq!(packet.frame_length, 5000);
}
