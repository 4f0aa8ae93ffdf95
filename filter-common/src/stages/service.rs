//! Which service a packet is for.

use crate::{
    config::{MAX_PROTECTED, MAX_SERVICES, Service, flags, service},
    cursor::index,
    packet::Packet,
    rules::lowest,
    state::{List, State},
};

/// A service and its number; number 0 is none, with the policy of none.
///
/// No `Option`: the place of what is not there would be a register without a value, which the kernel refuses to store.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) number: u32,
    pub(super) service: &'a Service,
}

impl Found<'_> {
    /// Whether there is a service.
    #[inline(always)]
    pub(super) const fn is_some(&self) -> bool {
        self.number != 0
    }

    /// Whether what is decided about its packets is only counted: they pass, and nobody is answered.
    #[inline(always)]
    pub(super) fn is_observed<S: State>(&self, state: &S) -> bool {
        let config = state.config();
        config.has(flags::OBSERVE)
            || config.has(flags::OBSERVE_SERVICES) && self.service.flags & service::OBSERVE != 0
    }
}

/// The service of the destination port (and address, if services ask for it); none for other protocols and ports.
#[inline(always)]
pub(super) fn find<'a, S: State>(packet: &Packet, state: &'a S) -> Found<'a> {
    numbered(number(packet, state).into(), state)
}

/// The service of that number.
#[inline(always)]
pub(super) fn numbered<S: State>(number: u32, state: &S) -> Found<'_> {
    let number = number as usize & (MAX_SERVICES - 1);
    Found { number: number as u32, service: &state.config().services[number] }
}

#[inline(always)]
fn number<S: State>(packet: &Packet, state: &S) -> u8 {
    let ports = if packet.is_tcp() {
        &state.ports().tcp
    } else if packet.is_udp() {
        &state.ports().udp
    } else {
        return 0;
    };
    let class = ports.get(index(packet.ports.destination)).map_or(0, |class| *class);
    if class == 0 || !state.config().has(flags::SERVICES_BY_DESTINATION) {
        return class;
    }
    let ports = state.ports();
    let here = state.listed(List::ServiceDestinations, &packet.destination).unwrap_or(ports.anywhere);
    lowest(ports.classes[class as usize] & here) as u8
}

/// Whether the packet goes on to a destination that the service of that number protects.
#[inline(always)]
pub(super) fn protects<S: State>(number: u32, packet: &Packet, state: &S) -> bool {
    let config = state.config();
    for i in 0..MAX_PROTECTED {
        if i as u32 >= config.protected_len {
            return false;
        }
        if config.protected_service[i] as u32 == number && config.protected[i].contains(&packet.destination) {
            return true;
        }
    }
    false
}
