//! Which addresses may be this host's: bits that answer for nearly all others without a look into the hash of addresses.

use crate::{packet::Address, word::Word};

/// Bits for own addresses, in words.
const OWN: usize = 256;
/// Bits for broadcast addresses, in words.
const BROADCAST: usize = 64;

/// Two sets of bits, by a hash of the address. A set bit means "perhaps".
#[derive(Debug)]
#[repr(C)]
pub struct Hints {
    own: [Word; OWN],
    broadcast: [Word; BROADCAST],
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            own: core::array::from_fn(|_| Word::new(0)),
            broadcast: core::array::from_fn(|_| Word::new(0)),
        }
    }
}

/// Words of [`Hints`], for user space that writes them.
pub const WORDS: usize = OWN + BROADCAST;

/// Word and bit of an own address among all of [`WORDS`].
#[must_use]
#[inline(always)]
pub const fn own(address: &Address) -> (usize, u32) {
    let hash = hash(address);
    ((hash >> 6) as usize & (OWN - 1), hash & 63)
}

/// As [`own`], of a broadcast address.
#[must_use]
#[inline(always)]
pub const fn broadcast(address: &Address) -> (usize, u32) {
    let hash = hash(address);
    (OWN + ((hash >> 6) as usize & (BROADCAST - 1)), hash & 63)
}

/// Multiplicative (Knuth, TAOCP 6.4). Addresses that collide on purpose cost a look-up and no more.
#[inline(always)]
const fn hash(address: &Address) -> u32 {
    let [a, b, c, d] = address.0;
    let folded = a ^ b.rotate_left(7) ^ c.rotate_left(13) ^ d.rotate_left(19);
    folded.wrapping_mul(0x9e37_79b1) >> 18
}

impl Hints {
    /// Whether it may be an address of this host.
    #[must_use]
    #[inline(always)]
    pub fn may_be_own(&self, address: &Address) -> bool {
        let (word, bit) = own(address);
        self.own[word & (OWN - 1)].load() >> bit & 1 != 0
    }

    /// Whether it may be the broadcast address of one of its networks.
    #[must_use]
    #[inline(always)]
    pub fn may_be_broadcast(&self, address: &Address) -> bool {
        let (word, bit) = broadcast(address);
        self.broadcast[(word - OWN) & (BROADCAST - 1)].load() >> bit & 1 != 0
    }

    /// Sets every bit: everything may be.
    pub fn fill(&self) {
        self.own.iter().chain(&self.broadcast).for_each(|word| word.store(u64::MAX));
    }
}

const _: () = assert!(size_of::<Hints>() == WORDS * 8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::address;

    #[test]
    fn a_bit_stands_for_its_address_and_few_others() {
        let hints = Hints::default();
        let ours = address("192.31.196.2");
        let (word, bit) = own(&ours);
        hints.own[word].store(1 << bit);
        assert!(hints.may_be_own(&ours) && !hints.may_be_broadcast(&ours));
        let others =
            (0..100_000_u32).filter(|i| hints.may_be_own(&Address::from_v4(i.wrapping_mul(0x0101_0301))));
        assert!(others.count() < 60, "one in 16384");
    }

    #[test]
    fn both_sets_lie_where_user_space_writes_them() {
        let hints = Hints::default();
        let network = address("192.31.196.255");
        let (word, bit) = broadcast(&network);
        assert!((OWN..WORDS).contains(&word));
        hints.broadcast[word - OWN].store(1 << bit);
        assert!(hints.may_be_broadcast(&network) && !hints.may_be_own(&network));
    }
}
