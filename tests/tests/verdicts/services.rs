//! Services by destination, and what is only observed: a service, an interface.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    filter::Filter,
    packet::{
        ip,
        tcp::{Segment, flag},
    },
    server::{Kind, listen},
};

use super::{Fixture, check, plain};

const SERVER: &str = "192.31.196.2";

fn services(list: &[(&str, &str)]) -> Config {
    let services = list.iter().map(|(name, lines)| ((*name).to_owned(), (*lines).to_owned())).collect();
    Config { services, ..Config::default().also(super::NO_UDP) }
}

/// Each of these services lets one UDP packet a minute pass from a source, so the second tells which it was.
#[test]
fn the_first_that_holds_the_destination() -> Result<()> {
    let one = |rest: &str| format!("rate = {{ per_source = \"1/m burst 1\" }}\n{rest}");
    let two = |rest: &str| format!("rate = {{ per_source = \"1/m burst 2\" }}\n{rest}");
    let filter = Filter::new(&services(&[
        ("host", &one("dst = \"192.31.196.2\"\nports = [\"udp/53\", \"udp/100-110\"]")),
        ("net", &two("dst = [\"192.31.196.0/24\", \"2620:4f:8000::/48\"]\nports = [\"udp/53\"]")),
        ("any", "ports = [\"udp/53\", \"udp/105\"]"),
        ("open", &one("dst = \"::/0\"\nports = [\"udp/99\"]")),
    ]))?;
    let udp = |what, source: &'static str, destination, port, expected| -> Fixture {
        (what, ip(source, destination).udp(9, port, b"").bytes(), expected)
    };
    check(
        &filter,
        vec![
            udp("the host", "8.8.8.1", SERVER, 53, Reason::Pass),
            udp("the host, over", "8.8.8.1", SERVER, 53, Reason::SourceRate),
            udp("another port of the same service", "8.8.8.1", SERVER, 105, Reason::SourceRate),
            udp("its network has a bucket of its own", "8.8.8.1", "192.31.196.3", 53, Reason::Pass),
            udp("and another rate", "8.8.8.1", "192.31.196.4", 53, Reason::Pass),
            udp("its network, over", "8.8.8.1", "192.31.196.3", 53, Reason::SourceRate),
            udp("a port that the network has not", "8.8.8.1", "192.31.196.3", 105, Reason::Pass),
            udp("that is the third's, without a limit", "8.8.8.1", "192.31.196.3", 105, Reason::Pass),
            udp("IPv6", "2a00::1", "2620:4f:8000::2", 53, Reason::Pass),
            udp("IPv6, the second", "2a00::1", "2620:4f:8000::2", 53, Reason::Pass),
            udp("IPv6, over", "2a00::1", "2620:4f:8000::3", 53, Reason::SourceRate),
            udp("IPv6, elsewhere", "2a00::1", "2620:4f:8001::2", 53, Reason::Pass),
            udp("IPv6, elsewhere again", "2a00::1", "2620:4f:8001::2", 53, Reason::Pass),
            udp("no service", "8.8.8.1", SERVER, 54, Reason::Pass),
            udp("a port of IPv6 only", "2a00::2", "2620:4f:8000::2", 99, Reason::Pass),
            udp("a port of IPv6 only, over", "2a00::2", "2620:4f:8000::2", 99, Reason::SourceRate),
            udp("not on IPv4", "8.8.8.2", SERVER, 99, Reason::Pass),
            udp("never on IPv4", "8.8.8.2", SERVER, 99, Reason::Pass),
        ],
    )
}

#[test]
fn syns_by_destination() -> Result<()> {
    let filter = Filter::new(&services(&[
        ("host", "dst = \"192.31.196.2\"\nports = [\"tcp/80\"]\nsyn = { mode = \"challenge\" }"),
        ("any", "ports = [\"tcp/80\"]"),
    ]))?;
    let _web = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    check(
        &filter,
        vec![
            ("the host is challenged", plain().syn(80).bytes(), Reason::ChallengeSent),
            ("any other is not", ip("8.8.8.8", "192.31.196.3").syn(80).bytes(), Reason::Pass),
            ("nor on IPv6", super::plain6().syn(80).bytes(), Reason::Pass),
        ],
    )
}

#[test]
fn an_observed_service_is_left_alone() -> Result<()> {
    let lines = |observe: bool| {
        format!(
            "syn = {{ mode = \"challenge\" }}\nrate = {{ per_source = \"1/m burst 1\" }}\nobserve = {observe}"
        )
    };
    let filter = Filter::new(&services(&[
        ("trial", &format!("ports = [\"tcp/80\", \"udp/80\"]\n{}", lines(true))),
        ("web", &format!("ports = [\"tcp/81\", \"udp/81\"]\n{}", lines(false))),
    ]))?;
    let _trial = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    let _web = listen(&filter.pair.server.namespace, 81, Kind::Tcp)?;
    let udp = |port| plain().udp(9, port, b"").bytes();
    filter.expect_observed("a SYN is not answered", &plain().syn(80).bytes(), Reason::ChallengeSent)?;
    filter.expect("the other's is", &ip("8.8.8.9", SERVER).syn(81).bytes(), Reason::ChallengeSent)?;
    filter.expect_observed(
        "what nothing objects to is in its plane, too",
        &ip("8.8.4.4", SERVER).udp(9, 80, b"").bytes(),
        Reason::Pass,
    )?;
    filter.expect_observed("its SYN was charged to nobody", &udp(80), Reason::Pass)?;
    filter.expect_observed("over its rate", &udp(80), Reason::SourceRate)?;
    filter.expect("the other's share", &udp(81), Reason::Pass)?;
    filter.expect("the other's over its rate", &udp(81), Reason::SourceRate)?;
    let rst = plain().tcp(&Segment::default().ports(40_000, 80).flags(flag::RST)).bytes();
    filter.expect_observed("a RST proves nothing", &rst, Reason::SourceRate)?;
    filter.expect(
        "what comes before services is carried out",
        &ip("10.1.1.1", SERVER).syn(80).bytes(),
        Reason::Bogon,
    )?;
    filter.expect("no service", &udp(9), Reason::Pass)?;
    Ok(())
}

#[test]
fn an_observed_interface_is_left_alone() -> Result<()> {
    let config = services(&[("web", "ports = [\"tcp/80\"]\nsyn = { mode = \"challenge\" }")])
        .interface("observe = true")
        .also("[[rule]]\nname = \"no\"\nsrc = \"9.9.9.9\"\naction = \"drop\"");
    let filter = Filter::new(&config)?;
    let _web = listen(&filter.pair.server.namespace, 80, Kind::Tcp)?;
    filter.expect_observed("a bogon", &ip("10.1.1.1", SERVER).syn(80).bytes(), Reason::Bogon)?;
    filter.expect_observed("a rule", &ip("9.9.9.9", SERVER).syn(80).bytes(), Reason::RuleDrop)?;
    filter.expect_observed("a SYN", &plain().syn(80).bytes(), Reason::ChallengeSent)?;
    Ok(())
}
