//! A frame from a description, or from hexadecimal digits.

use std::{net::IpAddr, str::FromStr};

use crate::{bench::frames::checksum, dataplane::rehearsal::LONGEST};

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment with these ports and flags.
    Tcp([u16; 2], Flags),
    /// A UDP datagram with these ports.
    Udp([u16; 2]),
    /// An ICMP message, of the addresses' family, of that type and code.
    Icmp([u8; 2]),
    /// Any other protocol.
    Other(u8),
}

/// TCP flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

/// Their letters, from the lowest bit on.
const LETTERS: &str = "FSRPAUEC";

impl FromStr for Flags {
    type Err = String;

    /// Letters, `S` for SYN and so on; `none` for none.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(0));
        }
        let bit = |letter: char| LETTERS.find(letter.to_ascii_uppercase()).map(|bit| 1 << bit);
        let bits = text.chars().map(bit).try_fold(0, |all, bit: Option<u8>| Some(all | bit?));
        bits.filter(|bits| *bits != 0)
            .map(Self)
            .ok_or_else(|| format!("letters of {LETTERS} (S is SYN, A is ACK, .. C is CWR), or none"))
    }
}

impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set = (0..).zip(names).filter(|(bit, _)| self.0 >> bit & 1 != 0).map(|(_, name)| name);
        let text = set.collect::<Vec<_>>().join("+");
        f.write_str(if text.is_empty() { "no flags" } else { &text })
    }
}

/// Which part of a packet a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fragment {
    /// The first of several.
    First,
    /// One in the middle: without ports.
    Later,
    /// The last: without ports.
    Last,
}

/// A packet in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Sender.
    pub source: IpAddr,
    /// Receiver, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub transport: Transport,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of the IP packet; `None`: as many as its headers have.
    pub length: Option<u16>,
    /// VLAN ids, the outer one first.
    pub tags: Vec<u16>,
    /// Whether it is a fragment.
    pub fragment: Option<Fragment>,
}

/// Where a later fragment goes, in units of 8 bytes: behind every transport header.
const OFFSET: u16 = 185;
/// Shortest frame that comes out of a card, without its checksum.
const SHORTEST: usize = 60;
const FRAGMENT_HEADER: u8 = 44;

impl Description {
    /// The frame, with right checksums.
    pub fn frame(&self) -> Result<Vec<u8>, String> {
        if self.source.is_ipv4() != self.destination.is_ipv4() {
            return Err("source and destination are of two families".to_owned());
        }
        let headers = if self.source.is_ipv4() { 20 } else { 40 + self.fragment.map_or(0, |_| 8) };
        let mut payload = self.transport(headers)?;
        self.put_checksum(&mut payload);
        let mut frame = self.ethernet();
        let length = u16::try_from(headers + payload.len()).map_err(|_| "longer than an IP packet can be")?;
        if self.source.is_ipv4() {
            self.ipv4(&mut frame, length);
        } else {
            self.ipv6(&mut frame, length);
        }
        frame.extend(payload);
        frame.resize(frame.len().max(SHORTEST), 0);
        Ok(frame)
    }

    fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp(..) => 6,
            Transport::Udp(_) => 17,
            Transport::Icmp(_) if self.source.is_ipv4() => 1,
            Transport::Icmp(_) => 58,
            Transport::Other(number) => number,
        }
    }

    fn has_ports(&self) -> bool {
        !matches!(self.fragment, Some(Fragment::Later | Fragment::Last))
    }

    /// Header and data; without checksum.
    fn transport(&self, headers: usize) -> Result<Vec<u8>, String> {
        let mut bytes = match self.transport {
            _ if !self.has_ports() => vec![0; 8],
            Transport::Tcp(ports, flags) => {
                let mut segment = ports.map(u16::to_be_bytes).concat();
                segment.extend([0x12, 0x34, 0x56, 0x78]);
                // "If the ACK control bit is set" (RFC 9293 3.1)
                segment.extend(if flags.0 & 16 == 0 { [0; 4] } else { [0x23, 0x45, 0x67, 0x89] });
                segment.extend([5 << 4, flags.0, 0xfa, 0xf0, 0, 0, 0, 0]);
                segment
            }
            Transport::Udp(ports) => [ports.map(u16::to_be_bytes).concat(), vec![0; 4]].concat(),
            Transport::Icmp([kind, code]) => vec![kind, code, 0, 0, 0, 1, 0, 1],
            Transport::Other(_) => Vec::new(),
        };
        if let Some(length) = self.length {
            let room = usize::from(length).checked_sub(headers + bytes.len());
            let room =
                room.ok_or_else(|| format!("its headers alone are {} bytes", headers + bytes.len()))?;
            bytes.resize(bytes.len() + room, 0);
        }
        if matches!(self.fragment, Some(Fragment::First | Fragment::Later)) {
            // "each, except possibly the last, being an integer multiple of 8 octets long" (RFC 8200 4.5)
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        if let (Transport::Udp(_), true) = (self.transport, self.has_ports()) {
            let length = u16::try_from(bytes.len()).map_err(|_| "longer than a datagram can be")?;
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
        }
        Ok(bytes)
    }

    fn put_checksum(&self, bytes: &mut [u8]) {
        let place = match self.transport {
            _ if !self.has_ports() => return,
            Transport::Tcp(..) => 16,
            Transport::Udp(_) => 6,
            Transport::Icmp(_) => 2,
            Transport::Other(_) => return,
        };
        let mut covered = Vec::new();
        if !(self.source.is_ipv4() && matches!(self.transport, Transport::Icmp(_))) {
            covered = [octets(self.source), octets(self.destination)].concat();
            covered.extend((bytes.len() as u32).to_be_bytes());
            covered.extend([0, 0, 0, self.protocol()]);
        }
        covered.extend(&*bytes);
        bytes[place..place + 2].copy_from_slice(&checksum(&covered).to_be_bytes());
    }

    fn ethernet(&self) -> Vec<u8> {
        let mut frame = match self.destination {
            IpAddr::V4(v4) if v4.is_broadcast() => vec![0xff; 6],
            // RFC 1112 6.4
            IpAddr::V4(v4) if v4.is_multicast() => {
                let [_, b, c, d] = v4.octets();
                vec![1, 0, 0x5e, b & 0x7f, c, d]
            }
            // RFC 2464 7
            IpAddr::V6(v6) if v6.is_multicast() => [&[0x33, 0x33], &v6.octets()[12..]].concat(),
            _ => vec![2, 0, 0, 0, 0, 2],
        };
        frame.extend([2, 0, 0, 0, 0, 1]);
        for tag in &self.tags {
            frame.extend([0x81, 0]);
            frame.extend((tag & 0xfff).to_be_bytes());
        }
        frame.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame
    }

    /// Offset and "more fragments" of the fragment.
    fn place(&self) -> (u16, bool) {
        match self.fragment {
            None => (0, false),
            Some(Fragment::First) => (0, true),
            Some(Fragment::Later) => (OFFSET, true),
            Some(Fragment::Last) => (OFFSET, false),
        }
    }

    fn ipv4(&self, frame: &mut Vec<u8>, length: u16) {
        let start = frame.len();
        let (offset, more) = self.place();
        frame.extend([0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 7]);
        frame.extend((offset | u16::from(more) << 13).to_be_bytes());
        frame.extend([self.ttl, self.protocol(), 0, 0]);
        frame.extend(octets(self.source));
        frame.extend(octets(self.destination));
        let sum = checksum(&frame[start..]);
        frame[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    }

    fn ipv6(&self, frame: &mut Vec<u8>, length: u16) {
        let first = if self.fragment.is_some() { FRAGMENT_HEADER } else { self.protocol() };
        frame.extend([0x60, 0, 0, 0]);
        frame.extend((length - 40).to_be_bytes());
        frame.extend([first, self.ttl]);
        frame.extend(octets(self.source));
        frame.extend(octets(self.destination));
        if self.fragment.is_some() {
            let (offset, more) = self.place();
            frame.extend([self.protocol(), 0]);
            frame.extend((offset << 3 | u16::from(more)).to_be_bytes());
            frame.extend([0, 0, 0, 7]);
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The frame that is written in hexadecimal digits; blanks, colons and line ends between bytes are skipped.
pub fn of_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let digit = |c: &char| c.to_digit(16).ok_or_else(|| format!("{c:?} is no hexadecimal digit"));
    let values = digits.iter().map(digit).collect::<Result<Vec<_>, _>>()?;
    if !values.len().is_multiple_of(2) {
        return Err("half a byte is left over".to_owned());
    }
    if values.len() / 2 > LONGEST {
        return Err(format!("more than {LONGEST} bytes"));
    }
    Ok(values.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

/// The digits of a frame.
#[must_use]
pub fn to_hex(frame: &[u8]) -> String {
    let digits = frame.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow::{Break, Continue};

    use filter_common::{
        packet::{self, Packet, parse},
        world::Bytes,
    };

    use super::*;

    fn description(source: &str, destination: &str, transport: Transport) -> Description {
        Description {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            transport,
            ttl: 57,
            length: None,
            tags: Vec::new(),
            fragment: None,
        }
    }

    fn parsed(description: &Description) -> Packet {
        match parse(&Bytes::from(description.frame().unwrap())) {
            Continue(packet) => packet,
            Break(reason) => panic!("{reason:?}"),
        }
    }

    #[test]
    fn what_is_described_is_what_the_parser_reads() {
        for (source, destination) in [("9.9.9.9", "192.31.196.2"), ("2a00::1", "2620:4f:8000::2")] {
            let syn = description(source, destination, Transport::Tcp([1, 80], Flags(2)));
            let packet = parsed(&Description { tags: vec![7, 8], length: Some(1000), ..syn.clone() });
            assert!(packet.is_syn() && packet.ttl == 57 && packet.l3 == 22 && packet.length == 1000);
            assert_eq!((packet.ports.source, packet.ports.destination), (1, 80));
            let udp = parsed(&description(source, destination, Transport::Udp([53, 9])));
            assert!(udp.is_udp() && udp.ports.source == 53);
            let ping = parsed(&description(source, destination, Transport::Icmp([3, 1])));
            assert!(ping.is_icmp() && (ping.icmp_type, ping.icmp_code) == (3, 1));
            assert_eq!(parsed(&description(source, destination, Transport::Other(50))).protocol, 50);
            for (fragment, expected) in [
                (Fragment::First, packet::Fragment::First),
                (Fragment::Later, packet::Fragment::Later),
                (Fragment::Last, packet::Fragment::Later),
            ] {
                let packet = parsed(&Description { fragment: Some(fragment), ..syn.clone() });
                assert_eq!(packet.fragment, expected);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let udp = description("9.9.9.9", "192.31.196.2", Transport::Udp([1, 2]));
        assert!(Description { length: Some(27), ..udp.clone() }.frame().unwrap_err().contains("28 bytes"));
        assert!(Description { destination: "::1".parse().unwrap(), ..udp }.frame().is_err());
    }

    #[test]
    fn flags_are_letters() {
        assert_eq!("SA".parse(), Ok(Flags(0x12)));
        assert_eq!("none".parse(), Ok(Flags(0)));
        assert_eq!((Flags(0x12).to_string(), Flags(0).to_string()), ("SYN+ACK".into(), "no flags".into()));
        assert!("".parse::<Flags>().is_err() && "SX".parse::<Flags>().is_err());
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(of_hex("ff:00 0a\n1B").unwrap(), [255, 0, 10, 27]);
        assert_eq!(to_hex(&[255, 0, 10, 27]), "ff000a1b");
        assert!(of_hex("f").is_err() && of_hex("0g").is_err() && of_hex(&"00".repeat(LONGEST + 1)).is_err());
    }
}
