//! Sources that are forged beyond doubt: LAND and bogons.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    bogon,
    config::{Config, MAX_CONNECTED, Prefix, Profile},
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
    if bogon && !is_connected(&packet.source, config) {
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

/// Whether a bogon is the network that this interface is connected to.
#[inline(always)]
fn is_connected(source: &Address, config: &Config) -> bool {
    for i in 0..MAX_CONNECTED {
        if i as u32 >= config.connected_len {
            return false;
        }
        if contains(&config.connected[i], source) {
            return true;
        }
    }
    false
}

#[inline(always)]
const fn contains(prefix: &Prefix, address: &Address) -> bool {
    let mut differs = 0;
    let mut i = 0;
    while i < 4 {
        differs |= (address.0[i] & prefix.mask[i]) ^ prefix.network[i];
        i += 1;
    }
    differs == 0
}
