//! Bytes to meaning: Ethernet, up to two VLAN tags, IPv4 or IPv6 with the extension headers that Linux walks,
//! and the transport's ports. No later stage sees a packet that contradicts itself.

use core::ops::ControlFlow::{self, Break, Continue};

use crate::{
    cursor::{Cursor, opaque_zero},
    extensions::{self, Chain},
    frame::Frame,
    headers::{Ethernet, Ipv4, Ipv6, Tcp, Udp, VlanTag, ethertype, flag, protocol},
    ip_options,
    reason::Reason,
};

/// An IP address as four words in network byte order; IPv4 is v4-mapped (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Address(pub [u32; 4]);

impl Address {
    /// The v4-mapped form of an IPv4 address in network byte order.
    #[must_use]
    #[inline(always)]
    pub const fn from_v4(word: u32) -> Self {
        Self([0, 0, 0xffff_u32.to_be(), word])
    }

    /// The IPv4 address, network byte order; only meaningful if the packet is IPv4.
    #[must_use]
    #[inline(always)]
    pub const fn v4(&self) -> u32 {
        self.0[3]
    }

    /// Whether this is the v4-mapped form of an IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn is_v4_mapped(&self) -> bool {
        self.0[0] == 0 && self.0[1] == 0 && self.0[2] == 0xffff_u32.to_be()
    }

    /// From the two halves as they lie in memory.
    #[must_use]
    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        let [[a, b], [c, d]] =
            [[words[0] as u32, (words[0] >> 32) as u32], [words[1] as u32, (words[1] >> 32) as u32]];
        Self([a, b, c, d])
    }

    /// The two halves as they lie in memory.
    #[must_use]
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        [self.0[0] as u64 | (self.0[1] as u64) << 32, self.0[2] as u64 | (self.0[3] as u64) << 32]
    }
}

/// Whether a packet is part of a fragmented one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Whole.
    No,
    /// The first fragment: it has a transport header.
    First,
    /// Any other: it has none.
    Later,
}

/// Bits of [`Packet::marks`].
pub mod mark {
    /// IPv4 options, other than source routes.
    pub const OPTIONS: u8 = 1;
    /// An IPv4 source route.
    pub const SOURCE_ROUTE: u8 = 2;
    /// An IPv6 routing header of type 0.
    pub const ROUTING_0: u8 = 4;
    /// An IPv6 routing header of another type with segments left.
    pub const ROUTED: u8 = 8;
}

/// Ports of TCP or UDP, host byte order; 0 where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// What the TCP header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Bits of [`flag`].
    pub flags: u8,
    /// 32-bit words of options, 0 to 10.
    pub option_words: u8,
    /// Bytes of data that IP says are there.
    pub payload: u16,
}

impl Segment {
    /// Opens a connection: SYN without ACK, RST or FIN.
    #[must_use]
    #[inline(always)]
    pub const fn is_syn(&self) -> bool {
        self.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN
    }

    /// Ends something: RST, with or without ACK.
    #[must_use]
    #[inline(always)]
    pub const fn is_rst(&self) -> bool {
        self.flags & flag::RST != 0
    }

    /// Belongs to a connection that its sender holds for established: ACK without SYN or RST.
    #[must_use]
    #[inline(always)]
    pub const fn is_ack(&self) -> bool {
        self.flags & (flag::SYN | flag::ACK | flag::RST) == flag::ACK
    }
}

/// The meaning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Packet {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Ports of TCP and UDP.
    pub ports: Transport,
    /// TCP's own fields; zero for other protocols.
    pub tcp: Segment,
    /// Bytes of the whole IP packet.
    pub length: u16,
    /// Offset of the IP header from the frame's start, bytes: 14, 18 or 22.
    pub l3: u16,
    /// Offset of the transport header, bytes.
    pub l4: u16,
    /// IPv6 rather than IPv4.
    pub is_v6: bool,
    /// Transport protocol: the first next-header that is not walked.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// ICMP type; 0 for other protocols.
    pub icmp_type: u8,
    /// ICMP code; 0 for other protocols.
    pub icmp_code: u8,
    /// Identifier of an echo request or reply, host byte order; 0 for other protocols.
    pub icmp_id: u16,
    /// Part of a fragmented packet.
    pub fragment: Fragment,
    /// Sent to an Ethernet group address (multicast, broadcast).
    pub to_group: bool,
    /// Bits of [`mark`].
    pub marks: u8,
    /// Where a fragment's data go, bytes.
    pub fragment_offset: u16,
    /// Bytes from the transport header on, by what IP says.
    pub payload: u16,
    /// Bytes of the frame, those in further buffers included.
    pub frame_length: u32,
}

impl Packet {
    /// What a parser starts from.
    pub const EMPTY: Self = Self {
        source: Address([0; 4]),
        destination: Address([0; 4]),
        ports: Transport { source: 0, destination: 0 },
        tcp: Segment { sequence: 0, acknowledgment: 0, flags: 0, option_words: 0, payload: 0 },
        length: 0,
        l3: 0,
        l4: 0,
        is_v6: false,
        protocol: 0,
        ttl: 0,
        icmp_type: 0,
        icmp_code: 0,
        icmp_id: 0,
        fragment: Fragment::No,
        to_group: false,
        marks: 0,
        fragment_offset: 0,
        payload: 0,
        frame_length: 0,
    };

    /// What counts as one source: the IPv4 address or the IPv6 /64, as it lies in memory.
    #[must_use]
    #[inline(always)]
    pub const fn source_network(&self) -> u64 {
        if self.is_v6 { self.source.words()[0] } else { self.source.v4() as u64 }
    }

    /// Whether it has a TCP header.
    #[must_use]
    #[inline(always)]
    pub const fn is_tcp(&self) -> bool {
        self.protocol == protocol::TCP && !matches!(self.fragment, Fragment::Later)
    }

    /// Whether it has an ICMP header, that of its own family.
    #[must_use]
    #[inline(always)]
    pub const fn is_icmp(&self) -> bool {
        let protocol = if self.is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
        self.protocol == protocol && !matches!(self.fragment, Fragment::Later)
    }

    /// Whether it is a segment that opens a connection.
    #[must_use]
    #[inline(always)]
    pub const fn is_syn(&self) -> bool {
        self.is_tcp() && self.tcp.is_syn()
    }

    /// Whether it is a ping: an ICMP echo request.
    #[must_use]
    #[inline(always)]
    pub const fn is_echo(&self) -> bool {
        self.is_icmp() && self.icmp_type == if self.is_v6 { 128 } else { 8 }
    }

    /// Whether any of those [`mark`]s is set.
    #[must_use]
    #[inline(always)]
    pub const fn is_marked(&self, marks: u8) -> bool {
        self.marks & marks != 0
    }

    /// Whether it has a UDP header.
    #[must_use]
    #[inline(always)]
    pub const fn is_udp(&self) -> bool {
        self.protocol == protocol::UDP && !matches!(self.fragment, Fragment::Later)
    }
}

/// Either a packet, or the fate of a frame that is none.
pub type Parsed<T> = ControlFlow<Reason, T>;

/// The meaning of a frame.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F) -> Parsed<Packet> {
    let mut packet = Packet::EMPTY;
    parse_into(frame, &mut packet)?;
    Continue(packet)
}

/// As [`parse`], with every field of `packet` written.
#[inline(always)]
pub fn parse_into<F: Frame>(frame: &F, packet: &mut Packet) -> Parsed<()> {
    let mut cursor = frame.cursor();
    match link(frame, &mut cursor, packet)? {
        Family::V4 => ipv4(frame, &mut cursor, packet),
        Family::V6 => ipv6(frame, &mut cursor, packet),
    }
}

/// As [`parse_into`] for a packet that has gone the short way: it is plain.
#[inline(always)]
pub fn parse_plain<F: Frame>(frame: &F, packet: &mut Packet) -> Parsed<bool> {
    let mut cursor = frame.cursor();
    match link(frame, &mut cursor, packet)? {
        Family::V4 => plain_v4(frame, &mut cursor, packet),
        Family::V6 => plain_v6(frame, &mut cursor, packet),
    }
}

/// What an Ethernet frame announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Reads what lies in front of IP.
#[inline(always)]
pub(crate) fn link<F: Frame>(frame: &F, cursor: &mut Cursor<'_>, packet: &mut Packet) -> Parsed<Family> {
    packet.frame_length = cursor.len() as u32;
    let Some(ethernet) = cursor.read::<Ethernet>() else { return Break(Reason::EthernetTruncated) };
    packet.to_group = ethernet.destination[0] & 1 != 0;
    let (ethertype, l3) = vlan_tags(cursor, u16::from_be(ethernet.ethertype))?;
    packet.l3 = l3;
    match ethertype {
        ethertype::IPV4 => Continue(Family::V4),
        ethertype::IPV6 => Continue(Family::V6),
        _ => {
            packet.frame_length = frame.length();
            Break(Reason::NotIp)
        }
    }
}

/// Whether the frame has `length` bytes from the IP header at `start` on. Only a frame that seems too short is asked for
/// further buffers.
#[inline(always)]
fn has<F: Frame>(frame: &F, start: &Cursor<'_>, length: usize, packet: &mut Packet) -> bool {
    if length <= start.left() {
        return true;
    }
    packet.frame_length = frame.length();
    packet.l3 as usize + length <= packet.frame_length as usize
}

/// Follows up to two tags; returns the inner `EtherType` and the offset of what it announces.
#[inline(always)]
fn vlan_tags(cursor: &mut Cursor<'_>, first: u16) -> Parsed<(u16, u16)> {
    let mut ethertype = first;
    let mut l3 = size_of::<Ethernet>() as u16;
    for _ in 0..2 {
        if !is_vlan(ethertype) {
            break;
        }
        let Some(tag) = cursor.read::<VlanTag>() else { return Break(Reason::EthernetTruncated) };
        ethertype = u16::from_be(tag.ethertype);
        l3 += size_of::<VlanTag>() as u16;
    }
    if is_vlan(ethertype) { Break(Reason::VlanDepth) } else { Continue((ethertype, l3)) }
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | ethertype::QINQ)
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &F, cursor: &mut Cursor<'_>, packet: &mut Packet) -> Parsed<()> {
    let start = *cursor;
    let Some(header) = cursor.read::<Ipv4>() else { return Break(Reason::Ipv4Truncated) };
    if !is_ipv4(&header) {
        return Break(Reason::Ipv4Header);
    }
    let header_length = (header.version_ihl & 15) as u16 * 4;
    let length = ipv4_payload(frame, &start, &header, header_length, packet)?;
    packet.marks = ipv4_options(frame, cursor, packet, header_length - 20)?;
    let bits = u16::from_be(header.fragment);
    let offset = (bits & 0x1fff) << 3;
    packet.fragment_offset = offset;
    let fragment = fragment(offset, bits & 0x2000 != 0, header_length, length)?;
    transport(cursor, &Payload { protocol: header.protocol, fragment, length, is_v6: false }, packet)
}

/// Version 4, and room for the header itself.
#[inline(always)]
const fn is_ipv4(header: &Ipv4) -> bool {
    header.version_ihl >> 4 == 4 && header.version_ihl & 15 >= 5
}

/// Takes over a header's fields; the number of bytes behind it.
#[inline(always)]
fn ipv4_payload<F: Frame>(
    frame: &F,
    start: &Cursor<'_>,
    header: &Ipv4,
    header_length: u16,
    packet: &mut Packet,
) -> Parsed<u16> {
    let total = u16::from_be(header.total_length);
    if total < header_length || !has(frame, start, total as usize, packet) {
        return Break(Reason::Ipv4Truncated);
    }
    packet.source = Address::from_v4(header.source);
    packet.destination = Address::from_v4(header.destination);
    packet.length = total;
    packet.l4 = packet.l3 + header_length;
    packet.is_v6 = false;
    packet.ttl = header.ttl;
    Continue(total - header_length)
}

/// As [`parse`] behind [`link`], for packets as nearly all are: a header without options, no fragment, TCP or UDP. False for
/// others, which are to be parsed anew; else every field of `packet` is written.
///
/// Nothing here is a call, and the packet need never lie in memory: this is what a flood costs.
#[inline(always)]
pub(crate) fn plain_v4<F: Frame>(frame: &F, cursor: &mut Cursor<'_>, packet: &mut Packet) -> Parsed<bool> {
    let start = *cursor;
    let Some(header) = cursor.read::<Ipv4>() else { return Break(Reason::Ipv4Truncated) };
    let is_whole = matches!(u16::from_be(header.fragment) & 0x3fff, 0);
    if header.version_ihl != 0x45 {
        return if is_ipv4(&header) { Continue(false) } else { Break(Reason::Ipv4Header) };
    }
    if !is_whole || !is_plain(header.protocol) {
        return Continue(false);
    }
    let length = ipv4_payload(frame, &start, &header, 20, packet)?;
    (packet.marks, packet.fragment_offset) = (0, 0);
    plain_transport(cursor, &Payload::whole(header.protocol, length, false), packet)
}

/// As [`plain_v4`]: TCP or UDP right behind the IPv6 header.
#[inline(always)]
pub(crate) fn plain_v6<F: Frame>(frame: &F, cursor: &mut Cursor<'_>, packet: &mut Packet) -> Parsed<bool> {
    let start = *cursor;
    let Some(header) = cursor.read::<Ipv6>() else { return Break(Reason::Ipv6Truncated) };
    if u32::from_be(header.version_class_flow) >> 28 != 6 {
        return Break(Reason::Ipv6Header);
    }
    if !is_plain(header.next_header) {
        return Continue(false);
    }
    let length = ipv6_payload(frame, &start, &header, packet)?;
    packet.l4 = packet.l3 + size_of::<Ipv6>() as u16;
    (packet.marks, packet.fragment_offset) = (0, 0);
    plain_transport(cursor, &Payload::whole(header.next_header, length, true), packet)
}

#[inline(always)]
const fn is_plain(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP)
}

#[inline(always)]
fn plain_transport(cursor: &mut Cursor<'_>, payload: &Payload, packet: &mut Packet) -> Parsed<bool> {
    transport(cursor, payload, packet)?;
    Continue(true)
}

/// Steps over options of that length; their marks.
#[inline(always)]
fn ipv4_options<F: Frame>(frame: &F, cursor: &mut Cursor<'_>, packet: &Packet, length: u16) -> Parsed<u8> {
    if length == 0 {
        return Continue(0);
    }
    if packet.l4 as usize > cursor.len() {
        return Break(Reason::HeadersSplit);
    }
    // Not `skip`: Linux 6.1 takes a difference for one that may be negative.
    *cursor = cursor.at(packet.l4);
    match frame.ipv4_options(packet.l3 + size_of::<Ipv4>() as u16, length) {
        ip_options::MALFORMED => Break(Reason::Ipv4OptionsMalformed),
        marks => Continue(marks as u8),
    }
}

/// What a fragment is whose `length` bytes go to `offset` behind the `before` bytes that every fragment repeats.
#[inline(always)]
pub(crate) const fn fragment(offset: u16, more: bool, before: u16, length: u16) -> Parsed<Fragment> {
    if offset == 0 && !more {
        return Continue(Fragment::No);
    }
    // "If the length of a fragment, as derived from the fragment packet's Payload Length field, is not a multiple of 8
    // octets and the M flag of that fragment is 1, then that fragment must be discarded" (RFC 8200 4.5).
    if length == 0 || (more && length & 7 != 0) {
        return Break(Reason::FragmentLength);
    }
    if before as u32 + offset as u32 + length as u32 > u16::MAX as u32 {
        return Break(Reason::FragmentOverflow);
    }
    Continue(if offset == 0 { Fragment::First } else { Fragment::Later })
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &F, cursor: &mut Cursor<'_>, packet: &mut Packet) -> Parsed<()> {
    let start = *cursor;
    let Some(header) = cursor.read::<Ipv6>() else { return Break(Reason::Ipv6Truncated) };
    if u32::from_be(header.version_class_flow) >> 28 != 6 {
        return Break(Reason::Ipv6Header);
    }
    let length = ipv6_payload(frame, &start, &header, packet)?;
    let l4 = packet.l3 + size_of::<Ipv6>() as u16;
    let chain = if extensions::is_extension(header.next_header) {
        let chain = extensions::unpack(frame.extensions(l4, header.next_header, length))?;
        // Never more than the payload.
        cursor.skip(chain.length);
        chain
    } else {
        Chain::start(header.next_header)
    };
    packet.l4 = l4 + chain.length;
    packet.marks = chain.marks;
    packet.fragment_offset = chain.offset;
    let Chain { next: protocol, fragment, length: skipped, .. } = chain;
    transport(cursor, &Payload { protocol, fragment, length: length - skipped, is_v6: true }, packet)
}

/// Takes over a header's fields; the number of bytes behind it.
#[inline(always)]
fn ipv6_payload<F: Frame>(frame: &F, start: &Cursor<'_>, header: &Ipv6, packet: &mut Packet) -> Parsed<u16> {
    let length = u16::from_be(header.payload_length);
    if !has(frame, start, size_of::<Ipv6>() + length as usize, packet) {
        return Break(Reason::Ipv6Truncated);
    }
    packet.source = Address(header.source);
    packet.destination = Address(header.destination);
    packet.is_v6 = true;
    packet.ttl = header.hop_limit;
    packet.length = (size_of::<Ipv6>() as u16).saturating_add(length);
    Continue(length)
}

/// What IP says of its payload.
struct Payload {
    protocol: u8,
    fragment: Fragment,
    /// Bytes.
    length: u16,
    is_v6: bool,
}

impl Payload {
    #[inline(always)]
    const fn whole(protocol: u8, length: u16, is_v6: bool) -> Self {
        Self { protocol, fragment: Fragment::No, length, is_v6 }
    }

    /// Why a transport header that IP has no room for ends the packet.
    #[inline(always)]
    const fn too_short(&self, reason: Reason) -> Reason {
        if matches!(self.fragment, Fragment::First) { Reason::FragmentTiny } else { reason }
    }
}

/// Reads the transport header.
#[inline(always)]
fn transport(cursor: &mut Cursor<'_>, payload: &Payload, packet: &mut Packet) -> Parsed<()> {
    packet.protocol = payload.protocol;
    packet.fragment = payload.fragment;
    packet.payload = payload.length;
    (packet.icmp_type, packet.icmp_code, packet.icmp_id) = (0, 0, 0);
    if payload.fragment == Fragment::Later {
        clear_ports(packet);
        return Continue(());
    }
    match payload.protocol {
        protocol::TCP => tcp(cursor, payload, packet),
        protocol::UDP => {
            clear_segment(packet);
            udp(cursor, payload, packet)
        }
        protocol::ICMP if !payload.is_v6 => icmp(cursor, payload, packet),
        protocol::ICMPV6 if payload.is_v6 => icmp(cursor, payload, packet),
        _ => {
            clear_ports(packet);
            Continue(())
        }
    }
}

#[inline(always)]
fn clear_ports(packet: &mut Packet) {
    let zero = opaque_zero();
    packet.ports = Transport { source: zero as u16, destination: zero as u16 };
    clear_segment(packet);
}

/// Field by field: LLVM would call memset, a loop over bytes, and whoever reads the fields as words waits for them.
#[inline(always)]
fn clear_segment(packet: &mut Packet) {
    let zero = opaque_zero();
    packet.tcp = Segment {
        sequence: zero,
        acknowledgment: zero,
        flags: zero as u8,
        option_words: zero as u8,
        payload: zero as u16,
    };
}

#[inline(always)]
fn tcp(cursor: &mut Cursor<'_>, ip: &Payload, packet: &mut Packet) -> Parsed<()> {
    if ip.length < 20 {
        return Break(ip.too_short(Reason::TcpTruncated));
    }
    let start = *cursor;
    let Some(header) = cursor.read::<Tcp>() else { return Break(Reason::HeadersSplit) };
    let words = header.offset >> 4;
    if words < 5 {
        return Break(Reason::TcpHeader);
    }
    let length = words as u16 * 4;
    if length > ip.length {
        return Break(ip.too_short(Reason::TcpTruncated));
    }
    if length as usize > start.left() {
        return Break(Reason::HeadersSplit);
    }
    packet.ports =
        Transport { source: u16::from_be(header.source), destination: u16::from_be(header.destination) };
    packet.tcp = Segment {
        sequence: u32::from_be(header.sequence),
        acknowledgment: u32::from_be(header.acknowledgment),
        flags: header.flags,
        option_words: words - 5,
        payload: ip.length - length,
    };
    Continue(())
}

#[inline(always)]
fn udp(cursor: &mut Cursor<'_>, ip: &Payload, packet: &mut Packet) -> Parsed<()> {
    if ip.length < 8 {
        return Break(ip.too_short(Reason::UdpTruncated));
    }
    let Some(header) = cursor.read::<Udp>() else { return Break(Reason::HeadersSplit) };
    let own = u16::from_be(header.length);
    // A first fragment holds less than the datagram's own length says.
    if own < 8 || (ip.fragment == Fragment::No && own > ip.length) {
        return Break(Reason::UdpTruncated);
    }
    packet.ports =
        Transport { source: u16::from_be(header.source), destination: u16::from_be(header.destination) };
    Continue(())
}

#[inline(always)]
fn icmp(cursor: &mut Cursor<'_>, ip: &Payload, packet: &mut Packet) -> Parsed<()> {
    clear_ports(packet);
    if ip.length < 8 {
        return Break(ip.too_short(Reason::IcmpTruncated));
    }
    let Some([kind, code, _, _, high, low, ..]) = cursor.peek::<[u8; 8]>() else {
        return Break(Reason::HeadersSplit);
    };
    (packet.icmp_type, packet.icmp_code) = (kind, code);
    packet.icmp_id = u16::from_be_bytes([high, low]);
    Continue(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
