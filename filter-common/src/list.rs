//! Allow and block lists as the data path reads them: flat tables, at most eight cache lines for one source, whatever a
//! list holds.
//!
//! ```text
//! IPv4   summary: one bit per /16 ── one bit per /22 ── record: 2 bits per /24 ── page: 2 bits per address (only /24s that are split)
//! IPv6   summary: hashed /32s     ── tree of boundaries, 7 to a node, at most 7 levels
//! ```
//! The tables are never changed: a reload makes new ones, and the program that knows them, beside the old.

use crate::packet::Packet;

#[cfg(any(test, feature = "user"))]
pub mod build;

/// What the lists say of a source; where several prefixes hold it, allow wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Class {
    /// In no list.
    #[default]
    None = 0,
    /// On the allow list.
    Allow = 1,
    /// On the block list, not on the allow list.
    Block = 2,
}

impl Class {
    /// The class in the two lowest bits.
    #[must_use]
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            1 => Self::Allow,
            2 => Self::Block,
            _ => Self::None,
        }
    }
}

/// Code of a /24 that is split: its page tells.
pub const SPLIT: u64 = 3;

/// IPv4: what is said of 32 neighbouring /24s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// Two bits for each /24: a [`Class`], or [`SPLIT`].
    pub codes: u64,
    /// Page of the first that is split; the others' follow.
    pub base: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// Records of the whole address space.
pub const RECORDS: u32 = 1 << 19;

/// Words with a bit for each /22: half a megabyte, which stays in the CPU's second cache. Three quarters of a million prefixes leave
/// four of five clear, and unlisted sources then miss no larger cache.
pub const BITS: u32 = 1 << 16;

/// IPv4: a [`Class`] in two bits for each address of a /24; one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Page(pub [u64; 8]);

/// Boundaries in one [`Node`].
pub const KEYS: usize = 7;
/// Levels of the tree: room for 823,543 boundaries.
pub const LEVELS: usize = 7;

/// IPv6: seven addresses at which something begins, ascending; unused ones are all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Node {
    /// Upper and lower half, host byte order.
    pub keys: [[u64; 2]; KEYS],
    /// In a leaf two bits for each key: the [`Class`] from there on.
    pub codes: u64,
    /// Above the leaves the number of the first key's node, the others' follow; 0 in a leaf.
    pub first: u64,
}

/// One bit for each /16 (IPv4).
pub const WORDS_V4: usize = 65536 / 64;
/// One bit for each hashed /32 (IPv6): 250,000 prefixes leave four of five clear.
pub const WORDS_V6: usize = (1 << 20) / 64;

/// The read-only global `LISTED`: a clear bit means that no list holds anything there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Listed {
    /// Bit `address >> 16`.
    pub v4: [u64; WORDS_V4],
    /// Bit [`bit_v6`].
    pub v6: [u64; WORDS_V6],
}

impl Listed {
    /// Nothing listed.
    #[expect(clippy::large_stack_arrays, reason = "the value of a static, never on a stack")]
    pub const EMPTY: Self = Self { v4: [0; WORDS_V4], v6: [0; WORDS_V6] };
}

/// Where an IPv6 source with these first 32 bits (host order) lies in [`Listed::v6`]; Knuth, TAOCP 6.4.
#[must_use]
#[inline(always)]
pub const fn bit_v6(first_32: u32) -> u32 {
    first_32.wrapping_mul(0x9e37_79b1) >> 12
}

/// The tables of the lists.
pub trait Lists {
    /// Summary of all of them.
    fn listed(&self) -> &Listed;
    /// The bits of the /22s of that /16.
    fn bits(&self, index: u32) -> Option<u64>;
    /// The record of that number.
    fn record(&self, index: u32) -> Option<&Record>;
    /// The page of that number.
    fn page(&self, index: u32) -> Option<&Page>;
    /// The node of that number.
    fn node(&self, index: u32) -> Option<&Node>;
}

/// What the lists say of a packet's source.
#[inline(always)]
pub fn class_of<L: Lists>(packet: &Packet, lists: &L) -> Class {
    if packet.is_v6 {
        let [upper, lower] = packet.source.words();
        class_v6([u64::from_be(upper), u64::from_be(lower)], lists)
    } else {
        class_v4(u32::from_be(packet.source.v4()), lists)
    }
}

/// What the lists say of an IPv4 address in host byte order.
#[inline(always)]
pub fn class_v4<L: Lists>(address: u32, lists: &L) -> Class {
    let bit = address >> 16;
    if lists.listed().v4[(bit >> 6) as usize] >> (bit & 63) & 1 == 0 {
        return Class::None;
    }
    if lists.bits(address >> 16).is_none_or(|bits| bits >> (address >> 10 & 63) & 1 == 0) {
        return Class::None;
    }
    let Some(record) = lists.record(address >> 13) else { return Class::None };
    let shift = (address >> 8 & 31) * 2;
    let code = record.codes >> shift & 3;
    if code != SPLIT {
        return Class::from_bits(code);
    }
    let Some(page) = lists.page(record.base + splits(record.codes & ((1 << shift) - 1))) else {
        return Class::None;
    };
    Class::from_bits(page.0[(address >> 5 & 7) as usize] >> ((address & 31) * 2))
}

/// How many of these codes are [`SPLIT`].
#[inline(always)]
const fn splits(codes: u64) -> u32 {
    (codes & codes >> 1 & 0x5555_5555_5555_5555).count_ones()
}

/// What the lists say of an IPv6 address, both halves in host byte order.
///
/// The /64 of all ones, a multicast prefix that is nobody's source, counts as not listed.
#[inline(always)]
pub fn class_v6<L: Lists>(address: [u64; 2], lists: &L) -> Class {
    let bit = bit_v6((address[0] >> 32) as u32);
    if lists.listed().v6[(bit >> 6) as usize] >> (bit & 63) & 1 == 0 || address[0] == u64::MAX {
        return Class::None;
    }
    let mut index = 0;
    for _ in 0..LEVELS {
        let Some(node) = lists.node(index) else { break };
        let slot = slot(&node.keys, address);
        if node.first == 0 {
            return Class::from_bits(node.codes >> (slot * 2));
        }
        index = node.first as u32 + slot;
    }
    Class::None
}

/// The last key that is not above `address`; the first never is.
#[inline(always)]
fn slot(keys: &[[u64; 2]; KEYS], address: [u64; 2]) -> u32 {
    let mut slot = 0;
    for key in &keys[1..] {
        if address[0] < key[0] || (address[0] == key[0] && address[1] < key[1]) {
            break;
        }
        slot += 1;
    }
    slot
}

const _: () = {
    assert!(size_of::<Record>() == 16);
    assert!(size_of::<Page>() == 64);
    assert!(size_of::<Node>() == 128);
    assert!(size_of::<Listed>() == 8192 + 131_072);
};

#[cfg(test)]
mod tests;
