//! Ranges in few bytes: a million prefixes of IPv4 take 3 MB. They lie in memory and on the disk like this.
//!
//! Of each range, ascending: the gap before it and its length less one. IPv4: LEB128. IPv6: the number of zero bits at the end, a byte,
//! and LEB128 of the rest; prefixes end in many.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::entries::Ranges;

/// Disjoint ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    v4: Box<[u8]>,
    v6: Box<[u8]>,
    counts: [u64; 2],
    id: u64,
}

impl Packed {
    /// Of ranges that are disjoint and ascending.
    #[must_use]
    pub fn new(ranges: &Ranges) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut next = 0_u32;
        for &(first, last) in &ranges.v4 {
            put(&mut v4, u128::from(first.wrapping_sub(next)));
            put(&mut v4, u128::from(last.wrapping_sub(first)));
            next = last.wrapping_add(1);
        }
        let mut next = 0_u128;
        for &(first, last) in &ranges.v6 {
            put_even(&mut v6, first.wrapping_sub(next));
            put_even(&mut v6, last.wrapping_sub(first).wrapping_add(1));
            next = last.wrapping_add(1);
        }
        let counts = [ranges.v4.len() as u64, ranges.v6.len() as u64];
        Self { counts, ..Self::of_bytes(v4.into(), v6.into()) }
    }

    fn of_bytes(v4: Box<[u8]>, v6: Box<[u8]>) -> Self {
        let hash = Sha256::new().chain_update((v4.len() as u64).to_le_bytes());
        let hash: [u8; 32] = hash.chain_update(&v4).chain_update(&v6).finalize().into();
        let id = hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Self { v4, v6, counts: [0; 2], id }
    }

    /// A number that differs where the content does.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// How many ranges: IPv4, IPv6.
    #[must_use]
    pub const fn counts(&self) -> [u64; 2] {
        self.counts
    }

    /// Those of IPv4, ascending.
    pub fn v4(&self) -> impl Iterator<Item = (u32, u32)> {
        let (mut bytes, mut next) = (&*self.v4, 0_u32);
        std::iter::from_fn(move || {
            let first = next.checked_add(take(&mut bytes)?.try_into().ok()?)?;
            let last = first.checked_add(take(&mut bytes)?.try_into().ok()?)?;
            next = last.wrapping_add(1);
            Some((first, last))
        })
    }

    /// Those of IPv6, ascending.
    pub fn v6(&self) -> impl Iterator<Item = (u128, u128)> {
        let (mut bytes, mut next) = (&*self.v6, 0_u128);
        std::iter::from_fn(move || {
            let first = next.checked_add(take_even(&mut bytes)?)?;
            // All addresses are 2^128, of which 0 is left.
            let last = first.checked_add(take_even(&mut bytes)?.wrapping_sub(1))?;
            next = last.wrapping_add(1);
            Some((first, last))
        })
    }

    /// The range that holds an address.
    #[must_use]
    pub fn holding(&self, address: IpAddr) -> Option<(IpAddr, IpAddr)> {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                let (first, last) = self.v4().find(|(_, last)| bits <= *last)?;
                (first <= bits).then(|| (IpAddr::V4(first.into()), IpAddr::V4(last.into())))
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let (first, last) = self.v6().find(|(_, last)| bits <= *last)?;
                (first <= bits).then(|| (IpAddr::V6(first.into()), IpAddr::V6(last.into())))
            }
        }
    }

    /// All of them.
    #[must_use]
    pub fn ranges(&self) -> Ranges {
        Ranges { v4: self.v4().collect(), v6: self.v6().collect() }
    }

    /// For the disk.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.v4, &self.v6]
    }

    /// From the disk.
    #[must_use]
    pub fn of_parts(v4: &[u8], v6: &[u8]) -> Self {
        let mut packed = Self::of_bytes(v4.into(), v6.into());
        packed.counts = [packed.v4().count() as u64, packed.v6().count() as u64];
        packed
    }
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut value = 0;
    for shift in (0..128).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u128::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_even(bytes: &mut Vec<u8>, value: u128) {
    let zeros = if value == 0 { 0 } else { value.trailing_zeros() };
    bytes.push(zeros as u8);
    put(bytes, value >> zeros);
}

fn take_even(bytes: &mut &[u8]) -> Option<u128> {
    let (zeros, rest) = bytes.split_first()?;
    *bytes = rest;
    take(bytes)?.checked_shl((*zeros).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feed::entries::Ranges;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            v4 in prop::collection::vec((any::<u32>(), 0_u32..70_000), 0..200),
            v6 in prop::collection::vec((any::<u128>(), 0_u32..128), 0..200),
        ) {
            let v4 = v4.into_iter().map(|(first, length)| (first, first.saturating_add(length))).collect();
            let v6 = v6.into_iter().map(|(first, host)| {
                let mask = (1_u128 << host) - 1;
                (first & !mask, first | mask)
            }).collect();
            let ranges = Ranges { v4, v6 }.without(Ranges::default());
            let packed = Packed::new(&ranges);
            prop_assert_eq!(&packed.ranges(), &ranges);
            let [v4, v6] = packed.parts();
            prop_assert_eq!(Packed::of_parts(v4, v6), packed.clone());
            for &(first, last) in &ranges.v4 {
                let found = packed.holding(IpAddr::V4(last.into()));
                prop_assert_eq!(found, Some((IpAddr::V4(first.into()), IpAddr::V4(last.into()))));
            }
        }

        #[test]
        fn garbage_ends(v4 in prop::collection::vec(any::<u8>(), 0..300), v6 in prop::collection::vec(any::<u8>(), 0..300)) {
            let packed = Packed::of_parts(&v4, &v6);
            let ranges = packed.ranges();
            prop_assert!(ranges.v4.len() <= v4.len() && ranges.v6.len() <= v6.len());
            prop_assert!(ranges.v4.iter().all(|(first, last)| first <= last));
        }
    }
}
