//! Some frames of every kind, cut at every length and with every single bit turned.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    packet::{
        CUSTOMER, PROVIDER, Packet, control, ip, protocol,
        tcp::{Segment, linux_options},
    },
};

use crate::{agree, both, configs};

fn v4() -> Packet {
    ip("8.8.8.8", "192.31.196.2")
}

fn v6() -> Packet {
    ip("2a00:1450::8", "2620:4f:8000::2")
}

fn segment(flags: u8) -> Segment {
    Segment::default().flags(flags).ports(40_000, 80).options(&linux_options(7))
}

const SYN: u8 = 2;
const ACK: u8 = 16;

fn seeds() -> Vec<Vec<u8>> {
    let syn = segment(SYN);
    let chained = v6().extension(protocol::HOP_BY_HOP, 1).extension(protocol::DESTINATION, 2);
    [
        v4().tcp(&syn),
        v4().vlan(CUSTOMER, 5).tcp(&syn),
        v4().vlan(CUSTOMER, 5).vlan(PROVIDER, 6).tcp(&syn),
        v4().ipv4_options(&[1, 1, 1, 1, 1]).tcp(&syn),
        v4().vlan(CUSTOMER, 5).ipv4_options(&[1; 40]).tcp(&syn),
        v4().syn(90),
        v4().tcp(&segment(ACK)),
        v4().tcp(&segment(ACK | 1)),
        v4().fragment(0, true).udp(5001, 53, &[1; 24]),
        v4().fragment(64, false).udp(5001, 53, &[1; 24]),
        v4().udp(123, 123, &[0x23, 2, 3, 4, 5, 6, 7, 8]),
        v4().udp(53, 5000, &[0; 12]),
        v4().icmp(3, 4, &[0; 32]),
        v6().tcp(&syn),
        v6().vlan(PROVIDER, 5).tcp(&syn),
        chained.clone().tcp(&syn),
        chained.vlan(CUSTOMER, 5).tcp(&syn),
        v6().extension(protocol::AUTHENTICATION, 3).extension(protocol::ROUTING, 1).udp(9, 53, &[0; 8]),
        v6().fragment(0, false).tcp(&segment(ACK)),
        v6().fragment(0, true).udp(5001, 53, &[0; 24]),
        v6().icmp(2, 0, &[0; 48]),
        v6().raw(protocol::ESP, &[0; 20]),
    ]
    .iter()
    .map(Packet::bytes)
    .chain([control::neighbour_solicitation("2620:4f:8000::1"), control::dhcp_discover()])
    .collect()
}

/// As it is, padded, cut at each length that the kernel takes, with each bit turned.
fn variants(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cuts = (14..=frame.len()).map(|len| frame[..len].to_vec());
    let bits = (0..frame.len() * 8).map(|bit| {
        let mut turned = frame.to_vec();
        turned[bit / 8] ^= 1 << (bit % 8);
        turned
    });
    cuts.chain(bits).chain([[frame, &[0; 20]].concat()])
}

fn exhausted(config: &Config, reached: &[Reason]) -> Result<()> {
    both::with(config, |both| {
        let seeds = seeds();
        agree(both, seeds.iter().flat_map(|seed| variants(seed)))?;
        println!("{}", both.summary());
        both.has_met(reached)
    })
}

#[test]
fn each_cut_and_each_bit() -> Result<()> {
    exhausted(&configs::main("enforce"), &[Reason::Fragment, Reason::UdpReflection, Reason::TcpTruncated])
}

#[test]
fn each_cut_and_each_bit_where_syns_are_answered() -> Result<()> {
    exhausted(&configs::answers("enforce"), &[Reason::CookieSent, Reason::ChallengeSent])
}
