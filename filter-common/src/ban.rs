//! Bans: sources that are dropped until a time that the data path compares with its own clock.
//!
//! Two pinned tables that outlive daemon and programs: a hash of sources as limits see them (an IPv4 address, an IPv6
//! /64), and a trie of all other prefixes.

use crate::packet::Address;

/// Bytes of a ban's reason that are kept.
pub const REASON_LEN: usize = 32;

/// A ban. Times are `CLOCK_MONOTONIC` nanoseconds; [`FOREVER`] has no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ban {
    /// The data path drops until then: the latest end among this ban and those of wider prefixes.
    pub until: u64,
    /// This ban's own end.
    pub own: u64,
    /// When it was made, seconds.
    pub since: u32,
    /// Who made it, by [`Origin`].
    pub origin: u32,
    /// Why, for people; UTF-8, the rest is 0.
    pub reason: [u8; REASON_LEN],
}

/// A ban without an end.
pub const FOREVER: u64 = u64::MAX;

/// Who made a ban.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    /// Somebody on the command line or the control socket.
    #[default]
    Operator = 0,
    /// The detector, for as long as an attack lasts at most.
    Detector = 1,
}

impl Origin {
    /// All of them, by number.
    pub const ALL: [Self; 2] = [Self::Operator, Self::Detector];

    /// The name for people and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Detector => "detector",
        }
    }

    /// The one of that number; of numbers that are not known here the operator, who looks after all.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            1 => Self::Detector,
            _ => Self::Operator,
        }
    }
}

/// The map `BAN_CONTROL`: what the data path asks first, and figures for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// Which tables hold anything: bits of [`gate`]. 0 costs a packet one load.
    pub gate: u64,
    /// Entries of `BANS`.
    pub sources: u64,
    /// Entries of `BANNED`.
    pub prefixes: u64,
    /// Bans refused because their table was full.
    pub refused: u64,
    /// Bans made, by [`Origin`].
    pub made: [u64; Origin::ALL.len()],
    /// 1 once the bans from before the boot are in the tables.
    pub restored: u64,
    /// Reserved, 0.
    pub reserved: u64,
}

/// Bits of [`Control::gate`].
pub mod gate {
    /// `BANS` holds an IPv4 address.
    pub const SOURCES_V4: u64 = 1;
    /// `BANS` holds an IPv6 /64.
    pub const SOURCES_V6: u64 = 2;
    /// `BANNED` holds an IPv4 prefix.
    pub const PREFIXES_V4: u64 = 4;
    /// `BANNED` holds an IPv6 prefix.
    pub const PREFIXES_V6: u64 = 8;
}

/// The key in `BANS` of an IPv4 address, in network byte order.
///
/// It lies where 0:0:a.b.c.d::/64 would, a part of ::/32 that is nobody's and is refused as a ban.
#[must_use]
#[inline(always)]
pub const fn key_v4(address: u32) -> u64 {
    (address as u64) << 32
}

/// The key in `BANS` of an IPv6 address's /64, as it lies in memory.
#[must_use]
#[inline(always)]
pub const fn key_v6(address: &Address) -> u64 {
    address.words()[0]
}

/// Bits for each source that there is room for.
const BITS_PER_SOURCE: u64 = 8;

/// Words of the map `BAN_HINTS` for that many sources: a power of two.
#[must_use]
pub const fn hint_words(sources: u32) -> u32 {
    let words = (sources as u64 * BITS_PER_SOURCE / 64).next_power_of_two();
    if words < 1 << 20 { words as u32 } else { 1 << 20 }
}

/// Word and bit of a key in `BAN_HINTS`, of which `words` is the length. A clear bit means that the key is in no table; what is set
/// by other keys costs a look-up. Knuth, TAOCP 6.4.
#[must_use]
#[inline(always)]
pub const fn hint(key: u64, words: u32) -> (u32, u32) {
    let hash = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    (hash >> 6 & words.wrapping_sub(1), hash & 63)
}

/// The tables of bans.
pub trait Bans {
    /// Which tables hold anything: bits of [`gate`].
    fn gate(&self) -> u64;
    /// Whether [`Bans::source`] may find anything.
    fn may_hold(&self, key: u64) -> bool;
    /// Until when the source of that key is banned.
    fn source(&self, key: u64) -> Option<u64>;
    /// Until when the longest prefix is banned that holds the address.
    fn prefix(&self, address: &Address) -> Option<u64>;
    /// `CLOCK_MONOTONIC`, nanoseconds, to the tick.
    fn now(&self) -> u64;
}

/// Key of a source, and the bits of [`gate`] for its family: of sources, of prefixes.
#[inline(always)]
const fn places(source: &Address, is_v6: bool) -> (u64, u64, u64) {
    if is_v6 {
        (key_v6(source), gate::SOURCES_V6, gate::PREFIXES_V6)
    } else {
        (key_v4(source.v4()), gate::SOURCES_V4, gate::PREFIXES_V4)
    }
}

/// Whether any table may hold a source: what nearly all of them are asked.
#[inline(always)]
pub fn may_be_banned<B: Bans>(source: &Address, is_v6: bool, bans: &B) -> bool {
    let held = bans.gate();
    if held == 0 {
        return false;
    }
    let (key, sources, prefixes) = places(source, is_v6);
    held & prefixes != 0 || (held & sources != 0 && bans.may_hold(key))
}

/// Whether a source is banned now.
#[inline(always)]
pub fn is_banned<B: Bans>(source: &Address, is_v6: bool, bans: &B) -> bool {
    let (key, sources, prefixes) = places(source, is_v6);
    let held = bans.gate();
    let mut until = 0;
    if held & sources != 0 && bans.may_hold(key) {
        until = bans.source(key).unwrap_or(0);
    }
    // An address's own ban may end before that of its prefix.
    if held & prefixes != 0 {
        until = until.max(bans.prefix(source).unwrap_or(0));
    }
    until != 0 && bans.now() < until
}

const _: () = {
    assert!(size_of::<Ban>() == 56);
    assert!(size_of::<Control>() == 64);
};
