//! SipHash-c-d (Aumasson, Bernstein 2012) over whole 64-bit words.
//!
//! The general byte-wise construction reduced to messages of `N` words: same result as hashing their
//! little-endian bytes, no loop over a tail, small enough for the kernel. SipHash-2-4 guards cookies;
//! SipHash-1-3 (as in the Linux kernel's and Rust's tables) spreads table entries.

/// A 128-bit key: `k0`, `k1`.
pub type Key = [u64; 2];

/// SipHash-2-4 of `words`.
#[must_use]
#[inline(always)]
pub fn sip24<const N: usize>(key: Key, words: [u64; N]) -> u64 {
    sip::<2, 4, N>(key, words, (N as u64 * 8) << 56)
}

/// SipHash-2-4 of `words` and four bytes more: they share the last block with the length.
#[must_use]
#[inline(always)]
pub fn sip24_and<const N: usize>(key: Key, words: [u64; N], tail: u32) -> u64 {
    sip::<2, 4, N>(key, words, (N as u64 * 8 + 4) << 56 | tail as u64)
}

/// SipHash-1-3 of `words`.
#[must_use]
#[inline(always)]
pub fn sip13<const N: usize>(key: Key, words: [u64; N]) -> u64 {
    sip::<1, 3, N>(key, words, (N as u64 * 8) << 56)
}

#[inline(always)]
fn sip<const C: usize, const D: usize, const N: usize>(key: Key, words: [u64; N], last: u64) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    for word in words {
        absorb::<C>(&mut v, word);
    }
    absorb::<C>(&mut v, last);
    v[2] ^= 0xff;
    for _ in 0..D {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn absorb<const C: usize>(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    for _ in 0..C {
        round(v);
    }
    v[0] ^= word;
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;

    use proptest::prelude::*;

    use super::*;

    /// The reference key 00 01 .. 0f and messages 00 01 .. of the authors' `vectors.h`.
    const KEY: Key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    const MESSAGE: [u64; 4] =
        [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908, 0x1716_1514_1312_1110, 0x1f1e_1d1c_1b1a_1918];

    #[test]
    fn reference_vectors() {
        assert_eq!(sip24(KEY, []), 0x726f_db47_dd0e_0e31);
        assert_eq!(sip24(KEY, [MESSAGE[0]]), 0x93f5_f579_9a93_2462);
        assert_eq!(sip24(KEY, [MESSAGE[0], MESSAGE[1]]), 0x3f2a_cc7f_57c2_9bdb);
        assert_eq!(sip24(KEY, [MESSAGE[0], MESSAGE[1], MESSAGE[2]]), 0xb8ad_50c6_f649_af94);
        assert_eq!(sip24(KEY, MESSAGE), 0x7127_512f_72f2_7cce);
    }

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    proptest! {
        #[test]
        fn equals_the_siphasher_crate(key: Key, words: [u64; 5]) {
            let mut two_four = siphasher::sip::SipHasher24::new_with_keys(key[0], key[1]);
            two_four.write(&bytes(&words));
            prop_assert_eq!(sip24(key, words), two_four.finish());
            two_four = siphasher::sip::SipHasher24::new_with_keys(key[0], key[1]);
            two_four.write(&bytes(&words));
            two_four.write(&0xdead_beef_u32.to_le_bytes());
            prop_assert_eq!(sip24_and(key, words, 0xdead_beef), two_four.finish());
            let mut one_three = siphasher::sip::SipHasher13::new_with_keys(key[0], key[1]);
            one_three.write(&bytes(&words[..2]));
            prop_assert_eq!(sip13(key, [words[0], words[1]]), one_three.finish());
        }
    }
}
