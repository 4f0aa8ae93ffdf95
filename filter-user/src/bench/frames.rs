//! The frames that are measured.

use std::net::{IpAddr, Ipv6Addr};

use crate::dataplane::measure::Places;

/// Shortest frame that comes out of a NIC, without its checksum.
const SHORTEST: usize = 60;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// TCP flags.
pub mod flag {
    /// No more data.
    pub const FIN: u8 = 1;
    /// Opens.
    pub const SYN: u8 = 2;
    /// Push.
    pub const PSH: u8 = 8;
    /// Acknowledges.
    pub const ACK: u8 = 16;
}

/// What Linux puts into a SYN: MSS, SACK, timestamps, window scale.
pub const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
/// What Linux puts into any other segment: timestamps.
pub const OPTIONS: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 5, 9, 8, 7, 6];

/// A frame, and where its source lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where its source lies.
    pub places: Places,
}

/// Who sends to whom: addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Sender.
    pub source: IpAddr,
    /// Receiver, of the same family.
    pub destination: IpAddr,
    /// Ports of both.
    pub ports: [u16; 2],
    /// With one VLAN tag.
    pub tagged: bool,
}

impl Ends {
    /// Without a tag, from a port of a client.
    #[must_use]
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, port: u16) -> Self {
        let (source, destination) = (source.into(), destination.into());
        Self { source, destination, ports: [40_000, port], tagged: false }
    }

    /// A TCP segment.
    #[must_use]
    pub fn tcp(&self, flags: u8, options: &[u8], payload: &[u8]) -> Frame {
        let mut segment = self.ports.map(u16::to_be_bytes).concat();
        segment.extend(0x1234_5678_u32.to_be_bytes());
        // "If the ACK control bit is set" (RFC 9293 3.1)
        let acknowledgment: u32 = if flags & flag::ACK == 0 { 0 } else { 0x2345_6789 };
        segment.extend(acknowledgment.to_be_bytes());
        segment.extend([(5 + options.len() as u8 / 4) << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        segment.extend(options);
        segment.extend(payload);
        self.frame(TCP, segment, 16)
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(&self, payload: &[u8]) -> Frame {
        let mut datagram = self.ports.map(u16::to_be_bytes).concat();
        datagram.extend((8 + payload.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        self.frame(UDP, datagram, 6)
    }

    /// A ping.
    #[must_use]
    pub fn echo(&self) -> Frame {
        let is_v4 = self.source.is_ipv4();
        let mut message = vec![if is_v4 { 8 } else { 128 }, 0, 0, 0, 0, 7, 0, 1];
        message.extend([0; 32]);
        let frame = self.frame(if is_v4 { ICMP } else { ICMPV6 }, message, 2);
        if !is_v4 {
            return frame;
        }
        // ICMPv4 sums no pseudo-header.
        let mut bytes = frame.bytes;
        let at = if self.tagged { 38 } else { 34 };
        bytes[at + 2..at + 4].fill(0);
        let sum = checksum(&bytes[at..at + 40]);
        bytes[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
        Frame { bytes, ..frame }
    }

    fn frame(&self, protocol: u8, mut transport: Vec<u8>, sum: usize) -> Frame {
        let pseudo = self.pseudo(protocol, transport.len());
        let checksum = checksum(&[pseudo.as_slice(), transport.as_slice()].concat());
        transport[sum..sum + 2].copy_from_slice(&checksum.to_be_bytes());
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        if self.tagged {
            bytes.extend([0x81, 0, 0, 7]);
        }
        bytes.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        let network = bytes.len();
        bytes.extend(self.header(protocol, transport.len()));
        let half = |offset: usize| offset as u64 / 2;
        let at_transport = half(bytes.len() + sum);
        let places = if self.source.is_ipv4() {
            Places { source: half(network + 12), sums: [half(network + 10), at_transport] }
        } else {
            // The second word: other /64s of one /32.
            Places { source: half(network + 12), sums: [0, at_transport] }
        };
        bytes.extend(transport);
        bytes.resize(bytes.len().max(SHORTEST), 0);
        Frame { bytes, places }
    }

    fn header(&self, protocol: u8, length: usize) -> Vec<u8> {
        let mut header = if self.source.is_ipv4() {
            let [high, low] = (20 + length as u16).to_be_bytes();
            vec![0x45, 0, high, low, 0, 7, 0x40, 0, 57, protocol, 0, 0]
        } else {
            let [high, low] = (length as u16).to_be_bytes();
            vec![0x60, 0, 0, 0, high, low, protocol, 57]
        };
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        if self.source.is_ipv4() {
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        header
    }

    fn pseudo(&self, protocol: u8, length: usize) -> Vec<u8> {
        let mut pseudo = octets(self.source);
        pseudo.extend(octets(self.destination));
        pseudo.extend((length as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, protocol]);
        pseudo
    }
}

/// The address with other second 32 bits, as they lie in a packet.
#[must_use]
pub fn with_second_word(address: Ipv6Addr, word: u32) -> Ipv6Addr {
    let mut octets = address.octets();
    octets[4..8].copy_from_slice(&word.to_ne_bytes());
    octets.into()
}

/// A header that contradicts itself: 16 bytes long.
#[must_use]
pub fn malformed(mut frame: Frame) -> Frame {
    frame.bytes[14] = 0x44;
    frame
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| (*b).into()));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const V4: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(45, 1, 2, 3), Ipv4Addr::new(192, 31, 196, 2));
    const V6: (Ipv6Addr, Ipv6Addr) =
        (Ipv6Addr::new(0x2a00, 0, 1, 2, 0, 0, 0, 7), Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 2));

    /// A right checksum makes the sum of everything that it covers zero.
    fn is_right(ends: &Ends, frame: &Frame, protocol: u8, transport: &[u8]) -> bool {
        let network = if ends.tagged { 18 } else { 14 };
        let header = ends.source.is_ipv6() || checksum(&frame.bytes[network..network + 20]) == 0;
        header && checksum(&[&ends.pseudo(protocol, transport.len()), transport].concat()) == 0
    }

    #[test]
    fn checksums_are_right() {
        let v4 = Ends::new(V4.0, V4.1, 80);
        let syn = v4.tcp(flag::SYN, &SYN_OPTIONS, &[]);
        assert_eq!(syn.bytes.len(), 74);
        assert!(is_right(&v4, &syn, TCP, &syn.bytes[34..]));
        let v6 = Ends::new(V6.0, V6.1, 443);
        let data = v6.tcp(flag::ACK, &OPTIONS, b"odd");
        assert!(is_right(&v6, &data, TCP, &data.bytes[54..]));
        let tagged = Ends { tagged: true, ..v4 };
        let udp = tagged.udp(b"a datagram of some length");
        assert!(is_right(&tagged, &udp, UDP, &udp.bytes[38..]));
        assert_eq!(v4.tcp(flag::ACK, &[], &[]).bytes.len(), 60, "padded");
    }

    #[test]
    fn places_are_where_the_source_and_its_checksums_lie() {
        for (ends, other) in [
            (Ends::new(V4.0, V4.1, 80), Ends::new(Ipv4Addr::new(99, 98, 97, 96), V4.1, 80)),
            (
                Ends { tagged: true, ..Ends::new(V4.0, V4.1, 80) },
                Ends { tagged: true, ..Ends::new(Ipv4Addr::new(99, 98, 97, 96), V4.1, 80) },
            ),
            (Ends::new(V6.0, V6.1, 80), Ends::new(with_second_word(V6.0, 0x0102_0304), V6.1, 80)),
        ] {
            for (frame, other) in [
                (ends.tcp(flag::ACK, &OPTIONS, b"data"), other.tcp(flag::ACK, &OPTIONS, b"data")),
                (ends.udp(b"data"), other.udp(b"data")),
            ] {
                let Places { source, sums } = frame.places;
                let halves: Vec<_> = frame.bytes.chunks(2).zip(other.bytes.chunks(2)).collect();
                let differ: Vec<u64> =
                    (0..).zip(&halves).filter(|(_, (a, b))| a != b).map(|(index, _)| index).collect();
                let mut expected = vec![source, source + 1];
                expected.extend(sums.iter().filter(|place| **place != 0));
                expected.sort_unstable();
                assert_eq!(differ, expected, "{ends:?}");
            }
        }
    }
}
