//! The maps of a rehearsal: what the data path writes is its own, what it only reads is the live filter's.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapData, MapType};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY};
use filter_common::abi::name;

use super::Start;
use crate::dataplane::{
    mapping::Mapping,
    pins::{exists, make_owner_only},
    schema::Schema,
    sys,
};

/// What XDP writes, and decides by: copied.
pub(super) const COPIED: [&str; 12] = [
    name::SOURCES,
    name::REPLIES,
    name::RECENT,
    name::PROVEN,
    name::FLOWS,
    name::HINTS,
    name::ARMS,
    name::CPU,
    name::TOTAL,
    name::STEP_DOWN,
    name::RULE_BUCKETS,
    name::SAMPLER,
];

/// What XDP only writes: starts at zero.
pub(super) const COUNTED: [&str; 2] = [name::COUNTERS, name::RULE_COUNTERS];

/// What XDP only reads.
pub(super) const SHARED: [&str; 7] =
    [name::QUERIES, name::LOCAL, name::KEYS, name::BANS, name::BAN_HINTS, name::BANNED, name::BAN_CONTROL];

/// What nobody reads: the loader makes one that ends with the rehearsal.
#[cfg_attr(not(test), expect(dead_code, reason = "nothing is to be done about it"))]
pub(super) const DISCARDED: [&str; 1] = [name::EVENTS];

/// What XDP has nothing to do with; so a program's maps don't hold it.
pub(super) const UNUSED: [&str; 1] = [name::HANDOVERS];

/// A map of the rehearsal's own and the one that it stands for.
struct Copied {
    name: &'static str,
    live: Option<MapData>,
    own: Mapping,
}

/// All maps that the program can write.
pub(super) struct Maps {
    copied: Vec<Copied>,
    /// Packets and bytes by interface, plane and reason.
    pub(super) counters: Mapping,
    /// Packets and bytes by rule.
    pub(super) rules: Mapping,
}

impl Maps {
    /// Makes them in `folder`, as large as `schema` says; `live` is where the live ones are pinned.
    pub(super) fn make(schema: &Schema, live: &Path, folder: &Path) -> Result<Self> {
        let own = |name| {
            array(schema, name, &folder.join(name)).with_context(|| {
                format!(
                    "a private copy of {name} ([limits] says how large it is: is there memory for it twice?)"
                )
            })
        };
        let copied = COPIED.map(|name| Ok(Copied { name, live: open(&live.join(name))?, own: own(name)? }));
        let [counters, rules] = COUNTED.map(own);
        Ok(Self { copied: copied.into_iter().collect::<Result<_>>()?, counters: counters?, rules: rules? })
    }

    /// Makes its tables what the live ones are, or empty; tells which could not be copied.
    pub(super) fn start(&self, start: Start) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for Copied { name, live, own } in &self.copied {
            let live = live.as_ref().filter(|_| start == Start::Live || KEPT.contains(name));
            let copied = live.map_or(Ok(false), |live| copy(live, own)).context(*name)?;
            if !copied {
                own.clear();
            }
            if live.is_some() && !copied {
                notes.push(format!("table {name} has another size, so it starts empty"));
            }
        }
        Ok(notes)
    }

    /// The copy of a map.
    pub(super) fn own(&self, name: &str) -> Option<&Mapping> {
        self.copied.iter().find(|copied| copied.name == name).map(|copied| &copied.own)
    }
}

/// Facts about the host, not about its packets: no table starts without them.
const KEPT: [&str; 1] = [name::HINTS];

/// An array whose values can be mapped, whatever kind the data path has: to a program all arrays are alike.
fn array(schema: &Schema, name: &str, path: &Path) -> Result<Mapping> {
    let definition = schema.get(name)?;
    let array = aya_obj::Map::new_from_params(
        BPF_MAP_TYPE_ARRAY as u32,
        definition.key,
        definition.value,
        definition.entries,
        BPF_F_MMAPABLE,
    );
    let map = MapData::create(array, name, None)?;
    map.pin(path).with_context(|| format!("pin {}", path.display()))?;
    make_owner_only(path)?;
    Mapping::writable(&map)
}

fn open(path: &PathBuf) -> Result<Option<MapData>> {
    if !exists(path) {
        return Ok(None);
    }
    Ok(Some(MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?))
}

/// Copies all values, word by word; false if the maps are not of one size.
fn copy(live: &MapData, own: &Mapping) -> Result<bool> {
    let info = live.info().context("map information")?;
    if info.max_entries() as usize * info.value_size() as usize != own.words().len() * 8 {
        return Ok(false);
    }
    if let Ok(live) = Mapping::read_only(live) {
        let words = live.words().iter().zip(own.words());
        words.for_each(|(from, to)| to.store(from.load(Relaxed), Relaxed));
        return Ok(true);
    }
    let is_per_cpu = info.map_type().is_ok_and(|kind| kind == MapType::PerCpuArray);
    let cpu = if is_per_cpu { nix::sched::sched_getcpu().context("the CPU")? } else { 0 };
    let length = info.value_size() as usize;
    for (key, to) in (0..).zip(own.words().chunks(length / 8)) {
        let values = sys::lookup(live, key)?;
        ensure!(values.len() >= length * (cpu + 1), "a value of {} bytes", values.len());
        let words = values[length * cpu..].as_chunks().0;
        to.iter().zip(words).for_each(|(to, from)| to.store(u64::from_ne_bytes(*from), Relaxed));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataplane::schema::STATE;

    #[test]
    fn every_map_is_dealt_with_once() {
        let all: Vec<_> =
            COPIED.into_iter().chain(COUNTED).chain(SHARED).chain(DISCARDED).chain(UNUSED).collect();
        let set: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!((all.len(), set), (STATE.len(), BTreeSet::from(STATE)));
    }
}
