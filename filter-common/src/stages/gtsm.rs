//! The Generalized TTL Security Mechanism (RFC 5082): a neighbour's packets arrive with the TTL that they were sent with.

use core::ops::ControlFlow::{Break, Continue};

use super::{Verdict, service::Found};
use crate::{packet::Packet, reason::Reason};

/// Whether [`check`] looks at the service's packets.
#[inline(always)]
pub(super) const fn applies(found: Found<'_>) -> bool {
    found.service.ttl_min != 0
}

#[inline(always)]
pub(super) fn check(packet: &Packet, found: Found<'_>) -> Verdict {
    if (packet.ttl as u32) < found.service.ttl_min { Break(Reason::TtlSecurity) } else { Continue(()) }
}
