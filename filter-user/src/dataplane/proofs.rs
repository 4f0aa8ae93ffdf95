//! Proofs that are taken back before their time.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use filter_common::{abi::name, bucket, packet::Address, siphash::Key, stages::proven};
use ipnet::IpNet;

use super::{apply, bytes::address_key, mapping::Mapping, pins::Pins, tables::LINE_WORDS};

/// Who has shown that he can receive: the table `PROVEN`, which the data path goes on to change.
#[derive(Debug)]
pub struct Proofs {
    table: Mapping,
    seed: Key,
}

impl Proofs {
    pub(super) fn open(pins: &Pins) -> Result<Self> {
        let map = MapData::from_pin(pins.map(name::PROVEN)).context(name::PROVEN)?;
        let table = Mapping::writable(&map).context(name::PROVEN)?;
        Ok(Self { table, seed: apply::pinned_seed(pins)? })
    }

    /// Takes back those of these sources (IPv4 addresses, IPv6 /64s), or with `dry_run` counts them; how many hold at `now`.
    #[must_use]
    pub fn forget(&self, sources: impl Iterator<Item = IpNet>, now: u64, dry_run: bool) -> u64 {
        sources.filter(|source| forget(self.table.words(), self.hash(source), now, dry_run)).count() as u64
    }

    fn hash(&self, source: &IpNet) -> u64 {
        let address = Address(address_key(source.network()));
        match source.addr() {
            IpAddr::V4(_) => proven::hash_of(self.seed, address.v4().into(), false),
            IpAddr::V6(_) => proven::hash_of(self.seed, address.words()[0], true),
        }
    }
}

/// Whether there was one. What has ended goes as well: its tag would stay until somebody needs the place.
fn forget(words: &[AtomicU64], hash: u64, now: u64, dry_run: bool) -> bool {
    let (line, tag) = bucket::place(hash, (words.len() / LINE_WORDS) as u32);
    let line = words.chunks_exact(LINE_WORDS).nth(line as usize).unwrap_or_default();
    let mut held = false;
    for [name, until] in line.as_chunks().0 {
        let end = until.load(Relaxed);
        if name.load(Relaxed) != tag {
            continue;
        }
        held |= end > now;
        // The data path may give the place to somebody else meanwhile: that one's proof stays.
        if !dry_run && name.compare_exchange(tag, 0, Relaxed, Relaxed).is_ok() {
            let _ = until.compare_exchange(end, 0, Relaxed, Relaxed);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use filter_common::bucket::{Line, mark};

    use super::*;

    /// Two lines as they lie in memory: words of the lines' ways.
    fn words(lines: &[Line]) -> Vec<AtomicU64> {
        let ways = lines.iter().flat_map(|line| &line.0);
        ways.flat_map(|way| [way.tag.load(), way.until.load()]).map(AtomicU64::new).collect()
    }

    #[test]
    fn one_proof_goes_the_others_stay() {
        let lines = [Line::default(), Line::default()];
        let places = [6_u64, 8, 10, 3].map(|hash| (hash, bucket::place(hash, 2)));
        for (hash, (line, tag)) in places {
            mark(&lines[line as usize], tag, 100 + hash);
        }
        let words = words(&lines);
        let tags = || -> Vec<u64> {
            let names = words.iter().step_by(2).map(|word| word.load(Relaxed));
            names.filter(|tag| *tag != 0).collect()
        };
        assert_eq!(tags().len(), 4);
        assert!(forget(&words, 8, 107, true) && tags().len() == 4, "only told");
        assert!(forget(&words, 8, 107, false) && !forget(&words, 8, 107, false));
        assert_eq!(tags(), [7, 11, 3]);
        assert_eq!(words.iter().filter(|word| word.load(Relaxed) == 108).count(), 0, "its end is gone, too");
        assert!(!forget(&words, 10, 110, false), "it has ended");
        assert_eq!(tags(), [7, 3], "and goes all the same");
        assert!(!forget(&[], 8, 0, false));
    }
}
