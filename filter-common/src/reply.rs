//! A SYN turned into its SYN-ACK, in place.
//!
//! The answer is never larger than its cause: it has as many option words as the SYN had, no IP options or
//! extension headers, and no payload. All headers are written anew, checksums are complete (a NIC or veth may
//! have left the SYN's own unfinished).

use crate::{
    config::{LocalTcp, tcp},
    cookie::{Cookie, Memory, NO_SCALE},
    cursor::Writer,
    frame::Frame,
    headers::{Ethernet, Ipv4, Ipv6, Tcp, flag, protocol},
    options::TcpOptions,
    packet::Packet,
};

/// Frames are not cut below what a NIC sends at least (without the checksum).
const MIN_FRAME: u16 = 60;

/// What the SYN-ACK says.
#[derive(Clone, Copy, Debug)]
pub struct SynAck {
    /// Sequence number and timestamp value.
    pub cookie: Cookie,
    /// What was negotiated.
    pub memory: Memory,
    /// The SYN's timestamp value, echoed.
    pub echo: u32,
    /// The SYN's sequence number + 1, or a challenge.
    pub acknowledgment: u32,
}

/// What is left of a SYN's options once `net.ipv4.tcp_*` had its say.
#[must_use]
#[inline(always)]
pub const fn negotiate(offered: &TcpOptions, local: &LocalTcp) -> TcpOptions {
    TcpOptions {
        timestamps: offered.timestamps && local.flags & tcp::TIMESTAMPS != 0,
        sack: offered.sack && local.flags & tcp::SACK != 0,
        scale: if local.flags & tcp::WINDOW_SCALING != 0 { offered.scale } else { NO_SCALE },
        ..*offered
    }
}

/// Writes `answer` over the SYN `packet`; false if the frame could not be resized, and must be dropped.
#[must_use]
#[inline(always)]
pub fn syn_ack<F: Frame>(frame: &mut F, packet: &Packet, local: &LocalTcp, answer: &SynAck) -> bool {
    let ip_length: u16 = if packet.is_v6 { 40 } else { 20 };
    let tcp_length = 20 + packet.tcp.option_words as u16 * 4;
    let cut = packet.l4 - packet.l3 - ip_length;
    let length = packet.l3 + ip_length + tcp_length;
    if !link_layer(frame, packet, cut, length) {
        return false;
    }
    let at = frame.writer().at(packet.l3);
    let written = if packet.is_v6 {
        write_ipv6(at, packet, local, tcp_length)
    } else {
        write_ipv4(at, packet, local, tcp_length)
    };
    written && write_tcp(frame, packet.l3 + ip_length, packet, local, answer)
}

/// Swaps the Ethernet addresses and brings the frame to its new size, keeping VLAN tags.
#[inline(always)]
fn link_layer<F: Frame>(frame: &mut F, packet: &Packet, cut: u16, length: u16) -> bool {
    if cut != 0 {
        return match packet.l3 {
            14 => shift::<F, 2>(frame, cut, length),
            18 => shift::<F, 6>(frame, cut, length),
            _ => shift::<F, 10>(frame, cut, length),
        };
    }
    let Some(ethernet) = frame.cursor().peek::<Ethernet>() else { return false };
    if !frame.writer().write([ethernet.source, ethernet.destination]) {
        return false;
    }
    let target = if length < MIN_FRAME { MIN_FRAME } else { length };
    frame.cursor().len() <= target as usize || frame.resize(0, target)
}

/// Like [`link_layer`] for a frame that loses bytes between Ethernet and TCP: `TAGS` bytes of tags and
/// `EtherType` move along with the addresses.
#[inline(always)]
fn shift<F: Frame, const TAGS: usize>(frame: &mut F, cut: u16, length: u16) -> bool {
    let mut cursor = frame.cursor();
    let (Some(addresses), Some(tags)) = (cursor.read::<[[u8; 6]; 2]>(), cursor.read::<[u8; TAGS]>()) else {
        return false;
    };
    let rest = frame.cursor().len() as u16 - cut;
    let target = if length < MIN_FRAME { MIN_FRAME } else { length };
    if !frame.resize(cut, if rest < target { rest } else { target }) {
        return false;
    }
    let mut writer = frame.writer();
    writer.write([addresses[1], addresses[0]]) && writer.write(tags)
}

#[inline(always)]
fn write_ipv4(mut at: Writer<'_>, packet: &Packet, local: &LocalTcp, tcp_length: u16) -> bool {
    let mut header = Ipv4 {
        version_ihl: 0x45,
        tos: 0,
        total_length: (20 + tcp_length).to_be(),
        identification: 0,
        // Don't fragment, as Linux sends its SYN-ACKs; an ID of 0 is then allowed (RFC 6864 4.1).
        fragment: 0x4000_u16.to_be(),
        ttl: local.ttl,
        protocol: protocol::TCP,
        checksum: 0,
        source: packet.destination.v4(),
        destination: packet.source.v4(),
    };
    header.checksum = Sum(0)
        .half(0x4500_u16.to_be())
        .half(header.total_length)
        .half(header.fragment)
        .half(((local.ttl as u16) << 8 | protocol::TCP as u16).to_be())
        .word(header.source)
        .word(header.destination)
        .finish();
    at.write(header)
}

#[inline(always)]
fn write_ipv6(mut at: Writer<'_>, packet: &Packet, local: &LocalTcp, tcp_length: u16) -> bool {
    at.write(Ipv6 {
        version_class_flow: 0x6000_0000_u32.to_be(),
        payload_length: tcp_length.to_be(),
        next_header: protocol::TCP,
        hop_limit: local.ttl,
        source: packet.destination.0,
        destination: packet.source.0,
    })
}

/// Writes the options first, since the checksum covers them.
#[inline(always)]
fn write_tcp<F: Frame>(
    frame: &mut F,
    offset: u16,
    packet: &Packet,
    local: &LocalTcp,
    answer: &SynAck,
) -> bool {
    let tcp_length = 20 + packet.tcp.option_words as u16 * 4;
    let mut header = Tcp {
        source: packet.ports.destination.to_be(),
        destination: packet.ports.source.to_be(),
        sequence: answer.cookie.isn.to_be(),
        acknowledgment: answer.acknowledgment.to_be(),
        offset: (5 + packet.tcp.option_words) << 4,
        flags: flag::SYN | flag::ACK | if answer.memory.ecn { flag::ECE } else { 0 },
        window: local.window.to_be(),
        checksum: 0,
        urgent: 0,
    };
    let mut options = Options {
        at: frame.writer().at(offset + 20),
        sum: pseudo_header(packet, tcp_length),
        left: packet.tcp.option_words,
    };
    if !write_options(&mut options, packet, local, answer) {
        return false;
    }
    header.checksum = options
        .sum
        .half(header.source)
        .half(header.destination)
        .word(header.sequence)
        .word(header.acknowledgment)
        .half(((header.offset as u16) << 8 | header.flags as u16).to_be())
        .half(header.window)
        .finish();
    frame.writer().at(offset).write(header)
}

#[inline(always)]
fn pseudo_header(packet: &Packet, tcp_length: u16) -> Sum {
    let sum = Sum(0).half(tcp_length.to_be()).half((protocol::TCP as u16).to_be());
    if packet.is_v6 {
        packet.source.0.iter().chain(&packet.destination.0).fold(sum, |sum, word| sum.word(*word))
    } else {
        sum.word(packet.source.v4()).word(packet.destination.v4())
    }
}

/// A one's complement sum (RFC 1071) over words as they lie in memory: byte order does not matter to it.
#[derive(Clone, Copy)]
struct Sum(u64);

impl Sum {
    #[inline(always)]
    const fn half(self, half: u16) -> Self {
        Self(self.0 + half as u64)
    }

    #[inline(always)]
    const fn word(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// The checksum field's value, to be stored as it is.
    #[inline(always)]
    const fn finish(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        !(sum as u16)
    }
}

/// Where the next option word goes.
struct Options<'a> {
    at: Writer<'a>,
    sum: Sum,
    left: u8,
}

impl Options<'_> {
    #[inline(always)]
    fn push(&mut self, word: u32) -> bool {
        let word = word.to_be();
        self.sum = self.sum.word(word);
        self.left = self.left.wrapping_sub(1);
        self.at.write(word)
    }
}

const NOPS: u32 = 0x0101_0101;

/// MSS if there is room for it, what was negotiated, and NOPs up to the SYN's own length.
///
/// A SYN that had timestamps had at least the three words that they take; the window scale came with it.
#[inline(always)]
fn write_options(options: &mut Options<'_>, packet: &Packet, local: &LocalTcp, answer: &SynAck) -> bool {
    let memory = &answer.memory;
    let has_scale = memory.timestamps && memory.scale != NO_SCALE;
    let needed = if memory.timestamps { 3 } else { 0 } + u8::from(has_scale);
    if options.left > needed {
        let mss = if packet.is_v6 { local.mss_v6 } else { local.mss_v4 };
        if !options.push(0x0204_0000 | mss as u32) {
            return false;
        }
    }
    if memory.timestamps {
        let head = if memory.sack { 0x0402_080a } else { 0x0101_080a };
        if !(options.push(head) && options.push(answer.cookie.tsval) && options.push(answer.echo)) {
            return false;
        }
    }
    if has_scale && !options.push(0x0103_0300 | local.window_scale as u32) {
        return false;
    }
    for _ in 0..MAX_WORDS {
        if options.left == 0 {
            return true;
        }
        if !options.push(NOPS) {
            return false;
        }
    }
    true
}

/// Words of options at most.
const MAX_WORDS: u8 = 10;

#[cfg(test)]
mod tests;
