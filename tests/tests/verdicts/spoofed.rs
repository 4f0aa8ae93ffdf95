//! UDP that nobody asked for, closed ports, own addresses as sources, GTSM.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    filter::Filter,
    packet::{CUSTOMER, ip},
    pair::{SERVER_V4, SERVER_V6},
};

use super::{Fixture, check, plain, plain6};

/// DNS and NTP services beside the web server, BGP for neighbours, a network behind the host.
fn config() -> Config {
    let mut config = Config::default()
        .also("[udp]\nclosed = \"1/s burst 3\"\nreflection_except = [\"udp/27015\"]\n[spoofing]\nown = [\"44.1.0.0/16\", \"2a00:99::/32\"]");
    config.services.push(("dns".into(), "ports = [\"udp/53\", \"udp/123\", \"udp/5060\"]".into()));
    config.services.push(("bgp".into(), "ports = [\"tcp/179\"]\nttl_security = 1".into()));
    config.services.push(("near".into(), "ports = [\"udp/3784\"]\nttl_security = 4".into()));
    config
}

const DNS_QUERY: [u8; 12] = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const DNS_ANSWER: [u8; 12] = [1, 2, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];

#[test]
fn nobody_asked_a_reflector() -> Result<()> {
    let filter = Filter::new(&config())?;
    for (first, last, name) in filter_common::reflector::PORTS {
        for port in [*first, *last] {
            let expected = if port == 27015 { Reason::NoListener } else { Reason::UdpReflection };
            if expected == Reason::NoListener {
                continue;
            }
            filter.expect(name, &plain().udp(port, 40000, &[0; 400]).bytes(), expected)?;
            filter.expect(name, &plain6().udp(port, 40000, &[0; 400]).bytes(), expected)?;
        }
    }
    check(
        &filter,
        vec![
            ("NTP to another service", plain().udp(123, 53, &[0; 400]).bytes(), Reason::UdpReflection),
            ("tagged", plain().vlan(CUSTOMER, 3).udp(11211, 54, &[0; 9]).bytes(), Reason::UdpReflection),
            ("a client's port, perhaps", plain().udp(11211, 53, &[0; 400]).bytes(), Reason::Pass),
            ("another one", plain6().udp(37810, 53, &[0; 40]).bytes(), Reason::Pass),
            ("the third of this second", plain().udp(11211, 53, &[0; 400]).bytes(), Reason::Pass),
            ("memcached to a service", plain().udp(11211, 53, &[0; 1000]).bytes(), Reason::UdpReflection),
            (
                "a first fragment",
                plain().fragment(0, true).udp(53, 999, &[0; 64]).bytes(),
                Reason::UdpReflection,
            ),
            ("no reflector's port", plain().udp(54, 53, &DNS_QUERY).bytes(), Reason::Pass),
            ("empty", plain().udp(53, 53, &[]).bytes(), Reason::UdpReflection),
        ],
    )
}

#[test]
fn peers_ask_from_their_own_port() -> Result<()> {
    let filter = Filter::new(&config())?;
    let ntp = |mode: u8| [0x20 | mode, 2, 6, 0xec, 0, 0, 0, 0];
    let mut fixtures: Vec<Fixture> = vec![
        ("a resolver's query", plain().udp(53, 53, &DNS_QUERY).bytes(), Reason::Pass),
        ("a resolver's query, IPv6", plain6().udp(53, 53, &DNS_QUERY).bytes(), Reason::Pass),
        ("an answer", plain().udp(53, 53, &DNS_ANSWER).bytes(), Reason::UdpReflection),
        ("an answer, IPv6", plain6().udp(53, 53, &DNS_ANSWER).bytes(), Reason::UdpReflection),
        ("SIP among peers", plain().udp(5060, 5060, b"OPTIONS ").bytes(), Reason::Pass),
        ("SIP from a DNS port", plain().udp(53, 5060, b"OPTIONS ").bytes(), Reason::UdpReflection),
    ];
    for mode in 0..8 {
        let expected = if (1..=3).contains(&mode) { Reason::Pass } else { Reason::UdpReflection };
        fixtures.push(("an NTP mode", plain().udp(123, 123, &ntp(mode)).bytes(), expected));
    }
    check(&filter, fixtures)
}

#[test]
fn closed_ports_share_a_budget() -> Result<()> {
    let filter = Filter::new(&config())?;
    let closed = |source: &str, port| ip(source, &SERVER_V4.to_string()).udp(40000, port, b"?").bytes();
    check(
        &filter,
        vec![
            ("the first", closed("8.8.8.1", 9), Reason::NoListener),
            (
                "from a port that is no reflector here",
                plain().udp(27015, 10, b"?").bytes(),
                Reason::NoListener,
            ),
            ("the third", closed("8.8.8.3", 11), Reason::NoListener),
            ("the budget is spent", closed("8.8.8.4", 12), Reason::UdpClosedPort),
            ("IPv6, too", plain6().udp(40000, 9, b"?").bytes(), Reason::UdpClosedPort),
            ("a service", closed("8.8.8.4", 53), Reason::Pass),
            ("somebody else's", ip("8.8.8.8", "192.31.197.2").udp(40000, 9, b"?").bytes(), Reason::Pass),
        ],
    )?;
    let socket = filter.pair.server.namespace.run(|| std::net::UdpSocket::bind("0.0.0.0:9"))?;
    filter.expect("somebody listens", &closed("8.8.8.4", 9), Reason::Pass)?;
    drop(socket);
    filter.expect("and no more", &closed("8.8.8.4", 9), Reason::UdpClosedPort)?;
    Ok(())
}

#[test]
fn own_addresses_do_not_come_from_outside() -> Result<()> {
    let (v4, v6) = (SERVER_V4.to_string(), SERVER_V6.to_string());
    let elsewhere = "192.31.197.2";
    let fixtures = || -> Vec<Fixture> {
        vec![
            ("our own", ip(&v4, elsewhere).udp(9, 53, b"").bytes(), Reason::OwnSource),
            ("our own, a SYN", ip(&v4, elsewhere).syn(80).bytes(), Reason::OwnSource),
            ("our own, IPv6", ip(&v6, "2620:4f:8000:1::9").syn(80).bytes(), Reason::OwnSource),
            ("a network behind us", ip("44.1.2.3", &v4).udp(9, 53, b"").bytes(), Reason::OwnSource),
            ("its last address", ip("44.1.255.255", &v4).syn(80).bytes(), Reason::OwnSource),
            ("the network beside it", ip("44.2.0.0", &v4).udp(9, 53, b"").bytes(), Reason::Pass),
            ("IPv6 behind us", ip("2a00:99:ffff::1", &v6).syn(22).bytes(), Reason::OwnSource),
            ("IPv6 beside it", ip("2a00:9a::1", &v6).syn(22).bytes(), Reason::Pass),
            ("a neighbour", ip("192.31.196.9", &v4).udp(9, 53, b"").bytes(), Reason::Pass),
        ]
    };
    check(&Filter::new(&config())?, fixtures())?;
    let filter = Filter::new(&config().also("[spoofing]\nown_sources = \"pass\""))?;
    filter.expect("as told", &ip(&v4, elsewhere).udp(9, 53, b"").bytes(), Reason::Pass)?;
    Ok(())
}

#[test]
fn directed_broadcasts_are_told_apart() -> Result<()> {
    let broadcast = || ip("8.8.8.8", "192.31.196.255");
    let filter = Filter::new(&config())?;
    check(
        &filter,
        vec![
            ("an echo request", broadcast().icmp(8, 0, &[0, 1, 0, 1]).bytes(), Reason::DirectedBroadcast),
            ("UDP to echo", broadcast().udp(9, 7, b"").bytes(), Reason::DirectedBroadcast),
            (
                "the network's own address",
                ip("8.8.8.8", "192.31.196.254").udp(9, 53, b"").bytes(),
                Reason::Pass,
            ),
        ],
    )?;
    let lan = Filter::new(&config().interface("profile = \"lan\""))?;
    lan.expect("normal on a LAN", &broadcast().udp(9, 53, b"").bytes(), Reason::Pass)?;
    let strict = config().interface("profile = \"lan\"").also("[spoofing]\ndirected_broadcast = \"drop\"");
    let strict = Filter::new(&strict)?;
    strict.expect("as told", &broadcast().udp(9, 53, b"").bytes(), Reason::DirectedBroadcast)?;
    Ok(())
}

#[test]
fn neighbours_have_their_ttl() -> Result<()> {
    let filter = Filter::new(&config())?;
    let mut fixtures: Vec<Fixture> = Vec::new();
    for (ttl, bgp, near) in [
        (255, Reason::Pass, Reason::Pass),
        (254, Reason::TtlSecurity, Reason::Pass),
        (252, Reason::TtlSecurity, Reason::Pass),
        (251, Reason::TtlSecurity, Reason::TtlSecurity),
        (0, Reason::TtlSecurity, Reason::TtlSecurity),
    ] {
        fixtures.push(("one hop", plain().hop_limit(ttl).syn(179).bytes(), bgp));
        fixtures.push(("one hop, IPv6", plain6().hop_limit(ttl).syn(179).bytes(), bgp));
        fixtures.push(("four hops", plain().hop_limit(ttl).udp(9, 3784, b"").bytes(), near));
        fixtures.push(("any other port", plain().hop_limit(ttl).syn(22).bytes(), Reason::Pass));
    }
    check(&filter, fixtures)
}

/// Routes over the server's own device, over another one, and to nowhere.
#[test]
fn the_way_back_is_looked_up() -> Result<()> {
    let (pass, drop) = (Reason::Pass, Reason::ReversePath);
    for (mode, elsewhere) in [("strict", drop), ("loose", pass)] {
        let filter = Filter::new(&config().interface(&format!("reverse_path = \"{mode}\"")))?;
        let server = &filter.pair.server;
        server.namespace.ip("link add elsewhere type veth peer name elsewhere-end")?;
        server.namespace.ip("addr add 44.9.0.1/24 dev elsewhere")?;
        server.namespace.ip("addr add 2a00:44::1/64 dev elsewhere nodad")?;
        server.namespace.ip("link set elsewhere up")?;
        server.namespace.ip("link set elsewhere-end up")?;
        server.namespace.ip(&format!("route add 8.8.0.0/16 via 192.31.196.1 dev {}", server.device))?;
        server.namespace.ip("route add blackhole 45.0.0.0/8")?;
        server.namespace.ip("route add unreachable 2a00:45::/32")?;
        let fixtures = |told: bool| -> Vec<Fixture> {
            let when = |reason| if told { reason } else { pass };
            let from = |source: &str| ip(source, &SERVER_V4.to_string()).udp(9, 53, b"").bytes();
            let from6 = |source: &str| ip(source, &SERVER_V6.to_string()).udp(9, 53, b"").bytes();
            vec![
                ("a neighbour", from("192.31.196.1"), pass),
                ("behind the neighbour", from("8.8.8.8"), pass),
                ("on another device", from("44.9.0.7"), when(elsewhere)),
                ("a blackhole", from("45.1.2.3"), when(drop)),
                ("the default route", from("46.1.2.3"), pass),
                ("a neighbour, IPv6", from6("2620:4f:8000::1"), pass),
                ("on another device, IPv6", from6("2a00:44::7"), when(elsewhere)),
                ("unreachable, IPv6", from6("2a00:45::7"), when(drop)),
            ]
        };
        // Where nothing is forwarded the kernel looks nothing up for XDP.
        check(&filter, fixtures(false))?;
        server.namespace.sysctl(&[("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")])?;
        check(&filter, fixtures(true))?;
    }
    Ok(())
}
