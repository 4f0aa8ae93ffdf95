//! Which maps the object has, and whether a pinned map is one of them.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{MapInfo, MapType};
use filter_common::{
    abi::{VERSION, name},
    ban::hint_words,
    bucket::WAYS,
    config::{Config, Ports, Summary},
    list::Listed,
    rules::Rules,
};
use sha2::{Digest as _, Sha256};

use super::{
    bans,
    pins::Pins,
    plan::{Tables, Words},
    slots,
};

/// Maps that outlive programs.
pub(super) const STATE: [&str; 23] = [
    name::COUNTERS,
    name::HANDOVERS,
    name::SOURCES,
    name::REPLIES,
    name::RECENT,
    name::PROVEN,
    name::QUERIES,
    name::FLOWS,
    name::HINTS,
    name::ARMS,
    name::CPU,
    name::TOTAL,
    name::KEYS,
    name::STEP_DOWN,
    name::LOCAL,
    name::BANS,
    name::BAN_HINTS,
    name::BANNED,
    name::BAN_CONTROL,
    name::RULE_COUNTERS,
    name::RULE_BUCKETS,
    name::EVENTS,
    name::SAMPLER,
];

/// Maps that each reload makes anew, beside those of the programs that run.
pub(super) const LISTS: [&str; 8] = [
    name::MANAGEMENT,
    name::LIST_BITS,
    name::LIST_RECORDS,
    name::LIST_PAGES,
    name::LIST_NODES,
    name::RULE_SRC,
    name::RULE_DST,
    name::SERVICE_DST,
];

/// A map's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) kind: u32,
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) entries: u32,
    pub(super) flags: u32,
}

/// The definitions of all maps that the loader pins, by name.
#[derive(Debug)]
pub(super) struct Schema(BTreeMap<&'static str, Definition>);

/// What becomes of a state map at an apply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The pinned map is used.
    Adopt,
    /// There is none yet.
    Create,
    /// The pinned map has another size: a new one takes its place.
    Replace {
        /// Its entries.
        from: u32,
    },
}

impl Schema {
    /// Reads the definitions from the object.
    pub(super) fn of(object: &[u8]) -> Result<Self> {
        let object = aya_obj::Object::parse(object).context("the built-in eBPF object")?;
        let mut maps = BTreeMap::new();
        for name in STATE.into_iter().chain(LISTS) {
            let map = object.maps.get(name).with_context(|| format!("the object has no map {name}"))?;
            let definition = Definition {
                kind: map.map_type(),
                key: map.key_size(),
                value: map.value_size(),
                entries: map.max_entries(),
                flags: map.map_flags(),
            };
            maps.insert(name, definition);
        }
        Ok(Self(maps))
    }

    /// Sets the sizes that the configuration decides.
    pub(super) fn with(mut self, tables: &Tables, words: &Words) -> Result<Self> {
        let sizes = [
            (name::SOURCES, lines(tables.sources)?),
            (name::REPLIES, lines(tables.replies)?),
            (name::RECENT, lines(tables.recent)?),
            (name::PROVEN, lines(tables.proven)?),
            (name::QUERIES, lines(tables.queries)?),
            (name::FLOWS, lines(tables.flows)?),
            (name::LOCAL, tables.local.max(1)),
            (name::MANAGEMENT, tables.management.max(1)),
            (name::LIST_BITS, tables.list_bits.max(1)),
            (name::LIST_RECORDS, tables.list_records.max(1)),
            (name::LIST_PAGES, tables.list_pages.max(1)),
            (name::LIST_NODES, tables.list_nodes.max(1)),
            (name::BANS, tables.bans.max(1)),
            (name::BAN_HINTS, hint_words(tables.bans)),
            (name::BANNED, tables.banned.max(1) + bans::SPARE),
        ];
        let words = words.by_map().map(|(name, list)| (name, list.len().max(1) as u32));
        for (name, entries) in sizes.into_iter().chain(words) {
            self.0.get_mut(name).context("map")?.entries = entries;
        }
        Ok(self)
    }

    /// Takes the sizes of these maps from the pinned ones, where there are any.
    pub(super) fn sized_as_pinned(mut self, names: &[&'static str], pins: &Pins) -> Result<Self> {
        for name in names {
            if let Fate::Replace { from } = self.fate(name, &pins.map(name))? {
                self.0.get_mut(name).context("map")?.entries = from;
            }
        }
        Ok(self)
    }

    /// A folder name that changes with every layout that user space and programs share.
    pub(super) fn layout(&self) -> String {
        let mut hash = Sha256::new();
        for (name, map) in &self.0 {
            hash.update(format!("{name} {} {} {} {}\n", map.kind, map.key, map.value, map.flags));
        }
        let sizes = [
            size_of::<Config>(),
            size_of::<Ports>(),
            size_of::<Summary>(),
            size_of::<Listed>(),
            size_of::<Rules>(),
            size_of::<slots::Raw>(),
        ];
        hash.update(format!("{sizes:?}"));
        let mut name = format!("v{VERSION}-");
        for byte in &hash.finalize()[..4] {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// Every map's name and number of entries.
    pub(super) fn sizes(&self) -> Vec<(&'static str, u32)> {
        self.0.iter().map(|(name, map)| (*name, map.entries)).collect()
    }

    /// The definition of the map `name`.
    pub(super) fn get(&self, name: &str) -> Result<Definition> {
        self.0.get(name).copied().with_context(|| format!("no map {name}"))
    }

    /// What to do about the map `name`, pinned at `path` or not.
    pub(super) fn fate(&self, name: &str, path: &Path) -> Result<Fate> {
        if !super::pins::exists(path) {
            return Ok(Fate::Create);
        }
        let pinned = MapInfo::from_pin(path).with_context(|| format!("open {}", path.display()))?;
        let found = Definition {
            kind: pinned.map_type().map_or(u32::MAX, kind_number),
            key: pinned.key_size(),
            value: pinned.value_size(),
            entries: pinned.max_entries(),
            flags: pinned.map_flags(),
        };
        compare(self.get(name)?, found).with_context(|| format!("{}", path.display()))
    }
}

fn compare(wanted: Definition, found: Definition) -> Result<Fate> {
    let same_size = Definition { entries: wanted.entries, ..found };
    if same_size != wanted {
        bail!("not a map of this version ({found:?}, wanted {wanted:?}): floodwall detach removes it");
    }
    Ok(if found.entries == wanted.entries { Fate::Adopt } else { Fate::Replace { from: found.entries } })
}

fn kind_number(kind: MapType) -> u32 {
    kind as u32
}

/// Lines of a table with so many entries.
fn lines(entries: u32) -> Result<u32> {
    let lines = entries / WAYS as u32;
    ensure!(
        entries.is_power_of_two() && lines > 0,
        "a table of {entries} entries: use a power of two from 4 on"
    );
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: Definition = Definition { kind: 2, key: 4, value: 64, entries: 1024, flags: 1024 };

    #[test]
    fn a_map_of_another_size_is_replaced_and_of_another_kind_refused() {
        assert_eq!(compare(ARRAY, ARRAY).expect("same"), Fate::Adopt);
        let larger = Definition { entries: 2048, ..ARRAY };
        assert_eq!(compare(ARRAY, larger).expect("size"), Fate::Replace { from: 2048 });
        for other in [
            Definition { kind: 1, ..ARRAY },
            Definition { key: 8, ..ARRAY },
            Definition { value: 32, ..ARRAY },
            Definition { flags: 0, ..ARRAY },
        ] {
            assert!(compare(ARRAY, other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn the_layout_names_the_folder() {
        let schema = Schema(BTreeMap::from([(name::SOURCES, ARRAY)]));
        let wider = Schema(BTreeMap::from([(name::SOURCES, Definition { value: 128, ..ARRAY })]));
        let longer = Schema(BTreeMap::from([(name::SOURCES, Definition { entries: 4, ..ARRAY })]));
        assert_ne!(schema.layout(), wider.layout());
        assert_eq!(schema.layout(), longer.layout(), "sizes are no layout");
        assert!(schema.layout().starts_with(&format!("v{VERSION}-")));
    }

    #[test]
    fn tables_are_powers_of_two() {
        assert_eq!(lines(4096).expect("lines"), 1024);
        for entries in [0, 1, 2, 3, 4095] {
            assert!(lines(entries).is_err(), "{entries}");
        }
    }
}
