//! The packet that an ICMP error is about: its first bytes follow the error's own header (RFC 792, RFC 4443 2.4).

use crate::{
    cursor::Cursor,
    headers::{Ipv4, Ipv6, protocol},
    packet::{Address, Packet},
};

/// Bytes of an ICMP header.
const ICMP: u16 = 8;

/// What is quoted, as the host that sent it sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Quote {
    /// Where it went.
    pub remote: Address,
    /// Ports of TCP and UDP, host byte order; 0 where there are none.
    pub local_port: u16,
    /// As above.
    pub remote_port: u16,
    /// Transport protocol.
    pub protocol: u8,
    /// Its source is the destination of the error.
    pub matches: bool,
    /// Reserved, 0.
    pub reserved: u16,
}

/// Reads the quote of `packet`, an ICMP error in the frame that `cursor` starts.
///
/// IPv6 extension headers are not walked: such a quote has no ports.
#[must_use]
#[inline(always)]
pub fn read(cursor: Cursor<'_>, packet: &Packet) -> Quote {
    let start = packet.l4 + ICMP;
    let at = cursor.at(start);
    let quote = if packet.is_v6 { v6(at, packet) } else { v4(at, packet) };
    let Some((mut quote, length)) = quote else { return Quote::default() };
    if matches!(quote.protocol, protocol::TCP | protocol::UDP)
        && let Some([source, destination]) = cursor.at(start + length).peek::<[u16; 2]>()
    {
        (quote.local_port, quote.remote_port) = (u16::from_be(source), u16::from_be(destination));
    }
    quote
}

/// The quote without ports, and the length of its IP header.
#[inline(always)]
fn v4(cursor: Cursor<'_>, packet: &Packet) -> Option<(Quote, u16)> {
    let header = cursor.peek::<Ipv4>()?;
    let length = (header.version_ihl & 15) as u16 * 4;
    if header.version_ihl >> 4 != 4 || length < 20 {
        return None;
    }
    // Only a first fragment has ports.
    let is_later = u16::from_be(header.fragment) & 0x1fff != 0;
    let quote = Quote {
        remote: Address::from_v4(header.destination),
        protocol: if is_later { 0 } else { header.protocol },
        matches: header.source == packet.destination.v4(),
        ..Quote::default()
    };
    Some((quote, length))
}

#[inline(always)]
fn v6(cursor: Cursor<'_>, packet: &Packet) -> Option<(Quote, u16)> {
    let header = cursor.peek::<Ipv6>()?;
    if u32::from_be(header.version_class_flow) >> 28 != 6 {
        return None;
    }
    let quote = Quote {
        remote: Address(header.destination),
        protocol: header.next_header,
        matches: header.source == packet.destination.0,
        ..Quote::default()
    };
    Some((quote, size_of::<Ipv6>() as u16))
}

const _: () = assert!(size_of::<Quote>() == 24);
