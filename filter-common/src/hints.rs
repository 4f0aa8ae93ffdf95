//! Which addresses may be this host's: bits that answer for nearly all others without a look into the hash of addresses.

use crate::{packet::Address, word::Word};

/// Bits for own addresses, in words.
const OWN: usize = 256;
/// Bits for broadcast addresses, in words.
const BROADCAST: usize = 64;

/// Times for ports, in words.
const AWAITED: usize = 64;

/// Own addresses that are known for certain.
const KNOWN: usize = 64;

/// Two sets of bits, by a hash of the address: a set bit means "perhaps". Own addresses, as many as have places of their own.
/// And until when replies from a port are awaited.
#[derive(Debug)]
#[repr(C)]
pub struct Hints {
    own: [Word; OWN],
    broadcast: [Word; BROADCAST],
    known: [[Word; 2]; KNOWN],
    awaited: [Word; AWAITED],
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            own: core::array::from_fn(|_| Word::new(0)),
            broadcast: core::array::from_fn(|_| Word::new(0)),
            known: core::array::from_fn(|_| [Word::new(0), Word::new(0)]),
            awaited: core::array::from_fn(|_| Word::new(0)),
        }
    }
}

/// How much longer than needed a port counts as awaited, nanoseconds.
const ONCE_IN_NS: u64 = 1_000_000_000;

/// Words of [`Hints`] that user space writes: what is about addresses.
pub const WORDS: usize = BITS + 2 * KNOWN;

/// How many of them are bits.
pub const BITS: usize = OWN + BROADCAST;

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

/// The first of two words that hold an own address as [`Address::words`] has it.
#[must_use]
#[inline(always)]
pub const fn known(address: &Address) -> usize {
    OWN + BROADCAST + 2 * (hash(address) as usize & (KNOWN - 1))
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

    /// Whether it is an address of this host for certain; false says nothing.
    #[inline(always)]
    pub fn is_known(&self, address: &Address) -> bool {
        let words = address.words();
        let place = &self.known[hash(address) as usize & (KNOWN - 1)];
        words != [0; 2] && place[0].load() == words[0] && place[1].load() == words[1]
    }

    /// Whether it may be the broadcast address of one of its networks.
    #[must_use]
    #[inline(always)]
    pub fn may_be_broadcast(&self, address: &Address) -> bool {
        let (word, bit) = broadcast(address);
        self.broadcast[(word - OWN) & (BROADCAST - 1)].load() >> bit & 1 != 0
    }

    /// A reply from that port may come until then. Not written for each query: every CPU reads the line.
    #[inline(always)]
    pub fn await_from(&self, port: u16, until: u64) {
        let word = &self.awaited[port as usize & (AWAITED - 1)];
        if word.load() < until {
            word.store(until + ONCE_IN_NS);
        }
    }

    /// Whether a reply from that port, or another with the same low bits, may come at `now`.
    #[inline(always)]
    pub fn awaits_from(&self, port: u16, now: impl Fn() -> u64) -> bool {
        let until = self.awaited[port as usize & (AWAITED - 1)].load();
        until != 0 && now() < until
    }

    /// Sets the bit of an own address.
    #[cfg(test)]
    pub(crate) fn set_own(&self, address: &Address) {
        let (word, bit) = own(address);
        self.own[word].store(self.own[word].load() | 1 << bit);
    }

    /// Sets every bit: everything may be.
    pub fn fill(&self) {
        self.own.iter().chain(&self.broadcast).for_each(|word| word.store(u64::MAX));
    }
}

const _: () = assert!(size_of::<Hints>() == (WORDS + AWAITED) * 8);

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
    fn an_address_is_known_where_user_space_writes_it() {
        let hints = Hints::default();
        let ours = address("2620:4f:8000::2");
        let place = (known(&ours) - OWN - BROADCAST) / 2;
        for (word, value) in hints.known[place].iter().zip(ours.words()) {
            word.store(value);
        }
        assert!(hints.is_known(&ours));
        assert!(!hints.is_known(&address("2620:4f:8000::3")) && !hints.is_known(&Address::default()));
    }

    #[test]
    fn a_port_is_awaited_as_long_as_a_reply_may_come() {
        let hints = Hints::default();
        let second = 1_000_000_000;
        assert!(!hints.awaits_from(53, || panic!("asked for the time")));
        for query in 0..100 {
            let until = 30 * second + query * second / 10;
            hints.await_from(53, until);
            assert!(hints.awaits_from(53, || until - 1));
        }
        assert!(!hints.awaits_from(53, || 43 * second) && !hints.awaits_from(123, || 0));
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
