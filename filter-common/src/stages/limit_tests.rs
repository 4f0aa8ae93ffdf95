//! Limits: who is charged, and who is not.

use super::{
    tests::{fate_of, raw, world},
    wire_tests::echo,
};
use crate::{
    config::{Limit, Service, flags, syn_mode},
    reason::{Action, Reason},
    state::{State as _, Table},
    testing::{CLIENT, SERVER, Tcp, address},
    world::World,
};

/// A host whose UDP service on port 53 has these limits.
fn host(service: Service) -> World {
    let mut world = world();
    world.ports.udp[53] = 2;
    world.config.services[2] = service;
    world.config.flags |= flags::MORE_LIMITS;
    world
}

/// A datagram of that many bytes in all.
fn datagram(source: &str, port: u16, length: u16) -> Vec<u8> {
    let payload = usize::from(length) - 28;
    let mut bytes = [port.to_be_bytes(), 53_u16.to_be_bytes()].concat();
    bytes.extend((8 + payload as u16).to_be_bytes());
    bytes.resize(8 + payload, 0);
    raw(false, &address(source), &address(SERVER), 17, 64, &bytes)
}

fn sent(world: &World, source: &str, port: u16) -> Reason {
    fate_of(world, datagram(source, port, 100))
}

fn passed(fates: impl Iterator<Item = Reason>, over: Reason) -> usize {
    let fates: Vec<_> = fates.collect();
    assert!(fates.iter().all(|fate| matches!(fate, Reason::Pass) || *fate == over), "{fates:?}");
    fates.iter().filter(|fate| **fate == Reason::Pass).count()
}

fn stranger(i: u32) -> String {
    core::net::Ipv4Addr::from(0x2000_0000 | i.wrapping_mul(40_503) & 0x1fff_ffff).to_string()
}

#[test]
fn bytes_of_a_source() {
    // 64 KiB at once, 10 kB/s.
    let limit = Limit::bytes_per_second(10_000, 64 << 10);
    let world = host(Service { per_source_bytes: limit, ..Service::NONE });
    let large = || fate_of(&world, datagram(CLIENT, 9, 1400));
    let first = passed((0..100).map(|_| large()), Reason::SourceByteRate);
    assert!((46..=48).contains(&first), "{first} x 1400 of 65536");
    assert_eq!(fate_of(&world, datagram("9.9.9.9", 9, 1400)), Reason::Pass, "another source");
    world.advance(4_000_000_000);
    let later = passed((0..100).map(|_| large()), Reason::SourceByteRate);
    assert!((28..=29).contains(&later), "{later} x 1400 of 40 kB");
}

#[test]
fn packets_of_a_prefix() {
    let world = host(Service { per_prefix: Limit::per_second(10, 20), ..Service::NONE });
    let of_net = |net: u8| {
        let fates = (0..200).map(|i| sent(&world, &format!("9.9.{net}.{i}"), 9));
        passed(fates, Reason::PrefixRate)
    };
    assert_eq!((of_net(1), of_net(1), of_net(2)), (20, 0, 20));
}

#[test]
fn a_prefix_of_ipv6_is_a_48() {
    let world = host(Service { per_prefix: Limit::per_second(10, 2), ..Service::NONE });
    let server = address(crate::testing::SERVER6);
    let fate = |source: &str| {
        let udp = [0, 9, 0, 53, 0, 8, 0, 0];
        fate_of(&world, raw(true, &address(source), &server, 17, 64, &udp))
    };
    let fates = ["2a00:1:2:3::1", "2a00:1:2:4::1", "2a00:1:2:5::1", "2a00:1:3::1"].map(fate);
    assert_eq!(fates, [Reason::Pass, Reason::Pass, Reason::PrefixRate, Reason::Pass]);
}

#[test]
fn a_total_spares_the_proven() {
    let world = host(Service { total: Limit::per_second(10, 50), ..Service::NONE });
    assert_eq!(passed((0..1000).map(|i| sent(&world, &stranger(i), 9)), Reason::ServiceRate), 50);
    let mut packet = crate::packet::parse(&crate::world::Bytes::from(datagram(CLIENT, 9, 100)));
    let core::ops::ControlFlow::Continue(packet) = &mut packet else { panic!("well-formed") };
    assert_eq!(sent(&world, CLIENT, 9), Reason::ServiceRate);
    super::proven::note(packet, &world);
    assert_eq!(sent(&world, CLIENT, 9), Reason::ServiceRate, "for no time at all");
    let mut world = world;
    world.config.proven = 600_000_000_000;
    super::proven::note(packet, &world);
    assert_eq!(sent(&world, CLIENT, 9), Reason::Pass);
}

#[test]
fn bytes_of_a_service_and_of_the_host() {
    let limit = Limit::bytes_per_second(10_000, 64 << 10);
    let large = |world: &World, i| fate_of(world, datagram(&stranger(i), 9, 1400));
    let world = host(Service { total_bytes: limit, ..Service::NONE });
    let of_service = passed((0..100).map(|i| large(&world, i)), Reason::ServiceByteRate);
    let mut world = host(Service::NONE);
    world.config.host_bytes = limit;
    let of_host = passed((0..100).map(|i| large(&world, i)), Reason::HostRate);
    assert!(of_service == of_host && (46..=48).contains(&of_host), "{of_service} {of_host}");
    let mut world = host(Service::NONE);
    world.config.host_packets = Limit::per_second(10, 7);
    assert_eq!(passed((0..100).map(|i| large(&world, i)), Reason::HostRate), 7);
}

#[test]
fn syns_that_a_ladder_answers_are_no_part_of_a_total() {
    let mut world = world();
    world.config.flags |= flags::MORE_LIMITS;
    world.config.host_packets = Limit::per_second(1, 1);
    let cookie = Service { syn_mode: syn_mode::COOKIE, total: Limit::per_second(1, 1), ..Service::NONE };
    world.config.services[1] = cookie;
    for i in 0..100 {
        assert_eq!(fate_of(&world, Tcp::syn(&stranger(i), SERVER).bytes()), Reason::CookieSent);
    }
    world.config.services[1].syn_mode = syn_mode::OFF;
    assert_eq!(
        passed((0..10).map(|i| fate_of(&world, Tcp::syn(&stranger(i), SERVER).bytes())), Reason::ServiceRate),
        1
    );
}

#[test]
fn syns_that_a_ladder_answers_use_up_nobodys_share() {
    for syn_mode in [syn_mode::COOKIE, syn_mode::CHALLENGE] {
        let mut world = world();
        let per_source = Limit::per_second(1, 3);
        world.config.services[1] = Service { syn_mode, per_source, ..Service::NONE };
        let syn = |world: &World| fate_of(world, Tcp::syn(CLIENT, SERVER).bytes());
        assert!((0..100).all(|_| matches!(syn(&world), Reason::CookieSent | Reason::ChallengeSent)));
        // What the stack gets is charged, and a limit of SYNs holds.
        let listeners = std::mem::take(&mut world.listeners);
        world.local.clear();
        let passes = |fate: Reason| fate.action() == Action::Pass;
        assert_eq!((0..100).filter(|_| passes(syn(&world))).count(), 3);
        assert_eq!(syn(&world), Reason::SourceRate);
        (world.listeners, world.local) = (listeners, super::tests::world().local);
        world.config.services[1].per_source_syn = Limit::per_second(1, 5);
        assert_eq!((0..100).filter(|_| syn(&world) != Reason::SourceSynRate).count(), 5);
    }
}

#[test]
fn auto_charges_syns_until_it_answers_them() {
    let mut world = world();
    let (per_source, on) = (Limit::per_second(1, 3), Limit::per_second(1000, 1000));
    let auto = Service { syn_mode: syn_mode::AUTO, per_source, on, off: on, hold: 1 << 40, ..Service::NONE };
    world.config.services[1] = auto;
    let syn = || fate_of(&world, Tcp::syn(CLIENT, SERVER).bytes());
    assert_eq!(passed((0..100).map(|_| syn()), Reason::SourceRate), 3);
    world.arms[1].syn.hold(world.now(), 1 << 40);
    assert!((0..100).all(|_| syn() == Reason::CookieSent), "armed");
}

#[test]
fn known_flows_survive_a_flood_of_new_ones() {
    let world = host(Service { flows: Limit::per_second(100, 100), ..Service::NONE });
    for port in 1000..1010 {
        assert_eq!(sent(&world, CLIENT, port), Reason::Pass);
        assert_eq!(sent(&world, CLIENT, port), Reason::Pass);
    }
    for second in 0..60 {
        for i in 0..2_000 {
            let fate = sent(&world, &stranger(second * 2_000 + i), 9);
            assert!(matches!(fate, Reason::Pass | Reason::FlowRate), "{fate:?}");
        }
        for port in 1000..1010 {
            assert_eq!(sent(&world, CLIENT, port), Reason::Pass, "second {second}, port {port}");
        }
        world.advance(1_000_000_000);
    }
}

#[test]
fn new_flows_of_one_source() {
    let world = host(Service { per_source_flows: Limit::per_second(1, 5), ..Service::NONE });
    assert_eq!(passed((1..100).map(|port| sent(&world, CLIENT, port)), Reason::FlowRate), 5);
    assert_eq!(sent(&world, CLIENT, 3), Reason::Pass, "a known one");
    assert_eq!(sent(&world, "9.9.9.9", 3), Reason::Pass, "another source");
}

#[test]
fn a_flow_of_one_packet_is_soon_forgotten() {
    let world = host(Service { flows: Limit::per_second(1, 1), ..Service::NONE });
    assert_eq!(sent(&world, CLIENT, 9), Reason::Pass);
    world.advance(500_000_000);
    assert_eq!(sent(&world, CLIENT, 9), Reason::Pass, "goes on: known for two minutes");
    world.advance(119_000_000_000);
    assert_eq!(sent(&world, "9.9.9.9", 9), Reason::Pass, "a token is there again");
    assert_eq!(sent(&world, CLIENT, 9), Reason::Pass, "still known");
    world.advance(2_000_000_000);
    assert_eq!(sent(&world, "9.9.9.9", 9), Reason::Pass, "forgotten, and a new token");
    assert_eq!(sent(&world, "9.9.9.8", 9), Reason::FlowRate);
}

#[test]
fn the_rest_of_the_host_has_limits_of_its_own() {
    let mut world = host(Service::NONE);
    world.config.services[0].per_source = Limit::per_second(1, 2);
    let gre = raw(false, &address(CLIENT), &address(SERVER), 47, 64, &[0; 8]);
    let fates = [(); 3].map(|()| fate_of(&world, gre.clone()));
    assert_eq!(fates, [Reason::OtherProtocol, Reason::OtherProtocol, Reason::SourceRate]);
    assert_eq!(sent(&world, CLIENT, 9), Reason::Pass, "a service");
}

#[test]
fn ten_thousand_strangers_leave_a_debtor_in_debt() {
    let world = host(Service { per_prefix: Limit::per_second(100, 10), ..Service::NONE });
    assert_eq!(passed((0..100).map(|_| sent(&world, CLIENT, 9)), Reason::PrefixRate), 10);
    for i in 0..10_000 {
        sent(&world, &stranger(i), 9);
    }
    assert_eq!(sent(&world, CLIENT, 9), Reason::PrefixRate);
    assert!(world.line(Table::Sources, 0).is_some());
}

/// How many of a thousand datagrams a second pass, each of another flow.
fn of_a_second(world: &World) -> usize {
    let mut got = 0;
    for port in 0..1000 {
        got += usize::from(sent(world, CLIENT, 1 + port) == Reason::Pass);
        world.advance(1_000_000);
    }
    got
}

#[test]
fn a_lease_makes_the_limits_of_sources_narrower_and_ends_by_itself() {
    let limit = Limit::per_second(100, 20);
    for service in [
        Service { per_source: limit, ..Service::NONE },
        Service { per_source_flows: limit, ..Service::NONE },
        Service { per_source_bytes: Limit::bytes_per_second(10_240, 2048), ..Service::NONE },
    ] {
        let mut world = host(service);
        world.config.tighten = 4;
        let calm = of_a_second(&world);
        assert!((115..=125).contains(&calm), "{calm}: {service:?}");
        world.arms[2].tight.store(world.now() + 3_000_000_000);
        world.advance(2_000_000_000);
        let tight = of_a_second(&world);
        assert!((25..=33).contains(&tight), "{tight}: {service:?}");
        world.advance(1_000_000_000);
        let again = of_a_second(&world);
        assert!((100..=125).contains(&again), "{again}: {service:?}");
    }
}

#[test]
fn a_lease_of_one_service_is_no_others_and_nothing_where_it_is_off() {
    let limit = Limit::per_second(100, 20);
    let mut world = host(Service { per_source: limit, ..Service::NONE });
    let forever = world.now() + 1_000_000_000_000;
    world.config.tighten = 4;
    world.arms[0].tight.store(forever);
    assert!(of_a_second(&world) >= 115, "the rest of the host is tightened, not the service");
    world.advance(2_000_000_000);
    world.config.tighten = 1;
    world.arms[2].tight.store(forever);
    assert!(of_a_second(&world) >= 115, "1 is off");
    world.advance(2_000_000_000);
    world.config.wire.echo_per_source = limit;
    world.config.tighten = 4;
    let ping = || fate_of(&world, echo(CLIENT, SERVER, [8, 128], 7));
    assert_eq!(
        passed((0..100).map(|_| ping()), Reason::IcmpSourceRate),
        5,
        "pings are the rest of the host's"
    );
}
