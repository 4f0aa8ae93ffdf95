//! What has ended makes room: a slice of the table at a time, or all of it when the table is full.

use std::{
    os::fd::AsFd as _,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use filter_common::{
    abi::name,
    ban::{self, gate},
};

use super::{
    BPF_ANY, Bans, GATE, PREFIXES, SLICE, SOURCES,
    form::{self, ban_of, covered},
    is,
};
use crate::dataplane::{bytes::prefix_key, sys};

/// A full table is swept at once, but not more often.
const SWEEP_ALL: Duration = Duration::from_secs(2);

/// A sweep through all sources on its way.
#[derive(Default)]
pub(super) struct Pass {
    cursor: Option<u32>,
    left: u64,
    gate: u64,
    /// What `BAN_HINTS` would hold if nothing had ever ended.
    hints: Vec<u64>,
    /// Somebody has added or removed entries meanwhile: the count is not to be trusted.
    pub(super) disturbed: bool,
}

impl Bans {
    /// Removes prefixes whose own ban has ended; gives the others the latest end of all that hold them.
    pub(super) fn cover(&mut self, now: u64) -> Result<()> {
        let (live, ended): (Vec<_>, Vec<_>) =
            self.all_prefixes()?.into_iter().partition(|(_, raw)| ban_of(raw).own > now);
        // Whoever looks up meanwhile finds a wider ban or none, as from now on.
        for (net, _) in ended {
            self.prefixes.remove(&prefix_key(net)).context(name::BANNED)?;
        }
        let gate = live.iter().fold(0, |bits, (net, _)| bits | form::gate_of(net));
        self.set_figure(PREFIXES, live.len() as u64);
        for (net, raw) in covered(live) {
            self.prefixes.insert(&prefix_key(net), raw, BPF_ANY).context(name::BANNED)?;
        }
        self.narrow_gate(gate::PREFIXES_V4 | gate::PREFIXES_V6, gate);
        Ok(())
    }

    /// Removes what has ended, a slice at a time; returns whether the end of the table was reached.
    pub(in crate::dataplane) fn sweep(&mut self, now: u64) -> Result<bool> {
        if self.figure(GATE) == 0 && self.pass.cursor.is_none() {
            return Ok(true);
        }
        let mut keys = vec![0; SLICE];
        let mut raws = vec![[0; form::WORDS]; SLICE];
        let found = sys::lookup_batch(self.bulk.fd().as_fd(), &mut self.pass.cursor, &mut keys, &mut raws)
            .context(name::BANS)?;
        let words = self.hints.words().len();
        self.pass.hints.resize(words, 0);
        let mut ended = 0;
        for (key, raw) in keys.iter().zip(&raws).take(found) {
            if ban_of(raw).until > now {
                self.pass.left += 1;
                self.pass.gate |= form::gate_of_key(*key);
                let (word, bit) = ban::hint(*key, words as u32);
                self.pass.hints[word as usize] |= 1 << bit;
            } else if !is(&self.sources.remove(key), libc::ENOENT) {
                ended += 1;
            }
        }
        let disturbed = self.pass.disturbed;
        if ended > 0 {
            self.removed(ended);
            self.pass.disturbed = disturbed;
        }
        let complete = self.pass.cursor.is_none();
        if complete {
            let Pass { left, gate, hints, disturbed, .. } = std::mem::take(&mut self.pass);
            if !disturbed {
                self.set_figure(SOURCES, left);
                self.narrow_gate(gate::SOURCES_V4 | gate::SOURCES_V6, gate);
                self.hints.words().iter().zip(hints).for_each(|(word, bits)| word.store(bits, Relaxed));
            }
            if self.figure(GATE) & (gate::PREFIXES_V4 | gate::PREFIXES_V6) != 0 {
                self.cover(now)?;
            }
        }
        Ok(complete)
    }

    /// Sweeps the whole table, counting it anew.
    pub(in crate::dataplane) fn sweep_all(&mut self, now: u64) -> Result<()> {
        self.pass = Pass::default();
        while !self.sweep(now)? {}
        Ok(())
    }

    /// Sweeps a full table, unless that has been done a moment ago; returns whether there is room now.
    pub(super) fn make_room(&mut self, now: u64) -> Result<bool> {
        let may = self.may_sweep();
        if may {
            self.sweep_all(now)?;
        }
        Ok(may && self.figure(SOURCES) < self.max[0])
    }

    pub(super) fn may_sweep(&mut self) -> bool {
        let may = self.swept_all.is_none_or(|last| last.elapsed() >= SWEEP_ALL);
        if may {
            self.swept_all = Some(Instant::now());
        }
        may
    }
}
