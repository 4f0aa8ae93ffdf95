//! Packets as they are: with VLAN tags, and in several buffers.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{
        CUSTOMER, PROVIDER, protocol, tagged,
        tcp::{Segment, flag},
    },
};

use super::{Made, check, config, config_and, fragments, headers, icmp, link, parse, plain, plain6};

/// All fixtures whose fate depends on nothing but themselves.
fn stateless() -> Vec<Made> {
    let tables = [parse::ipv4(), parse::ipv6(), parse::transports(), link::alive()].concat();
    let mut all: Vec<Made> =
        tables.into_iter().map(|(what, frame, reason)| (what.to_owned(), frame, reason)).collect();
    all.extend(fragments::fragments());
    all.extend(fragments::chains());
    all.extend(headers::options(Reason::Ipv4Options));
    all.extend(headers::extensions(Reason::RoutingHeader, Reason::UnknownHeader));
    all.extend(headers::protocols(&[], Reason::OtherProtocol));
    all.extend(icmp::errors());
    all.extend(icmp::types());
    all
}

/// Tags hide nothing. (A cookie needs a frame with at most one: see `cookies`.)
#[test]
fn tags_change_no_fate() -> Result<()> {
    let limits =
        "[fragments]\npolicy = \"pass\"\n[icmp]\nerrors = \"off\"\necho = \"pass\"\necho_replies = \"off\"";
    let filter = Filter::new(&config_and(limits))?;
    let all = stateless();
    assert!(all.len() > 700, "{} fixtures", all.len());
    for (what, frame, expected) in all {
        filter.expect(&what, &frame, expected)?;
        let one = tagged(&frame, CUSTOMER, 7);
        filter.expect(&format!("{what}, one tag"), &one, expected)?;
        filter.expect(&format!("{what}, two tags"), &tagged(&one, PROVIDER, 8), expected)?;
    }
    Ok(())
}

/// Longer than what one buffer holds (a page less head room and tail room).
#[test]
fn jumbo_frames_are_judged_like_others() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let data = vec![7; 8900];
    let segment =
        |flags| Segment { payload: data.clone(), ..Segment::default().ports(40000, 9999).flags(flags) };
    let mut cut = plain().udp(9, 9999, &data).bytes();
    cut.truncate(8000);
    let mut beyond = plain6().udp(9, 9999, &data).bytes();
    beyond.truncate(8000);
    check(
        &filter,
        vec![
            ("UDP", plain().udp(9, 9999, &data).bytes(), Reason::Pass),
            ("UDP, IPv6", plain6().udp(9, 9999, &data).bytes(), Reason::Pass),
            ("TCP", plain().tcp(&segment(flag::ACK)).bytes(), Reason::Pass),
            ("TCP, IPv6", plain6().tcp(&segment(flag::ACK)).bytes(), Reason::Pass),
            ("illegal flags", plain().tcp(&segment(0)).bytes(), Reason::TcpFlags),
            ("port 0", plain6().udp(9, 0, &data).bytes(), Reason::PortZero),
            ("behind options", plain().ipv4_options(&[1; 40]).udp(9, 0, &data).bytes(), Reason::PortZero),
            (
                "behind extensions",
                plain6().extension(protocol::DESTINATION, 30).udp(9, 0, &data).bytes(),
                Reason::PortZero,
            ),
            (
                "a bogon",
                filter_tests::packet::ip("10.1.2.3", "192.31.196.2").udp(9, 9, &data).bytes(),
                Reason::Bogon,
            ),
            ("ESP", plain().raw(protocol::ESP, &data).bytes(), Reason::OtherProtocol),
            ("a ping", plain().icmp(8, 0, &data).bytes(), Reason::Pass),
            (
                "two tags",
                plain().vlan(CUSTOMER, 7).vlan(PROVIDER, 8).udp(9, 0, &data).bytes(),
                Reason::PortZero,
            ),
            ("shorter than IPv4 says", cut, Reason::Ipv4Truncated),
            ("shorter than IPv6 says", beyond, Reason::Ipv6Truncated),
            ("no IP", filter_tests::packet::ethernet(&[], 0x88cc, &data), Reason::NotIp),
        ],
    )
}

/// The first buffer holds a page less head room and tail room: no chain of headers that is followed is longer, but AH may be.
#[test]
fn headers_beyond_the_first_buffer() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let chain = (0..3).fold(plain6(), |packet, _| packet.extension(protocol::ROUTING, 255));
    filter.expect("6 kB of headers", &chain.udp(9, 9999, b"").bytes(), Reason::HeadersSplit)?;
    Ok(())
}
