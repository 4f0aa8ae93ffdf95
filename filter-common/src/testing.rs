//! Frames for this crate's tests, built and taken apart by `etherparse`.

use std::net::IpAddr;

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader,
    TcpOptionElement, TcpOptions,
};

use crate::packet::Address;

pub(crate) const CLIENT: &str = "192.31.196.7";
pub(crate) const SERVER: &str = "192.31.196.2";
pub(crate) const CLIENT6: &str = "2620:4f:8000::7";
pub(crate) const SERVER6: &str = "2620:4f:8000::2";

/// An address as the data path stores it.
pub(crate) fn address(text: &str) -> Address {
    match text.parse().expect("an address") {
        IpAddr::V4(v4) => Address::from_v4(u32::from_ne_bytes(v4.octets())),
        IpAddr::V6(v6) => {
            let o = v6.octets();
            let word = |i: usize| u32::from_ne_bytes(o[i..i + 4].try_into().expect("four"));
            Address([word(0), word(4), word(8), word(12)])
        }
    }
}

/// A TCP frame to be.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) header: TcpHeader,
    /// TPIDs of VLAN tags.
    pub(crate) vlans: Vec<u16>,
    /// IPv4 options or IPv6 extension headers in front of TCP, with the first next-header number.
    pub(crate) between: (u8, Vec<u8>),
    pub(crate) payload: Vec<u8>,
    pub(crate) fragment: (u16, bool),
}

/// The options that Linux sends.
pub(crate) fn linux_options() -> Vec<TcpOptionElement> {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale,
    };
    vec![
        MaximumSegmentSize(1460),
        SelectiveAcknowledgementPermitted,
        Timestamp(0x0102_0304, 0),
        Noop,
        WindowScale(7),
    ]
}

impl Tcp {
    /// A SYN from port 40000 to port 80.
    pub(crate) fn syn(source: &str, destination: &str) -> Self {
        let mut header = TcpHeader::new(40_000, 80, 0x1000_0000, 64_240);
        header.syn = true;
        Self {
            source: source.into(),
            destination: destination.into(),
            header,
            vlans: vec![],
            between: (6, vec![]),
            payload: vec![],
            fragment: (0, false),
        }
    }

    pub(crate) fn options(mut self, options: &[TcpOptionElement]) -> Self {
        let written = self.header.set_options(options);
        written.expect("options fit");
        self
    }

    pub(crate) fn raw_options(mut self, bytes: &[u8]) -> Self {
        self.header.options = TcpOptions::try_from_slice(bytes).expect("options fit");
        self
    }

    /// The frame's bytes, with right checksums.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut transport = Vec::new();
        let mut header = self.header.clone();
        let (source, destination) = (self.source.parse().expect("v"), self.destination.parse().expect("v"));
        header.checksum = match (source, destination) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                header.calc_checksum_ipv4_raw(s.octets(), d.octets(), &self.payload)
            }
            (IpAddr::V6(s), IpAddr::V6(d)) => {
                header.calc_checksum_ipv6_raw(s.octets(), d.octets(), &self.payload)
            }
            _ => panic!("one family"),
        }
        .expect("length");
        header.write(&mut transport).expect("to a Vec");
        transport.extend(&self.payload);
        let mut frame = self.link(source.is_ipv6());
        self.network(&mut frame, source, destination, transport.len());
        frame.extend(transport);
        frame
    }

    fn link(&self, is_v6: bool) -> Vec<u8> {
        let inner = if is_v6 { 0x86dd_u16 } else { 0x0800 };
        let types: Vec<u16> = self.vlans.iter().copied().chain([inner]).collect();
        let mut frame = Ethernet2Header {
            source: [2, 0, 0, 0, 0, 1],
            destination: [2, 0, 0, 0, 0, 2],
            ether_type: EtherType(types[0]),
        }
        .to_bytes()
        .to_vec();
        for (tag, ethertype) in types[1..].iter().enumerate() {
            frame.extend([0, tag as u8 + 5]);
            frame.extend(ethertype.to_be_bytes());
        }
        frame
    }

    fn network(&self, frame: &mut Vec<u8>, source: IpAddr, destination: IpAddr, length: usize) {
        let (first, between) = &self.between;
        match (source, destination) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                let mut ip = Ipv4Header::new(length as u16, 57, IpNumber::TCP, s.octets(), d.octets())
                    .expect("length");
                ip.options = between.as_slice().try_into().expect("options of whole words");
                ip.fragment_offset = IpFragOffset::try_new(self.fragment.0).expect("offset");
                ip.more_fragments = self.fragment.1;
                ip.set_payload_len(length).expect("length");
                ip.header_checksum = ip.calc_header_checksum();
                ip.write(frame).expect("to a Vec");
            }
            (IpAddr::V6(s), IpAddr::V6(d)) => {
                let ip = Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: (between.len() + length) as u16,
                    next_header: IpNumber(*first),
                    hop_limit: 57,
                    source: s.octets(),
                    destination: d.octets(),
                };
                ip.write(frame).expect("to a Vec");
                frame.extend(between);
            }
            _ => unreachable!("bytes() checked"),
        }
    }
}

/// Any IP frame to be: what is not said is right.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) source: &'static str,
    pub(crate) destination: &'static str,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// Sent to the link's broadcast address.
    pub(crate) broadcast: bool,
    /// Offset in bytes, and whether more follow. IPv6 gets a header behind the extensions.
    pub(crate) fragment: Option<(u16, bool)>,
    /// IPv4 options, whole words.
    pub(crate) options: Vec<u8>,
    /// IPv6 extension headers; the first byte of each is filled in.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    /// From the client to the server.
    pub(crate) fn new(is_v6: bool, protocol: u8, payload: &[u8]) -> Self {
        let (source, destination) = if is_v6 { (CLIENT6, SERVER6) } else { (CLIENT, SERVER) };
        Self {
            source,
            destination,
            protocol,
            ttl: 57,
            broadcast: false,
            fragment: None,
            options: vec![],
            extensions: vec![],
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn fragment(self, offset: u16, more: bool) -> Self {
        Self { fragment: Some((offset, more)), ..self }
    }

    /// With one more IPv6 extension header.
    pub(crate) fn extension(mut self, kind: u8, header: &[u8]) -> Self {
        self.extensions.push((kind, header.to_vec()));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = if self.broadcast { vec![255; 6] } else { vec![2, 0, 0, 0, 0, 2] };
        frame.extend([2, 0, 0, 0, 0, 1]);
        match (self.source.parse().expect("v"), self.destination.parse().expect("v")) {
            (IpAddr::V4(s), IpAddr::V4(d)) => self.v4(&mut frame, s.octets(), d.octets()),
            (IpAddr::V6(s), IpAddr::V6(d)) => self.v6(&mut frame, s.octets(), d.octets()),
            _ => panic!("one family"),
        }
        frame.extend(&self.payload);
        frame
    }

    fn v4(&self, frame: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4]) {
        let header = 20 + self.options.len();
        let (offset, more) = self.fragment.unwrap_or((0, false));
        frame.extend([8, 0, 0x40 | (header / 4) as u8, 0]);
        frame.extend(((header + self.payload.len()) as u16).to_be_bytes());
        frame.extend([0, 7]);
        frame.extend((offset >> 3 | u16::from(more) << 13).to_be_bytes());
        frame.extend([self.ttl, self.protocol, 0, 0]);
        frame.extend(source);
        frame.extend(destination);
        frame.extend(&self.options);
    }

    fn v6(&self, frame: &mut Vec<u8>, source: [u8; 16], destination: [u8; 16]) {
        let mut chain = self.extensions.clone();
        if let Some((offset, more)) = self.fragment {
            let [high, low] = (offset | u16::from(more)).to_be_bytes();
            chain.push((44, vec![0, 0, high, low, 0, 0, 0, 7]));
        }
        let length: usize = chain.iter().map(|(_, header)| header.len()).sum();
        let mut kinds: Vec<u8> = chain.iter().map(|(kind, _)| *kind).collect();
        kinds.push(self.protocol);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(((length + self.payload.len()) as u16).to_be_bytes());
        frame.extend([kinds[0], self.ttl]);
        frame.extend(source);
        frame.extend(destination);
        for ((_, header), next) in chain.iter().zip(&kinds[1..]) {
            frame.push(*next);
            frame.extend(&header[1..]);
        }
    }
}
