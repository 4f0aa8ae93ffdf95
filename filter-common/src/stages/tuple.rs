//! Hashes of a packet's two ends, for tables that remember tuples.

use crate::{packet::Address, siphash::sip13};

/// Of both addresses and of `rest`: ports (bits 0 to 31) and whatever tells tables apart.
#[inline(always)]
pub(super) fn hash(seed: [u64; 2], is_v6: bool, ends: [&Address; 2], rest: u64) -> u64 {
    if is_v6 {
        let [[a, b], [c, d]] = ends.map(Address::words);
        sip13(seed, [a, b, c, d, rest])
    } else {
        sip13(seed, [ends[0].v4() as u64 | (ends[1].v4() as u64) << 32, rest])
    }
}
