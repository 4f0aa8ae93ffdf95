//! What leaves the host: sources that can't be its own (BCP 38, RFC 2827), and a note of what it asks.

use super::{link, query};
use crate::{
    config::flags,
    headers::protocol,
    packet::Packet,
    reason::{Action, Reason},
    state::State,
};

/// The fate of a packet on its way out; what tc egress asks.
#[inline(always)]
pub fn leave<S: State>(packet: &Packet, state: &S) -> Reason {
    let config = state.config();
    let reason = if config.has(flags::EGRESS_SOURCES) { judge(packet, state) } else { Reason::Pass };
    // What is only counted leaves, and is answered.
    let leaves = reason.action() == Action::Pass || !enforces(state);
    if leaves && config.has(flags::REPLIES) {
        query::note(packet, state);
    }
    reason
}

/// Whether forged sources are kept from leaving.
#[must_use]
#[inline(always)]
pub fn enforces<S: State>(state: &S) -> bool {
    state.config().has(flags::EGRESS_DROP) && !state.config().has(flags::OBSERVE)
}

#[inline(always)]
fn judge<S: State>(packet: &Packet, state: &S) -> Reason {
    if link::check(packet).is_break() || is_local_control(packet) {
        return Reason::LinkControl;
    }
    if is_group(packet) {
        return Reason::EgressGroup;
    }
    // To itself a host speaks through the loopback device.
    if packet.source == packet.destination {
        return Reason::EgressLand;
    }
    if state.is_local(&packet.source) || state.config().is_behind(&packet.source) {
        return Reason::Pass;
    }
    Reason::EgressForged
}

/// IGMP and DHCP from a host that has no address yet; IPv6 link-local sources are not routed.
#[inline(always)]
fn is_local_control(packet: &Packet) -> bool {
    if packet.is_v6 {
        u32::from_be(packet.source.0[0]) >> 22 == 0xfe80 >> 6
    } else {
        packet.source.v4() == 0 && matches!(packet.protocol, protocol::IGMP | protocol::UDP)
    }
}

/// 224.0.0.0/4 and above, ff00::/8: never a source.
#[inline(always)]
const fn is_group(packet: &Packet) -> bool {
    if packet.is_v6 {
        u32::from_be(packet.source.0[0]) >> 24 == 0xff
    } else {
        u32::from_be(packet.source.v4()) >> 29 == 7
    }
}
