//! Fragments, odd headers, ICMP and other protocols, by policy.

use super::*;
use crate::{
    config::Limit,
    state::{Table, Total},
    testing::{CLIENT, CLIENT6, Raw, SERVER, SERVER6, address},
    wire::flags,
    world::{Bytes, World},
};

fn world(flags: u32) -> World {
    let mut world = World::new();
    world.config.wire.flags = flags;
    world
}

fn fate(world: &World, raw: &Raw) -> Reason {
    let bytes = raw.bytes();
    let mut frame = Bytes::from(bytes.clone());
    let reason = decide(&mut frame, world);
    assert_eq!(frame.bytes, bytes, "{reason:?} changed the frame");
    reason
}

/// How many of so many packets met that fate.
fn times(world: &World, raw: &Raw, number: usize, reason: Reason) -> usize {
    (0..number).filter(|_| fate(world, raw) == reason).count()
}

/// The source has shown that it can receive.
fn prove(world: &World, source: &str) {
    let mut packet = Packet { source: address(source), ..Packet::EMPTY };
    packet.is_v6 = source.contains(':');
    proven::note(&packet, world);
    assert!(proven::left(&packet, world) > 0, "{:?}", Table::Proven);
}

#[test]
fn fragments_get_their_share() {
    for is_v6 in [false, true] {
        let mut world = world(0);
        world.config.proven = 1_000_000_000;
        let later = Raw::new(is_v6, 17, &[0; 8]).fragment(1480, false);
        assert_eq!(times(&world, &later, 50, Reason::Fragment), 50, "no limit");
        world.config.wire.fragments_per_source = Limit::per_second(10, 4);
        assert_eq!(times(&world, &later, 50, Reason::Fragment), 4);
        assert_eq!(fate(&world, &later), Reason::FragmentSourceRate);
        let mut first = Raw::new(is_v6, 17, &[0, 9, 0, 9, 0xff, 0, 0, 0]).fragment(0, true);
        assert_eq!(fate(&world, &first), Reason::FragmentSourceRate, "first ones count as well");
        world.config.wire.fragments_per_source = Limit::NONE;
        world.config.wire.fragments = Limit::per_second(10, 2);
        first.source = if is_v6 { "2a00::9" } else { "8.8.8.8" };
        assert_eq!(fate(&world, &first), Reason::Pass);
        assert_eq!(times(&world, &later, 50, Reason::Fragment), 1);
        assert_eq!(fate(&world, &later), Reason::FragmentRate);
        prove(&world, later.source);
        assert_eq!(fate(&world, &later), Reason::Fragment, "the flood is not its");
        world.config.wire.flags = flags::DROP_FRAGMENTS;
        assert_eq!(fate(&world, &later), Reason::FragmentDenied);
        assert_eq!(fate(&world, &first), Reason::FragmentDenied);
        let atomic = Raw::new(true, 17, &[0, 9, 0, 9, 0, 8, 0, 0]).fragment(0, false);
        assert_eq!(fate(&world, &atomic), Reason::Pass, "whole (RFC 6946)");
    }
}

#[test]
fn fragments_that_overlap_the_header() {
    let world = world(0);
    for offset in (8..=64).step_by(8) {
        for protocol in [1, 6, 17, 47, 58] {
            for is_v6 in [false, true] {
                let raw = Raw::new(is_v6, protocol, &[0; 8]).fragment(offset, false);
                let inside = offset < 20 && (is_v6 || protocol == 6);
                let expected = if inside { Reason::FragmentOverlap } else { Reason::Fragment };
                assert_eq!(fate(&world, &raw), expected, "{protocol} at {offset}, v6 {is_v6}");
            }
        }
    }
}

#[test]
fn later_fragments_have_no_ports() {
    let mut world = world(0);
    world.ports.udp.fill(1);
    world.ports.tcp.fill(1);
    world.config.services[1].per_source = Limit::per_second(1, 1);
    // What would be a service's port, port 0, or illegal flags.
    for payload in [[0_u8, 80, 0, 80, 0, 0, 0, 0], [0; 8], [255; 8]] {
        for protocol in [6, 17] {
            let raw = Raw::new(false, protocol, &payload).fragment(1480, true);
            assert_eq!(times(&world, &raw, 10, Reason::Fragment), 10);
        }
    }
}

#[test]
fn odd_headers_by_policy() {
    let udp = [0, 9, 0, 9, 0, 8, 0, 0];
    let options = |options: &[u8]| Raw { options: options.to_vec(), ..Raw::new(false, 17, &udp) };
    let routing = |kind, left| Raw::new(true, 17, &udp).extension(43, &[0, 0, kind, left, 0, 0, 0, 0]);
    for (what, raw, passing, dropping) in [
        ("none", options(&[]), Reason::Pass, Reason::Pass),
        ("NOPs", options(&[1; 8]), Reason::Pass, Reason::Pass),
        ("record route", options(&[7, 7, 4, 0, 0, 0, 0, 0]), Reason::Pass, Reason::Ipv4Options),
        ("timestamps", options(&[68, 4, 5, 0]), Reason::Pass, Reason::Ipv4Options),
        ("LSRR", options(&[131, 4, 4, 0]), Reason::SourceRoute, Reason::SourceRoute),
        ("SSRR", options(&[1, 137, 3, 4]), Reason::SourceRoute, Reason::SourceRoute),
        ("type 0", routing(0, 0), Reason::RoutingHeader, Reason::RoutingHeader),
        ("segments left", routing(4, 1), Reason::Pass, Reason::RoutingHeader),
        ("none left", routing(4, 0), Reason::Pass, Reason::Pass),
    ] {
        assert_eq!(fate(&world(0), &raw), passing, "{what}");
        assert_eq!(fate(&world(flags::DROP_OPTIONS | flags::DROP_ROUTED), &raw), dropping, "{what}");
        let mut managed = world(flags::DROP_OPTIONS | flags::DROP_ROUTED);
        managed.manage(address(raw.source));
        assert_eq!(fate(&managed, &raw), Reason::Management, "{what}");
    }
    let igmp = Raw { ttl: 1, destination: "224.0.0.1", protocol: 2, ..options(&[148, 4, 0, 0]) };
    assert_eq!(fate(&world(flags::DROP_OPTIONS), &igmp), Reason::LinkControl);
    let routed = Raw { options: vec![131, 4, 4, 0], ..igmp };
    assert_eq!(fate(&world(0), &routed), Reason::SourceRoute, "no link needs that");
}

#[test]
fn every_protocol_by_policy() {
    for protocol in 0..=255 {
        for is_v6 in [false, true] {
            if [0, 43, 44, 51, 60].contains(&protocol) && is_v6 {
                continue;
            }
            let raw = Raw::new(is_v6, protocol, &[255; 64]);
            let of_own = [6, 17, if is_v6 { 58 } else { 1 }].contains(&protocol);
            let unknown = is_v6 && [59, 135, 139, 140, 253, 254].contains(&protocol);
            let of = |world: &World| fate(world, &raw);
            if of_own {
                assert_ne!(of(&world(flags::DROP_PROTOCOLS)), Reason::ProtocolDenied);
                continue;
            }
            assert_eq!(of(&world(0)), Reason::OtherProtocol, "{protocol}");
            assert_eq!(of(&world(flags::DROP_PROTOCOLS)), Reason::ProtocolDenied, "{protocol}");
            let expected = if unknown { Reason::UnknownHeader } else { Reason::OtherProtocol };
            assert_eq!(of(&world(flags::DROP_HEADERS)), expected, "{protocol}");
            let mut world = world(flags::DROP_PROTOCOLS | flags::DROP_HEADERS);
            world.config.wire.allow(protocol);
            world.config.wire.other_protocols = Limit::per_second(1, 1);
            assert_eq!(times(&world, &raw, 5, Reason::OtherProtocol), 5, "{protocol}");
            world.config.wire.flags = 0;
            world.config.wire.protocols = [0; 4];
            assert_eq!(times(&world, &raw, 5, Reason::OtherProtocol), 1, "{protocol}");
            assert_eq!(of(&world), Reason::ProtocolRate, "{protocol}");
        }
    }
}

fn icmp(is_v6: bool, kind: u8, code: u8, body: &[u8]) -> Raw {
    Raw::new(is_v6, if is_v6 { 58 } else { 1 }, &[&[kind, code, 0, 0, 0, 0, 0, 0], body].concat())
}

/// An error about a TCP segment of the server to the client.
fn error(is_v6: bool, kind: u8, protocol: u8) -> Raw {
    let (source, destination) = if is_v6 { (SERVER6, CLIENT6) } else { (SERVER, CLIENT) };
    let quoted = Raw { source, destination, ..Raw::new(is_v6, protocol, &[0, 80, 0x9c, 0x40, 0, 0, 0, 1]) };
    icmp(is_v6, kind, 0, &quoted.bytes()[14..])
}

const ERRORS: [(bool, u8); 7] =
    [(false, 3), (false, 11), (false, 12), (true, 1), (true, 2), (true, 3), (true, 4)];

#[test]
fn errors_are_about_the_hosts_own_packets() {
    for (is_v6, kind) in ERRORS {
        let world = world(0);
        let good = error(is_v6, kind, 6);
        assert_eq!(fate(&world, &good), Reason::Pass, "{kind} v6 {is_v6}");
        let quoted = if is_v6 { 8 + 40 } else { 8 + 20 };
        for length in 8..good.payload.len() {
            let cut = Raw { payload: good.payload[..length].to_vec(), ..good.clone() };
            let expected = if length < quoted { Reason::IcmpMismatch } else { Reason::Pass };
            assert_eq!(fate(&world, &cut), expected, "{length} bytes");
        }
        for byte in if is_v6 { 16..32 } else { 20..24 } {
            let mut foreign = good.clone();
            foreign.payload[byte] ^= 1;
            assert_eq!(fate(&world, &foreign), Reason::IcmpMismatch, "byte {byte}");
        }
        let mut version = good.clone();
        version.payload[8] ^= 0x20;
        assert_eq!(fate(&world, &version), Reason::IcmpMismatch, "the other family's version");
    }
    let mut short = error(false, 3, 6);
    short.payload[8] = 0x44;
    assert_eq!(fate(&world(0), &short), Reason::IcmpMismatch, "a header of 16 bytes");
}

#[test]
fn above_the_limit_only_errors_about_connections_pass() {
    for (is_v6, kind) in ERRORS {
        for protocol in [6, 17] {
            let mut world = world(0);
            world.config.wire.errors = Limit::per_second(1, 2);
            world.config.wire.errors_per_source = Limit::per_second(1, 3);
            let error = error(is_v6, kind, protocol);
            assert_eq!(times(&world, &error, 2, Reason::Pass), 2);
            assert_eq!(fate(&world, &error), Reason::IcmpRate);
            world.connections.insert((40_000, 80));
            assert_eq!(times(&world, &error, 10, Reason::IcmpOfSocket), 3);
            assert_eq!(fate(&world, &error), Reason::IcmpSourceRate);
        }
    }
}

#[test]
fn above_the_limit_quotes_without_ports_have_no_socket() {
    let mut world = world(0);
    world.connections.insert((40_000, 80));
    world.config.wire.errors = Limit::per_second(1, 1);
    assert!(State::take_total(&world, Total::Errors, world.config.wire.errors, 1 << 40));
    assert_eq!(fate(&world, &error(false, 3, 6)), Reason::IcmpOfSocket);
    assert_eq!(fate(&world, &error(false, 3, 47)), Reason::IcmpRate, "GRE");
    let mut later = error(false, 3, 6);
    later.payload[8 + 7] = 9;
    assert_eq!(fate(&world, &later), Reason::IcmpRate, "a later fragment");
    let mut cut = error(false, 3, 6);
    cut.payload.truncate(8 + 20 + 3);
    assert_eq!(fate(&world, &cut), Reason::IcmpRate, "cut before the ports' end");
    let mut options = error(false, 3, 6);
    options.payload[8] = 0x46;
    options.payload.splice(28..28, [1; 4]);
    assert_eq!(fate(&world, &options), Reason::IcmpOfSocket, "behind quoted options");
}

#[test]
fn pings_get_their_share() {
    for (is_v6, kind) in [(false, 8), (true, 128)] {
        let mut world = world(0);
        world.config.proven = 1_000_000_000;
        let ping = icmp(is_v6, kind, 0, &[0; 8]);
        assert_eq!(times(&world, &ping, 20, Reason::Pass), 20);
        world.config.wire.echo_per_source = Limit::per_second(1, 5);
        assert_eq!(times(&world, &ping, 20, Reason::Pass), 5);
        assert_eq!(fate(&world, &ping), Reason::IcmpSourceRate);
        world.config.wire.echo_per_source = Limit::NONE;
        world.config.wire.echo = Limit::per_second(1, 3);
        assert_eq!(times(&world, &ping, 20, Reason::Pass), 3);
        assert_eq!(fate(&world, &ping), Reason::IcmpRate);
        prove(&world, ping.source);
        assert_eq!(fate(&world, &ping), Reason::Pass);
        world.config.wire.flags = flags::DROP_ECHO;
        assert_eq!(fate(&world, &ping), Reason::EchoDenied);
    }
}

#[test]
fn replies_share_a_limit() {
    for (is_v6, kind) in [(false, 0), (true, 129)] {
        let mut world = world(flags::DROP_ECHO);
        let reply = icmp(is_v6, kind, 0, &[0; 8]);
        assert_eq!(times(&world, &reply, 20, Reason::Pass), 20);
        world.config.wire.echo_replies = Limit::per_second(1, 3);
        assert_eq!(times(&world, &reply, 20, Reason::Pass), 3);
        assert_eq!(fate(&world, &reply), Reason::IcmpRate);
    }
}

#[test]
fn a_ping_to_a_group_is_a_smurf() {
    for (is_v6, kind, destinations) in [
        (false, 8, ["255.255.255.255", "224.0.0.1", "239.1.2.3"]),
        (true, 128, ["ff02::1", "ff05::2", "ff0e::1"]),
    ] {
        for destination in destinations {
            let ping = Raw { destination, ..icmp(is_v6, kind, 0, &[]) };
            assert_eq!(fate(&world(0), &ping), Reason::Smurf, "{destination}");
            assert_eq!(fate(&world(flags::DROP_ECHO), &ping), Reason::Smurf, "{destination}");
        }
        let ping = Raw { broadcast: true, ..icmp(is_v6, kind, 0, &[]) };
        assert_eq!(fate(&world(0), &ping), Reason::Smurf, "a group of the link");
    }
}

#[test]
fn redirects_by_policy() {
    for (is_v6, kind, passing) in [(false, 5, Reason::Pass), (true, 137, Reason::LinkControl)] {
        let mut redirect = icmp(is_v6, kind, 0, &[0; 40]);
        redirect.ttl = 255;
        if is_v6 {
            redirect.source = "fe80::1";
        }
        assert_eq!(fate(&world(0), &redirect), passing);
        assert_eq!(fate(&world(flags::DROP_REDIRECTS), &redirect), Reason::Redirect);
        redirect.ttl = 254;
        let expected = if is_v6 { Reason::NdHopLimit } else { Reason::Pass };
        assert_eq!(fate(&world(0), &redirect), expected);
    }
}

/// Every type of both families, as it comes from afar.
#[test]
fn every_type() {
    let world = world(flags::DROP_REDIRECTS);
    for kind in 0..=255 {
        let expected = match kind {
            0 | 8 => Reason::Pass,
            3 | 11 | 12 => Reason::IcmpMismatch,
            5 => Reason::Redirect,
            _ => Reason::IcmpType,
        };
        assert_eq!(fate(&world, &icmp(false, kind, 0, &[0; 40])), expected, "type {kind}");
        let expected = match kind {
            1..=4 => Reason::IcmpMismatch,
            128 | 129 => Reason::Pass,
            133..=136 | 141 | 142 | 148 | 149 => Reason::NdHopLimit,
            137 => Reason::Redirect,
            _ => Reason::IcmpType,
        };
        assert_eq!(fate(&world, &icmp(true, kind, 0, &[0; 60])), expected, "ICMPv6 type {kind}");
    }
    let solicitation = Raw { ttl: 255, ..icmp(true, 135, 0, &[0; 16]) };
    assert_eq!(fate(&world, &solicitation), Reason::LinkControl);
    // "Nodes MUST silently ignore" fragmented neighbour discovery (RFC 6980 5).
    assert_eq!(fate(&world, &solicitation.fragment(0, true)), Reason::IcmpType);
}
