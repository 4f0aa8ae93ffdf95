//! Frames from a grammar: most of each is right, so that something wrong is reached deep in the pipeline, too.

use filter_tests::{
    packet::{CUSTOMER, PROVIDER, protocol},
    pair::{CLIENT_MAC, SERVER_MAC},
};

use crate::random::Random;

/// Where frames come from: nobody, everybody, this host, its networks, whom it trusts.
const SOURCES_V4: &[[u8; 4]] = &[
    [8, 8, 8, 8],
    [45, 1, 2, 3],
    [192, 31, 196, 1],
    [192, 31, 196, 2],
    [192, 31, 196, 255],
    [198, 51, 100, 7],
    [198, 51, 100, 8],
    [45, 77, 3, 9],
    [45, 9, 3, 9],
    [45, 10, 3, 9],
    [45, 11, 3, 9],
    [45, 78, 3, 9],
    [44, 7, 1, 1],
    [44, 8, 1, 1],
    [10, 9, 8, 7],
    [10, 1, 2, 3],
    [100, 64, 1, 1],
    [172, 16, 5, 5],
    [192, 168, 1, 1],
    [169, 254, 1, 1],
    [169, 254, 169, 254],
    [127, 0, 0, 1],
    [0, 0, 0, 0],
    [224, 0, 0, 1],
    [240, 1, 2, 3],
    [255, 255, 255, 255],
    [192, 0, 0, 9],
    [192, 0, 2, 1],
    [203, 0, 113, 5],
];
const TARGETS_V4: &[[u8; 4]] = &[
    [192, 31, 196, 2],
    [192, 31, 196, 2],
    [192, 31, 196, 2],
    [192, 31, 196, 2],
    [192, 31, 196, 2],
    [192, 31, 196, 2],
    [10, 9, 8, 1],
    [192, 31, 196, 255],
    [10, 9, 8, 255],
    [44, 1, 2, 3],
    [44, 1, 3, 3],
    [8, 8, 4, 4],
    [224, 0, 0, 251],
    [255, 255, 255, 255],
];
const SOURCES_V6: &[&str] = &[
    "2a00:1450::8",
    "2620:4f:8000::1",
    "2620:4f:8000::2",
    "2001:db8:7::1",
    "2001:db8:8::1",
    "2a00:77::9",
    "2a00:9::1",
    "2a00:10::1",
    "2a00:7:1::1",
    "2a00:8:1::1",
    "fd00:9::7",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "::",
    "::1",
    "::ffff:8.8.8.8",
    "::ffff:198.51.100.7",
    "64:ff9b::808:808",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2002:a01:203::1",
    "3fff::1",
    "5f00::1",
];
const TARGETS_V6: &[&str] = &[
    "2620:4f:8000::2",
    "2620:4f:8000::2",
    "2620:4f:8000::2",
    "2620:4f:8000::2",
    "2620:4f:8000::2",
    "2620:4f:8000::2",
    "fd00:9::1",
    "fe80::2",
    "ff02::1",
    "ff02::fb",
    "2a00:1450::9",
    "::ffff:192.31.196.2",
];
/// Services of [`crate::configs`], reflectors, DHCP, boundaries.
const PORTS: &[u16] =
    &[80, 81, 82, 90, 179, 53, 123, 5353, 5000, 5001, 443, 22, 67, 68, 546, 547, 0, 1, 1023, 65535];
const FLAGS: &[u8] = &[0x02, 0x02, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0xc2, 0, 0x29, 0x03, 0x06, 0x3f];
const ICMP: &[u8] = &[0, 3, 5, 8, 11, 13, 17];
const ICMP_V6: &[u8] = &[1, 2, 3, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 200];
const HEADERS: &[u8] = &[
    protocol::HOP_BY_HOP,
    protocol::ROUTING,
    protocol::FRAGMENT,
    protocol::AUTHENTICATION,
    protocol::DESTINATION,
];
const OTHERS: &[u8] =
    &[protocol::IGMP, protocol::ESP, protocol::NO_NEXT, protocol::ICMP, protocol::ICMPV6, 41, 47, 132, 135];

/// One frame.
pub(crate) fn frame(random: &mut Random) -> Vec<u8> {
    let mut frame = ethernet(random);
    if random.chance(15) {
        frame.extend(vec![0; random.below(24)]);
    }
    if random.chance(20) {
        mutate(&mut frame, random);
    }
    // The kernel takes none that is shorter.
    if frame.len() < 14 {
        frame.resize(14, 0);
    }
    frame
}

/// Bits turned, bytes swapped, the end cut off.
fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let (one, other) = (random.below(frame.len()), random.below(frame.len()));
        match random.below(4) {
            0 | 1 => frame[one] ^= 1 << random.below(8),
            2 => frame.swap(one, other),
            _ => frame.truncate(one.max(1)),
        }
    }
}

fn ethernet(random: &mut Random) -> Vec<u8> {
    let to = match random.below(20) {
        0 => [0xff; 6],
        1 => [1, 0, 0x5e, 0, 0, 0xfb],
        _ => SERVER_MAC,
    };
    let mut frame = [to, CLIENT_MAC].concat();
    for _ in 0..[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3][random.below(20)] {
        frame.extend(random.pick(&[CUSTOMER, PROVIDER]).to_be_bytes());
        frame.extend(random.half().to_be_bytes());
    }
    match random.below(40) {
        0 => {
            frame.extend(random.pick(&[0x0806, 0x88cc, 0x0000, 0x05dc, 0xffff_u16]).to_be_bytes());
            frame.extend(random.bytes(40));
        }
        1..=20 => {
            frame.extend(0x0800_u16.to_be_bytes());
            ipv4(&mut frame, random);
        }
        _ => {
            frame.extend(0x86dd_u16.to_be_bytes());
            ipv6(&mut frame, random);
        }
    }
    frame
}

fn ipv4(frame: &mut Vec<u8>, random: &mut Random) {
    let (number, payload) = transport(random, false);
    let options = if random.chance(12) { random.below(11) } else { 0 };
    let words = if random.chance(2) { random.below(16) } else { 5 + options };
    let version = if random.chance(2) { random.byte() & 15 } else { 4 };
    let fragment = match random.below(20) {
        0 => 0x2000,
        1 => random.half(),
        2 => 0x1fff,
        3 => random.pick(&[1, 0x2001, 0x8000]),
        4..=9 => 0x4000,
        _ => 0,
    };
    frame.extend([version << 4 | words as u8, random.byte()]);
    frame.extend(random.nearly((20 + options * 4 + payload.len()) as u16).to_be_bytes());
    frame.extend(random.half().to_be_bytes());
    frame.extend(fragment.to_be_bytes());
    frame.extend([hops(random), number, 0, 0]);
    let choices = if random.chance(40) { &SOURCES_V4[..1] } else { SOURCES_V4 };
    let source = v4(random, choices);
    let target = v4(random, TARGETS_V4);
    frame.extend(source);
    frame.extend(if random.chance(1) { source } else { target });
    // Nothing, a router alert and padding, a source route, noise.
    let kind = random.pick(&[&[1, 1, 1, 1][..], &[148, 4, 0, 0], &[131, 3, 4, 0], &[]]);
    let noise = random.bytes(options * 4 - kind.len().min(options * 4));
    frame.extend(&kind[..kind.len().min(options * 4)]);
    frame.extend(if kind.is_empty() { noise } else { vec![1; noise.len()] });
    frame.extend(payload);
}

fn ipv6(frame: &mut Vec<u8>, random: &mut Random) {
    let (number, payload) = transport(random, true);
    let headers = if random.chance(25) { random.below(9) } else { 0 };
    let kinds: Vec<u8> = (0..headers).map(|_| random.pick(HEADERS)).collect();
    let mut chain = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let next = kinds.get(index + 1).copied().unwrap_or(number);
        extension(&mut chain, *kind, next, random);
    }
    let version = if random.chance(2) { random.byte() & 15 } else { 6 };
    frame.extend([version << 4 | random.byte() & 15, 0, 0, 0]);
    frame.extend(random.nearly((chain.len() + payload.len()) as u16).to_be_bytes());
    frame.extend([kinds.first().copied().unwrap_or(number), hops(random)]);
    let choices = if random.chance(40) { &SOURCES_V6[..1] } else { SOURCES_V6 };
    let source = v6(random, choices);
    let target = v6(random, TARGETS_V6);
    frame.extend(source);
    frame.extend(if random.chance(1) { source } else { target });
    frame.extend(chain);
    frame.extend(payload);
}

fn extension(chain: &mut Vec<u8>, kind: u8, next: u8, random: &mut Random) {
    if kind == protocol::FRAGMENT {
        let offset = random.pick(&[0, 0, 1, 8, 0x0101, 0xfff9]);
        chain.extend([next, random.byte()]);
        chain.extend(u16::to_be_bytes(offset));
        chain.extend(random.bytes(4));
        return;
    }
    let units = 1 + random.below(3);
    let length = if kind == protocol::AUTHENTICATION { units * 2 - 2 } else { units - 1 };
    let length = if random.chance(4) { random.byte() } else { length as u8 };
    chain.extend([next, length]);
    chain.extend(random.bytes(units * 8 - 2));
}

fn transport(random: &mut Random, is_v6: bool) -> (u8, Vec<u8>) {
    match random.below(20) {
        0..=8 => (protocol::TCP, tcp(random)),
        9..=15 => (protocol::UDP, udp(random)),
        16..=18 if is_v6 => (protocol::ICMPV6, icmp(random, ICMP_V6)),
        16..=18 => (protocol::ICMP, icmp(random, ICMP)),
        _ => {
            let len = random.below(40);
            (random.pick(OTHERS), random.bytes(len))
        }
    }
}

fn tcp(random: &mut Random) -> Vec<u8> {
    let options = tcp_options(random);
    let flags = if random.chance(85) { random.pick(FLAGS) } else { random.byte() };
    let words = if random.chance(3) { random.below(16) } else { 5 + options.len() / 4 };
    let target = if random.chance(40) { random.pick(&[80, 90]) } else { port(random) };
    let mut bytes = [port(random).to_be_bytes(), target.to_be_bytes()].concat();
    bytes.extend(random.bytes(8));
    bytes.extend([(words << 4) as u8, flags]);
    bytes.extend(random.bytes(6));
    bytes.extend(options);
    if random.chance(30) {
        let len = random.below(60);
        bytes.extend(random.bytes(len));
    }
    bytes
}

/// Whole words: what Linux sends, parts of it, or noise.
fn tcp_options(random: &mut Random) -> Vec<u8> {
    const LINUX: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7];
    match random.below(4) {
        0 => LINUX.to_vec(),
        1 => LINUX[..random.below(6) * 4].to_vec(),
        2 => Vec::new(),
        _ => {
            let len = random.below(11) * 4;
            random.bytes(len)
        }
    }
}

fn udp(random: &mut Random) -> Vec<u8> {
    let len = if random.chance(10) { random.below(4) } else { random.below(48) };
    let mut bytes = [port(random).to_be_bytes(), port(random).to_be_bytes()].concat();
    bytes.extend(random.nearly(8 + len as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(random.bytes(len));
    bytes
}

fn icmp(random: &mut Random, kinds: &[u8]) -> Vec<u8> {
    let kind = if random.chance(90) { random.pick(kinds) } else { random.byte() };
    let mut bytes = vec![kind, random.pick(&[0, 0, 0, 1, 3, 4, 255])];
    if random.chance(50) {
        bytes.extend([0; 6]);
        bytes.extend(quoted(random, kinds == ICMP_V6));
    }
    let len = random.below(60);
    bytes.extend(random.bytes(len));
    bytes
}

/// A packet of this host, or nearly.
fn quoted(random: &mut Random, is_v6: bool) -> Vec<u8> {
    let number = random.pick(&[protocol::TCP, protocol::UDP, protocol::ICMP, protocol::FRAGMENT]);
    let mut bytes = if is_v6 {
        vec![0x60, 0, 0, 0, 0, 8, number, 64]
    } else {
        vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, number, 0, 0]
    };
    if is_v6 {
        bytes.extend(v6(random, TARGETS_V6));
        bytes.extend(v6(random, SOURCES_V6));
    } else {
        bytes.extend(v4(random, TARGETS_V4));
        bytes.extend(v4(random, SOURCES_V4));
    }
    bytes.extend([port(random).to_be_bytes(), port(random).to_be_bytes()].concat());
    bytes
}

fn port(random: &mut Random) -> u16 {
    if random.chance(80) { random.pick(PORTS) } else { random.half() }
}

fn hops(random: &mut Random) -> u8 {
    if random.chance(80) { random.pick(&[64, 64, 128, 255, 254, 1, 0]) } else { random.byte() }
}

fn v4(random: &mut Random, choices: &[[u8; 4]]) -> [u8; 4] {
    if random.chance(90) { random.pick(choices) } else { random.word().to_be_bytes() }
}

fn v6(random: &mut Random, choices: &[&str]) -> [u8; 16] {
    if random.chance(90) {
        return random.pick(choices).parse::<std::net::Ipv6Addr>().expect("an address").octets();
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&random.bytes(16));
    if random.chance(80) {
        bytes[0] = 0x20 | bytes[0] & 0x1f;
    }
    bytes
}
