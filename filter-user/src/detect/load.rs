//! From samples to loads: how much of each vector nobody honest explains, by service.

use std::{collections::VecDeque, net::IpAddr};

use filter_common::{
    config::MAX_SERVICES,
    reason::{REASONS, Reason},
    state::SAMPLE,
};

use super::vector::{Evidence, VECTORS, Vector};

/// A sampled packet, as far as the detector goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of its service; 0 is the rest of the host.
    pub service: u8,
    /// What flood it would be part of.
    pub vector: Vector,
    /// Its fate.
    pub reason: Reason,
    /// Where it says that it comes from; nothing if it could not be parsed.
    pub source: Option<IpAddr>,
    /// Packets that it stands for.
    pub weight: u32,
    /// Its length on the wire.
    pub length: u32,
}

/// What is known about a service besides its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Its connections have sockets on this host: nothing is known about handshakes of others.
    pub sockets: bool,
    /// Its segments are looked up, all or a sample.
    pub checked: bool,
}

/// Everything about one turn of the detector.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// Nanoseconds of any clock that goes on.
    pub now: u64,
    /// Samples since the last turn.
    pub seen: &'a [Seen],
    /// How many packets met each fate since then, exactly; `None` if nobody knows.
    pub counted: Option<&'a [u64; REASONS]>,
    /// Handshakes that this host's stack completed since then (`PassiveOpens`: it takes the right acknowledgment number).
    pub completed: Option<u64>,
}

/// Packets and bytes, with what their estimate may be off by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Packets.
    pub packets: f64,
    /// Bytes.
    pub bytes: f64,
    /// Variance of `packets`: samples are drawn independently.
    variance: f64,
}

impl Sum {
    fn add(&mut self, seen: &Seen, scale: f64) {
        let packets = f64::from(seen.weight) * scale;
        self.packets += packets;
        self.bytes += packets * f64::from(seen.length);
        self.variance += packets * packets;
    }

    fn also(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.variance += other.variance;
    }
}

/// One service and vector during one turn.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    honest: Sum,
    stray: Sum,
    open: Sum,
}

/// Services times vectors.
pub const CELLS: usize = MAX_SERVICES * VECTORS;

/// Where a cell lies.
#[must_use]
pub const fn cell(service: usize, vector: Vector) -> usize {
    service % MAX_SERVICES * VECTORS + vector as usize
}

/// One turn.
struct Turn {
    began: u64,
    ended: u64,
    cells: Vec<Cell>,
    completed: Option<u64>,
}

/// What nobody honest explains, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Packets per second.
    pub pps: f64,
    /// Bits per second.
    pub bps: f64,
    /// Packets per second at least, as far as samples tell.
    pub surely: f64,
    /// Packets per second of the vector, explained or not.
    pub all: f64,
    /// Honest packets are not among it, so that next to nothing is usual.
    pub evident: bool,
}

/// Turns that a load is the mean of.
const TURNS: usize = 4;

/// Standard deviations between the estimate and [`Load::surely`].
pub(super) const SURE: f64 = 2.5;

/// The last few turns.
#[derive(Default)]
pub struct Loads {
    turns: VecDeque<Turn>,
    last: Option<u64>,
    /// SYNs so far, by service number.
    syns: Vec<f64>,
}

impl std::fmt::Debug for Loads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loads").field("turns", &self.turns.len()).finish_non_exhaustive()
    }
}

impl Loads {
    /// Takes a turn in; the loads of all cells, once there is something to compare.
    pub fn take(&mut self, tick: &Tick<'_>, services: &[ServiceFacts]) -> Option<Vec<Load>> {
        let began = self.last.replace(tick.now)?;
        if tick.now <= began {
            return None;
        }
        let turn = Turn { began, ended: tick.now, cells: cells(tick), completed: tick.completed };
        self.syns.resize(MAX_SERVICES, 0.0);
        for (service, sum) in self.syns.iter_mut().enumerate() {
            let Cell { honest, stray, open } = turn.cells[cell(service, Vector::Syn)];
            *sum += honest.packets + stray.packets + open.packets;
        }
        self.turns.push_back(turn);
        if self.turns.len() > TURNS {
            self.turns.pop_front();
        }
        Some(self.loads(services))
    }

    /// SYNs that came since the beginning, by service number; estimated.
    #[must_use]
    pub fn syns(&self) -> &[f64] {
        &self.syns
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a second, handshakes of one")]
    fn loads(&self, services: &[ServiceFacts]) -> Vec<Load> {
        let began = self.turns.front().map_or(0, |turn| turn.began);
        let ended = self.turns.back().map_or(0, |turn| turn.ended);
        let seconds = (ended - began) as f64 / 1e9;
        let completed: Option<u64> = self.turns.iter().map(|turn| turn.completed).sum();
        let mut sums = vec![Cell::default(); CELLS];
        for turn in &self.turns {
            for (sum, cell) in sums.iter_mut().zip(&turn.cells) {
                sum.honest.also(&cell.honest);
                sum.stray.also(&cell.stray);
                sum.open.also(&cell.open);
            }
        }
        let mut loads = Vec::with_capacity(CELLS);
        for (service, cells) in sums.chunks(VECTORS).enumerate() {
            let facts = services.get(service).copied().unwrap_or_default();
            loads.extend(of_service(cells, facts, completed.map(|count| count as f64), seconds));
        }
        loads
    }
}

/// The samples of one turn, so scaled that those of each fate add up to what was counted.
#[expect(clippy::cast_precision_loss, reason = "packets of a quarter of a second")]
fn cells(tick: &Tick<'_>) -> Vec<Cell> {
    let mut weights = [0_u64; REASONS];
    for seen in tick.seen {
        weights[seen.reason as usize] += u64::from(seen.weight);
    }
    let scale = |reason: Reason| match (tick.counted, weights[reason as usize]) {
        (Some(counted), weight) if weight > 0 => (counted[reason as usize] as f64 / weight as f64).min(16.0),
        _ => 1.0,
    };
    let mut cells = vec![Cell::default(); CELLS];
    for seen in tick.seen {
        let cell = &mut cells[cell(seen.service.into(), seen.vector)];
        let scale = scale(seen.reason);
        match Evidence::of(seen.reason) {
            Evidence::Exempt => {}
            Evidence::Honest => cell.honest.add(seen, scale),
            Evidence::Stray => cell.stray.add(seen, scale),
            Evidence::StraySample => cell.stray.add(seen, scale * SAMPLE as f64),
            Evidence::Open => cell.open.add(seen, scale),
        }
    }
    cells
}

/// Loads of one service's vectors.
fn of_service(
    cells: &[Cell],
    facts: ServiceFacts,
    completed: Option<f64>,
    seconds: f64,
) -> impl Iterator<Item = Load> {
    let strays = |cell: &Cell| {
        let mut sum = cell.stray;
        if !facts.checked {
            sum.also(&cell.open);
        }
        sum
    };
    let lost = |cell: &Cell| if facts.checked { strays(cell).packets } else { 0.0 };
    let segments =
        Vector::ALL.iter().filter(|vector| vector.is_segment()).map(|vector| &cells[*vector as usize]);
    let of_connections: f64 =
        segments.map(|cell| cell.honest.packets + cell.open.packets + cell.stray.packets - lost(cell)).sum();
    // Who completes a handshake sends at least the ACK. Where the stack says how many there were, nobody can forge that; else
    // two segments have to follow each SYN.
    let explained = match completed {
        Some(completed) if facts.sockets => completed.min(of_connections.max(0.0)),
        _ => of_connections.max(0.0) / 2.0,
    };
    let loads: Vec<_> = Vector::ALL
        .iter()
        .map(|vector| {
            let cell = &cells[*vector as usize];
            let mut all = cell.stray;
            all.also(&cell.open);
            let (sum, explained) = match vector {
                Vector::Syn => (all, explained),
                vector if vector.is_segment() => (strays(cell), 0.0),
                _ => (all, 0.0),
            };
            let evident = vector.has_evidence() && (facts.checked || !vector.is_segment());
            Load { evident, ..load(&sum, explained, all.packets, seconds) }
        })
        .collect();
    loads.into_iter()
}

fn load(sum: &Sum, explained: f64, all: f64, seconds: f64) -> Load {
    let left = (sum.packets - explained).max(0.0);
    let share = if sum.packets > 0.0 { left / sum.packets } else { 0.0 };
    Load {
        pps: left / seconds,
        bps: sum.bytes * share * 8.0 / seconds,
        surely: (left - SURE * sum.variance.sqrt()).max(0.0) / seconds,
        all: all / seconds,
        evident: false,
    }
}
