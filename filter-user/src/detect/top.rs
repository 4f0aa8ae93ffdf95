//! The heaviest of many, in bounded memory: Space-Saving (Metwally, Agrawal and El Abbadi, 2005), with weights.
//!
//! With `k` counters and packets of weight `W` in all, every count is too high by at most `W / k`, and whoever has more than
//! that is among them. The map's hash is keyed (SipHash, random for each sketch), so nobody can make sources collide.

use std::{cmp::Reverse, collections::HashMap, hash::Hash};

/// One of the heaviest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heavy<K> {
    /// Who.
    pub key: K,
    /// Weight, at most so much.
    pub count: u64,
    /// By so much it may be less.
    pub error: u64,
}

/// A sketch of `k` counters.
#[derive(Clone, Debug)]
pub struct Top<K> {
    capacity: usize,
    places: HashMap<K, usize>,
    /// A binary heap, the lightest first.
    heap: Vec<Heavy<K>>,
    total: u64,
    /// So much may have been counted of whoever has no counter while some are free.
    floor: u64,
}

impl<K: Copy + Eq + Hash + Ord> Top<K> {
    /// Nothing yet; at least one counter.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), places: HashMap::new(), heap: Vec::new(), total: 0, floor: 0 }
    }

    /// So much more of `key`.
    pub fn add(&mut self, key: K, weight: u64) {
        self.total = self.total.saturating_add(weight);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.heap.len() < self.capacity => {
                self.heap.push(Heavy { key, count: self.floor, error: self.floor });
                self.places.insert(key, self.heap.len() - 1);
                self.rise(self.heap.len() - 1)
            }
            None => self.replace_lightest(key),
        };
        self.heap[place].count = self.heap[place].count.saturating_add(weight);
        self.sink(place);
    }

    /// The lightest gives its counter up, and what it counted may be the newcomer's.
    fn replace_lightest(&mut self, key: K) -> usize {
        let lightest = &mut self.heap[0];
        self.places.remove(&lightest.key);
        (lightest.key, lightest.error) = (key, lightest.count);
        self.places.insert(key, 0);
        0
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places.insert(self.heap[a].key, a);
        self.places.insert(self.heap[b].key, b);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.heap[place].count < self.heap[(place - 1) / 2].count {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = 2 * place + 1..(2 * place + 3).min(self.heap.len());
            let Some(child) = children.min_by_key(|child| self.heap[*child].count) else { return };
            if self.heap[place].count <= self.heap[child].count {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    /// The `n` heaviest.
    #[must_use]
    pub fn heaviest(&self, n: usize) -> Vec<Heavy<K>> {
        let mut all = self.heap.clone();
        all.sort_unstable_by_key(|heavy| {
            (Reverse(heavy.count - heavy.error), Reverse(heavy.count), heavy.key)
        });
        all.truncate(n);
        all
    }

    /// Forgets some, or with `dry_run` only counts them. The others' counts stay as true as they were: whoever gets a free counter
    /// may be one that gave his up before.
    pub fn forget(&mut self, dry_run: bool, is_it: impl Fn(&K) -> bool) -> u64 {
        let floor = if self.heap.len() < self.capacity { self.floor } else { self.heap[0].count };
        let found = self.heap.iter().filter(|heavy| is_it(&heavy.key)).count();
        if found > 0 && !dry_run {
            self.floor = floor;
            self.heap.retain(|heavy| !is_it(&heavy.key));
            // Sorted, it is a heap.
            self.heap.sort_unstable_by_key(|heavy| heavy.count);
            self.places = self.heap.iter().enumerate().map(|(place, heavy)| (heavy.key, place)).collect();
        }
        found as u64
    }

    /// All that was added.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// No count is wrong by more than this.
    #[must_use]
    pub const fn bound(&self) -> u64 {
        self.total / self.capacity as u64
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn within_its_capacity_it_is_exact() {
        let mut top = Top::new(4);
        for (key, weight) in [(1, 5), (2, 1), (3, 7), (1, 5), (4, 2), (2, 1)] {
            top.add(key, weight);
        }
        let found: Vec<_> = top.heaviest(9).iter().map(|h| (h.key, h.count, h.error)).collect();
        assert_eq!(found, [(1, 10, 0), (3, 7, 0), (2, 2, 0), (4, 2, 0)]);
    }

    /// The bound that the module's text states, under ten million sources of which twenty are heavy.
    #[test]
    fn ten_million_sources_hide_no_heavy_one() {
        let (mut top, mut random) = (Top::new(1024), Rng::with_seed(42));
        let mut truth = HashMap::<u32, u64>::new();
        for i in 0..10_000_000_u32 {
            top.add(1_000 + i, 1);
            if i % 50 == 0 {
                // The heavy ones differ: the first has twenty times what the last has.
                let heavy = (0..20).find(|rank| random.u8(..8) == 0 || *rank == 19).unwrap_or(0);
                top.add(heavy, 64);
                *truth.entry(heavy).or_default() += 64;
            }
        }
        assert_eq!(top.heap.len(), 1024, "bounded");
        let all = top.heaviest(1024);
        for heavy in &all {
            let really = truth.get(&heavy.key).copied().unwrap_or(1);
            assert!(heavy.count >= really && heavy.count - heavy.error <= really, "{heavy:?} {really}");
            assert!(heavy.count - really <= top.bound(), "{heavy:?} {really} {}", top.bound());
        }
        let mut expected: Vec<_> = truth.iter().filter(|(_, count)| **count > top.bound()).collect();
        expected.sort_unstable_by_key(|(key, count)| (Reverse(**count), **key));
        assert!(expected.len() > 10, "{expected:?}");
        for (key, _) in &expected {
            assert!(all.iter().any(|heavy| heavy.key == **key), "{key} is missing");
        }
        let first: Vec<_> = all.iter().take(5).map(|heavy| heavy.key).collect();
        assert_eq!(first, expected.iter().take(5).map(|(key, _)| **key).collect::<Vec<_>>());
    }

    #[test]
    fn who_is_forgotten_is_gone_and_the_others_are_not_counted_too_low() {
        let (mut top, mut truth, mut random) = (Top::new(64), HashMap::<u64, u64>::new(), Rng::with_seed(7));
        for round in 0..200 {
            for _ in 0..500 {
                let key = random.u64(..300);
                top.add(key, 1 + key % 7);
                *truth.entry(key).or_default() += 1 + key % 7;
            }
            assert_eq!(top.forget(true, |key| *key == 299), u64::from(top.places.contains_key(&299)));
            let gone = |key: &u64| key % 10 == round % 10;
            let held = top.heap.iter().filter(|heavy| gone(&heavy.key)).count() as u64;
            assert!(top.forget(false, gone) == held && top.forget(false, gone) == 0);
            assert!(top.heap.len() == top.places.len() && !top.places.keys().any(gone));
            truth.retain(|key, _| !gone(key));
            // Some come back to free counters.
            for key in 0..30 {
                top.add(key, 1);
                *truth.entry(key).or_default() += 1;
            }
            for heavy in top.heaviest(64) {
                let really = truth.get(&heavy.key).copied().unwrap_or(0);
                assert!(heavy.count >= really && heavy.count - heavy.error <= really, "{heavy:?} {really}");
                assert!(heavy.count - really <= top.bound(), "{heavy:?} {really} {}", top.bound());
            }
        }
    }

    #[test]
    fn an_empty_one_has_nothing() {
        let top = Top::<u32>::new(0);
        assert!(top.heaviest(5).is_empty() && top.bound() == 0);
    }
}
