//! The data path as user space sees it: load, attach, pin, read.
//!
//! The only module that talks to aya. [`apply`] makes a [`Plan`] so, [`open`] finds what an earlier daemon
//! left, [`detach`] removes it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`plan`], `difference` | what a configuration asks for, and what another one asks for beside it |
//! | `apply`, `commit`, `load` | loading everything, then swapping |
//! | `xdp`, `tc`, `next`, `foreign`, `netlink`, `sys` | attachments and what the kernel says about them |
//! | `detach`, `panic` | taking it off, tidily or at once |
//! | `pins`, `schema`, `slots`, `inherit`, `fingerprint` | what outlives the daemon |
//! | `tables`, `rules`, `bans`, `proofs`, `events`, `lists`, `keymap`, `mapping`, `bytes` | typed access to maps |
//! | [`object`], [`kfunc`], `btf` | the built-in eBPF objects |
//! | [`measure`] | timing of loaded programs |
//! | [`rehearsal`] | what a program would do with a packet, on copies of its tables |

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{maps::MapData, programs::loaded_programs, util::KernelVersion};
use filter_common::{
    abi::{Counter, HandOver, Plane, StepDown, name},
    cookie::Keys,
    reason::Reason,
};

mod apply;
mod bans;
mod btf;
mod bytes;
mod commit;
mod detach;
mod difference;
mod events;
mod fingerprint;
mod foreign;
mod inherit;
mod keymap;
pub mod kfunc;
mod lists;
mod load;
mod local;
mod look;
mod mapping;
pub mod measure;
mod netlink;
mod next;
pub mod object;
mod panic;
mod pins;
pub mod plan;
mod proofs;
pub mod rehearsal;
mod rules;
mod schema;
mod slots;
mod status;
mod sys;
mod tables;
mod tc;
mod xdp;

pub use apply::{apply, apply_keyed};
pub use bans::{Banned, Figures, Made, New, source_of};
pub use detach::detach;
pub use events::{Arming, EventFigures, Events};
pub use keymap::{KEY_WORDS, KeyMap, Timeline, Window};
pub use look::{Attached, attached, program_name};
pub use netlink::{Mode, Stack, stacked};
pub use next::Next;
pub use panic::{Undone, panic};
pub use plan::{Attach, Ingress, InterfacePlan, Lists, NextPlan, Plan, Tables};
pub use proofs::Proofs;
pub use rules::RuleCount;
pub use status::{Count, Interface, KeyStatus, Program};
pub use tables::{Armed, Fill, SAMPLE_LINES, Switched};
pub use tc::TcKind;

use bans::Bans;
use events::Samplers;
use ipnet::IpNet;
use local::Local;
use pins::{Pins, exists};
use rules::RuleCounters;
use schema::Schema;
use slots::Slots;
use tables::{Arms, Counters, HandOvers, StepDowns, Table};

/// Nothing is attached: no daemon has run, or `detach` has removed its work.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the filter is not loaded: start floodwall run")]
pub struct NotLoaded;

/// Periods after which a key that nobody has replaced stops issuing.
///
/// A clock that jumps may delay a rotation by three periods (see `daemon::secrets`), so four would be too few.
pub const MAX_AGE_PERIODS: u64 = 5;

/// The kfunc that creates a connection from a cookie (Linux 6.9).
pub const HAND_OVER_KFUNC: &str = "bpf_sk_assign_tcp_reqsk";

/// Whether the running kernel can take over a cookie.
#[must_use]
pub fn kfunc_available() -> bool {
    kfunc::available(HAND_OVER_KFUNC)
}

/// A loaded and pinned data path.
pub struct Dataplane {
    pins: Pins,
    slots: Mutex<Slots>,
    counters: Counters,
    handovers: HandOvers,
    step_downs: Mutex<StepDowns>,
    local: Mutex<Local>,
    keys: KeyMap,
    sources: Table,
    replies: Table,
    recent: Table,
    proven: Table,
    queries: Table,
    flows: Table,
    arms: Arms,
    bans: Mutex<Bans>,
    rules: RuleCounters,
    samplers: Samplers,
    notes: Vec<String>,
}

impl std::fmt::Debug for Dataplane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataplane").field("pins", &self.pins).finish_non_exhaustive()
    }
}

/// Opens what is pinned below `pins`.
///
/// Fails with [`NotLoaded`] (by downcast) if there is nothing.
pub fn open(pins: &Path) -> Result<Dataplane> {
    if !exists(pins) {
        return Err(NotLoaded.into());
    }
    let schema = Schema::of(object::FILTER)?;
    Dataplane::open_at(Pins::at(pins, &schema.layout())?)
}

impl Dataplane {
    fn open_at(pins: Pins) -> Result<Self> {
        if !exists(&pins.map(slots::NAME)) {
            return Err(NotLoaded.into());
        }
        let keys = MapData::from_pin(pins.map(name::KEYS)).context("KEYS")?;
        Ok(Self {
            slots: Slots::open(&pins.map(slots::NAME))?.into(),
            counters: Counters::open(&pins.map(name::COUNTERS))?,
            handovers: HandOvers::open(&pins.map(name::HANDOVERS))?,
            step_downs: StepDowns::open(&pins.map(name::STEP_DOWN))?.into(),
            local: Local::open(&pins.map(name::LOCAL), &pins.map(name::HINTS))?.into(),
            keys: KeyMap::new(&keys)?,
            sources: Table::open(&pins.map(name::SOURCES))?,
            replies: Table::open(&pins.map(name::REPLIES))?,
            recent: Table::open(&pins.map(name::RECENT))?,
            proven: Table::open(&pins.map(name::PROVEN))?,
            queries: Table::open(&pins.map(name::QUERIES))?,
            flows: Table::open(&pins.map(name::FLOWS))?,
            arms: Arms::open(&pins.map(name::ARMS))?,
            bans: Bans::open(&pins)?.into(),
            rules: RuleCounters::open(&pins.map(name::RULE_COUNTERS))?,
            samplers: Samplers::open(&pins)?,
            pins,
            notes: Vec::new(),
        })
    }

    /// What the apply that made this had to say: modes, replaced tables, detached interfaces.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Interfaces that the filter is attached to.
    pub fn interfaces(&self) -> Result<Vec<Interface>> {
        let records = self.slots.lock().map_err(poisoned)?.records()?;
        let mut found = Vec::new();
        for (slot, record) in records.into_iter().enumerate() {
            if record.ifindex != 0 {
                found.extend(status::interface(&self.pins, slot as u32, record));
            }
        }
        Ok(found)
    }

    /// Packets and bytes of every attached interface, by plane and reason; zeros included.
    pub fn counters(&self) -> Result<Vec<Count>> {
        let mut counts = Vec::new();
        for interface in self.interfaces()? {
            for plane in Plane::ALL {
                for &reason in Reason::ALL {
                    let Counter { packets, bytes } = self.counters.get(interface.slot, plane, reason)?;
                    let interface = interface.name.clone();
                    counts.push(Count { interface, plane, reason, packets, bytes });
                }
            }
        }
        Ok(counts)
    }

    /// What every rule counted, all interfaces together; numbers that no rule has stay 0.
    pub fn rules(&self) -> Result<Vec<RuleCount>> {
        self.rules.get()
    }

    /// Hand-overs to the stack by outcome.
    pub fn handovers(&self) -> Result<Vec<(HandOver, u64)>> {
        HandOver::ALL.iter().map(|(outcome, _)| Ok((*outcome, self.handovers.get(*outcome)?))).collect()
    }

    /// TCP ports on which cookies stepped down, and why.
    pub fn step_downs(&self) -> Result<Vec<(u16, StepDown)>> {
        self.step_downs.lock().map_err(poisoned)?.get()
    }

    /// Gives cookies another try on every port.
    pub fn retry_step_downs(&self) -> Result<()> {
        self.step_downs.lock().map_err(poisoned)?.retry()
    }

    /// Tells the data path this host's own addresses and its networks' broadcast addresses.
    pub fn set_local(&self, addresses: &[IpAddr], broadcasts: &[Ipv4Addr]) -> Result<()> {
        self.local.lock().map_err(poisoned)?.set(addresses, broadcasts)
    }

    /// Where the cookie keys stand; without the keys.
    pub fn keys(&self) -> Result<KeyStatus> {
        Ok(KeyStatus::of(&self.keys.timeline(), monotonic()?))
    }

    /// The keys' memory, for the rotation. It stays valid when this data path is applied anew.
    pub fn key_map(&self) -> Result<KeyMap> {
        KeyMap::new(&MapData::from_pin(self.pins.map(name::KEYS)).context("KEYS")?)
    }

    /// What the service of that number (0: the rest of the host) has armed.
    pub fn armed(&self, service: usize) -> Result<Armed> {
        Ok(self.arms.get(service, monotonic()?))
    }

    /// Disarms everything: the numbers are other services' now.
    pub fn disarm(&self) -> Result<()> {
        tables::disarm(&self.pins.map(name::ARMS))
    }

    /// Bans prefixes; those that are banned already end at the new time.
    pub fn ban(&self, bans: &[New<'_>]) -> Result<Made> {
        self.bans.lock().map_err(poisoned)?.add(bans, monotonic()?)
    }

    /// Whether the bans from before the boot have been put into these tables; `set_bans_restored` says so.
    pub fn are_bans_restored(&self) -> Result<bool> {
        Ok(self.bans.lock().map_err(poisoned)?.is_restored())
    }

    /// See [`Dataplane::are_bans_restored`].
    pub fn set_bans_restored(&self) -> Result<()> {
        self.bans.lock().map_err(poisoned)?.set_restored();
        Ok(())
    }

    /// Ends bans of exactly these prefixes; returns how many there were.
    pub fn unban(&self, prefixes: &[IpNet]) -> Result<u64> {
        self.bans.lock().map_err(poisoned)?.remove(prefixes, monotonic()?)
    }

    /// Removes bans that have ended, a slice of the table at a time.
    pub fn sweep_bans(&self) -> Result<()> {
        self.bans.lock().map_err(poisoned)?.sweep(monotonic()?).map(drop)
    }

    /// The same for the whole table, which is counted anew.
    pub fn sweep_all_bans(&self) -> Result<()> {
        self.bans.lock().map_err(poisoned)?.sweep_all(monotonic()?)
    }

    /// Shows every ban that has not ended, until `visit` returns false.
    pub fn each_ban(&self, visit: impl FnMut(Banned) -> bool) -> Result<()> {
        self.bans.lock().map_err(poisoned)?.each(monotonic()?, visit)
    }

    /// The bans that hold an address, the widest first.
    pub fn bans_holding(&self, address: IpAddr) -> Result<Vec<Banned>> {
        self.bans.lock().map_err(poisoned)?.holding(address, monotonic()?)
    }

    /// How many bans there are, and were.
    pub fn ban_figures(&self) -> Result<Figures> {
        Ok(self.bans.lock().map_err(poisoned)?.figures())
    }

    /// How many events were written and lost.
    pub fn event_figures(&self) -> Result<EventFigures> {
        self.samplers.figures()
    }

    /// The sampled packets. They stay valid when this data path is applied anew; there is one reader.
    pub fn events(&self) -> Result<Events> {
        Events::open(&self.pins)
    }

    /// Who has shown that he can receive, to forget some of them: the table as it is now.
    pub fn proofs(&self) -> Result<Proofs> {
        Proofs::open(&self.pins)
    }

    /// How full each table is, by map name.
    pub fn fill(&self) -> Result<[(&'static str, Fill); 8]> {
        let now = monotonic()?;
        let [bans, banned] = self.bans.lock().map_err(poisoned)?.fill();
        Ok([
            (name::SOURCES, self.sources.fill(now)),
            (name::REPLIES, self.replies.fill(now)),
            (name::RECENT, self.recent.fill(now)),
            (name::PROVEN, self.proven.fill(now)),
            (name::QUERIES, self.queries.fill(now)),
            (name::FLOWS, self.flows.fill(now)),
            (name::BANS, bans),
            (name::BANNED, banned),
        ])
    }

    /// The attached programs; run statistics are zero unless `kernel.bpf_stats_enabled` is on.
    pub fn programs(&self) -> Result<Vec<Program>> {
        let interfaces = self.interfaces()?;
        let attached = |id: u32| interfaces.iter().find_map(|interface| interface.runs(id));
        let programs = loaded_programs().filter_map(Result::ok);
        let ours = programs.filter_map(|info| {
            let (interface, hook) = attached(info.id())?;
            Some(Program {
                interface,
                hook,
                id: info.id(),
                verified_instructions: info.verified_instruction_count(),
                runs: info.run_count(),
                run_time: info.run_time(),
            })
        });
        Ok(ours.collect())
    }
}

fn poisoned<T>(_: T) -> anyhow::Error {
    anyhow::anyhow!("another thread failed while it used this map")
}

/// `CLOCK_MONOTONIC` in nanoseconds: the data path's clock.
pub fn monotonic() -> Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).context("clock")?;
    Ok(u64::try_from(Duration::from(now).as_nanos())?)
}

/// Whether the running kernel is that version or a later one.
fn kernel_at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(major, minor, 0))
}

/// Creates an array map of user space's own and pins it at `path`.
fn create_array(name: &str, value_size: u32, entries: u32, path: &Path) -> Result<()> {
    let kind = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
    let definition = aya_obj::Map::new_from_params(kind as u32, 4, value_size, entries, 0);
    let map = MapData::create(definition, name, None)?;
    map.pin(path).with_context(|| format!("pin {}", path.display()))?;
    pins::make_owner_only(path)
}

const _: () = assert!(size_of::<Keys>() == KEY_WORDS * 8);
