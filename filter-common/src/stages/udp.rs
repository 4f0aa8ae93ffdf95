//! UDP: reflected answers that nobody asked for, and ports that nobody listens on.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, query, service::Found};
use crate::{
    config::flags,
    cursor::index,
    frame::Frame,
    packet::Packet,
    reason::Reason,
    state::{State, Total},
};

#[inline(always)]
pub(super) fn check<F: Frame, S: State>(frame: &F, packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    // What is sent to a group comes from this link: mDNS, SSDP, RIP.
    if !packet.is_udp() || packet.to_group {
        return Continue(());
    }
    let config = state.config();
    if config.has(flags::REFLECTION) && is_reflector(packet.ports.source, state) {
        return reflected(frame, packet, found, state);
    }
    if found.is_some() || !config.closed_ports.is_some() {
        return Continue(());
    }
    unserved(packet, state)
}

/// What [`check`] says where no table has to be asked; `None` where one has.
#[inline(always)]
pub(super) fn at_once<S: State>(packet: &Packet, found: Found<'_>, state: &S) -> Option<Verdict> {
    if !packet.is_udp() {
        return None;
    }
    if packet.to_group {
        return Some(Continue(()));
    }
    let config = state.config();
    if config.has(flags::REFLECTION) && is_reflector(packet.ports.source, state) {
        let nobody_asked = !found.is_some() && !query::awaits_from(packet.ports.source, state);
        return nobody_asked.then_some(Break(Reason::UdpReflection));
    }
    (found.is_some() || !config.closed_ports.is_some()).then_some(Continue(()))
}

#[inline(always)]
fn is_reflector<S: State>(port: u16, state: &S) -> bool {
    state.ports().reflectors.get(index(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 != 0)
}

/// From a reflector's port: a reply to our own query, a peer that asks from the port it serves on, or a reflection.
#[inline(always)]
fn reflected<F: Frame, S: State>(frame: &F, packet: &Packet, found: Found<'_>, state: &S) -> Verdict {
    if query::is_reply(packet, state) {
        return Break(Reason::UdpReply);
    }
    let is_peer = packet.ports.source == packet.ports.destination && !is_answer(frame, packet);
    if found.is_some() && (is_peer || may_be_a_client(packet.ports.source, state)) {
        return Continue(());
    }
    Break(Reason::UdpReflection)
}

/// Ports from here on are given to clients, above all by NATs (RFC 7857 8): one in two thousand of them has a reflector's.
const UNPRIVILEGED: u16 = 1024;

/// Few such datagrams are clients; many are a flood, and clients with these ports are lost in it.
#[inline(always)]
fn may_be_a_client<S: State>(port: u16, state: &S) -> bool {
    let budget = state.config().closed_ports;
    port >= UNPRIVILEGED && budget.is_some() && state.take_total(Total::ClientPorts, budget, state.now())
}

const DNS: u16 = 53;
const NTP: u16 = 123;

/// Whether the payload says that it answers something, where the protocol tells.
#[inline(always)]
fn is_answer<F: Frame>(frame: &F, packet: &Packet) -> bool {
    let Some([first, _, third, _]) = frame.cursor().at(packet.l4 + 8).peek::<[u8; 4]>() else { return true };
    match packet.ports.source {
        // QR (RFC 1035 4.1.1).
        DNS => third & 0x80 != 0,
        // Modes 1 to 3 ask; 4 answers, 5 broadcasts, 6 and 7 are control and private (RFC 5905 7.3).
        NTP => !matches!(first & 7, 1..=3),
        _ => false,
    }
}

/// To a port without a service: the host may be a client, or nobody listens and each datagram is worth an ICMP error.
#[inline(always)]
fn unserved<S: State>(packet: &Packet, state: &S) -> Verdict {
    if query::is_reply(packet, state) {
        return Break(Reason::UdpReply);
    }
    if !state.is_local(&packet.destination) || state.has_udp_socket(packet) {
        return Continue(());
    }
    let within = state.take_total(Total::ClosedPorts, state.config().closed_ports, state.now());
    Break(if within { Reason::NoListener } else { Reason::UdpClosedPort })
}
