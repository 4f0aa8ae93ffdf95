//! What has no ports: later fragments, and protocols other than TCP, UDP and ICMP. What passes does so under a reason
//! of its own.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    extensions,
    packet::{Fragment, Packet},
    reason::Reason,
    state::{State, Total},
    wire::flags,
};

#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, state: &S) -> Verdict {
    if packet.is_tcp() || packet.is_udp() || packet.is_icmp() {
        return Continue(());
    }
    if packet.fragment == Fragment::Later {
        return Break(Reason::Fragment);
    }
    Break(other(packet, state))
}

#[inline(always)]
fn other<S: State>(packet: &Packet, state: &S) -> Reason {
    let policy = &state.config().wire;
    if policy.allows(packet.protocol) {
        return Reason::OtherProtocol;
    }
    if packet.is_v6 && extensions::is_unknown(packet.protocol) && policy.has(flags::DROP_HEADERS) {
        return Reason::UnknownHeader;
    }
    if policy.has(flags::DROP_PROTOCOLS) {
        return Reason::ProtocolDenied;
    }
    let limit = policy.other_protocols;
    if limit.is_some() && !state.take_total(Total::OtherProtocols, limit, state.now()) {
        return Reason::ProtocolRate;
    }
    Reason::OtherProtocol
}
