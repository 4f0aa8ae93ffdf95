//! Headers as they lie in the frame. Multi-byte fields are in network byte order: `from_be` reads them.
#![expect(unsafe_code, reason = "implements the unsafe marker trait Wire for plain structs")]

use crate::cursor::Wire;

/// Ethernet addresses and the first EtherType.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the field's usual names")]
pub struct Ethernet {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    pub ethertype: u16,
}

/// What follows an 802.1Q or 802.1ad EtherType.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the field's usual names")]
pub struct VlanTag {
    pub tci: u16,
    pub ethertype: u16,
}

/// IPv4 header without options (RFC 791).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the RFC's names")]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    pub total_length: u16,
    pub identification: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

/// IPv6 header (RFC 8200).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the RFC's names")]
pub struct Ipv6 {
    pub version_class_flow: u32,
    pub payload_length: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: [u32; 4],
    pub destination: [u32; 4],
}

/// The first four bytes of every IPv6 extension header that is walked.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the RFC's names")]
pub struct Ipv6Extension {
    pub next_header: u8,
    pub length: u8,
    /// In a fragment header: offset, reserved bits, M. In a routing header: type, segments left.
    pub word: u16,
}

/// TCP header without options (RFC 9293).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the RFC's names")]
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub offset: u8,
    pub flags: u8,
    pub window: u16,
    pub checksum: u16,
    pub urgent: u16,
}

/// UDP header (RFC 768).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the RFC's names")]
pub struct Udp {
    pub source: u16,
    pub destination: u16,
    pub length: u16,
    pub checksum: u16,
}

// SAFETY: repr(C), integers only, and the sizes below prove that there is no padding.
unsafe impl Wire for Ethernet {}
// SAFETY: as above.
unsafe impl Wire for VlanTag {}
// SAFETY: as above.
unsafe impl Wire for Ipv4 {}
// SAFETY: as above.
unsafe impl Wire for Ipv6 {}
// SAFETY: as above.
unsafe impl Wire for Ipv6Extension {}
// SAFETY: as above.
unsafe impl Wire for Tcp {}
// SAFETY: as above.
unsafe impl Wire for Udp {}

const _: () = {
    assert!(size_of::<Ethernet>() == 14);
    assert!(size_of::<VlanTag>() == 4);
    assert!(size_of::<Ipv4>() == 20);
    assert!(size_of::<Ipv6>() == 40);
    assert!(size_of::<Ipv6Extension>() == 4);
    assert!(size_of::<Tcp>() == 20);
    assert!(size_of::<Udp>() == 8);
};

/// EtherType numbers.
pub mod ethertype {
    /// IPv4
    pub const IPV4: u16 = 0x0800;
    /// IPv6
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q customer tag
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad service tag
    pub const QINQ: u16 = 0x88a8;
}

/// IP protocol and IPv6 next-header numbers (IANA).
pub mod protocol {
    /// IPv6 hop-by-hop options
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP
    pub const ICMP: u8 = 1;
    /// IGMP
    pub const IGMP: u8 = 2;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// IPv6 routing header
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header
    pub const FRAGMENT: u8 = 44;
    /// Authentication header
    pub const AH: u8 = 51;
    /// ICMPv6
    pub const ICMPV6: u8 = 58;
    /// Nothing follows
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options
    pub const DESTINATION: u8 = 60;
    /// Mobility header (RFC 6275)
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol (RFC 7401)
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533)
    pub const SHIM6: u8 = 140;
    /// For experiments (RFC 3692)
    pub const EXPERIMENT: u8 = 253;
    /// As above
    pub const EXPERIMENT_TOO: u8 = 254;
}

/// TCP flag bits.
pub mod flag {
    /// FIN
    pub const FIN: u8 = 0x01;
    /// SYN
    pub const SYN: u8 = 0x02;
    /// RST
    pub const RST: u8 = 0x04;
    /// PSH
    pub const PSH: u8 = 0x08;
    /// ACK
    pub const ACK: u8 = 0x10;
    /// URG
    pub const URG: u8 = 0x20;
    /// ECN echo
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced
    pub const CWR: u8 = 0x80;
}
