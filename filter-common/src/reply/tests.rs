use etherparse::{SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::{
    options,
    packet::parse,
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp as Syn, linux_options},
    world::{Bytes, World},
};

const COOKIE: Cookie = Cookie { isn: 0xdead_beef, tsval: 0x1234_5678 };

/// Answers `syn` as a host with every option on; the frame and what was negotiated.
fn answer(syn: &Syn) -> Vec<u8> {
    let world = World::new();
    let mut frame = Bytes::from(syn.bytes());
    let core::ops::ControlFlow::Continue(packet) = parse(&frame) else { panic!("{syn:?}") };
    let options = negotiate(&frame.options(&packet), &world.config.tcp);
    let memory = Memory::of(&options, packet.is_v6, true);
    let answer = SynAck {
        cookie: COOKIE,
        memory,
        echo: options.tsval,
        acknowledgment: packet.tcp.sequence.wrapping_add(1),
    };
    assert!(syn_ack(&mut frame, &packet, &world.config.tcp, &answer));
    frame.bytes
}

/// Takes a SYN-ACK apart with etherparse and checks everything that doesn't depend on the options.
fn check(syn: &Syn, reply: &[u8]) -> Vec<TcpOptionElement> {
    assert!(reply.len() <= syn.bytes().len().max(60), "larger than its cause");
    let sliced = SlicedPacket::from_ethernet(reply).expect("a well-formed frame");
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("not TCP") };
    assert!(tcp.syn() && tcp.ack() && !tcp.rst() && !tcp.fin());
    assert_eq!((tcp.source_port(), tcp.destination_port()), (80, 40_000));
    assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (COOKIE.isn, 0x1000_0001));
    let header = tcp.to_header();
    let checksum = match &sliced.net {
        Some(etherparse::NetSlice::Ipv4(ip)) => {
            let ip = ip.header().to_header();
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert!(ip.options.is_empty() && ip.dont_fragment && ip.time_to_live == 64);
            header.calc_checksum_ipv4_raw(ip.source, ip.destination, &[])
        }
        Some(etherparse::NetSlice::Ipv6(ip)) => {
            let ip = ip.header().to_header();
            assert_eq!((ip.next_header.0, ip.hop_limit), (6, 64));
            header.calc_checksum_ipv6_raw(ip.source, ip.destination, &[])
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(tcp.checksum(), checksum.expect("length"));
    assert_eq!(&reply[..6], [2, 0, 0, 0, 0, 1]);
    assert_eq!(&reply[6..12], [2, 0, 0, 0, 0, 2]);
    tcp.options_iterator().map(|o| o.expect("well-formed")).filter(|o| *o != Noop).collect()
}

use TcpOptionElement::{MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale};

#[test]
fn all_options_of_both_families() {
    for (source, destination, mss) in [(CLIENT, SERVER, 1460), (CLIENT6, SERVER6, 1440)] {
        let syn = Syn::syn(source, destination).options(&linux_options());
        let expected = [
            MaximumSegmentSize(mss),
            SelectiveAcknowledgementPermitted,
            Timestamp(COOKIE.tsval, 0x0102_0304),
            WindowScale(7),
        ];
        assert_eq!(check(&syn, &answer(&syn)), expected);
    }
}

#[test]
fn only_what_was_offered() {
    let cases: [(&[TcpOptionElement], &[TcpOptionElement]); 5] = [
        (&[], &[]),
        (&[MaximumSegmentSize(1300)], &[MaximumSegmentSize(1460)]),
        // Without timestamps there is no place to remember SACK and the window scale.
        (
            &[MaximumSegmentSize(1460), SelectiveAcknowledgementPermitted, WindowScale(8)],
            &[MaximumSegmentSize(1460)],
        ),
        (
            &[MaximumSegmentSize(1460), Timestamp(9, 0), Noop, Noop],
            &[MaximumSegmentSize(1460), Timestamp(COOKIE.tsval, 9)],
        ),
        (&[Timestamp(9, 0), Noop, Noop], &[Timestamp(COOKIE.tsval, 9)]),
    ];
    for (offered, expected) in cases {
        let syn = Syn::syn(CLIENT, SERVER).options(offered);
        assert_eq!(check(&syn, &answer(&syn)), expected, "{offered:?}");
    }
}

#[test]
fn what_stands_between_is_cut_out() {
    let options = Syn::syn(CLIENT, SERVER).options(&linux_options());
    let plain = answer(&options);
    assert_eq!(answer(&Syn { between: (6, vec![1; 40]), ..options.clone() }), plain);
    assert_eq!(answer(&Syn { payload: vec![7; 500], ..options.clone() }), plain);
    let v6 = Syn::syn(CLIENT6, SERVER6).options(&linux_options());
    let extended = Syn { between: (60, vec![6, 0, 1, 4, 0, 0, 0, 0]), ..v6.clone() };
    assert_eq!(answer(&extended), answer(&v6));
}

#[test]
fn vlan_tags_stay() {
    for vlans in [vec![0x8100], vec![0x88a8, 0x8100]] {
        for between in [vec![], vec![1; 8]] {
            let syn = Syn { vlans: vlans.clone(), between: (6, between), ..Syn::syn(CLIENT, SERVER) };
            let reply = answer(&syn);
            check(&syn, &reply);
            let tags = 12..14 + 4 * vlans.len();
            assert_eq!(reply[tags.clone()], syn.bytes()[tags]);
        }
    }
}

proptest! {
    /// Any option bytes at all: a well-formed answer of the SYN's own length.
    #[test]
    fn any_options(words in 0_usize..=10, bytes in prop::collection::vec(any::<u8>(), 40), is_v6: bool) {
        let base = if is_v6 { Syn::syn(CLIENT6, SERVER6) } else { Syn::syn(CLIENT, SERVER) };
        let syn = base.raw_options(&bytes[..words * 4]);
        let reply = answer(&syn);
        let ours = check(&syn, &reply);
        let offered = options::parse(Cursor::new(&bytes[..words * 4]), words as u16 * 4);
        prop_assert_eq!(ours.iter().any(|o| matches!(o, Timestamp(..))), offered.timestamps);
    }
}

use crate::cursor::Cursor;
