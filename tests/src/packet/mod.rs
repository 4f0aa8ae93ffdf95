//! Frames, built and not pasted.
//!
//! Whatever is not said is right: lengths, checksums, a public source, hop limits. What is said is taken as
//! it is, however wrong. [`Packet::bytes`] can be truncated or overwritten for what no builder should know.

use std::net::IpAddr;

use crate::pair::{CLIENT_MAC, SERVER_MAC};

pub mod checksum;
pub mod control;
pub mod parse;
pub mod tcp;

use checksum::Sum;

/// `EtherType` of a customer's VLAN tag.
pub const CUSTOMER: u16 = 0x8100;
/// `EtherType` of a provider's VLAN tag (802.1ad).
pub const PROVIDER: u16 = 0x88a8;

/// Protocol numbers (IANA).
pub mod protocol {
    #![expect(missing_docs, reason = "the registry's names say it")]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION: u8 = 60;
}

/// An IP packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Packet {
    tags: Vec<(u16, u16)>,
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    options: Vec<u8>,
    fragment: u16,
    extensions: Vec<(u8, Vec<u8>)>,
    protocol: u8,
    transport: Vec<u8>,
}

/// A packet from `source` to `destination`, both of the same family.
///
/// # Panics
/// If an address is none.
#[must_use]
pub fn ip(source: &str, destination: &str) -> Packet {
    Packet {
        tags: Vec::new(),
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        hop_limit: 64,
        options: Vec::new(),
        fragment: 0,
        extensions: Vec::new(),
        protocol: protocol::NO_NEXT,
        transport: Vec::new(),
    }
}

impl Packet {
    /// Puts a VLAN tag of that `EtherType` in front of what is there.
    #[must_use]
    pub fn vlan(mut self, ethertype: u16, id: u16) -> Self {
        self.tags.insert(0, (ethertype, id));
        self
    }

    /// TTL or hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// IPv4 options, padded to a multiple of four with "end of options".
    #[must_use]
    pub fn ipv4_options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Makes it a fragment: `offset` in bytes. IPv6 gets a fragment header behind the extensions so far.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.fragment = (offset / 8) | (u16::from(more) << 13);
        } else {
            let word = (offset & 0xfff8) | u16::from(more);
            let [high, low] = word.to_be_bytes();
            self.extensions.push((protocol::FRAGMENT, vec![0, 0, high, low, 0, 0, 0, 7]));
        }
        self
    }

    /// An IPv6 extension header of that kind, `units` times 8 bytes long, filled with padding.
    #[must_use]
    pub fn extension(mut self, kind: u8, units: u8) -> Self {
        let mut header = vec![0; usize::from(units) * 8];
        // RFC 8200 counts 8-byte units beyond the first; RFC 4302 counts 4-byte units minus 2.
        header[1] = if kind == protocol::AUTHENTICATION { units * 2 - 2 } else { units - 1 };
        if matches!(kind, protocol::HOP_BY_HOP | protocol::DESTINATION) {
            // PadN
            header[2..4].copy_from_slice(&[1, (usize::from(units) * 8 - 4) as u8]);
        }
        self.extensions.push((kind, header));
        self
    }

    /// An IPv6 extension header with these bytes; the first is filled in.
    #[must_use]
    pub fn extension_of(mut self, kind: u8, header: &[u8]) -> Self {
        self.extensions.push((kind, header.to_vec()));
        self
    }

    /// A hop-by-hop header with the router alert of MLD (RFC 2711).
    #[must_use]
    pub fn router_alert(mut self) -> Self {
        self.extensions.push((protocol::HOP_BY_HOP, vec![0, 0, 5, 2, 0, 0, 1, 0]));
        self
    }

    /// Any payload, without a checksum.
    #[must_use]
    pub fn raw(mut self, protocol: u8, payload: &[u8]) -> Self {
        self.protocol = protocol;
        self.transport = payload.to_vec();
        self
    }

    /// UDP.
    #[must_use]
    pub fn udp(self, source: u16, destination: u16, payload: &[u8]) -> Self {
        let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        bytes.extend(((8 + payload.len()) as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(payload);
        self.checksummed(protocol::UDP, bytes, 6)
    }

    /// ICMP or `ICMPv6`; `body` is what follows the checksum.
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8, body: &[u8]) -> Self {
        let bytes = [&[kind, code, 0, 0], body].concat();
        if self.source.is_ipv6() {
            return self.checksummed(protocol::ICMPV6, bytes, 2);
        }
        let sum = Sum::default().plus(&bytes).checksum();
        let mut packet = self.raw(protocol::ICMP, &bytes);
        packet.transport[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// A ping, or the answer to one.
    #[must_use]
    pub fn echo(self, is_reply: bool, body: &[u8]) -> Self {
        let kind = match (self.source.is_ipv6(), is_reply) {
            (false, false) => 8,
            (false, true) => 0,
            (true, false) => 128,
            (true, true) => 129,
        };
        self.icmp(kind, 0, body)
    }

    /// "Fragmentation needed" or "packet too big" about `quoted`, of which it repeats what fits.
    #[must_use]
    pub fn too_big(self, quoted: &Self) -> Self {
        let (kind, code) = if self.source.is_ipv6() { (2, 0) } else { (3, 4) };
        self.icmp_about(kind, code, quoted)
    }

    /// An ICMP error about `quoted`, of which it repeats what fits.
    #[must_use]
    pub fn icmp_about(self, kind: u8, code: u8, quoted: &Self) -> Self {
        let packet = quoted.bytes().split_off(14);
        let most = packet.len().min(if self.source.is_ipv6() { 1232 } else { 548 });
        self.icmp(kind, code, &[&[0; 4], &packet[..most]].concat())
    }

    /// A transport whose checksum at `at` covers the pseudo header.
    fn checksummed(mut self, protocol: u8, mut bytes: Vec<u8>, at: usize) -> Self {
        let sum = Sum::pseudo(self.source, self.destination, protocol, bytes.len()).plus(&bytes).checksum();
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        self.protocol = protocol;
        self.transport = bytes;
        self
    }

    /// The frame.
    ///
    /// # Panics
    /// If source and destination are of two families.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (ethertype, packet) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x0800, self.ipv4(source.octets(), destination.octets()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (0x86dd, self.ipv6(source.octets(), destination.octets()))
            }
            _ => panic!("two families in one packet"),
        };
        ethernet(&self.tags, ethertype, &packet)
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let total = (header_len + self.transport.len()) as u16;
        let mut bytes = vec![0x40 | (header_len / 4) as u8, 0];
        bytes.extend(total.to_be_bytes());
        bytes.extend([0, 7]);
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol, 0, 0]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(&self.options);
        let sum = Sum::default().plus(&bytes).checksum();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(&self.transport);
        bytes
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let extensions: usize = self.extensions.iter().map(|(_, header)| header.len()).sum();
        let kinds = self.extensions.iter().map(|(kind, _)| *kind).chain([self.protocol]);
        let mut kinds = kinds.collect::<Vec<_>>().into_iter();
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((extensions + self.transport.len()) as u16).to_be_bytes());
        bytes.extend([kinds.next().unwrap_or(protocol::NO_NEXT), self.hop_limit]);
        bytes.extend(source);
        bytes.extend(destination);
        for ((_, header), next) in self.extensions.iter().zip(kinds) {
            bytes.push(next);
            bytes.extend(&header[1..]);
        }
        bytes.extend(&self.transport);
        bytes
    }
}

/// The same frame with one more VLAN tag of that `EtherType`, in front of those that it has.
#[must_use]
pub fn tagged(frame: &[u8], ethertype: u16, id: u16) -> Vec<u8> {
    [&frame[..12], &ethertype.to_be_bytes(), &id.to_be_bytes(), &frame[12..]].concat()
}

/// The same frame, sent to everybody on the link.
#[must_use]
pub fn broadcast(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].fill(0xff);
    frame
}

/// The same IPv6 frame, sent to every node on the link (RFC 2464 7).
#[must_use]
pub fn all_nodes(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    frame
}

/// A frame from the client's device to the server's.
#[must_use]
pub fn ethernet(tags: &[(u16, u16)], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [SERVER_MAC, CLIENT_MAC].concat();
    for (kind, id) in tags {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(id.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}
