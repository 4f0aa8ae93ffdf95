//! A packet in a line, and what is told of it besides.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::ControlFlow::{Break, Continue},
};

use filter_common::{
    packet::{Address, Fragment, Packet, parse},
    world::Bytes,
};
use serde::{Deserialize, Serialize};

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

/// What people want to know of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Told {
    /// Who sent it, as it says itself.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// `tcp`, `udp`, `icmp` (ICMPv6 as well), or the protocol's number.
    pub protocol: String,
    /// Source and destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<[u16; 2]>,
    /// Set TCP flags, as `SYN+ACK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// ICMP type and code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<[u8; 2]>,
    /// TTL or hop limit.
    pub ttl: u8,
    /// `first` or `later`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment: Option<String>,
}

impl Told {
    /// Of a packet.
    #[must_use]
    pub fn new(packet: &Packet) -> Self {
        let protocol = match packet {
            _ if packet.is_tcp() => "tcp".to_owned(),
            _ if packet.is_udp() => "udp".to_owned(),
            _ if packet.is_icmp() => "icmp".to_owned(),
            _ => packet.protocol.to_string(),
        };
        let has_ports = packet.is_tcp() || packet.is_udp();
        let fragment = match packet.fragment {
            Fragment::No => None,
            Fragment::First => Some("first"),
            Fragment::Later => Some("later"),
        };
        Self {
            source: address(&packet.source),
            destination: address(&packet.destination),
            protocol,
            ports: has_ports.then_some([packet.ports.source, packet.ports.destination]),
            flags: packet.is_tcp().then(|| Flags(packet.tcp.flags).to_string()),
            icmp: packet.is_icmp().then_some([packet.icmp_type, packet.icmp_code]),
            ttl: packet.ttl,
            fragment: fragment.map(str::to_owned),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, .. } = self;
        match self.protocol.parse::<u8>() {
            Err(_) => write!(f, "{} ", self.protocol.to_ascii_uppercase())?,
            Ok(_) => f.write_str("IP ")?,
        }
        match self.ports {
            Some([from, to]) => {
                write!(f, "{} > {}", SocketAddr::new(*source, from), SocketAddr::new(*destination, to))?;
            }
            None => write!(f, "{source} > {destination}")?,
        }
        if let Some(flags) = &self.flags {
            write!(f, " {flags}")?;
        }
        if let Some([kind, code]) = self.icmp {
            write!(f, " type {kind} code {code}")?;
        }
        if let Ok(number) = self.protocol.parse::<u8>() {
            write!(f, " protocol {number}")?;
        }
        write!(f, ", TTL {}", self.ttl)?;
        self.fragment.as_ref().map_or(Ok(()), |part| write!(f, ", {part} fragment"))
    }
}

/// What it is, from whom to whom.
#[must_use]
pub fn line(frame: &[u8]) -> String {
    let bytes = frame.len();
    match read(frame) {
        Some(packet) => format!("{}, {bytes} bytes", Told::new(&packet)),
        None => format!("{bytes} bytes that are no whole IP packet"),
    }
}
