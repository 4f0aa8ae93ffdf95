//! This host's addresses in the data path, and the bits that save most look-ups of others.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, Result};
use aya::maps::{self, MapData};
use filter_common::{
    abi::{LOCAL_ADDRESS, LOCAL_BROADCAST},
    hints,
    packet::Address,
};

use super::{bytes::address_key, mapping::Mapping, tables::open};

/// `LOCAL` and `HINTS`.
pub(super) struct Local {
    addresses: maps::HashMap<MapData, [u32; 4], u8>,
    hints: Mapping,
}

impl Local {
    pub(super) fn open(addresses: &Path, hints: &Path) -> Result<Self> {
        let map = MapData::from_pin(hints).with_context(|| format!("open {}", hints.display()))?;
        Ok(Self {
            addresses: open(addresses)?.try_into().context("LOCAL")?,
            hints: Mapping::writable(&map).context("HINTS")?,
        })
    }

    /// Makes the maps hold exactly these; those that stay are never absent meanwhile.
    pub(super) fn set(&mut self, addresses: &[IpAddr], broadcasts: &[Ipv4Addr]) -> Result<()> {
        let wanted = wanted(addresses, broadcasts);
        let new = words(&wanted);
        let words = || self.hints.words().iter().zip(&new);
        // Bits without an address cost a look-up; addresses without their bit would be missed. What is known for certain is so
        // only once it has its entry.
        let bits = words().take(hints::BITS);
        bits.for_each(|(word, bits)| word.store(word.load(Relaxed) | bits, Relaxed));
        let stays = |(word, new): &(&AtomicU64, &u64)| word.load(Relaxed) == **new;
        words().skip(hints::BITS).filter(|pair| !stays(pair)).for_each(|(word, _)| word.store(0, Relaxed));
        let held: HashMap<_, _> = self.addresses.iter().collect::<Result<_, _>>().context("LOCAL")?;
        // Removing first makes room in a full map.
        for key in held.keys().filter(|key| !wanted.contains_key(*key)) {
            self.addresses.remove(key).context("LOCAL")?;
        }
        for (key, value) in wanted.iter().filter(|(key, value)| held.get(*key) != Some(value)) {
            self.addresses.insert(key, value, 0).context("more own addresses than [limits] has room for")?;
        }
        words().for_each(|(word, new)| word.store(*new, Relaxed));
        Ok(())
    }
}

/// What `LOCAL` is to hold; an address of the host's own is never a broadcast address.
fn wanted(addresses: &[IpAddr], broadcasts: &[Ipv4Addr]) -> HashMap<[u32; 4], u8> {
    let broadcasts = broadcasts.iter().map(|address| (address_key((*address).into()), LOCAL_BROADCAST));
    broadcasts.chain(addresses.iter().map(|address| (address_key(*address), LOCAL_ADDRESS))).collect()
}

/// The words of [`hints::Hints`] about these.
fn words(wanted: &HashMap<[u32; 4], u8>) -> Vec<u64> {
    let mut words = vec![0; hints::WORDS];
    for (key, value) in wanted {
        let address = Address(*key);
        let is_broadcast = *value == LOCAL_BROADCAST;
        let (word, bit) = if is_broadcast { hints::broadcast(&address) } else { hints::own(&address) };
        words[word] |= 1 << bit;
        if !is_broadcast {
            let place = hints::known(&address);
            words[place..place + 2].copy_from_slice(&address.words());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_address_is_no_broadcast_address() {
        let address: Ipv4Addr = "192.31.196.255".parse().expect("v4");
        let other: Ipv4Addr = "192.31.197.255".parse().expect("v4");
        let wanted = wanted(&[address.into()], &[address, other]);
        assert_eq!(wanted[&address_key(address.into())], LOCAL_ADDRESS);
        assert_eq!(wanted[&address_key(other.into())], LOCAL_BROADCAST);
        let words = words(&wanted);
        assert_eq!(words[..hints::BITS].iter().map(|word| word.count_ones()).sum::<u32>(), 2);
        let known: Vec<u64> = words[hints::BITS..].iter().copied().filter(|word| *word != 0).collect();
        assert_eq!(known, Address(address_key(address.into())).words()[1..]);
    }
}
