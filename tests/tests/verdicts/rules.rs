//! `[[rule]]`s: each field, their order, what they do, and what they only note.

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    filter::Filter,
    metrics::Metrics,
    packet::{
        CUSTOMER, PROVIDER, Packet, ip, protocol,
        tcp::{Segment, flag},
    },
    server::{Kind, listen},
};

use super::{Fixture, check, plain, plain6};

const SERVER: &str = "192.31.196.2";
const SERVER6: &str = "2620:4f:8000::2";

/// Rules by name and lines, over a service on tcp/80 and udp/53 that does nothing by itself.
fn with(rules: &[(&str, &str)]) -> Config {
    let rules = rules.iter().map(|(name, lines)| format!("[[rule]]\nname = \"{name}\"\n{lines}\n"));
    Config::default()
        .service("ports = [\"tcp/80\", \"udp/53\"]")
        .also(&(super::NO_UDP.to_owned() + &rules.collect::<String>()))
}

fn tcp(source: u16, destination: u16, flags: u8) -> Packet {
    plain().tcp(&Segment::default().ports(source, destination).flags(flags))
}

fn dropped(what: &'static str, packet: &Packet) -> Fixture {
    (what, packet.bytes(), Reason::RuleDrop)
}

fn passes(what: &'static str, packet: &Packet) -> Fixture {
    (what, packet.bytes(), Reason::Pass)
}

#[test]
fn every_field() -> Result<()> {
    let filter = Filter::new(&with(&[
        ("v4", "src = [\"9.9.0.0/16\", \"9.10.1.1\"]\naction = \"drop\""),
        ("v6", "src = \"2a00:9::/32\"\ndst = \"2620:4f:8000::/64\"\naction = \"drop\""),
        ("to", "dst = \"192.31.196.77\"\nproto = [\"tcp\", \"udp\"]\naction = \"drop\""),
        ("gre", "proto = [\"gre\", \"99\"]\naction = \"drop\""),
        (
            "ports",
            "proto = \"udp\"\ndport = [\"1900\", \"5000-5010\"]\nsport = \"1024-65535\"\naction = \"drop\"",
        ),
        ("either", "proto = [\"tcp\", \"udp\"]\ndport = \"6000\"\naction = \"drop\""),
        ("flags", "proto = \"tcp\"\ndport = \"7000\"\nflags = \"syn,!ack,!ece\"\naction = \"drop\""),
        ("ping", "proto = \"icmp\"\nicmp_type = [\"8\", \"13-18\"]\naction = \"drop\""),
        ("ping6", "proto = \"icmpv6\"\nicmp_type = \"128\"\naction = \"drop\""),
        ("long", "proto = \"udp\"\ndport = \"53\"\nlength = \"500-1500\"\naction = \"drop\""),
        ("near", "proto = \"udp\"\ndport = \"9999\"\nttl = \"0-5\"\naction = \"drop\""),
    ]))?;
    let udp = |packet: Packet, destination| packet.udp(40_000, destination, b"");
    check(
        &filter,
        vec![
            dropped("a source prefix", &ip("9.9.255.1", SERVER).syn(80)),
            dropped("a source address", &udp(ip("9.10.1.1", SERVER), 1)),
            passes("the next one", &udp(ip("9.10.1.2", SERVER), 1)),
            passes("the next prefix", &udp(ip("9.8.255.255", SERVER), 1)),
            dropped("IPv6 from and to", &udp(ip("2a00:9:1::1", SERVER6), 1)),
            passes("IPv6, to elsewhere", &udp(ip("2a00:9:1::1", "2620:4f:8000:1::2"), 1)),
            passes("IPv6, from elsewhere", &udp(ip("2a00:a::1", SERVER6), 1)),
            dropped("a destination, UDP", &udp(ip("8.8.8.8", "192.31.196.77"), 1)),
            dropped("a destination, TCP", &ip("8.8.8.8", "192.31.196.77").syn(22)),
            (
                "a destination, ESP",
                ip("8.8.8.8", "192.31.196.77").raw(protocol::ESP, &[0; 16]).bytes(),
                Reason::OtherProtocol,
            ),
            dropped("a protocol", &plain().raw(47, &[0; 16])),
            dropped("a protocol by number", &plain().raw(99, &[0; 16])),
            dropped("a protocol, IPv6", &plain6().raw(47, &[0; 16])),
            dropped(
                "a protocol behind extension headers",
                &plain6().extension(protocol::DESTINATION, 1).raw(47, &[0; 16]),
            ),
            dropped("one tag", &plain().raw(47, &[0; 16]).vlan(CUSTOMER, 7)),
            dropped("two tags", &plain().raw(47, &[0; 16]).vlan(CUSTOMER, 7).vlan(PROVIDER, 8)),
            ("another protocol", plain().raw(48, &[0; 16]).bytes(), Reason::OtherProtocol),
            dropped("a port", &udp(plain(), 1900)),
            passes("a port, from a low one", &plain().udp(1023, 1900, b"")),
            dropped("a port, from the lowest", &plain().udp(1024, 1900, b"")),
            dropped("a port, from the highest", &plain().udp(65535, 1900, b"")),
            dropped("the first of a range", &udp(plain6(), 5000)),
            dropped("the last of a range", &udp(plain(), 5010)),
            passes("before the range", &udp(plain(), 4999)),
            passes("behind the range", &udp(plain(), 5011)),
            passes("the port of another protocol", &tcp(40_000, 1900, flag::ACK)),
            dropped("a port of both: UDP", &udp(plain(), 6000)),
            dropped("a port of both: TCP", &tcp(40_000, 6000, flag::ACK)),
            dropped("SYN", &tcp(40_000, 7000, flag::SYN)),
            dropped("SYN, PSH does not matter", &tcp(40_000, 7000, flag::SYN | flag::PSH)),
            passes("SYN-ACK", &tcp(40_000, 7000, flag::SYN | flag::ACK)),
            passes("SYN with ECE", &tcp(40_000, 7000, flag::SYN | 0x40)),
            passes("ACK", &tcp(40_000, 7000, flag::ACK)),
            dropped("an ICMP type", &plain().icmp(8, 0, &[0; 4])),
            dropped("an ICMP type of a range", &plain().icmp(17, 0, &[0; 4])),
            passes("another ICMP type", &plain().icmp(0, 0, &[0; 4])),
            ("the type of the other family", plain6().icmp(8, 0, &[0; 4]).bytes(), Reason::IcmpType),
            dropped("an ICMPv6 type", &plain6().icmp(128, 0, &[0; 4])),
            passes("28 bytes", &udp(plain(), 53)),
            passes("499 bytes", &plain().udp(40_000, 53, &[0; 471])),
            dropped("500 bytes", &plain().udp(40_000, 53, &[0; 472])),
            passes("499 bytes, IPv6", &plain6().udp(40_000, 53, &[0; 451])),
            dropped("500 bytes, IPv6", &plain6().udp(40_000, 53, &[0; 452])),
            dropped(
                "padding does not count, options do",
                &plain().ipv4_options(&[1; 4]).udp(40_000, 53, &[0; 468]),
            ),
            dropped("TTL 5", &udp(plain().hop_limit(5), 9999)),
            passes("TTL 6", &udp(plain().hop_limit(6), 9999)),
            dropped("hop limit 1", &udp(plain6().hop_limit(1), 9999)),
        ],
    )
}

#[test]
fn fragments_only_where_a_rule_says_so() -> Result<()> {
    let filter = Filter::new(&with(&[
        ("ports", "proto = \"udp\"\ndport = \"1000\"\naction = \"drop\""),
        ("whole", "proto = \"udp\"\ndport = \"2000\"\nfragment = \"no\"\naction = \"drop\""),
        ("first", "proto = \"udp\"\nfragment = \"first\"\ndport = \"3000\"\naction = \"drop\""),
        ("later", "src = \"9.9.9.1\"\nfragment = \"later\"\naction = \"drop\""),
        ("source", "src = \"9.9.9.2\"\naction = \"drop\""),
        (
            "any",
            "src = \"9.9.9.3\"\nproto = \"udp\"\ndport = \"4000\"\nfragment = \"any\"\naction = \"drop\"",
        ),
        ("pass", "src = \"9.9.9.4\"\naction = \"pass\""),
    ]))?;
    let later = |source| ip(source, SERVER).fragment(1480, false).raw(protocol::UDP, &[0; 16]);
    let first = |source, port| ip(source, SERVER).fragment(0, true).udp(9, port, &[0; 16]);
    let whole = |source, port| ip(source, SERVER).udp(9, port, &[0; 16]);
    let fragment = |what, packet: &Packet| -> Fixture { (what, packet.bytes(), Reason::Fragment) };
    check(
        &filter,
        vec![
            dropped("ports of a whole packet", &whole("8.8.8.8", 1000)),
            dropped("ports of a first fragment", &first("8.8.8.8", 1000)),
            fragment("a later one has no ports", &later("8.8.8.8")),
            dropped("only whole packets: one", &whole("8.8.8.8", 2000)),
            passes("only whole packets: a first fragment", &first("8.8.8.8", 2000)),
            passes("only first fragments: a whole packet", &whole("8.8.8.8", 3000)),
            dropped("only first fragments: one", &first("8.8.8.8", 3000)),
            passes("only later ones: a whole packet", &whole("9.9.9.1", 7)),
            passes("only later ones: a first fragment", &first("9.9.9.1", 7)),
            dropped("only later ones: one", &later("9.9.9.1")),
            dropped("a source: a whole packet", &whole("9.9.9.2", 7)),
            dropped("a source: a later fragment", &later("9.9.9.2")),
            dropped("any: a whole packet to the port", &whole("9.9.9.3", 4000)),
            passes("any: a whole packet to another port", &whole("9.9.9.3", 4001)),
            dropped("any: a later fragment", &later("9.9.9.3")),
            ("pass: a later fragment", later("9.9.9.4").bytes(), Reason::RulePass),
            (
                "what is malformed meets no rule",
                later("9.9.9.4").bytes()[..30].to_vec(),
                Reason::Ipv4Truncated,
            ),
            dropped("IPv6: a first fragment", &plain6().fragment(0, true).udp(9, 1000, &[0; 16])),
            fragment("IPv6: a later fragment", &plain6().fragment(1480, false).raw(protocol::UDP, &[0; 16])),
        ],
    )
}

#[test]
fn the_first_that_decides_wins() -> Result<()> {
    let mut config = with(&[
        ("seen", "action = \"count\""),
        ("friend", "src = \"9.9.9.9\"\naction = \"pass\""),
        ("trial", "src = \"9.9.0.0/16\"\naction = \"drop\"\nobserve = true"),
        ("network", "src = \"9.9.9.0/24\"\naction = \"drop\""),
        ("udp", "src = \"9.0.0.0/8\"\nproto = \"udp\"\naction = \"drop\""),
        ("again", "src = \"9.8.0.0/16\"\naction = \"count\""),
    ]);
    config.management = vec!["198.51.100.7/32".into()];
    let filter = Filter::new(&config)?;
    let udp = |source| ip(source, SERVER).udp(9, 9, b"");
    check(
        &filter,
        vec![
            ("the narrow one first", udp("9.9.9.9").bytes(), Reason::RulePass),
            dropped("then the wider", &udp("9.9.9.8")),
            dropped("a rule on trial is not there", &udp("9.9.8.1")),
            passes("nor does it pass what others would", &ip("9.9.8.1", SERVER).syn(22)),
            dropped("the last one", &udp("9.8.1.1")),
            passes("counted twice", &ip("9.8.1.1", SERVER).syn(22)),
            ("management comes first", udp("198.51.100.7").bytes(), Reason::Management),
            ("bogons come first", udp("10.1.1.1").bytes(), Reason::Bogon),
            (
                "illegal flags come first",
                ip("9.9.9.9", SERVER).tcp(&Segment::default().flags(0)).bytes(),
                Reason::TcpFlags,
            ),
        ],
    )?;
    let met = filter.floodwall.scrape()?.risen(&Metrics::default(), "floodwall_rule_packets_total", "rule");
    let wanted = [("seen", 6), ("friend", 1), ("trial", 3), ("network", 1), ("udp", 2), ("again", 1)];
    ensure!(met == wanted.map(|(rule, packets)| (rule.to_owned(), packets)).into(), "{met:?}");
    let status = filter.floodwall.succeed("status --pins {pins} --socket {socket}")?;
    ensure!(status.contains("would_drop      trial"), "{status}");
    Ok(())
}

#[test]
fn a_rules_rate() -> Result<()> {
    let filter = Filter::new(&with(&[
        ("each", "proto = \"udp\"\ndport = \"1\"\naction = \"limit\"\nrate = \"1/m burst 2\""),
        ("all", "proto = \"udp\"\ndport = \"2\"\naction = \"limit\"\nrate = \"1/m burst 3\"\nper = \"rule\""),
        ("late", "proto = \"udp\"\ndport = \"1\"\nsrc = \"9.9.9.9\"\naction = \"drop\""),
        (
            "trial",
            "proto = \"udp\"\ndport = \"3\"\naction = \"limit\"\nrate = \"1/m burst 1\"\nobserve = true",
        ),
    ]))?;
    let to = |what, source, port, expected| -> Fixture {
        let server = if str::contains(source, ':') { SERVER6 } else { SERVER };
        (what, ip(source, server).udp(9, port, b"").bytes(), expected)
    };
    check(
        &filter,
        vec![
            to("within", "8.8.8.8", 1, Reason::Pass),
            to("its burst is two", "8.8.8.8", 1, Reason::Pass),
            to("over", "8.8.8.8", 1, Reason::RuleLimit),
            to("another source", "8.8.8.9", 1, Reason::Pass),
            to("another rule", "8.8.8.8", 2, Reason::Pass),
            to("shared: another source", "8.8.8.7", 2, Reason::Pass),
            to("shared: IPv6", "2a00::1", 2, Reason::Pass),
            to("shared: over", "8.8.8.6", 2, Reason::RuleLimit),
            to("what is within goes on to later rules", "9.9.9.9", 1, Reason::RuleDrop),
            to("on trial: within", "8.8.8.8", 3, Reason::Pass),
            to("on trial: over", "8.8.8.8", 3, Reason::Pass),
        ],
    )?;
    let over = filter
        .floodwall
        .scrape()?
        .sum("floodwall_rule_packets_total", &["rule=\"trial\"", "verdict=\"would_drop\""]);
    ensure!((over - 1.0).abs() < 0.5, "{over}");
    Ok(())
}

/// Whatever the service's mode is, and without a service.
#[test]
fn challenged_by_a_rule() -> Result<()> {
    let filter = Filter::new(&with(&[
        ("far", "src = \"9.0.0.0/8\"\nproto = \"tcp\"\naction = \"challenge\""),
        ("udp", "src = \"9.0.0.0/8\"\nproto = \"udp\"\naction = \"drop\""),
    ]))?;
    let _web = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    let _other = listen(&filter.pair.server.namespace, 22, Kind::Tcp)?;
    let syn = |source: &str, port| ip(source, SERVER).syn(port).bytes();
    check(&filter, vec![("another source", syn("8.8.8.8", 80), Reason::Pass)])?;
    for port in [80, 22] {
        let source = format!("9.9.9.{port}");
        let from = |segment: &Segment| ip(&source, SERVER).tcp(segment).bytes();
        let answer = filter.expect("challenged", &syn(&source, port), Reason::ChallengeSent)?;
        let acknowledgment = u32::from_be_bytes(answer.frame[14 + 20 + 8..][..4].try_into()?);
        let rst = Segment::default().ports(40_000, port).flags(flag::RST);
        let wrong = Segment { sequence: acknowledgment.wrapping_add(1), ..rst.clone() };
        filter.expect("a RST of nobody", &from(&wrong), Reason::Pass)?;
        filter.expect("still challenged", &syn(&source, port), Reason::ChallengeSent)?;
        let right = Segment { sequence: acknowledgment, ..rst };
        filter.expect("the answer", &from(&right), Reason::ChallengePassed)?;
        filter.expect("proven", &syn(&source, port), Reason::Proven)?;
    }
    check(
        &filter,
        vec![
            (
                "other segments go on",
                ip("9.1.1.1", SERVER).tcp(&Segment::default().flags(flag::ACK)).bytes(),
                Reason::Pass,
            ),
            ("to later rules", ip("9.1.1.1", SERVER).udp(9, 9, b"").bytes(), Reason::RuleDrop),
            ("to nobody here", ip("9.1.1.1", "192.31.196.99").syn(80).bytes(), Reason::NotLocal),
        ],
    )
}
