//! What keeps a link alive and must always pass: ARP, ND, MLD, IGMP, DHCP.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Packet, ethernet, ip, protocol};
use crate::pair::{CLIENT_MAC, CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6};

const LINK_LOCAL: &str = "fe80::99:1";

/// "Who has the server's address?"
#[must_use]
pub fn arp_request() -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend(CLIENT_MAC);
    body.extend(CLIENT_V4.octets());
    body.extend([0; 6]);
    body.extend(SERVER_V4.octets());
    ethernet(&[], 0x0806, &body)
}

/// The solicited-node multicast address of the server (RFC 4291 2.7.1).
fn solicited_node() -> String {
    let [.., a, b, c] = SERVER_V6.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c])).to_string()
}

fn solicitation(source: &str, hop_limit: u8) -> Packet {
    let mut body = vec![0; 4];
    body.extend(SERVER_V6.octets());
    ip(source, &solicited_node()).hop_limit(hop_limit).icmp(135, 0, &body)
}

/// Neighbour solicitation (RFC 4861) from that source; DAD (RFC 4862) has `::`.
#[must_use]
pub fn neighbour_solicitation(source: &str) -> Vec<u8> {
    solicitation(source, 255).bytes()
}

/// One that crossed a router, which none ever may: hop limit 254.
#[must_use]
pub fn neighbour_solicitation_from_afar() -> Vec<u8> {
    solicitation("fe80::99:1", 254).bytes()
}

/// Neighbour advertisement for the client's address.
#[must_use]
pub fn neighbour_advertisement() -> Vec<u8> {
    let mut body = vec![0x60, 0, 0, 0];
    body.extend(CLIENT_V6.octets());
    ip(LINK_LOCAL, &SERVER_V6.to_string()).hop_limit(255).icmp(136, 0, &body).bytes()
}

/// Router solicitation, from `::` or a link-local source.
#[must_use]
pub fn router_solicitation(source: &str) -> Vec<u8> {
    ip(source, "ff02::2").hop_limit(255).icmp(133, 0, &[0; 4]).bytes()
}

/// Router advertisement.
#[must_use]
pub fn router_advertisement() -> Vec<u8> {
    ip(LINK_LOCAL, "ff02::1").hop_limit(255).icmp(134, 0, &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]).bytes()
}

/// `MLDv2` report (RFC 3810) from that source, with its router alert.
#[must_use]
pub fn mld_report(source: &str) -> Vec<u8> {
    ip(source, "ff02::16").hop_limit(1).router_alert().icmp(143, 0, &[0; 4]).bytes()
}

/// MLD query from the router.
#[must_use]
pub fn mld_query() -> Vec<u8> {
    ip(LINK_LOCAL, "ff02::1").hop_limit(1).router_alert().icmp(130, 0, &[0; 24]).bytes()
}

/// `IGMPv2` report (RFC 2236) with its router alert.
#[must_use]
pub fn igmp_report(source: &str) -> Vec<u8> {
    let body = [0x16, 0, 0x09, 0x04, 224, 0, 0, 251];
    ip(source, "224.0.0.251").hop_limit(1).ipv4_options(&[148, 4, 0, 0]).raw(protocol::IGMP, &body).bytes()
}

/// DHCPDISCOVER: 0.0.0.0 to everybody (RFC 2131).
#[must_use]
pub fn dhcp_discover() -> Vec<u8> {
    ip("0.0.0.0", &Ipv4Addr::BROADCAST.to_string()).udp(68, 67, &[1, 1, 6, 0]).bytes()
}

/// DHCPOFFER from a private server to everybody.
#[must_use]
pub fn dhcp_offer(server: &str) -> Vec<u8> {
    ip(server, &Ipv4Addr::BROADCAST.to_string()).udp(67, 68, &[2, 1, 6, 0]).bytes()
}

/// `DHCPv6` solicit (RFC 8415).
#[must_use]
pub fn dhcpv6_solicit() -> Vec<u8> {
    ip(LINK_LOCAL, "ff02::1:2").hop_limit(1).udp(546, 547, &[1, 0, 0, 1]).bytes()
}

/// `DHCPv6` reply of a link-local server.
#[must_use]
pub fn dhcpv6_reply() -> Vec<u8> {
    ip(LINK_LOCAL, "fe80::99:2").hop_limit(1).udp(547, 546, &[7, 0, 0, 1]).bytes()
}
