//! Fragments: later ones have no ports and get no transport decision; a SYN is never fragmented.

use core::ops::ControlFlow::{Break, Continue};

use super::Verdict;
use crate::{
    packet::{Fragment, Packet},
    reason::Reason,
};

#[inline(always)]
pub(super) fn check(packet: &Packet) -> Verdict {
    match packet.fragment {
        Fragment::First if packet.is_tcp() && packet.tcp.is_syn() => Break(Reason::SynFragmented),
        Fragment::Later => Break(Reason::Fragment),
        Fragment::No | Fragment::First => Continue(()),
    }
}
