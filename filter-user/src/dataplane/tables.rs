//! Typed access to the state maps.

use std::{mem::offset_of, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use aya::maps::{Array, Map, MapData, PerCpuArray};
use filter_common::{
    abi::{Counter, HANDOVERS_LEN, HandOver, Plane, StepDown, counter_index},
    arm::{Arm, Switch},
    bucket::WAYS,
    reason::{REASONS, Reason},
};

use super::mapping::Mapping;

/// Opens the map pinned at `path`.
pub(super) fn open(path: &Path) -> Result<Map> {
    let map = MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?;
    Map::from_map_data(map).with_context(|| format!("{}", path.display()))
}

/// Packets and bytes by interface, mode and reason.
pub(super) struct Counters(PerCpuArray<MapData, [u64; 2]>);

impl Counters {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(open(path)?.try_into().context("COUNTERS")?))
    }

    /// The sum over all CPUs.
    pub(super) fn get(&self, slot: u32, plane: Plane, reason: Reason) -> Result<Counter> {
        let values = self.0.get(&counter_index(slot, plane, reason as u8), 0).context("COUNTERS")?;
        Ok(values.iter().fold(Counter::default(), |sum, [packets, bytes]| Counter {
            packets: sum.packets.wrapping_add(*packets),
            bytes: sum.bytes.wrapping_add(*bytes),
        }))
    }

    /// Sets every counter of a block to zero.
    pub(super) fn clear(&mut self, slot: u32) -> Result<()> {
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error).context("number of CPUs")?;
        for plane in Plane::ALL {
            for reason in 0..REASONS as u8 {
                let zero = vec![[0; 2]; cpus].try_into().context("COUNTERS")?;
                self.0.set(counter_index(slot, plane, reason), zero, 0).context("COUNTERS")?;
            }
        }
        Ok(())
    }
}

/// Hand-overs by outcome.
pub(super) struct HandOvers(PerCpuArray<MapData, u64>);

impl HandOvers {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(open(path)?.try_into().context("HANDOVERS")?))
    }

    /// The sum over all CPUs.
    pub(super) fn get(&self, outcome: HandOver) -> Result<u64> {
        let values = self.0.get(&(outcome as u32), 0).context("HANDOVERS")?;
        Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
    }
}

/// Ports on which cookies stepped down.
pub(super) struct StepDowns(Array<MapData, [u8; 65536]>);

impl StepDowns {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self(open(path)?.try_into().context("STEP_DOWN")?))
    }

    /// Every such port, ascending.
    pub(super) fn get(&self) -> Result<Vec<(u16, StepDown)>> {
        Ok(step_downs(&self.0.get(&0, 0).context("STEP_DOWN")?))
    }

    /// Gives cookies another try on every port. Port 0 stays: it says that the driver has no XDP metadata, and each try
    /// would cost a handshake.
    pub(super) fn retry(&mut self) -> Result<()> {
        let mut ports = self.0.get(&0, 0).context("STEP_DOWN")?;
        ports[1..].fill(0);
        self.0.set(0, ports, 0).context("STEP_DOWN")
    }

    /// Forgets everything: new programs may do without metadata.
    pub(super) fn clear(&mut self) -> Result<()> {
        static ZERO: [u8; 65536] = [0; 65536];
        self.0.set(0, ZERO, 0).context("STEP_DOWN")
    }
}

fn step_downs(ports: &[u8]) -> Vec<(u16, StepDown)> {
    let why = |byte| match byte {
        1 => Some(StepDown::Mptcp),
        2 => Some(StepDown::Refused),
        _ => None,
    };
    ports.iter().enumerate().filter_map(|(port, byte)| Some((port as u16, why(*byte)?))).collect()
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Entries that mean something now; an estimate from [`SAMPLE_LINES`] lines if the table has more.
    pub entries: u64,
    /// Entries that fit.
    pub max_entries: u64,
}

/// Lines that a fill estimate looks at: the error is below 2 % of the table at 95 % confidence.
pub const SAMPLE_LINES: usize = 2048;

/// A table of 64-byte lines.
pub(super) struct Table(Mapping);

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let map = MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self(Mapping::read_only(&map).with_context(|| format!("{}", path.display()))?))
    }

    /// Entries that expire after `now`, `CLOCK_MONOTONIC` nanoseconds.
    pub(super) fn fill(&self, now: u64) -> Fill {
        let load = |index: usize| self.0.words()[index].load(std::sync::atomic::Ordering::Relaxed);
        fill(self.0.words().len() / LINE_WORDS, load, now)
    }
}

/// Whether something armed itself, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switched {
    /// It is on.
    pub on: bool,
    /// It went on so often.
    pub count: u64,
    /// It has been on for that long, or was when it went off.
    pub since: Duration,
}

/// What one service has armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Armed {
    /// `syn.mode = "auto"` answers SYNs.
    pub syn: Switched,
    /// Strays are dropped.
    pub stray: Switched,
    /// The detector has made limits of sources narrower.
    pub limits: bool,
}

/// [`Arm`]s by service.
pub(super) struct Arms(Mapping);

impl Arms {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let map = MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self(Mapping::read_only(&map).with_context(|| format!("{}", path.display()))?))
    }

    /// At `now`, `CLOCK_MONOTONIC` nanoseconds.
    pub(super) fn get(&self, service: usize, now: u64) -> Armed {
        let word = |offset: usize| {
            let index = (service * size_of::<Arm>() + offset) / 8;
            self.0.words().get(index).map_or(0, |word| word.load(std::sync::atomic::Ordering::Relaxed))
        };
        let switched = |offset: usize| {
            let [until, since, count] =
                [offset_of!(Switch, until), offset_of!(Switch, since), offset_of!(Switch, count)]
                    .map(|field| word(offset + field));
            let age = until.min(now).saturating_sub(since);
            Switched { on: now < until, count, since: Duration::from_nanos(if until == 0 { 0 } else { age }) }
        };
        Armed {
            syn: switched(offset_of!(Arm, syn)),
            stray: switched(offset_of!(Arm, state)),
            limits: now < word(offset_of!(Arm, tight)),
        }
    }
}

/// Sets every word of the map pinned at `path` to zero.
pub(super) fn disarm(path: &Path) -> Result<()> {
    let map = MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?;
    Mapping::writable(&map).with_context(|| format!("{}", path.display()))?.clear();
    Ok(())
}

/// Words of a line: tag and end of each way.
pub(super) const LINE_WORDS: usize = WAYS * 2;

fn fill(lines: usize, load: impl Fn(usize) -> u64, now: u64) -> Fill {
    // Lines are placed by hash, so any fixed choice is a fair sample.
    let sampled = lines.min(SAMPLE_LINES);
    let live_in =
        |line: usize| (0..WAYS).filter(|way| load(line * LINE_WORDS + way * 2 + 1) > now).count() as u64;
    let live: u64 = (0..sampled).map(|sample| live_in(sample * lines / sampled)).sum();
    Fill { entries: live * lines as u64 / (sampled.max(1) as u64), max_entries: (lines * WAYS) as u64 }
}

const _: () = assert!(HandOver::ALL.len() <= HANDOVERS_LEN as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_table_is_counted_a_large_one_estimated() {
        let every_third = |word: usize| if (word / 2).is_multiple_of(3) { 10 } else { 0 };
        assert_eq!(fill(96, every_third, 9), Fill { entries: 128, max_entries: 384 });
        assert_eq!(fill(96, every_third, 10).entries, 0);
        let large = fill(1 << 18, every_third, 9);
        let expected = (1 << 20) / 3;
        assert!(large.entries.abs_diff(expected) < expected / 50, "{large:?}");
        assert_eq!(fill(0, |_| 0, 0), Fill { entries: 0, max_entries: 0 });
    }

    #[test]
    fn unknown_step_downs_are_left_out() {
        let mut ports = vec![0_u8; 65536];
        (ports[80], ports[443], ports[65535]) = (1, 2, 3);
        assert_eq!(step_downs(&ports), [(80, StepDown::Mptcp), (443, StepDown::Refused)]);
    }
}
