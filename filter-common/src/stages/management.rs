//! The management allow list, evaluated before anything that could drop: nothing overrules it.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{config::summary_bit_v6, packet::Packet, reason::Reason, state::State};

#[inline(always)]
pub(super) fn check<S: State>(packet: &Packet, state: &S) -> Verdict {
    if may_be_listed(packet, state) && state.is_management(&packet.source) {
        return Break(Reason::Management);
    }
    Continue(())
}

#[inline(always)]
fn may_be_listed<S: State>(packet: &Packet, state: &S) -> bool {
    if state.config().management_families & (1 << packet.is_v6 as u32) == 0 {
        return false;
    }
    let (words, bit) = if packet.is_v6 {
        (&state.summary().v6, summary_bit_v6(u32::from_be(packet.source.0[0])))
    } else {
        (&state.summary().v4, (u32::from_be(packet.source.v4()) >> 16) as u16)
    };
    words[(bit >> 6) as usize] >> (bit & 63) & 1 != 0
}
