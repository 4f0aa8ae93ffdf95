//! The map `KEYS`: cookie secrets go in, only their time windows come out.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use anyhow::{Result, ensure};
use aya::maps::MapData;
use filter_common::cookie::{Keys, SLOTS, Slot};

use super::mapping::Mapping;

const CURRENT: usize = std::mem::offset_of!(Keys, current) / 8;
const GRACE: usize = std::mem::offset_of!(Keys, grace_until) / 8;
const FIRST_SLOT: usize = std::mem::offset_of!(Keys, slots) / 8;
const SLOT_WORDS: usize = size_of::<Slot>() / 8;
const ISSUE: usize = std::mem::offset_of!(Slot, issue_until) / 8;
const ACCEPT: usize = std::mem::offset_of!(Slot, accept_until) / 8;
const MAC: usize = std::mem::offset_of!(Slot, mac) / 8;

/// Words of the map's one value.
pub const KEY_WORDS: usize = size_of::<Keys>() / 8;

/// When a slot issues and accepts, `CLOCK_MONOTONIC` nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// End of issuing.
    pub issue_until: u64,
    /// End of accepting.
    pub accept_until: u64,
}

/// The map's contents without the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Number of the epoch that issues.
    pub current: u64,
    /// End of the grace for unknown ACKs.
    pub grace_until: u64,
    /// Windows by `epoch & 3`.
    pub windows: [Window; SLOTS],
}

impl Timeline {
    /// The window of `epoch`'s slot.
    #[must_use]
    pub const fn window(&self, epoch: u64) -> Window {
        self.windows[epoch as usize % SLOTS]
    }
}

/// The map's memory; writes are seen by the data path at once.
#[derive(Debug)]
pub struct KeyMap(Backing);

#[derive(Debug)]
enum Backing {
    Map(Mapping),
    #[cfg(test)]
    Memory([AtomicU64; KEY_WORDS]),
}

impl KeyMap {
    pub(super) fn new(map: &MapData) -> Result<Self> {
        let mapping = Mapping::writable(map)?;
        ensure!(mapping.words().len() == KEY_WORDS, "KEYS has {} words", mapping.words().len());
        Ok(Self(Backing::Map(mapping)))
    }

    /// A map in ordinary memory.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self(Backing::Memory(Default::default()))
    }

    fn words(&self) -> &[AtomicU64] {
        match &self.0 {
            Backing::Map(mapping) => mapping.words(),
            #[cfg(test)]
            Backing::Memory(words) => words,
        }
    }

    fn word(&self, epoch: u64, offset: usize) -> &AtomicU64 {
        &self.words()[FIRST_SLOT + (epoch as usize % SLOTS) * SLOT_WORDS + offset]
    }

    /// Everything but the keys.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        let words = self.words();
        let window = |epoch| Window {
            issue_until: self.word(epoch, ISSUE).load(Relaxed),
            accept_until: self.word(epoch, ACCEPT).load(Relaxed),
        };
        Timeline {
            current: words[CURRENT].load(Acquire),
            grace_until: words[GRACE].load(Relaxed),
            windows: std::array::from_fn(|epoch| window(epoch as u64)),
        }
    }

    /// Writes the slot of `epoch`, which nothing may refer to. The windows come last: a slot that is half
    /// written is closed.
    pub fn set_slot(&self, epoch: u64, slot: &Slot) {
        self.close(epoch);
        for (offset, word) in (MAC..).zip(slot.mac) {
            self.word(epoch, offset).store(word, Relaxed);
        }
        fence(Release);
        self.word(epoch, ACCEPT).store(slot.accept_until, Relaxed);
        self.word(epoch, ISSUE).store(slot.issue_until, Relaxed);
        fence(Release);
    }

    /// Closes the slot of `epoch` and erases its keys.
    pub fn erase(&self, epoch: u64) {
        self.close(epoch);
        for offset in MAC..MAC + 2 {
            self.word(epoch, offset).store(0, Relaxed);
        }
        fence(Release);
    }

    fn close(&self, epoch: u64) {
        self.word(epoch, ISSUE).store(0, Relaxed);
        self.word(epoch, ACCEPT).store(0, Relaxed);
        fence(Release);
    }

    /// Ends acceptance of the slot of `epoch` then.
    pub fn set_accept_until(&self, epoch: u64, until: u64) {
        self.word(epoch, ACCEPT).store(until, Relaxed);
    }

    /// Sets the end of the grace.
    pub fn set_grace_until(&self, until: u64) {
        self.words()[GRACE].store(until, Release);
    }

    /// The flip: from now on `epoch` issues.
    pub fn set_current(&self, epoch: u64) {
        self.words()[CURRENT].store(epoch, Release);
    }

    /// The MAC key of a slot, to tell keys apart in tests.
    #[cfg(test)]
    pub(crate) fn mac(&self, epoch: u64) -> [u64; 2] {
        [self.word(epoch, MAC).load(Relaxed), self.word(epoch, MAC + 1).load(Relaxed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_where_the_struct_says() {
        let keys = KeyMap::in_memory();
        let slot = Slot { mac: [3, 4], issue_until: 5, accept_until: 6 };
        keys.set_slot(7, &slot);
        keys.set_current(7);
        keys.set_grace_until(8);
        let expected = Keys {
            current: 7,
            grace_until: 8,
            slots: [Slot::default(), Slot::default(), Slot::default(), slot],
        };
        let words: Vec<u64> = keys.words().iter().map(|word| word.load(Relaxed)).collect();
        let mut fields = vec![expected.current, expected.grace_until];
        for slot in expected.slots {
            fields.extend(slot.mac.iter().chain([&slot.issue_until, &slot.accept_until]));
        }
        assert_eq!(words, fields);
        keys.erase(7);
        assert!(keys.words()[2..].iter().all(|word| word.load(Relaxed) == 0));
    }
}
