//! The operator's rules as tables: bit-vector classification (Lakshman and Stiliadis, SIGCOMM 1998).
//!
//! A rule is a bit. Each field of a packet is looked up by itself in a table of those rules that accept its value; the AND of
//! all is the set of rules that match. Sixty-four rules cost what one costs.

use crate::config::Limit;

/// Rules that a configuration may have: bits of a word.
pub const MAX_RULES: usize = 64;

/// Sets of rules that a table of classes can tell apart.
pub const CLASSES: usize = 256;

/// Fields that some rule asks about: what nobody asks about is not looked up.
pub mod field {
    /// Source prefixes.
    pub const SOURCE: u64 = 1;
    /// Destination prefixes.
    pub const DESTINATION: u64 = 2;
    /// Protocols.
    pub const PROTOCOL: u64 = 4;
    /// Source ports.
    pub const SOURCE_PORT: u64 = 8;
    /// Destination ports.
    pub const DESTINATION_PORT: u64 = 16;
    /// TCP flags.
    pub const TCP_FLAGS: u64 = 32;
    /// ICMP types.
    pub const ICMP_TYPE: u64 = 64;
    /// Lengths.
    pub const LENGTH: u64 = 128;
    /// TTLs.
    pub const TTL: u64 = 256;
}

/// The class of each 16-bit value, and the rules that accept a class.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Classes {
    /// Class of each value.
    pub of: [u8; 65536],
    /// Rules that accept the values of a class.
    pub rules: [u64; CLASSES],
}

impl Classes {
    /// Nothing is accepted.
    #[expect(clippy::large_stack_arrays, reason = "the value of a static, never on a stack")]
    pub const EMPTY: Self = Self { of: [0; 65536], rules: [0; CLASSES] };
}

/// The read-only global `RULES`: for each value of each field the rules that accept it, bit n for rule n.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Rules {
    /// Number of rules.
    pub len: u64,
    /// Bits of [`field`].
    pub fields: u64,
    /// Rules that accept that family and kind of fragment, by [`shape`].
    pub shapes: [u64; 8],
    /// Rules without a source prefix.
    pub any_source: u64,
    /// Rules without a destination prefix.
    pub any_destination: u64,
    /// Rules that end a packet's way: it passes.
    pub pass: u64,
    /// Rules that end a packet's way: it is dropped.
    pub drop: u64,
    /// Rules that drop what is over their rate.
    pub limit: u64,
    /// Of these, the ones whose rate is each source's.
    pub per_source: u64,
    /// Rules that challenge SYNs.
    pub challenge: u64,
    /// Rules on trial: they count, and matching goes on.
    pub observe: u64,
    /// By protocol.
    pub protocols: [u64; 256],
    /// By TTL or hop limit.
    pub ttls: [u64; 256],
    /// By TCP flags.
    pub tcp_flags: [u64; 256],
    /// By ICMP type.
    pub icmp_types: [u64; 256],
    /// By source port.
    pub source_ports: Classes,
    /// By destination port.
    pub destination_ports: Classes,
    /// By length of the IP packet, bytes.
    pub lengths: Classes,
    /// Rates of [`Self::limit`].
    pub limits: [Limit; MAX_RULES],
}

impl Rules {
    /// No rules.
    pub const EMPTY: Self = Self {
        len: 0,
        fields: 0,
        shapes: [0; 8],
        any_source: 0,
        any_destination: 0,
        pass: 0,
        drop: 0,
        limit: 0,
        per_source: 0,
        challenge: 0,
        observe: 0,
        protocols: [0; 256],
        ttls: [0; 256],
        tcp_flags: [0; 256],
        icmp_types: [0; 256],
        source_ports: Classes::EMPTY,
        destination_ports: Classes::EMPTY,
        lengths: Classes::EMPTY,
        limits: [Limit::NONE; MAX_RULES],
    };

    /// Whether any rule asks about `field`.
    #[must_use]
    #[inline(always)]
    pub const fn asks(&self, field: u64) -> bool {
        self.fields & field != 0
    }
}

/// Where a packet's family and kind of fragment lie in [`Rules::shapes`].
#[must_use]
#[inline(always)]
pub const fn shape(is_v6: bool, fragment: crate::packet::Fragment) -> usize {
    ((is_v6 as usize) << 2 | fragment as usize) & 7
}

/// Number of the lowest bit; 0 if there is none.
///
/// BPF has no instruction for it, and halving would be 64 ways for the verifier: a de Bruijn sequence (Leiserson, Prokop,
/// Randall 1998) is one multiplication and one look-up.
#[must_use]
#[inline(always)]
pub const fn lowest(mask: u64) -> u32 {
    let place = (mask & mask.wrapping_neg()).wrapping_mul(DE_BRUIJN) >> 58;
    NUMBERS[place as usize & 63] as u32
}

const DE_BRUIJN: u64 = 0x03f7_9d71_b4cb_0a89;

static NUMBERS: [u8; 64] = {
    let mut numbers = [0; 64];
    let mut bit = 0_u8;
    while bit < 64 {
        numbers[((1_u64 << bit).wrapping_mul(DE_BRUIJN) >> 58) as usize] = bit;
        bit += 1;
    }
    numbers
};

/// Counters of each rule in the map `RULE_COUNTERS`: what it let go on, and what it acted upon.
pub const COUNTERS: u32 = MAX_RULES as u32 * 2;

/// Where user space notes whose counters they are.
pub const OWNER: u32 = COUNTERS;

/// Entries of `RULE_COUNTERS`.
pub const COUNTERS_LEN: u32 = COUNTERS + 1;

/// Where the counter of a rule lies.
#[must_use]
#[inline(always)]
pub const fn counter_index(rule: u32, acted: bool) -> u32 {
    (rule & (MAX_RULES as u32 - 1)) << 1 | acted as u32
}

const _: () = {
    assert!(size_of::<Classes>() == 65536 + 8 * CLASSES);
    assert!(
        size_of::<Rules>()
            == 8 * 18 + 4 * 256 * 8 + 3 * size_of::<Classes>() + MAX_RULES * size_of::<Limit>()
    );
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_is_found() {
        assert_eq!(lowest(0), 0);
        for bit in 0..64 {
            assert_eq!(lowest(1 << bit), bit);
            assert_eq!(lowest(u64::MAX << bit), bit);
        }
    }
}
