//! The short way and the whole one: the same fates, and the same memory of them.

use proptest::prelude::*;

use super::{
    judge,
    tests::world,
    whole,
    wire_tests::{echo, udp},
};
use crate::{
    config::{Limit, Service, flags, syn_mode},
    hints::Hints,
    reflector,
    testing::{CLIENT, CLIENT6, SERVER, SERVER6, Tcp, address},
    world::{Bytes, World},
};

/// Flags that decide whether there is a short way, and what lies on it.
const FLAGS: [u32; 11] = [
    flags::OWN_SOURCES,
    flags::DIRECTED_BROADCAST,
    flags::REVERSE_PATH,
    flags::REFLECTION,
    flags::REPLIES,
    flags::CHECK_STATE,
    flags::CHECK_STATE_OF_HOST,
    flags::OBSERVE,
    flags::OBSERVE_SERVICES,
    flags::COOKIES,
    flags::MORE_LIMITS,
];

/// A host with a TCP service on 80, another on 443 and a UDP one on 53.
fn host(chosen: u32, mode: u32, ttl_min: u32) -> World {
    let mut world = world();
    let all = FLAGS.iter().enumerate();
    world.config.flags = all.filter(|(i, _)| chosen >> i & 1 != 0).fold(0, |bits, (_, flag)| bits | flag);
    world.hints = Hints::default();
    for own in [SERVER, SERVER6] {
        world.hints.set_own(&address(own));
    }
    world.ports.tcp[443] = 2;
    world.ports.udp[53] = 3;
    world.ports.reflectors = reflector::bits(|_| false);
    let few = Limit::per_second(2, 3);
    let web =
        Service { syn_mode: mode, per_source: few, on: few, off: few, hold: 1_000_000_000, ..Service::NONE };
    world.config.services[1] = web;
    world.config.services[2] = Service { per_source_syn: few, ttl_min, ..web };
    world.config.services[3] = Service { per_source: few, ..Service::NONE };
    world.config.closed_ports = few;
    world.config.reply_window = 5_000_000_000;
    world.config.stray_on = few;
    world.config.stray_off = few;
    world.config.stray_hold = 1_000_000_000;
    world.connections.insert((5000, 80));
    world
}

/// A frame of one of the kinds that meet most of the stages.
fn frame(kind: u8, from: u8, port: usize) -> Vec<u8> {
    let v4 = [CLIENT, "192.31.196.8", "10.1.1.1", SERVER];
    let v6 = [CLIENT6, "2620:4f:8000:1::8", "fc00::1", SERVER6];
    let is_v6 = from & 4 != 0;
    let (source, server) =
        if is_v6 { (v6[from as usize & 3], SERVER6) } else { (v4[from as usize & 3], SERVER) };
    let port = [80, 443, 53, 9999][port];
    let mut tcp = Tcp::syn(source, server);
    tcp.header.destination_port = port;
    match kind {
        0 => {}
        1 | 2 => {
            (tcp.header.syn, tcp.header.ack, tcp.header.acknowledgment_number) = (false, true, 77);
            tcp.header.source_port = if kind == 1 { 5000 } else { 5001 };
        }
        3 => (tcp.header.syn, tcp.header.rst) = (false, true),
        4 => tcp.header.ack = true,
        5 => tcp.header.fin = true,
        6 => return udp((source, 123), (server, port), &[0; 12]),
        7 => return udp((source, 40_000), (server, port), &[0; 4]),
        _ => return echo(source, server, [8, 128], 7),
    }
    tcp.bytes()
}

/// One frame after another on both ways.
fn agree(one: &World, other: &World, steps: &[(u8, u8, usize, u64)]) -> Result<(), TestCaseError> {
    for (number, &(kind, from, port, gap)) in steps.iter().enumerate() {
        let bytes = frame(kind, from, port);
        let (mut a, mut b) = (Bytes::from(bytes.clone()), Bytes::from(bytes));
        let (short, long) = (judge(&mut a, one), whole(&mut b, other));
        prop_assert_eq!(short, long, "step {}", number);
        prop_assert_eq!(a, b, "step {}", number);
        one.advance(gap);
        other.advance(gap);
    }
    prop_assert_eq!(one.until_sample.get(), other.until_sample.get());
    Ok(())
}

proptest! {
    #[test]
    fn both_ways_agree(
        chosen in 0_u32..1 << FLAGS.len(),
        mode in prop::sample::select(vec![
            syn_mode::OFF, syn_mode::LIMIT, syn_mode::CHALLENGE, syn_mode::COOKIE, syn_mode::AUTO,
        ]),
        ttl_min in prop::sample::select(vec![0_u32, 0, 255]),
        steps in prop::collection::vec((0_u8..9, 0_u8..8, 0_usize..4, 0_u64..400_000_000), 1..150),
    ) {
        agree(&host(chosen, mode, ttl_min), &host(chosen, mode, ttl_min), &steps)?;
    }
}
