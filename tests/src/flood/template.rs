//! What the attacker is told, and the frame that it starts from.

use std::{net::IpAddr, time::Duration};

use crate::{
    lab::abi::{self, Generate},
    packet::{
        all_nodes, broadcast,
        checksum::Sum,
        ip,
        tcp::{self, flag, linux_options},
    },
    pair::Family,
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
    /// UDP from that port with so many bytes (at most 64): what reflectors send, or junk.
    Udp(u16, usize),
    /// Pings.
    Ping,
    /// Answers to pings that nobody sent: what a Smurf's victim gets.
    PingReply,
    /// Pings to everybody on the link.
    Smurf,
    /// Errors about connections of the server that there are not: a packet was too big.
    IcmpError,
    /// Later fragments of datagrams that have no first one.
    Fragment,
}

impl Segment {
    /// Every kind of TCP.
    pub const ALL: [Self; 6] = [Self::Syn, Self::Ack, Self::Data, Self::Fin, Self::Rst, Self::SynAck];

    /// The stack's counter (`snmp`) that says that it has worked on one; none for TCP, which is answered.
    #[must_use]
    pub fn counter(self, family: Family) -> Option<&'static str> {
        let [v4, v6] = match self {
            Self::Udp(..) => ["UdpNoPorts", "Udp6NoPorts"],
            Self::Ping => ["IcmpOutEchoReps", "Icmp6OutEchoReplies"],
            Self::Smurf => ["IcmpInEchos", "Icmp6InEchos"],
            Self::PingReply => ["IcmpInEchoReps", "Icmp6InEchoReplies"],
            Self::IcmpError => ["IcmpInDestUnreachs", "Icmp6InPktTooBigs"],
            Self::Fragment => ["IpReasmReqds", "Ip6ReasmReqds"],
            _ => return None,
        };
        Some(if family == Family::V4 { v4 } else { v6 })
    }

    /// Where in its header the checksum is, if it covers the source.
    fn checksum(self, family: Family) -> Option<usize> {
        match self {
            Self::Udp(..) => Some(6),
            Self::Ping | Self::PingReply | Self::Smurf | Self::IcmpError => {
                (family == Family::V6).then_some(2)
            }
            Self::Fragment => None,
            _ => Some(16),
        }
    }
}

/// Where it pretends to come from. Ports and sequence numbers are always new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// IPv4: 32.0.0.0 to 63.255.255.255.
    AnyV4,
    /// IPv6: `2600::/16`.
    AnyV6,
    /// As [`Source::AnyV4`], but counted from that number on, in scattered order: 2^29 frames without a source twice.
    EachV4(u32),
    /// As [`Source::AnyV6`], likewise: 2^32 frames, each from another /64.
    EachV6(u32),
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

impl From<Family> for Source {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::AnyV4,
            Family::V6 => Self::AnyV6,
        }
    }
}

/// Offsets in a frame.
struct Layout {
    protocol: usize,
    source: usize,
    transport: usize,
}

impl Layout {
    const fn of(family: Family) -> Self {
        match family {
            Family::V4 => Self { protocol: 23, source: 26, transport: 34 },
            Family::V6 => Self { protocol: 20, source: 22, transport: 54 },
        }
    }
}

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

    fn family(&self) -> Family {
        match self.source {
            Source::AnyV4 | Source::EachV4(_) | Source::SomeV4(_) | Source::One(IpAddr::V4(_)) => Family::V4,
            Source::AnyV6 | Source::EachV6(_) | Source::One(IpAddr::V6(_)) => Family::V6,
        }
    }

    fn is_tcp(&self) -> bool {
        Segment::ALL.contains(&self.segment)
    }

    fn flags(&self) -> u32 {
        let source = match self.source {
            Source::One(_) => 0,
            Source::EachV4(_) | Source::EachV6(_) => abi::RANDOM_SOURCE | abi::NUMBERED,
            _ => abi::RANDOM_SOURCE,
        };
        let family = if self.family() == Family::V6 { abi::IPV6 } else { 0 };
        let rest = match self.segment {
            _ if !self.is_tcp() => abi::ONLY_SOURCE,
            Segment::Syn | Segment::Rst => 0,
            _ => abi::RANDOM_ACK,
        };
        source | family | rest
    }

    /// The generator's orders, and a frame of the right length.
    pub(super) fn template(&self, ifindex: u32) -> (Generate, Vec<u8>) {
        let family = self.family();
        let layout = Layout::of(family);
        let mut frame = self.frame();
        if self.is_tcp() {
            frame[layout.transport..][..2].fill(0);
            frame[layout.transport..][4..12].fill(0);
        }
        let checksum_at = self.segment.checksum(family).map_or(0, |at| layout.transport + at);
        if checksum_at != 0 {
            frame[checksum_at..][..2].fill(0);
        }
        let sum_transport = sum(&frame, &layout);
        let sum_network = if family == Family::V6 { 0 } else { zeroed_sum(&mut frame[14..34], 10) };
        assert!(frame.len() <= abi::TEMPLATE_WORDS * 8, "{:?}: {} bytes", self.segment, frame.len());
        let mut template = [0; abi::TEMPLATE_WORDS];
        for (word, bytes) in template.iter_mut().zip(frame.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(padded);
        }
        let (source_mask, first) = match self.source {
            Source::SomeV4(number) => (number - 1, 0),
            Source::EachV4(first) | Source::EachV6(first) => (u32::MAX, first),
            _ => (u32::MAX, 0),
        };
        let interval = 1_000_000_000_u64.checked_div(self.pps).unwrap_or(0);
        let (flags, len, limit) = (self.flags(), frame.len() as u32, self.frames);
        let generate = Generate {
            ifindex,
            flags,
            len,
            source_mask,
            interval,
            limit,
            first: first.into(),
            sum_network,
            sum_transport,
            checksum_at: checksum_at as u64,
            template,
        };
        (generate, frame)
    }

    /// The frame with a source that is zero where a random one goes.
    fn frame(&self) -> Vec<u8> {
        let source = match self.source {
            Source::One(address) => address.to_string(),
            Source::AnyV6 | Source::EachV6(_) => "2600::".to_owned(),
            Source::AnyV4 | Source::EachV4(_) | Source::SomeV4(_) => "0.0.0.0".to_owned(),
        };
        let family = self.family();
        let destination = self.destination.unwrap_or(family.server()).to_string();
        let packet = ip(&source, &destination);
        let segment = tcp::Segment::default().ports(0, self.port);
        let segment = match self.segment {
            Segment::Udp(from, len) => return packet.udp(from, self.port, &vec![0x5a; len & !1]).bytes(),
            Segment::Ping => return packet.echo(false, &[0x5a; 36]).bytes(),
            Segment::PingReply => return packet.echo(true, &[0x5a; 36]).bytes(),
            Segment::Smurf if family == Family::V4 => {
                return broadcast(ip(&source, "255.255.255.255").echo(false, &[0x5a; 36]).bytes());
            }
            Segment::Smurf => return all_nodes(ip(&source, "ff02::1").echo(false, &[0x5a; 36]).bytes()),
            Segment::IcmpError => {
                let peer = if family == Family::V4 { "80.9.9.9" } else { "2a03:80::9" };
                return packet.too_big(&ip(&destination, peer).syn(self.port)).bytes();
            }
            Segment::Fragment => return packet.fragment(1480, false).raw(17, &[0x5a; 64]).bytes(),
            Segment::Syn => segment.options(&linux_options(0x0100_0000)),
            Segment::Ack => segment.flags(flag::ACK),
            Segment::Data => {
                tcp::Segment { payload: b"data".to_vec(), ..segment.flags(flag::ACK | flag::PSH) }
            }
            Segment::Fin => segment.flags(flag::ACK | flag::FIN),
            Segment::Rst => segment.flags(flag::RST),
            Segment::SynAck => segment.flags(flag::SYN | flag::ACK),
        };
        packet.tcp(&segment).bytes()
    }
}

/// Sum of the pseudo header and the segment, in the order of memory: the sum's bytes are swapped, which is
/// all that byte order does to it (RFC 1071 section 2).
fn sum(frame: &[u8], layout: &Layout) -> u64 {
    let len = (frame.len() - layout.transport) as u16;
    let protocol = u16::from(frame[layout.protocol]);
    let words =
        Sum::default().plus(&frame[layout.source..]).plus(&protocol.to_be_bytes()).plus(&len.to_be_bytes());
    u64::from(words.folded().swap_bytes())
}

/// Clears the checksum at `at` and sums the rest up.
fn zeroed_sum(header: &mut [u8], at: usize) -> u64 {
    header[at..at + 2].fill(0);
    u64::from(Sum::default().plus(header).folded().swap_bytes())
}
