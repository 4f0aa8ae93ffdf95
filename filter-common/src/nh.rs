//! NH, the universal hash of UMAC (RFC 4418 5.2.2; Black, Halevi, Krawczyk, Krovetz, Rogaway 1999), for tables of buckets.
//!
//! Two multiplications instead of SipHash's rounds. Whatever words an attacker chooses, any two of them meet with a chance of
//! 2^-32 over the random key, and he sees no hash; IPv4 sources never meet, since for one key NH is one to one in 32 bits.
//! What remembers proofs and connections is hashed with [`crate::siphash`].

/// The hash of two words. No half of the key's words is 0.
#[must_use]
#[inline(always)]
pub const fn hash(key: [u64; 2], words: [u64; 2]) -> u64 {
    spread(product(words[0], key[0]).wrapping_add(product(words[1], key[1])))
}

/// `(low + key) x (high + key)`, halves of 32 bits.
#[inline(always)]
const fn product(word: u64, key: u64) -> u64 {
    let low = (word as u32).wrapping_add(key as u32);
    let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32);
    low as u64 * high as u64
}

/// One to one, so that it adds no collisions: brings the upper bits down, where an index is taken (Steele, Lea, Flood 2014).
#[inline(always)]
const fn spread(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KEY: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

    #[test]
    fn follows_the_definition() {
        let [a, b] = [0x0000_0001_0000_0002, 0x0000_0003_0000_0004];
        let term = |low: u64, high: u64, key: u64| {
            ((low + (key & 0xffff_ffff)) & 0xffff_ffff) * ((high + (key >> 32)) & 0xffff_ffff)
        };
        let sum = term(2, 1, KEY[0]).wrapping_add(term(4, 3, KEY[1]));
        assert_eq!(hash(KEY, [a, b]), spread(sum));
    }

    #[test]
    fn ipv4_sources_never_meet() {
        let hashes: HashSet<u64> = (0..200_000_u64)
            .map(|i| hash(KEY, [i.wrapping_mul(0x9e37_79b1) & 0xffff_ffff, 7 << 32]))
            .collect();
        assert_eq!(hashes.len(), 200_000);
    }

    #[test]
    fn neighbours_fill_the_lines_of_a_table_evenly() {
        for words in [|i: u64| [i, 1 << 32], |i: u64| [i << 40, 1 << 32], |i: u64| [i.swap_bytes(), 1 << 32]]
        {
            let mut lines = [0_u32; 256];
            (0..25_600).for_each(|i| lines[hash(KEY, words(i)) as usize & 255] += 1);
            assert!(lines.iter().all(|n| (40..220).contains(n)), "{lines:?}");
        }
    }
}
