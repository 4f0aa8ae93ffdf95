//! ICMP and ICMPv6: every type, errors about whose packets, pings within limits.

use std::net::UdpSocket;

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    filter::Filter,
    packet::{Packet, broadcast, ip, protocol, tcp::Segment},
};

use super::{Made, check, config, config_and, plain, plain6};

/// No limits, so that each message's fate is its own.
const UNLIMITED: &str = "[icmp]\nerrors = \"off\"\necho = \"pass\"\necho_replies = \"off\"";

/// What the server has sent to somebody.
fn sent(is_v6: bool) -> Packet {
    if is_v6 { ip("2620:4f:8000::2", "2a00::99") } else { ip("192.31.196.2", "9.9.9.9") }
}

const ERRORS: [(bool, u8); 7] =
    [(false, 3), (false, 11), (false, 12), (true, 1), (true, 2), (true, 3), (true, 4)];

pub(crate) fn errors() -> Vec<Made> {
    let mut made = Vec::new();
    for (is_v6, kind) in ERRORS {
        let router = if is_v6 { plain6() } else { plain() };
        let foreign = if is_v6 { ip("2620:4f:8000::3", "2a00::99") } else { ip("192.31.196.3", "9.9.9.9") };
        let tcp = Segment::default().ports(80, 40000);
        for (what, quoted, expected) in [
            ("TCP", sent(is_v6).tcp(&tcp), Reason::Pass),
            ("UDP", sent(is_v6).udp(53, 40000, &[7; 1300]), Reason::Pass),
            ("ESP", sent(is_v6).raw(50, &[7; 40]), Reason::Pass),
            ("a fragment", sent(is_v6).fragment(1480, false).raw(17, &[7; 40]), Reason::Pass),
            ("another host's TCP", foreign.clone().tcp(&tcp), Reason::IcmpMismatch),
            ("another host's UDP", foreign.udp(53, 40000, b""), Reason::IcmpMismatch),
        ] {
            let name = format!("type {kind} about {what}, IPv6 {is_v6}");
            made.push((name, router.clone().icmp_about(kind, 0, &quoted).bytes(), expected));
        }
        for length in [0, 4, 8, 23] {
            let frame = router.clone().icmp(kind, 0, &vec![0x45; 4 + length]).bytes();
            made.push((
                format!("type {kind} about {length} bytes, IPv6 {is_v6}"),
                frame,
                Reason::IcmpMismatch,
            ));
        }
    }
    made
}

/// Every type as it comes from afar, other than errors.
pub(crate) fn types() -> Vec<Made> {
    let mut made = Vec::new();
    for kind in 0..=255 {
        let expected = match kind {
            0 | 8 => Reason::Pass,
            3 | 11 | 12 => continue,
            5 => Reason::Redirect,
            _ => Reason::IcmpType,
        };
        made.push((format!("ICMP type {kind}"), plain().icmp(kind, 0, &[0; 32]).bytes(), expected));
    }
    for kind in 0..=255 {
        let expected = match kind {
            1..=4 => continue,
            128 | 129 => Reason::Pass,
            133..=136 | 141 | 142 | 148 | 149 => Reason::NdHopLimit,
            137 => Reason::Redirect,
            _ => Reason::IcmpType,
        };
        made.push((format!("ICMPv6 type {kind}"), plain6().icmp(kind, 0, &[0; 60]).bytes(), expected));
    }
    let v6 = |kind: u8, hop_limit| {
        ip("fe80::99:1", "2620:4f:8000::2").hop_limit(hop_limit).icmp(kind, 0, &[0; 32])
    };
    for kind in [133, 134, 135, 136, 141, 142, 148, 149] {
        made.push((format!("ICMPv6 type {kind} of the link"), v6(kind, 255).bytes(), Reason::LinkControl));
        made.push((format!("ICMPv6 type {kind} routed"), v6(kind, 254).bytes(), Reason::NdHopLimit));
    }
    for kind in [130, 131, 132, 143, 151, 152, 153] {
        made.push((format!("ICMPv6 type {kind} of the link"), v6(kind, 1).bytes(), Reason::LinkControl));
    }
    for (what, frame) in groups() {
        made.push((what.to_owned(), frame, Reason::Smurf));
    }
    made
}

fn groups() -> Vec<(&'static str, Vec<u8>)> {
    let ping = |source, destination, kind| ip(source, destination).icmp(kind, 0, &[0; 32]).bytes();
    vec![
        ("a ping to everybody", ping("8.8.8.8", "255.255.255.255", 8)),
        ("a ping to all systems", ping("8.8.8.8", "224.0.0.1", 8)),
        ("a ping to a group", ping("8.8.8.8", "239.1.2.3", 8)),
        ("a ping to all nodes", ping("2a00::1", "ff02::1", 128)),
        ("a ping to a site's routers", ping("2a00::1", "ff05::2", 128)),
        ("a ping that the link broadcasts", broadcast(plain().icmp(8, 0, &[0; 32]).bytes())),
        ("a ping that the link broadcasts, IPv6", broadcast(plain6().icmp(128, 0, &[0; 32]).bytes())),
    ]
}

#[test]
fn every_message_by_default() -> Result<()> {
    let filter = Filter::new(&config_and(UNLIMITED))?;
    check(&filter, errors())?;
    check(&filter, types())
}

#[test]
fn private_routers_tell_of_smaller_mtus() -> Result<()> {
    let filter = Filter::new(&config("internet"))?;
    let (v4, v6) = (sent(false).udp(53, 9, b""), sent(true).udp(53, 9, b""));
    let (router, router6) = (ip("10.1.2.3", "192.31.196.2"), ip("fd00::1", "2620:4f:8000::2"));
    check(
        &filter,
        vec![
            ("fragmentation needed", router.clone().icmp_about(3, 4, &v4).bytes(), Reason::Pass),
            ("packet too big", router6.clone().icmp_about(2, 0, &v6).bytes(), Reason::Pass),
            ("port unreachable", router.clone().icmp_about(3, 3, &v4).bytes(), Reason::Bogon),
            ("time exceeded", router6.icmp_about(3, 0, &v6).bytes(), Reason::Bogon),
            ("about nobody", router.icmp(3, 4, &[0; 32]).bytes(), Reason::IcmpMismatch),
        ],
    )
}

#[test]
fn messages_by_policy() -> Result<()> {
    let filter = Filter::new(&config_and("[icmp]\necho = \"drop\"\nredirect = \"pass\""))?;
    let redirect =
        |hop_limit| ip("fe80::99:1", "2620:4f:8000::2").hop_limit(hop_limit).icmp(137, 0, &[0; 40]);
    check(
        &filter,
        vec![
            ("a ping", plain().icmp(8, 0, &[0; 32]).bytes(), Reason::EchoDenied),
            ("a ping, IPv6", plain6().icmp(128, 0, &[0; 32]).bytes(), Reason::EchoDenied),
            ("a reply", plain().icmp(0, 0, &[0; 32]).bytes(), Reason::Pass),
            ("a redirect", plain().icmp(5, 1, &[0; 32]).bytes(), Reason::Pass),
            ("a redirect, IPv6", redirect(255).bytes(), Reason::LinkControl),
            ("a redirect from afar", redirect(254).bytes(), Reason::NdHopLimit),
        ],
    )?;
    check(&filter, groups().into_iter().map(|(what, frame)| (what, frame, Reason::Smurf)).collect())
}

#[test]
fn pings_and_errors_within_limits() -> Result<()> {
    let limits = "[icmp]\nerrors = \"1/s burst 2\"\nerrors_per_source = \"1/s burst 2\"\necho_per_source = \"1/s burst 2\"\n\
        echo_total = \"1/s burst 4\"\necho_replies = \"1/s burst 1\"";
    let filter = Filter::new(&config_and(limits))?;
    let ping = |source: &str| ip(source, "192.31.196.2").icmp(8, 0, &[0; 32]).bytes();
    let reply = |source: &str| ip(source, "192.31.196.2").icmp(0, 0, &[0; 32]).bytes();
    check(
        &filter,
        vec![
            ("one", ping("8.8.8.8"), Reason::Pass),
            ("two", ping("8.8.8.8"), Reason::Pass),
            ("three", ping("8.8.8.8"), Reason::IcmpSourceRate),
            ("another source", ping("8.8.8.9"), Reason::Pass),
            ("IPv6 counts as well", plain6().icmp(128, 0, &[0; 32]).bytes(), Reason::Pass),
            ("no more of anybody", ping("8.8.8.10"), Reason::IcmpRate),
            ("a reply", reply("8.8.8.8"), Reason::Pass),
            ("another reply", reply("8.8.8.9"), Reason::IcmpRate),
        ],
    )?;
    errors_within_limits(&filter)
}

/// Beyond the limit it takes a connected socket of this host.
fn errors_within_limits(filter: &Filter) -> Result<()> {
    let server = &filter.pair.server.namespace;
    for (any, server_address, peer, is_v6) in [
        ("0.0.0.0:0", "192.31.196.2", "9.9.9.9", false),
        ("[::]:0", "2620:4f:8000::2", "2620:4f:8000::99", true),
    ] {
        let (connected, unconnected) = server.run(|| -> Result<_> {
            let connected = UdpSocket::bind(any)?;
            connected.connect((peer, 40000))?;
            Ok((connected, UdpSocket::bind(any)?))
        })?;
        let port = |socket: &UdpSocket| -> Result<u16> { Ok(socket.local_addr()?.port()) };
        let quoted = |from: u16, to: u16| ip(server_address, peer).udp(from, to, b"");
        let (own, open) = (port(&connected)?, port(&unconnected)?);
        let router = if is_v6 { ip("2a00:9::1", server_address) } else { ip("9.9.9.1", server_address) };
        let kind = if is_v6 { 2 } else { 3 };
        let about = |quoted: &Packet| router.clone().icmp_about(kind, 0, quoted).bytes();
        if !is_v6 {
            filter.expect("the first", &about(&quoted(open, 40000)), Reason::Pass)?;
            filter.expect("the second", &about(&quoted(open, 40000)), Reason::Pass)?;
        }
        check(
            filter,
            vec![
                ("nobody's socket", about(&quoted(1, 40000)), Reason::IcmpRate),
                ("an unconnected socket's", about(&quoted(open, 40000)), Reason::IcmpRate),
                ("another peer's", about(&quoted(own, 40001)), Reason::IcmpRate),
                ("the connected socket's", about(&quoted(own, 40000)), Reason::IcmpOfSocket),
                ("its second", about(&quoted(own, 40000)), Reason::IcmpOfSocket),
                ("over the source's share", about(&quoted(own, 40000)), Reason::IcmpSourceRate),
                ("TCP of nobody", about(&ip(server_address, peer).syn(40000)), Reason::IcmpRate),
                ("another host's", router.clone().icmp(kind, 0, &[0x45; 60]).bytes(), Reason::IcmpMismatch),
                (
                    "without ports",
                    about(&ip(server_address, peer).raw(protocol::ESP, &[0; 16])),
                    Reason::IcmpRate,
                ),
            ],
        )?;
    }
    Ok(())
}
