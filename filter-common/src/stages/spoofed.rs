//! Sources that are forged beyond doubt: LAND and bogons.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    bogon,
    config::{Config, Profile, lists},
    headers::protocol,
    packet::{Address, Packet},
    reason::Reason,
    state::State,
};

#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, state: &S) -> Verdict {
    let config = state.config();
    if is_land(packet) {
        return Break(Reason::Land);
    }
    let profile = Profile::from_number(config.profile);
    let bogon = if packet.is_v6 {
        bogon::is_bogon_v6(&packet.source, profile)
    } else {
        bogon::is_bogon_v4(u32::from_be(packet.source.v4()), profile)
    };
    if bogon && !is_connected(&packet.source, config) && !is_exempt(packet) {
        return Break(Reason::Bogon);
    }
    Continue(())
}

#[inline(always)]
fn is_land(packet: &Packet) -> bool {
    if packet.is_v6 {
        packet.source == packet.destination
    } else {
        packet.source.v4() == packet.destination.v4()
    }
}

/// Bogon sources that a host can't do without: routers number their links privately and still tell of a smaller path
/// MTU; routing protocols speak from link-local addresses to link-local ones, which no router forwards.
#[inline(always)]
fn is_exempt(packet: &Packet) -> bool {
    match packet.protocol {
        protocol::ICMP if !packet.is_v6 => (packet.icmp_type, packet.icmp_code) == (3, 4),
        protocol::ICMPV6 if packet.icmp_type == 2 => packet.is_v6,
        // Neighbour discovery that came from afar: with a hop limit of 255 it has passed already.
        protocol::ICMPV6 if matches!(packet.icmp_type, 133..=137) => false,
        _ => packet.is_v6 && is_link_local(&packet.source) && stays_on_link(&packet.destination),
    }
}

#[inline(always)]
const fn is_link_local(address: &Address) -> bool {
    u32::from_be(address.0[0]) >> 22 == 0xfe80 >> 6
}

/// fe80::/10, or the link-local multicast scope ff02::/16 (RFC 4291 2.7).
#[inline(always)]
const fn stays_on_link(address: &Address) -> bool {
    is_link_local(address) || u32::from_be(address.0[0]) >> 16 == 0xff02
}

/// Whether a bogon is the network that this interface is connected to.
#[inline(always)]
fn is_connected(source: &Address, config: &Config) -> bool {
    lists(&config.connected, config.connected_len, source)
}
