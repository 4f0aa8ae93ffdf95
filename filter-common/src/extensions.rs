//! IPv6 extension headers: the chain that Linux walks to find the transport (`ipv6_ext_hdr`, net/ipv6/exthdrs_core.c).
//!
//! The kernel shell walks in a function that the verifier checks once, by itself, so the result is a number: see [`walk`].

use core::ops::ControlFlow::{Break, Continue};

use crate::{
    cursor::Cursor,
    headers::{Ipv6Extension, protocol},
    packet::{Fragment, Parsed, fragment},
    reason::Reason,
};

/// Extension headers that are followed; Linux follows any number, real traffic has at most two.
pub const MAX_EXTENSIONS: usize = 6;

/// A chain of extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first header that is no extension: the transport.
    pub next: u8,
    /// Bytes of extension headers, never more than the payload.
    pub length: u16,
    /// What the fragment header says, if there is one.
    pub fragment: Fragment,
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

/// Follows the chain at `cursor` that begins with header `next` in `payload` bytes: a [`Chain`] or a reason, packed for
/// [`unpack`].
#[must_use]
#[inline(always)]
pub fn walk(cursor: Cursor<'_>, next: u8, payload: u16) -> u64 {
    match follow(cursor, Chain { next, length: 0, fragment: Fragment::No }, payload) {
        Continue(Chain { next, length, fragment }) => {
            next as u64 | (length as u64) << LENGTH | (fragment as u64) << FRAGMENT
        }
        Break(reason) => (reason as u64) << REASON,
    }
}

// Positions in a packed result. No chain ends with reason 0, [`Reason::Pass`].
const LENGTH: u32 = 8;
const FRAGMENT: u32 = 24;
const REASON: u32 = 32;

/// What [`walk`] found.
#[inline(always)]
pub fn unpack(walked: u64) -> Parsed<Chain> {
    match walked >> REASON {
        0 => Continue(Chain {
            next: walked as u8,
            length: (walked >> LENGTH) as u16,
            fragment: match (walked >> FRAGMENT) as u8 {
                0 => Fragment::No,
                1 => Fragment::First,
                _ => Fragment::Later,
            },
        }),
        reason if reason == Reason::Ipv6Extensions as u64 => Break(Reason::Ipv6Extensions),
        _ => Break(Reason::Ipv6Truncated),
    }
}

#[inline(always)]
fn follow(mut cursor: Cursor<'_>, mut chain: Chain, payload: u16) -> Parsed<Chain> {
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(chain.next) || matches!(chain.fragment, Fragment::Later) {
            return Continue(chain);
        }
        let Some(header) = cursor.peek::<Ipv6Extension>() else { return Break(Reason::Ipv6Truncated) };
        let length = match chain.next {
            protocol::FRAGMENT => 8,
            protocol::AH => (header.length as u16 + 2) * 4,
            _ => (header.length as u16 + 1) * 8,
        };
        if length > payload - chain.length {
            return Break(Reason::Ipv6Truncated);
        }
        if chain.next == protocol::FRAGMENT {
            let bits = u16::from_be(header.fragment);
            chain.fragment = fragment(bits >> 3, bits & 1 != 0);
        }
        chain.next = header.next_header;
        chain.length += length;
        cursor.skip(length);
    }
    if is_extension(chain.next) { Break(Reason::Ipv6Extensions) } else { Continue(chain) }
}
