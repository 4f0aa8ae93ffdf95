//! One reading of the maps.

use std::time::{Duration, Instant};

use filter_common::{
    abi::{Counter, HandOver, Plane, StepDown},
    config::MAX_SERVICES,
    reason::{REASONS, Reason},
};

use serde::{Deserialize, Serialize};

use crate::bench::statistics_are_on;
use crate::dataplane::{
    self, Armed, Dataplane, EventFigures, Figures, Fill, KeyStatus, Mode, Program, RuleCount,
};

/// Counters of one interface by [`Plane`] and reason.
pub type Block = [[Counter; REASONS]; Plane::ALL.len()];

/// Somebody else's XDP program behind ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NextProgram {
    /// Its id.
    pub program: u32,
    /// Its name, cut by the kernel at 15 bytes; empty where that cannot be read.
    pub name: String,
}

/// An interface that the filter is attached to.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// native, generic or offloaded.
    pub xdp: String,
    /// tcx or clsact, where tc ingress is attached.
    pub tc: Option<String>,
    /// tcx or clsact, where tc egress is attached.
    pub egress: Option<String>,
    /// What packets that pass go on to.
    pub next: Option<NextProgram>,
    /// What it counted.
    pub counters: Block,
}

/// The keys' state; never the keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys {
    /// The epoch that issues.
    pub epoch: u64,
    /// Whether its key is in its time.
    pub armed: bool,
    /// Time since it came into use.
    pub age: Duration,
    /// Time until the data path refuses it.
    pub expires_in: Duration,
}

/// A table's fill level.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Entries in use.
    pub entries: u64,
    /// Entries that fit.
    pub max: u64,
}

/// What the kernel measured of one attached program.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The interface that runs it.
    pub interface: String,
    /// xdp, tc or egress.
    pub hook: &'static str,
    /// Packets that it saw while the kernel measured.
    pub count: u64,
    /// Time that they took.
    pub time: Duration,
}

/// Everything, at about the same moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Outcomes of hand-overs.
    pub hand_overs: Vec<(&'static str, u64)>,
    /// Ports without cookies, and why.
    pub step_downs: Vec<(u16, StepDown)>,
    /// The keys.
    pub keys: Keys,
    /// What has armed itself, by service number; 0 is the rest of the host.
    pub armed: Vec<Armed>,
    /// Bans.
    pub bans: Figures,
    /// What rules counted, by number.
    pub rules: Vec<RuleCount>,
    /// Fill levels.
    pub tables: Vec<Table>,
    /// Sampled packets.
    pub events: EventFigures,
    /// Whether the kernel measures programs (`kernel.bpf_stats_enabled`), and tells us.
    pub stats_enabled: bool,
    /// What it measured; nothing without `CAP_SYS_ADMIN`.
    pub runs: Vec<Runs>,
    /// How long this reading took.
    pub took: Duration,
}

impl Sample {
    /// The counter of `reason`, summed over interfaces.
    #[must_use]
    pub fn total(&self, plane: Plane, reason: Reason) -> Counter {
        let blocks = self.interfaces.iter().map(|i| i.counters[plane as usize][reason as usize]);
        blocks.fold(Counter::default(), |sum, counter| Counter {
            packets: sum.packets + counter.packets,
            bytes: sum.bytes + counter.bytes,
        })
    }
}

impl Sample {
    /// Reads the maps.
    pub fn read(dataplane: &Dataplane) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut interfaces: Vec<_> = dataplane.interfaces()?.into_iter().map(Interface::new).collect();
        for count in dataplane.counters()? {
            if let Some(interface) = interfaces.iter_mut().find(|i| i.name == count.interface) {
                interface.counters[count.plane as usize][count.reason as usize] =
                    Counter { packets: count.packets, bytes: count.bytes };
            }
        }
        let handovers = dataplane.handovers()?;
        let labelled = HandOver::ALL.iter().filter_map(|(outcome, label)| {
            handovers.iter().find(|(found, _)| found == outcome).map(|(_, count)| (*label, *count))
        });
        let runs: Vec<_> = dataplane.programs()?.into_iter().map(Runs::new).collect();
        Ok(Self {
            hand_overs: labelled.collect(),
            interfaces,
            step_downs: dataplane.step_downs()?,
            keys: dataplane.keys()?.into(),
            armed: (0..MAX_SERVICES).map(|service| dataplane.armed(service)).collect::<Result<_, _>>()?,
            bans: dataplane.ban_figures()?,
            rules: dataplane.rules()?,
            tables: dataplane.fill()?.map(Table::new).into(),
            events: dataplane.event_figures()?,
            stats_enabled: !runs.is_empty() && statistics_are_on(),
            runs,
            took: began.elapsed(),
        })
    }
}

impl Interface {
    fn new(interface: dataplane::Interface) -> Self {
        Self {
            name: interface.name,
            ifindex: interface.ifindex,
            xdp: interface.mode.map_or("none", Mode::label).to_owned(),
            tc: interface.ingress.map(|kind| kind.label().to_owned()),
            egress: interface.egress.map(|kind| kind.label().to_owned()),
            next: interface
                .next
                .map(|program| NextProgram { program, name: dataplane::program_name(program) }),
            counters: [[Counter::default(); REASONS]; Plane::ALL.len()],
        }
    }
}

impl Runs {
    fn new(program: Program) -> Self {
        let Program { interface, hook, runs, run_time, .. } = program;
        Self { interface, hook, count: runs, time: run_time }
    }
}

impl From<KeyStatus> for Keys {
    fn from(keys: KeyStatus) -> Self {
        Self {
            epoch: keys.epoch,
            armed: keys.issuing,
            age: keys.age.unwrap_or_default(),
            expires_in: keys.issue_left,
        }
    }
}

impl Table {
    fn new((name, fill): (&str, Fill)) -> Self {
        Self { name: name.to_ascii_lowercase(), entries: fill.entries, max: fill.max_entries }
    }
}
