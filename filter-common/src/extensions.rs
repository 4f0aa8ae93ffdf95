//! IPv6 extension headers: the chain that Linux walks to find the transport (`ipv6_ext_hdr`, net/ipv6/exthdrs_core.c).
//!
//! The kernel shell walks in a function that the verifier checks once, by itself, so the result is a number: see [`walk`].

use core::ops::ControlFlow::{Break, Continue};

use crate::{
    cursor::Cursor,
    headers::{Ipv6Extension, protocol},
    options::{forget, forget_wide},
    packet::{Fragment, Parsed, fragment, mark},
    reason::Reason,
};

/// Extension headers that are followed; Linux follows any number, real traffic has at most two.
pub const MAX_EXTENSIONS: usize = 6;

/// Bytes of the shortest extension header, and of a fragment header.
const SHORTEST: u16 = 8;

/// A chain of extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first header that is no extension: the transport.
    pub next: u8,
    /// Bytes of extension headers, never more than the payload.
    pub length: u16,
    /// What the fragment header says, if there is one.
    pub fragment: Fragment,
    /// Where a fragment's data go, bytes.
    pub offset: u16,
    /// Bits of [`mark`].
    pub marks: u8,
}

impl Chain {
    /// A chain of no headers yet.
    #[must_use]
    #[inline(always)]
    pub const fn start(next: u8) -> Self {
        Self { next, length: 0, fragment: Fragment::No, offset: 0, marks: 0 }
    }

    /// A chain with what a walk has gathered.
    #[inline(always)]
    const fn seen(next: u8, seen: u8) -> Self {
        let fragment = if seen & IS_FIRST != 0 { Fragment::First } else { Fragment::No };
        Self { fragment, marks: seen & (mark::ROUTING_0 | mark::ROUTED), ..Self::start(next) }
    }
}

/// Whether a next-header value is an extension header that is walked over.
#[must_use]
#[inline(always)]
pub const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::AH | protocol::DESTINATION
    )
}

/// Whether a next-header value is an extension header that nobody walks over (IANA's list), or says that nothing follows.
#[must_use]
#[inline(always)]
pub const fn is_unknown(next: u8) -> bool {
    matches!(
        next,
        protocol::NO_NEXT
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
            | protocol::EXPERIMENT
            | protocol::EXPERIMENT_TOO
    )
}

/// Follows the chain at `cursor` that begins with header `next` in `payload` bytes: a [`Chain`] or a reason, packed for
/// [`unpack`].
#[must_use]
#[inline(always)]
pub fn walk(cursor: Cursor<'_>, next: u8, payload: u16) -> u64 {
    match follow(cursor, next, payload) {
        Continue(Chain { next, length, fragment, offset, marks }) => {
            next as u64
                | (length as u64) << LENGTH
                | (offset as u64) << OFFSET
                | (fragment as u64) << FRAGMENT
                | (marks as u64) << MARKS
        }
        Break(reason) => (reason as u64) << REASON,
    }
}

// Positions in a packed result. No chain ends with reason 0, [`Reason::Pass`].
const LENGTH: u32 = 8;
const OFFSET: u32 = 24;
const FRAGMENT: u32 = 40;
const MARKS: u32 = 44;
const REASON: u32 = 56;

/// What [`walk`] found.
#[inline(always)]
pub fn unpack(walked: u64) -> Parsed<Chain> {
    let reason = walked >> REASON;
    if reason == 0 {
        return Continue(Chain {
            next: walked as u8,
            length: (walked >> LENGTH) as u16,
            offset: (walked >> OFFSET) as u16,
            marks: (walked >> MARKS) as u8 & (mark::ROUTING_0 | mark::ROUTED),
            fragment: match (walked >> FRAGMENT) as u8 & 3 {
                0 => Fragment::No,
                1 => Fragment::First,
                _ => Fragment::Later,
            },
        });
    }
    for known in REASONS {
        if reason == known as u64 {
            return Break(known);
        }
    }
    Break(Reason::Ipv6Truncated)
}

/// Why a walk may end, besides [`Reason::Ipv6Truncated`].
const REASONS: [Reason; 7] = [
    Reason::Ipv6Extensions,
    Reason::Ipv6HopByHop,
    Reason::FragmentNested,
    Reason::FragmentLength,
    Reason::FragmentOverflow,
    Reason::FragmentTiny,
    Reason::HeadersSplit,
];

/// Bits that a walk gathers besides marks: a fragment header was there, and it is that of a first fragment.
const HAS_FRAGMENT: u8 = 16;
const IS_FIRST: u8 = 32;

/// What is carried from one header to the next goes through [`forget`]: to the verifier all ways through one round end alike.
#[inline(always)]
fn follow(cursor: Cursor<'_>, first: u8, payload: u16) -> Parsed<Chain> {
    let (mut next, mut length, mut seen) = (first, forget_wide(0, payload), forget(0, payload) as u8);
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(next) {
            return Continue(Chain { length, ..Chain::seen(next, seen) });
        }
        let left = payload.wrapping_sub(length);
        if left < SHORTEST {
            return Break(too_short(seen));
        }
        let mut at = cursor;
        at.skip(length);
        let Some(header) = at.peek::<Ipv6Extension>() else { return Break(Reason::HeadersSplit) };
        let size = match next {
            protocol::FRAGMENT => SHORTEST,
            protocol::AH => (header.length as u16 + 2) * 4,
            _ => (header.length as u16 + 1) * 8,
        };
        if size > left {
            return Break(too_short(seen));
        }
        match next {
            protocol::FRAGMENT => {
                if seen & HAS_FRAGMENT != 0 {
                    return Break(Reason::FragmentNested);
                }
                let bits = u16::from_be(header.word);
                let offset = bits & 0xfff8;
                seen |= HAS_FRAGMENT;
                match fragment(offset, bits & 1 != 0, length, left - size)? {
                    Fragment::No => {}
                    Fragment::First => seen |= IS_FIRST,
                    Fragment::Later => {
                        let chain = Chain::seen(header.next_header, seen);
                        return Continue(Chain {
                            length: length + size,
                            fragment: Fragment::Later,
                            offset,
                            ..chain
                        });
                    }
                }
            }
            // "with the exception of the Hop-by-Hop Options header, which is restricted to appear immediately after an
            // IPv6 header only" (RFC 8200 4.1).
            protocol::HOP_BY_HOP if length != 0 => return Break(Reason::Ipv6HopByHop),
            protocol::ROUTING => seen |= routing(header.word),
            _ => {}
        }
        next = header.next_header;
        length = forget_wide(length + size, payload);
        seen = forget(seen.into(), payload) as u8;
    }
    if is_extension(next) {
        return Break(Reason::Ipv6Extensions);
    }
    Continue(Chain { length, ..Chain::seen(next, seen) })
}

/// "The First Fragment ... MUST contain the entire IPv6 Header Chain" (RFC 7112 5).
#[inline(always)]
const fn too_short(seen: u8) -> Reason {
    if seen & IS_FIRST != 0 { Reason::FragmentTiny } else { Reason::Ipv6Truncated }
}

/// Marks of a routing header's type and segments left.
#[inline(always)]
const fn routing(word: u16) -> u8 {
    match u16::from_be(word).to_be_bytes() {
        [0, _] => mark::ROUTING_0,
        [_, 0] => 0,
        _ => mark::ROUTED,
    }
}
