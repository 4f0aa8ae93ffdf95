//! Which interface counts in which block of `COUNTERS`: a small pinned map of our own.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map, MapData};
use filter_common::abi::MAX_INTERFACES;

use super::fingerprint::Fingerprint;

/// Name of the map's pin.
pub(super) const NAME: &str = "INTERFACES";

/// Bytes of an interface name with its final 0 (Linux `IFNAMSIZ`).
const NAME_BYTES: usize = 16;
/// Index, name, fingerprint, and room to grow.
pub(super) type Raw = [u32; 16];
/// Where the fingerprint begins: behind the index and the name.
const FINGERPRINT: usize = 1 + NAME_BYTES / 4;

/// Who has a block of counters, also after it was detached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Interface name; empty for a block that nobody has used.
    pub(super) name: String,
    /// Its index when it was last attached.
    pub(super) ifindex: u32,
    /// What its programs were made from; zeros for none.
    pub(super) fingerprint: Fingerprint,
}

impl Record {
    fn to_raw(&self) -> Raw {
        let mut raw = [0; size_of::<Raw>() / 4];
        raw[0] = self.ifindex;
        let mut bytes = [0; NAME_BYTES];
        let length = self.name.len().min(NAME_BYTES - 1);
        bytes[..length].copy_from_slice(&self.name.as_bytes()[..length]);
        for (word, part) in raw[1..].iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_ne_bytes(*part);
        }
        raw[FINGERPRINT..][..8].copy_from_slice(&self.fingerprint);
        raw
    }

    fn from_raw(raw: &Raw) -> Self {
        let bytes: Vec<u8> =
            raw[1..FINGERPRINT].iter().flat_map(|w| w.to_ne_bytes()).take_while(|b| *b != 0).collect();
        let fingerprint = raw[FINGERPRINT..].first_chunk().copied().unwrap_or_default();
        Self { name: String::from_utf8_lossy(&bytes).into_owned(), ifindex: raw[0], fingerprint }
    }
}

/// The pinned map.
pub(super) struct Slots(Array<MapData, Raw>);

impl Slots {
    /// Opens the map pinned at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let map = MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?;
        let map = Array::try_from(Map::from_map_data(map)?).with_context(|| format!("{}", path.display()))?;
        ensure!(map.len() == MAX_INTERFACES, "{} has {} entries", path.display(), map.len());
        Ok(Self(map))
    }

    /// Creates the map and pins it at `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        super::create_array(NAME, size_of::<Raw>() as u32, MAX_INTERFACES, path)?;
        Self::open(path)
    }

    /// Every block's record, by block.
    pub(super) fn records(&self) -> Result<Vec<Record>> {
        let records = (0..MAX_INTERFACES).map(|slot| Ok(Record::from_raw(&self.0.get(&slot, 0)?)));
        records.collect::<Result<_>>().context("read INTERFACES")
    }

    /// Writes a block's record.
    pub(super) fn set(&mut self, slot: u32, record: &Record) -> Result<()> {
        self.0.set(slot, record.to_raw(), 0).context("write INTERFACES")
    }
}

/// A block for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// The block.
    pub(super) slot: u32,
    /// What its programs were made from, if they are this interface's.
    pub(super) fingerprint: Fingerprint,
    /// It held another interface's counts.
    pub(super) reused: bool,
}

/// Gives each name its block: the one it had, else an unused one, else one whose interface isn't wanted.
pub(super) fn assign(records: &[Record], wanted: &[&str]) -> Result<Vec<Assigned>> {
    let mut owners: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
    let mut assigned = Vec::new();
    for (index, name) in wanted.iter().enumerate() {
        if wanted[..index].contains(name) {
            bail!("interface {name} is configured twice");
        }
        let find = |test: &dyn Fn(&&str) -> bool| owners.iter().position(test);
        let slot = find(&|owner| owner == name)
            .or_else(|| find(&|owner| owner.is_empty()))
            .or_else(|| find(&|owner| !wanted.contains(owner)))
            .with_context(|| format!("more than {MAX_INTERFACES} interfaces"))?;
        let reused = !owners[slot].is_empty() && owners[slot] != *name;
        let fingerprint = if reused { Fingerprint::default() } else { records[slot].fingerprint };
        owners[slot] = name;
        assigned.push(Assigned { slot: slot as u32, fingerprint, reused });
    }
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(names: &[&str]) -> Vec<Record> {
        let mut records: Vec<_> = names
            .iter()
            .map(|name| Record { name: (*name).to_owned(), ifindex: 9, fingerprint: [7; 8] })
            .collect();
        records.resize_with(MAX_INTERFACES as usize, Record::default);
        records
    }

    fn slots(records: &[Record], wanted: &[&str]) -> Vec<(u32, bool)> {
        assign(records, wanted).expect("assigned").iter().map(|a| (a.slot, a.reused)).collect()
    }

    #[test]
    fn an_interface_keeps_its_block() {
        let records = records(&["eth0", "eth1"]);
        assert_eq!(slots(&records, &["eth1", "eth2"]), [(1, false), (2, false)]);
    }

    #[test]
    fn a_block_is_taken_over_only_when_none_is_unused() {
        let names: Vec<String> = (0..MAX_INTERFACES).map(|i| format!("veth{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let records = records(&names);
        assert_eq!(slots(&records, &["veth0", "new"]), [(0, false), (1, true)]);
        let assigned = assign(&records, &["veth0", "new"]).expect("assigned");
        assert_eq!(assigned[0].fingerprint, [7; 8]);
        assert_eq!(assigned[1].fingerprint, Fingerprint::default(), "another interface's says nothing");
    }

    #[test]
    fn doubles_and_too_many_are_refused() {
        assert!(assign(&records(&[]), &["eth0", "eth0"]).is_err());
        let names: Vec<String> = (0..=MAX_INTERFACES).map(|i| format!("veth{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(assign(&records(&[]), &names).is_err());
    }

    #[test]
    fn records_survive_the_map() {
        for name in ["", "lo", "enp0s31f6.4094a"] {
            let fingerprint = [1, 2, 3, 4, 5, 6, 7, u32::MAX];
            let record = Record { name: name.to_owned(), ifindex: 17, fingerprint };
            assert_eq!(Record::from_raw(&record.to_raw()), record);
        }
    }
}
