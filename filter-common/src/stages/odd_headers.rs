//! What hosts don't send across the Internet in front of a transport header: source routes and options.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    packet::{Packet, mark},
    reason::Reason,
    state::State,
    wire::flags,
};

#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, state: &S) -> Verdict {
    if packet.marks == 0 {
        return Continue(());
    }
    let policy = &state.config().wire;
    if packet.is_marked(mark::SOURCE_ROUTE) {
        return Break(Reason::SourceRoute);
    }
    if packet.is_marked(mark::ROUTING_0) || (packet.is_marked(mark::ROUTED) && policy.has(flags::DROP_ROUTED))
    {
        return Break(Reason::RoutingHeader);
    }
    if packet.is_marked(mark::OPTIONS) && policy.has(flags::DROP_OPTIONS) {
        return Break(Reason::Ipv4Options);
    }
    Continue(())
}
