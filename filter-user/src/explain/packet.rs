//! A packet in a line.

use std::{
    net::{IpAddr, Ipv6Addr},
    ops::ControlFlow::{Break, Continue},
};

use filter_common::{
    packet::{Address, Fragment, Packet, parse},
    world::Bytes,
};

use super::frame::Flags;

/// The meaning of a frame; `None` if it has none.
#[must_use]
pub fn read(frame: &[u8]) -> Option<Packet> {
    match parse(&Bytes::from(frame.to_vec())) {
        Continue(packet) => Some(packet),
        Break(_) => None,
    }
}

/// An address as people write it.
#[must_use]
pub fn address(address: &Address) -> IpAddr {
    let mut octets = [0; 16];
    for (place, word) in octets.as_chunks_mut().0.iter_mut().zip(address.0) {
        *place = word.to_ne_bytes();
    }
    Ipv6Addr::from(octets).to_canonical()
}

/// What it is, from whom to whom.
#[must_use]
pub fn line(frame: &[u8]) -> String {
    let bytes = frame.len();
    let Some(packet) = read(frame) else { return format!("{bytes} bytes that are no whole IP packet") };
    let (source, destination) = (address(&packet.source), address(&packet.destination));
    let with_port = |address: IpAddr, port| std::net::SocketAddr::new(address, port).to_string();
    let ends = if packet.is_tcp() || packet.is_udp() {
        let ports = packet.ports;
        format!("{} > {}", with_port(source, ports.source), with_port(destination, ports.destination))
    } else {
        format!("{source} > {destination}")
    };
    let what = if packet.is_tcp() {
        format!("TCP {ends} {}", Flags(packet.tcp.flags))
    } else if packet.is_udp() {
        format!("UDP {ends}")
    } else if packet.is_icmp() {
        format!("ICMP {ends} type {} code {}", packet.icmp_type, packet.icmp_code)
    } else {
        format!("IP {ends} protocol {}", packet.protocol)
    };
    let fragment = match packet.fragment {
        Fragment::No => "",
        Fragment::First => ", first fragment",
        Fragment::Later => ", later fragment",
    };
    format!("{what}, TTL {}, {bytes} bytes{fragment}", packet.ttl)
}
