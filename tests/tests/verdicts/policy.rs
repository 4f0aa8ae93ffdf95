//! Management, LAND, flags, limits, observe mode.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{
        CUSTOMER, ip,
        tcp::{Segment, flag},
    },
    pair::{SERVER_V4, SERVER_V6},
    server::{Kind, listen},
};
use filter_user::dataplane::kfunc_available;

use super::{Fixture, check, config, plain, plain6};

#[test]
fn management_overrules() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let (v4, v6) = (ip("198.51.100.7", "192.31.196.2"), ip("2001:db8:7:ffff::1", "2620:4f:8000::2"));
    check(
        &filter,
        vec![
            ("a documentation address", v4.clone().syn(80).bytes(), Reason::Management),
            ("illegal flags", v4.clone().tcp(&Segment::default().flags(0)).bytes(), Reason::Management),
            ("a fragment", v4.clone().fragment(8, true).raw(6, &[0; 8]).bytes(), Reason::Management),
            ("IPv6", v6.clone().syn(80).bytes(), Reason::Management),
            ("tagged", v6.vlan(CUSTOMER, 7).syn(22).bytes(), Reason::Management),
            ("what can't be parsed", v4.syn(80).bytes()[..40].to_vec(), Reason::Ipv4Truncated),
            ("the next address", ip("198.51.100.8", "192.31.196.2").syn(80).bytes(), Reason::Bogon),
            ("the next prefix", ip("2001:db8:8::1", "2620:4f:8000::2").syn(80).bytes(), Reason::Bogon),
        ],
    )?;
    for _ in 0..5 {
        filter.expect("no limit", &ip("198.51.100.7", "192.31.196.2").syn(90).bytes(), Reason::Management)?;
    }
    Ok(())
}

#[test]
fn land_is_dropped() -> Result<()> {
    let filter = Filter::new(&config("lan"))?;
    let (v4, v6) = (SERVER_V4.to_string(), SERVER_V6.to_string());
    check(
        &filter,
        vec![
            ("SYN from the server's own address", ip(&v4, &v4).syn(80).bytes(), Reason::Land),
            ("UDP, IPv6", ip(&v6, &v6).udp(9, 9, b"").bytes(), Reason::Land),
            ("the same host part elsewhere", ip("192.31.197.2", &v4).udp(9, 9, b"").bytes(), Reason::Pass),
        ],
    )
}

/// All 256 flag bytes, to a port of no service.
#[test]
fn flags_no_tcp_sends() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    for flags in 0..=255 {
        let has = |bit: u8| flags & bit != 0;
        let openers = [flag::SYN, flag::RST, flag::FIN].into_iter().filter(|bit| has(*bit)).count();
        let needs_ack = !has(flag::SYN) && !has(flag::RST);
        let illegal = openers > 1 || (needs_ack && !has(flag::ACK));
        let expected = if illegal { Reason::TcpFlags } else { Reason::Pass };
        let segment = Segment::default().ports(40000, 9999).flags(flags);
        filter.expect(&format!("flags {flags:#04x}"), &plain().tcp(&segment).bytes(), expected)?;
        filter.expect(&format!("flags {flags:#04x}, IPv6"), &plain6().tcp(&segment).bytes(), expected)?;
    }
    Ok(())
}

/// One packet a second, two at once; one SYN a second, one at once. The clock ticks meanwhile, but not a
/// second: all of a group come within a few milliseconds.
#[test]
fn each_source_gets_its_share() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let limited = |source: &'static str| {
        let destination = if source.contains(':') { "2620:4f:8000::2" } else { "192.31.196.2" };
        ip(source, destination)
    };
    let syn = |what, source, expected| -> Fixture { (what, limited(source).syn(90).bytes(), expected) };
    let udp =
        |what, source, expected| -> Fixture { (what, limited(source).udp(9, 90, b"").bytes(), expected) };
    check(
        &filter,
        vec![
            syn("the first SYN", "8.8.8.8", Reason::Pass),
            syn("the second SYN", "8.8.8.8", Reason::SourceSynRate),
            udp("packets have a limit of their own", "8.8.8.8", Reason::Pass),
            udp("its burst is two", "8.8.8.8", Reason::Pass),
            udp("and no more", "8.8.8.8", Reason::SourceRate),
            syn("another address", "8.8.8.9", Reason::Pass),
            syn("an IPv6 address", "2a00::1", Reason::Pass),
            syn("another of the same /64", "2a00::ffff:0:0:1", Reason::SourceSynRate),
            syn("another /64", "2a00:0:0:1::1", Reason::Pass),
        ],
    )
}

#[test]
fn observe_mode_touches_nothing() -> Result<()> {
    let mut config = config("internet");
    config.mode = "observe";
    let filter = Filter::new(&config)?;
    let _listener = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    let answered = if kfunc_available() { Reason::CookieSent } else { Reason::ChallengeSent };
    for (what, frame, expected) in [
        ("a bogon", ip("10.1.2.3", "192.31.196.2").syn(80).bytes(), Reason::Bogon),
        ("a SYN to a cookie service", plain().syn(80).bytes(), answered),
        ("an ACK of nobody", plain().tcp(&Segment::default().flags(flag::ACK)).bytes(), Reason::Pass),
        ("half a header", plain().syn(80).bytes()[..24].to_vec(), Reason::Ipv4Truncated),
    ] {
        filter.expect_observed(what, &frame, expected)?;
    }
    Ok(())
}
