//! Bans: who is in, until when, what happens when a table is full.
//!
//! The kernel's maps are the only place where bans are kept: they outlive the daemon, and the data path ends each ban
//! by itself. What is expired is swept out by the daemon, a slice at a time.

mod form;
mod migrate;
mod sweep;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::IpAddr,
    os::fd::AsFd as _,
    sync::atomic::Ordering::{Relaxed, Release},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, LpmTrie, MapData, MapError, lpm_trie::Key};
use filter_common::{
    abi::name,
    ban::{self, Ban, Control, FOREVER, Origin, gate},
};
use ipnet::IpNet;

pub use self::form::source_of;
pub(super) use self::migrate::move_over;
use self::{
    form::{Place, Raw, ban_of, net_of_key, net_of_lpm, place, raw_of},
    sweep::Pass,
};
use super::{Fill, bytes::prefix_key, mapping::Mapping, pins::Pins, sys, tables};

/// The tables themselves.
pub(super) const TABLES: [&str; 2] = [name::BANS, name::BANNED];

/// Entries of `BANNED` beyond the configured ones: older kernels need a free one to replace another.
pub(super) const SPARE: u32 = 1;

/// Entries that are read at once: about 5 ms.
const SLICE: usize = 16_384;

const BPF_ANY: u64 = 0;
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;

const GATE: usize = std::mem::offset_of!(Control, gate) / 8;
const SOURCES: usize = std::mem::offset_of!(Control, sources) / 8;
const PREFIXES: usize = std::mem::offset_of!(Control, prefixes) / 8;
const REFUSED: usize = std::mem::offset_of!(Control, refused) / 8;
const MADE: usize = std::mem::offset_of!(Control, made) / 8;
const RESTORED: usize = std::mem::offset_of!(Control, restored) / 8;

/// A ban and whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banned {
    /// An IPv4 address, an IPv6 /64 or any other prefix.
    pub prefix: IpNet,
    /// The ban.
    pub ban: Ban,
}

/// A ban to make.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Whom.
    pub prefix: IpNet,
    /// How long; `None` is for ever.
    pub length: Option<Duration>,
    /// Who bans.
    pub origin: Origin,
    /// Why, for people; [`ban::REASON_LEN`] bytes are kept.
    pub reason: &'a str,
    /// How long ago it began.
    pub age: Duration,
}

/// What became of new bans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// New entries.
    pub made: u64,
    /// Entries that were there and end at another time now.
    pub replaced: u64,
    /// Those for which there was no room.
    pub full: Vec<IpNet>,
}

/// How many there are, and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// IPv4 addresses and IPv6 /64s; what has expired and is not swept yet counts.
    pub sources: u64,
    /// Other prefixes.
    pub prefixes: u64,
    /// Bans made so far, by [`Origin`].
    pub made: [u64; Origin::ALL.len()],
    /// Bans refused because their table was full.
    pub refused: u64,
}

/// The tables of bans.
pub(super) struct Bans {
    sources: HashMap<MapData, u64, Raw>,
    /// The same map, for reading in bulk.
    bulk: MapData,
    prefixes: LpmTrie<MapData, [u32; 4], Raw>,
    control: Mapping,
    hints: Mapping,
    max: [u64; 2],
    pass: Pass,
    swept_all: Option<Instant>,
}

impl Bans {
    pub(super) fn open(pins: &Pins) -> Result<Self> {
        let entries = |name| -> Result<u64> {
            let info = MapData::from_pin(pins.map(name)).and_then(|map| map.info()).context(name)?;
            Ok(info.max_entries().into())
        };
        let mapping = |name| -> Result<Mapping> {
            let map = MapData::from_pin(pins.map(name)).context(name)?;
            Mapping::writable(&map).context(name)
        };
        Ok(Self {
            sources: tables::open(&pins.map(name::BANS))?.try_into().context(name::BANS)?,
            bulk: MapData::from_pin(pins.map(name::BANS)).context(name::BANS)?,
            prefixes: tables::open(&pins.map(name::BANNED))?.try_into().context(name::BANNED)?,
            control: mapping(name::BAN_CONTROL)?,
            hints: mapping(name::BAN_HINTS)?,
            max: [entries(name::BANS)?, entries(name::BANNED)?.saturating_sub(SPARE.into())],
            pass: Pass::default(),
            swept_all: None,
        })
    }

    fn figure(&self, word: usize) -> u64 {
        self.control.words()[word].load(Relaxed)
    }

    fn set_figure(&self, word: usize, value: u64) {
        self.control.words()[word].store(value, Release);
    }

    fn count(&self, word: usize, by: u64) {
        self.set_figure(word, self.figure(word).saturating_add(by));
    }

    /// Sets bits of the gate, before the first entry that needs them.
    fn open_gate(&self, bits: u64) {
        if self.figure(GATE) & bits != bits {
            self.set_figure(GATE, self.figure(GATE) | bits);
        }
    }

    /// Of the bits in `mask` only these stay.
    fn narrow_gate(&self, mask: u64, bits: u64) {
        self.set_figure(GATE, self.figure(GATE) & !mask | bits);
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            sources: self.figure(SOURCES),
            prefixes: self.figure(PREFIXES),
            made: std::array::from_fn(|origin| self.figure(MADE + origin)),
            refused: self.figure(REFUSED),
        }
    }

    /// Whether the bans from before the boot have been looked for.
    pub(super) fn is_restored(&self) -> bool {
        self.figure(RESTORED) != 0
    }

    pub(super) fn set_restored(&self) {
        self.set_figure(RESTORED, 1);
    }

    /// How full the two tables are.
    pub(super) fn fill(&self) -> [Fill; 2] {
        let Figures { sources, prefixes, .. } = self.figures();
        [(sources, self.max[0]), (prefixes, self.max[1])]
            .map(|(entries, max_entries)| Fill { entries, max_entries })
    }

    /// Bans all of them; one that is there already ends at the new time.
    pub(super) fn add(&mut self, news: &[New<'_>], now: u64) -> Result<Made> {
        let mut made = Made::default();
        let mut any_prefix = false;
        for new in news {
            let raw = raw_of(&form::new(new, now));
            let added = match place(&new.prefix) {
                Place::Source(key) => self.add_source(key, &raw, now)?,
                Place::Prefix => {
                    any_prefix = true;
                    self.add_prefix(&new.prefix, &raw, now)?
                }
            };
            match added {
                Some(true) => {
                    made.made += 1;
                    self.count(MADE + new.origin as usize, 1);
                }
                Some(false) => made.replaced += 1,
                None => made.full.push(new.prefix),
            }
        }
        if any_prefix {
            self.cover(now)?;
        }
        self.count(REFUSED, made.full.len() as u64);
        Ok(made)
    }

    /// Whether the entry is new; `None` if there is no room.
    fn add_source(&mut self, key: u64, raw: &Raw, now: u64) -> Result<Option<bool>> {
        self.open_gate(form::gate_of_key(key));
        hint_at(&self.hints, key);
        let mut inserted = self.sources.insert(key, raw, BPF_NOEXIST);
        if is(&inserted, libc::E2BIG) && self.make_room(now)? {
            // The sweep has forgotten it.
            hint_at(&self.hints, key);
            inserted = self.sources.insert(key, raw, BPF_NOEXIST);
        }
        if is(&inserted, libc::E2BIG) {
            return Ok(None);
        }
        if is(&inserted, libc::EEXIST) {
            self.sources.insert(key, raw, BPF_ANY).context(name::BANS)?;
            return Ok(Some(false));
        }
        inserted.context(name::BANS)?;
        self.pass.disturbed = true;
        self.count(SOURCES, 1);
        Ok(Some(true))
    }

    fn add_prefix(&mut self, net: &IpNet, raw: &Raw, now: u64) -> Result<Option<bool>> {
        let key = prefix_key(*net);
        let replaced = self.prefixes.insert(&key, raw, BPF_EXIST);
        if !is(&replaced, libc::ENOENT) {
            replaced.context(name::BANNED)?;
            return Ok(Some(false));
        }
        if self.figure(PREFIXES) >= self.max[1] && self.may_sweep() {
            self.cover(now)?;
        }
        if self.figure(PREFIXES) >= self.max[1] {
            return Ok(None);
        }
        self.open_gate(form::gate_of(net));
        self.prefixes.insert(&key, raw, BPF_NOEXIST).context(name::BANNED)?;
        self.count(PREFIXES, 1);
        Ok(Some(true))
    }

    /// Ends these bans; returns how many there were.
    pub(super) fn remove(&mut self, nets: &[IpNet], now: u64) -> Result<u64> {
        let (mut sources, mut prefixes) = (0, 0);
        for net in nets {
            let (removed, count) = match place(net) {
                Place::Source(key) => (self.sources.remove(&key), &mut sources),
                Place::Prefix => (self.prefixes.remove(&prefix_key(*net)), &mut prefixes),
            };
            if !is(&removed, libc::ENOENT) {
                removed.with_context(|| format!("ban of {net}"))?;
                *count += 1;
            }
        }
        if sources > 0 {
            self.removed(sources);
        }
        if prefixes > 0 {
            self.cover(now)?;
        }
        Ok(sources + prefixes)
    }

    fn removed(&mut self, sources: u64) {
        self.pass.disturbed = true;
        let left = self.figure(SOURCES).saturating_sub(sources);
        self.set_figure(SOURCES, left);
        if left == 0 {
            self.narrow_gate(gate::SOURCES_V4 | gate::SOURCES_V6, 0);
        }
    }

    fn all_prefixes(&self) -> Result<Vec<(IpNet, Raw)>> {
        let read = |entry: Result<(Key<[u32; 4]>, Raw), MapError>| {
            let (key, raw) = entry.context(name::BANNED)?;
            Ok((net_of_lpm(key.prefix_len(), key.data()), raw))
        };
        self.prefixes.iter().map(read).collect()
    }

    /// All bans that have not ended; stops when `visit` says so by returning false.
    pub(super) fn each(&self, now: u64, mut visit: impl FnMut(Banned) -> bool) -> Result<()> {
        for (prefix, raw) in self.all_prefixes()? {
            let ban = ban_of(&raw);
            if ban.own > now && !visit(Banned { prefix, ban }) {
                return Ok(());
            }
        }
        let mut cursor = None;
        let (mut keys, mut raws) = (vec![0; SLICE], vec![[0; form::WORDS]; SLICE]);
        loop {
            let found = sys::lookup_batch(self.bulk.fd().as_fd(), &mut cursor, &mut keys, &mut raws);
            for (key, raw) in keys.iter().zip(&raws).take(found.context(name::BANS)?) {
                let ban = ban_of(raw);
                if ban.until > now && !visit(Banned { prefix: net_of_key(*key), ban }) {
                    return Ok(());
                }
            }
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// The bans that hold an address, the widest first.
    pub(super) fn holding(&self, address: IpAddr, now: u64) -> Result<Vec<Banned>> {
        let mut found: Vec<_> = self
            .all_prefixes()?
            .into_iter()
            .filter(|(prefix, raw)| prefix.contains(&address) && ban_of(raw).own > now)
            .map(|(prefix, raw)| Banned { prefix, ban: ban_of(&raw) })
            .collect();
        found.sort_by_key(|banned| banned.prefix.prefix_len());
        let source = source_of(address);
        if let Place::Source(key) = place(&source) {
            let raw = self.sources.get(&key, 0);
            if !is(&raw, libc::ENOENT) {
                let ban = ban_of(&raw.context(name::BANS)?);
                found.extend((ban.until > now).then_some(Banned { prefix: source, ban }));
            }
        }
        Ok(found)
    }
}

/// Says that the table may hold a key, before it does.
fn hint_at(hints: &Mapping, key: u64) {
    let (word, bit) = ban::hint(key, hints.words().len() as u32);
    hints.words()[word as usize].fetch_or(1 << bit, Release);
}

/// Whether it failed with that error.
fn is<T>(result: &Result<T, MapError>, errno: i32) -> bool {
    let error = match result {
        Err(MapError::KeyNotFound) => return errno == libc::ENOENT,
        Err(MapError::SyscallError(error)) => &error.io_error,
        Err(MapError::IoError(error)) => error,
        _ => return false,
    };
    io::Error::raw_os_error(error) == Some(errno)
}

/// When a ban of that length ends.
#[must_use]
pub(super) fn end(now: u64, length: Option<Duration>) -> u64 {
    let Some(length) = length else { return FOREVER };
    u64::try_from(length.as_nanos()).map_or(FOREVER, |length| now.saturating_add(length))
}
