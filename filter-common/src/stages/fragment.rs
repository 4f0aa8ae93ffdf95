//! Fragments: only the first has ports, and a SYN is never fragmented.
//!
//! The parser has refused those that contradict themselves. What overlaps anywhere else is the stack's to judge: Linux
//! drops a datagram with overlapping fragments (RFC 5722, for IPv4 too since 4.20).

use core::ops::ControlFlow::{Break, Continue};

use super::{
    Verdict,
    limit::{self, Kind},
    proven,
};
use crate::{
    headers::protocol,
    packet::{Fragment, Packet},
    reason::Reason,
    state::{State, Total},
    wire::flags,
};

/// Bytes of a TCP header without options.
const TCP: u16 = 20;

#[inline(always)]
pub(super) fn check(packet: &Packet) -> Verdict {
    match packet.fragment {
        Fragment::First if packet.is_syn() => Break(Reason::SynFragmented),
        Fragment::Later if overlaps(packet) => Break(Reason::FragmentOverlap),
        _ => Continue(()),
    }
}

/// Whether the fragment would write into the transport header that the first one must have (RFC 1858 4, RFC 3128 4).
///
/// UDP and ICMP headers end where the second fragment may begin. An IPv6 fragment may lie about the protocol: "only the
/// value from the Offset zero fragment packet is used for reassembly" (RFC 8200 4.5).
#[inline(always)]
const fn overlaps(packet: &Packet) -> bool {
    packet.fragment_offset < TCP && (packet.is_v6 || packet.protocol == protocol::TCP)
}

/// Fragments by policy: each source's share, and that of all sources but proven ones.
#[inline(always)]
pub(super) fn limit<S: State>(packet: &Packet, state: &S) -> Verdict {
    if packet.fragment == Fragment::No {
        return Continue(());
    }
    let policy = &state.config().wire;
    if policy.has(flags::DROP_FRAGMENTS) {
        return Break(Reason::FragmentDenied);
    }
    if !limit::take(packet, state, Kind::Fragments, 0, policy.fragments_per_source) {
        return Break(Reason::FragmentSourceRate);
    }
    if policy.fragments.is_some()
        && !state.take_total(Total::Fragments, policy.fragments, state.now())
        && proven::left(packet, state) == 0
    {
        return Break(Reason::FragmentRate);
    }
    Continue(())
}
