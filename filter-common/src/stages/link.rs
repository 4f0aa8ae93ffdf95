//! What a link needs to live passes before anything can object: neighbour discovery, MLD, IGMP, DHCP.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    headers::protocol,
    packet::{Fragment, Packet, mark},
    reason::Reason,
};

#[inline(always)]
pub(super) fn check(packet: &Packet) -> Verdict {
    let is_link_control = match packet.protocol {
        protocol::ICMPV6 => packet.is_v6 && icmp_v6(packet),
        protocol::IGMP => !packet.is_v6 && packet.ttl == 1 && is_multicast_v4(packet),
        protocol::UDP => dhcp(packet),
        _ => false,
    };
    let is_plain = packet.fragment == Fragment::No && !packet.is_marked(!mark::OPTIONS);
    if is_link_control && is_plain { Break(Reason::LinkControl) } else { Continue(()) }
}

/// "The IP Hop Limit field has a value of 255, i.e., the packet could not possibly have been forwarded by a
/// router" (RFC 4861 7.1.1), as that of inverse ND (RFC 3122) and SEND (RFC 3971); MLD and multicast router discovery are
/// sent with a hop limit of 1 from a link-local or no address (RFC 3810 5, RFC 4286 2). Redirects are no such thing.
#[inline(always)]
fn icmp_v6(packet: &Packet) -> bool {
    match packet.icmp_type {
        133..=136 | 141 | 142 | 148 | 149 => packet.ttl == 255,
        130..=132 | 143 | 151..=153 => {
            packet.ttl == 1 && (is_link_local_v6(packet) || packet.source.0 == [0; 4])
        }
        _ => false,
    }
}

/// DHCPv4 between its ports (RFC 2131); DHCPv6 between link-local addresses (RFC 8415).
#[inline(always)]
fn dhcp(packet: &Packet) -> bool {
    let ports = packet.ports;
    match (ports.source, ports.destination) {
        (67 | 68, 67) | (67, 68) => !packet.is_v6,
        (546 | 547, 547) | (547, 546) => packet.is_v6 && is_link_local_v6(packet),
        _ => false,
    }
}

#[inline(always)]
const fn is_link_local_v6(packet: &Packet) -> bool {
    u32::from_be(packet.source.0[0]) >> 22 == 0xfe80 >> 6
}

#[inline(always)]
const fn is_multicast_v4(packet: &Packet) -> bool {
    u32::from_be(packet.destination.v4()) >> 28 == 14
}
