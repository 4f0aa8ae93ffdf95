//! UDP, own addresses, routes, GTSM, egress.

use super::{
    egress,
    tests::{fate_of, raw, world},
};
use crate::{
    config::{Limit, Prefix, Service, flags},
    packet::parse,
    reason::Reason,
    reflector,
    state::Route,
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp, address},
    world::{Bytes, World},
};

const WINDOW: u64 = 30_000_000_000;

/// A host with a DNS service that matches replies and minds its closed ports (three at once, one a second).
fn host() -> World {
    let mut world = world();
    world.ports.udp[53] = 2;
    world.ports.reflectors = reflector::bits(|_| false);
    world.config.flags |= flags::REFLECTION | flags::REPLIES;
    world.config.reply_window = WINDOW;
    world.config.closed_ports = Limit::per_second(1, 3);
    world
}

pub(super) fn udp(source: (&str, u16), destination: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let (from, to) = (address(source.0), address(destination.0));
    raw(!from.is_v4_mapped(), &from, &to, 17, 64, &datagram)
}

fn received(world: &World, source: (&str, u16), destination: (&str, u16)) -> Reason {
    fate_of(world, udp(source, destination, &[0; 12]))
}

fn sent(world: &World, bytes: Vec<u8>) -> Reason {
    let frame = Bytes::from(bytes);
    let core::ops::ControlFlow::Continue(packet) = parse(&frame) else { panic!("well-formed") };
    egress::leave(&packet, world)
}

#[test]
fn only_who_was_asked_may_answer() {
    let world = host();
    for (server, client) in [(CLIENT, SERVER), (CLIENT6, SERVER6)] {
        let (them, us) = ((server, 53), (client, 40_000));
        assert_eq!(received(&world, them, us), Reason::UdpReflection);
        assert_eq!(sent(&world, udp(us, them, &[0; 12])), Reason::Pass);
        assert_eq!(received(&world, them, us), Reason::UdpReply);
        for (them, us) in [((server, 123), us), (them, (client, 40_001)), ((server, 443), us)] {
            assert_eq!(received(&world, them, us), Reason::UdpReflection, "another tuple");
        }
    }
    assert_eq!(received(&world, ("8.8.8.8", 53), (SERVER, 40_000)), Reason::UdpReflection, "somebody else");
    world.advance(WINDOW - 1);
    assert_eq!(received(&world, (CLIENT, 53), (SERVER, 40_000)), Reason::UdpReply);
    world.advance(1);
    assert_eq!(received(&world, (CLIENT, 53), (SERVER, 40_000)), Reason::UdpReflection, "too late");
}

pub(super) fn echo(source: &str, destination: &str, kinds: [u8; 2], id: u16) -> Vec<u8> {
    let (from, to) = (address(source), address(destination));
    let [v4, v6] = kinds;
    let message =
        [&[if from.is_v4_mapped() { v4 } else { v6 }, 0, 0, 0], &id.to_be_bytes()[..], &[0, 1]].concat();
    let protocol = if from.is_v4_mapped() { 1 } else { 58 };
    raw(!from.is_v4_mapped(), &from, &to, protocol, 64, &message)
}

#[test]
fn own_pings_await_their_replies() {
    let mut world = host();
    world.config.wire.echo_replies = Limit::per_second(1, 1);
    let reply = |them, us, id| fate_of(&world, echo(them, us, [0, 129], id));
    for (them, us) in [(CLIENT, SERVER), (CLIENT6, SERVER6)] {
        world.advance(WINDOW);
        assert_eq!(
            (reply(them, us, 7), reply(them, us, 7)),
            (Reason::Pass, Reason::IcmpRate),
            "nobody asked"
        );
        // Replies of this host's own make no entries.
        assert_eq!(sent(&world, echo(us, them, [0, 129], 7)), Reason::Pass);
        assert_eq!(reply(them, us, 7), Reason::IcmpRate);
        assert_eq!(sent(&world, echo(us, them, [8, 128], 7)), Reason::Pass);
        for _ in 0..10 {
            assert_eq!(reply(them, us, 7), Reason::EchoReply);
        }
        assert_eq!(reply(them, us, 8), Reason::IcmpRate, "another ping");
    }
    assert_eq!(reply("8.8.8.8", SERVER, 7), Reason::IcmpRate, "somebody else");
    assert_eq!(received(&world, (CLIENT, 7), (SERVER, 7)), Reason::NoListener, "no datagram");
}

#[test]
fn a_services_answers_make_no_entries() {
    let world = host();
    assert_eq!(sent(&world, udp((SERVER, 53), (CLIENT, 123), &[0; 12])), Reason::Pass);
    assert_eq!(received(&world, (CLIENT, 123), (SERVER, 53)), Reason::UdpReflection);
}

#[test]
fn a_flood_of_answers_evicts_no_query() {
    let world = host();
    sent(&world, udp((SERVER, 40_000), (CLIENT, 53), &[0; 12]));
    for i in 0..20_000_u32 {
        let source = core::net::Ipv4Addr::from(0x2000_0000 + i * 977).to_string();
        assert_eq!(received(&world, (&source, 53), (SERVER, 40_000)), Reason::UdpReflection);
    }
    assert_eq!(received(&world, (CLIENT, 53), (SERVER, 40_000)), Reason::UdpReply);
}

#[test]
fn closed_ports_have_a_budget_and_sockets_none() {
    let mut world = host();
    world.udp_sockets.insert(5000);
    let closed = |port| received(&world, (CLIENT, 40_000), (SERVER, port));
    assert_eq!(
        [closed(9), closed(9), closed(9), closed(9)].map(Reason::label)[2..],
        ["no_listener", "udp_closed_port"]
    );
    for _ in 0..10 {
        assert_eq!(closed(5000), Reason::Pass, "a socket");
        assert_eq!(closed(53), Reason::Pass, "a service");
        assert_eq!(received(&world, (CLIENT, 40_000), ("8.8.4.4", 9)), Reason::Pass, "forwarded");
    }
    // A translated flow: no socket, but something was sent.
    sent(&world, udp((SERVER, 7000), (CLIENT, 40_000), &[0; 4]));
    assert_eq!(closed(7000), Reason::UdpReply);
    world.advance(1_000_000_000);
    assert_eq!((closed(9), closed(9)), (Reason::NoListener, Reason::UdpClosedPort));
}

#[test]
fn groups_are_the_links_own() {
    let world = host();
    let mut frame = udp((CLIENT, 5353), ("224.0.0.251", 5353), &[0; 12]);
    frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 0xfb]);
    assert_eq!(fate_of(&world, frame), Reason::Pass);
}

fn prefix_of(network: &str, mask: [u32; 4]) -> Prefix {
    Prefix { network: address(network).0, mask }
}

#[test]
fn own_sources_and_networks_behind() {
    let mut world = host();
    world.config.flags |= flags::OWN_SOURCES;
    world.config.own[0] = prefix_of("44.1.0.0", [u32::MAX, u32::MAX, u32::MAX, 0xffff_0000_u32.to_be()]);
    world.config.own_len = 1;
    for (source, expected) in [
        (SERVER, Reason::OwnSource),
        ("44.1.255.255", Reason::OwnSource),
        ("44.2.0.0", Reason::Pass),
        (CLIENT, Reason::Pass),
    ] {
        assert_eq!(received(&world, (source, 9), ("8.8.4.4", 53)), expected, "{source}");
    }
    world.hints = crate::hints::Hints::default();
    assert_eq!(received(&world, (SERVER, 9), ("8.8.4.4", 53)), Reason::Pass, "no hint, no look-up");
}

#[test]
fn directed_broadcasts() {
    let mut world = host();
    world.broadcasts.insert(address("192.31.196.255").0);
    assert_eq!(received(&world, (CLIENT, 9), ("192.31.196.255", 53)), Reason::Pass);
    world.config.flags |= flags::DIRECTED_BROADCAST;
    assert_eq!(received(&world, (CLIENT, 9), ("192.31.196.255", 53)), Reason::DirectedBroadcast);
    assert_eq!(received(&world, (CLIENT, 9), ("192.31.196.254", 53)), Reason::Pass);
}

#[test]
fn the_way_back() {
    let mut world = host();
    for (source, route) in
        [("9.9.9.1", Route::Elsewhere), ("9.9.9.2", Route::None), ("9.9.9.3", Route::Unknown)]
    {
        world.routes.insert(address(source).0, route);
    }
    let fates = |world: &World| {
        ["9.9.9.0", "9.9.9.1", "9.9.9.2", "9.9.9.3"].map(|source| received(world, (source, 9), (SERVER, 53)))
    };
    let (pass, drop) = (Reason::Pass, Reason::ReversePath);
    assert_eq!(fates(&world), [pass; 4]);
    world.config.flags |= flags::REVERSE_PATH;
    assert_eq!(fates(&world), [pass, pass, drop, pass], "loose");
    world.config.flags |= flags::REVERSE_PATH_STRICT;
    assert_eq!(fates(&world), [pass, drop, drop, pass], "strict; what nobody knows passes");
}

#[test]
fn gtsm_knows_neighbours() {
    let mut world = host();
    world.config.services[2] = Service { ttl_min: 255, ..Service::NONE };
    for (ttl, expected) in [(255, Reason::Pass), (254, Reason::TtlSecurity), (0, Reason::TtlSecurity)] {
        let mut frame = udp((CLIENT, 9), (SERVER, 53), &[]);
        frame[22] = ttl;
        assert_eq!(fate_of(&world, frame), expected, "{ttl}");
    }
}

#[test]
fn what_leaves_is_our_own() {
    let mut world = host();
    world.config.flags |= flags::EGRESS_SOURCES;
    world.config.own[0] = prefix_of("44.1.0.0", [u32::MAX, u32::MAX, u32::MAX, 0xffff_0000_u32.to_be()]);
    world.config.own_len = 1;
    let dhcp = udp(("0.0.0.0", 68), ("255.255.255.255", 67), &[]);
    for (what, frame, expected) in [
        ("our own", udp((SERVER, 9), (CLIENT, 9), &[]), Reason::Pass),
        ("our own, IPv6", udp((SERVER6, 9), (CLIENT6, 9), &[]), Reason::Pass),
        ("a network behind us", udp(("44.1.2.3", 9), (CLIENT, 9), &[]), Reason::Pass),
        ("a SYN-ACK of ours", Tcp::syn(SERVER, CLIENT).bytes(), Reason::Pass),
        ("forged", udp(("8.8.8.8", 9), (CLIENT, 9), &[]), Reason::EgressForged),
        ("forged, IPv6", Tcp::syn("2a00::1", CLIENT6).bytes(), Reason::EgressForged),
        ("an unspecified source", udp(("0.0.0.0", 9), (CLIENT, 9), &[]), Reason::LinkControl),
        ("DHCP", dhcp, Reason::LinkControl),
        ("link-local", udp(("fe80::1", 9), ("fe80::2", 9), &[]), Reason::LinkControl),
        ("LAND", udp((CLIENT, 9), (CLIENT, 9), &[]), Reason::EgressLand),
        ("multicast as a source", udp(("224.0.0.1", 9), (CLIENT, 9), &[]), Reason::EgressGroup),
        ("broadcast as a source", udp(("255.255.255.255", 9), (CLIENT, 9), &[]), Reason::EgressGroup),
        ("multicast as a source, IPv6", udp(("ff02::1", 9), (CLIENT6, 9), &[]), Reason::EgressGroup),
    ] {
        assert_eq!(sent(&world, frame), expected, "{what}");
    }
    assert!(!egress::enforces(&world));
    world.config.flags |= flags::EGRESS_DROP;
    assert!(egress::enforces(&world));
    world.config.flags |= flags::OBSERVE;
    assert!(!egress::enforces(&world), "observe mode drops nothing");
}

#[test]
fn what_is_stopped_awaits_no_reply() {
    let mut world = host();
    world.config.flags |= flags::EGRESS_SOURCES | flags::EGRESS_DROP;
    let forged = udp(("8.8.8.8", 40_000), (CLIENT, 53), &[0; 12]);
    assert_eq!(sent(&world, forged.clone()), Reason::EgressForged);
    assert_eq!(received(&world, (CLIENT, 53), ("8.8.8.8", 40_000)), Reason::UdpReflection);
    world.config.flags &= !flags::EGRESS_DROP;
    sent(&world, forged);
    assert_eq!(
        received(&world, (CLIENT, 53), ("8.8.8.8", 40_000)),
        Reason::UdpReply,
        "monitor lets it leave"
    );
}
