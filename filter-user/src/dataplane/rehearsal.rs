//! The filter on private copies of its tables: what would it do with this packet?
//!
//! What runs is the attached program once more (the same instructions with the same constants, read back from the kernel), or what a
//! [`Plan`] would load; it is attached to nothing. What the data path writes is copied, what it only reads (bans, lists, keys, own
//! addresses) is the live filter's. So nothing is spent and nothing is counted, and the answer is never a twin's of the logic.
//!
//! Sockets and routes are those of this thread's network namespace, and time is the clock's.

mod attached;
mod maps;
mod testrun;

use std::{path::Path, sync::atomic::Ordering::Relaxed};

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, maps::LpmTrie, programs::Xdp};
use filter_common::{
    abi::{Plane, counter_index, name},
    config::{Config, Ports},
    packet::Packet,
    reason::{Action, REASONS, Reason},
    rules, stages,
    state::List,
    world::World,
};

pub use self::testrun::{LONGEST, SHORTEST};
use self::{attached::Program, maps::Maps};
use super::{
    NotLoaded, Plan, apply, bytes,
    fingerprint::Fingerprint,
    kernel_at_least,
    load::{self, Globals, MapPaths},
    local::Local,
    netlink, object,
    pins::{Pins, exists, make_private, remove_folder},
    program_name,
    schema::{Fate, LISTS, STATE, Schema},
};

/// What an answer says if the attached program and this binary don't belong together.
const ANOTHER_VERSION: &str =
    "another version of floodwall has loaded the program: restart the daemon, or use that version";

/// What its tables hold at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// What the live ones hold.
    Live,
    /// Nothing: no source has sent anything yet, nothing is armed. Bans, lists and keys are the live ones all the same.
    Empty,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub reason: Reason,
    /// It passes and is counted apart: the host, the interface or the service is only observed.
    pub observed: bool,
    /// Bytes that were counted.
    pub bytes: u64,
    /// The rules that it met, in their order; the last one decided if the reason is a rule's.
    pub rules: Vec<Met>,
    /// The answer that goes out in its place.
    pub reply: Option<Vec<u8>>,
}

impl Outcome {
    /// What is done with the packet.
    #[must_use]
    pub const fn action(&self) -> Action {
        if self.observed { Action::Pass } else { self.reason.action() }
    }

    /// The number of the rule that decided.
    #[must_use]
    pub fn rule(&self) -> Option<u32> {
        let is_of_rule = matches!(self.reason, Reason::RulePass | Reason::RuleDrop | Reason::RuleLimit);
        self.rules.last().filter(|_| is_of_rule).map(|met| met.rule)
    }
}

/// A rule that a packet met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Its number, from 0 on.
    pub rule: u32,
    /// It dropped or challenged the packet, or would have; else it let it go on, or pass.
    pub acted: bool,
}

/// A program on tables of its own.
pub struct Rehearsal {
    ebpf: Ebpf,
    maps: Maps,
    interface: String,
    ifindex: Option<u32>,
    fingerprint: Option<Fingerprint>,
    config: Box<Config>,
    ports: Box<Ports>,
    rules: Box<rules::Rules>,
    notes: Vec<String>,
    next: Option<String>,
    /// What the counters said last.
    seen: Vec<[u64; 2]>,
    seen_rules: Vec<u64>,
    out: Vec<u8>,
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").field("interface", &self.interface).finish_non_exhaustive()
    }
}

/// What a rehearsal is made from.
struct Scene<'a> {
    interface: &'a str,
    ifindex: Option<u32>,
    globals: Globals<'a>,
    /// What the live program goes on to; the rehearsal stops there.
    next: Option<String>,
    schema: &'a Schema,
    pins: &'a Pins,
    /// Maps that are the live filter's.
    shared: Vec<&'static str>,
    start: Start,
}

impl Rehearsal {
    /// The program that is attached to an interface (`None`: the first one) by whoever pinned below `pins`.
    ///
    /// Fails with [`NotLoaded`] (by downcast) if there is nothing. Needs `CAP_SYS_ADMIN` besides what an apply needs.
    pub fn of_attached(pins: &Path, interface: Option<&str>, start: Start) -> Result<Self> {
        if !exists(pins) {
            return Err(NotLoaded.into());
        }
        let schema = Schema::of(object::filter()?)?;
        let pins = Pins::at(pins, &schema.layout())?;
        let _lock = pins.lock()?;
        let (attached, fingerprint) = attached::find(&pins, interface)?;
        let program = Program::read(attached.xdp_program.context("no XDP program")?)?;
        let used = |name: &&str| !maps::UNUSED.contains(name);
        let all: Vec<_> = STATE.into_iter().chain(LISTS).filter(used).collect();
        let schema = &schema.sized_as_pinned(&all, &pins)?;
        program.owns(&all, &pins)?;
        let scene = Scene {
            interface: &attached.name,
            ifindex: Some(attached.ifindex),
            globals: program.globals()?,
            next: attached.next.map(|id| format!("the XDP program {id} ({})", program_name(id))),
            schema,
            pins: &pins,
            shared: maps::SHARED.into_iter().chain(LISTS).collect(),
            start,
        };
        let mut rehearsal = Self::load(&scene, |_, _, _| Ok(()))?;
        ensure!(rehearsal.program()?.info()?.tag() == program.tag, ANOTHER_VERSION);
        rehearsal.fingerprint = Some(fingerprint);
        Ok(rehearsal)
    }

    /// What `plan` would load for that interface of it.
    ///
    /// Lists, rules, services and own addresses are the plan's; bans and keys are those that are pinned, if any are. A table whose size
    /// the plan changes starts empty.
    pub fn of_plan(plan: &Plan, interface: &str, start: Start) -> Result<Self> {
        let schema = Schema::of(object::filter()?)?.with(&plan.tables, &plan.words)?;
        let pins = Pins::at(&plan.pins, &schema.layout())?;
        let is_new = !exists(&pins.maps);
        let _lock = pins.create()?;
        let rehearsal = Self::of_plan_locked(plan, interface, schema, &pins, start);
        if is_new {
            pins.abandon();
        }
        rehearsal
    }

    fn of_plan_locked(
        plan: &Plan,
        interface: &str,
        schema: Schema,
        pins: &Pins,
        start: Start,
    ) -> Result<Self> {
        let target = plan.interfaces.iter().find(|candidate| candidate.name == interface);
        let target = target.with_context(|| format!("the configuration has no interface {interface}"))?;
        // Bans are the live ones, whatever room the plan has for them.
        let schema = &schema.sized_as_pinned(&[name::BANS, name::BAN_HINTS, name::BANNED], pins)?;
        let mut shared = Vec::new();
        for name in maps::SHARED {
            if name != name::LOCAL && schema.fate(name, &pins.map(name))? == Fate::Adopt {
                shared.push(name);
            }
        }
        let config = load::config(target, 0, apply::seed_or_random(pins)?, schema)?;
        let scene = Scene {
            interface,
            ifindex: netlink::index(interface).ok(),
            globals: Globals::of(plan, &config),
            next: target.next.as_ref().map(|next| format!("what is pinned at {}", next.path.display())),
            schema,
            pins,
            shared,
            start,
        };
        Self::load(&scene, |ebpf, maps, paths| {
            apply::fill(plan, ebpf)?;
            maps.own(name::STEP_DOWN).context(name::STEP_DOWN)?.clear();
            let path = |name: &str| paths.get(name).with_context(|| format!("no map {name}"));
            Local::open(path(name::LOCAL)?, path(name::HINTS)?)?.set(&plan.local, &plan.broadcasts)
        })
    }

    /// Loads with the lock held: while it lasts the maps have names, below a folder that others don't look into.
    fn load(scene: &Scene<'_>, fill: impl FnOnce(&mut Ebpf, &Maps, &MapPaths) -> Result<()>) -> Result<Self> {
        let folder = scene.pins.maps.join(FOLDER);
        remove_folder(&folder)?;
        make_private(&folder)?;
        let rehearsal = Self::load_in(&folder, scene, fill);
        remove_folder(&folder)?;
        rehearsal
    }

    fn load_in(
        folder: &Path,
        scene: &Scene<'_>,
        fill: impl FnOnce(&mut Ebpf, &Maps, &MapPaths) -> Result<()>,
    ) -> Result<Self> {
        let Scene { interface, ifindex, globals, next, schema, pins, shared, start } = scene;
        let place = |name| {
            let folder = if shared.contains(&name) { &pins.maps } else { folder };
            (name, folder.join(name))
        };
        let paths: MapPaths = STATE.into_iter().chain(LISTS).map(place).collect();
        let maps = Maps::make(schema, &pins.maps, folder)?;
        let mut ebpf = load::object(globals, kernel_at_least(5, 18), schema, &paths)?;
        load::load_xdp(&mut ebpf)?;
        let notes = maps.start(*start)?;
        fill(&mut ebpf, &maps, &paths)?;
        let global = "a global of another size";
        let config: Box<Config> = bytes::from_bytes(globals.config).context(global)?;
        let mut rehearsal = Self {
            ebpf,
            maps,
            interface: (*interface).to_owned(),
            ifindex: *ifindex,
            fingerprint: None,
            ports: bytes::from_bytes(globals.ports).context(global)?,
            rules: bytes::from_bytes(globals.rules).context(global)?,
            config,
            notes,
            next: next.clone(),
            seen: vec![[0; 2]; PLANES.len() * REASONS],
            seen_rules: vec![0; rules::COUNTERS as usize],
            out: vec![0; testrun::ROOM],
        };
        rehearsal.try_interface()?;
        Ok(rehearsal)
    }

    /// The kernel runs nothing on an interface that this namespace has not, or that has no receive queue for XDP.
    fn try_interface(&mut self) -> Result<()> {
        let mut frame = [0; 60];
        // Local experimental EtherType 1 (IEEE 802): no IP, so no table is asked.
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        if self.ifindex.is_some() && self.run(&frame).is_ok() {
            return Ok(());
        }
        self.ifindex = None;
        self.run(&frame)?;
        self.notes.push(format!(
            "{} is not here, or not up: packets are taken as if they came in on the loopback device",
            self.interface
        ));
        Ok(())
    }

    /// Makes its tables what they were to be at first, as of now.
    pub fn start(&mut self, start: Start) -> Result<()> {
        self.maps.start(start).map(drop)
    }

    /// Judges one frame, from the Ethernet header on: [`SHORTEST`] to [`LONGEST`] bytes.
    pub fn run(&mut self, frame: &[u8]) -> Result<Outcome> {
        ensure!(frame.len() >= SHORTEST, "a frame of {} bytes: shorter than an Ethernet header", frame.len());
        ensure!(frame.len() <= LONGEST, "a frame of {} bytes: no interface carries that", frame.len());
        let program: &Xdp = self.ebpf.program(name::XDP).context("no program")?.try_into()?;
        let (done, left) = testrun::run(program, self.ifindex, frame, &mut self.out)?;
        let reply = (done == XDP_TX).then(|| left.to_vec());
        let (plane, reason, bytes) = self.counted()?;
        let outcome = Outcome { reason, observed: plane.is_observed(), bytes, rules: self.met(), reply };
        ensure!(done == number(outcome.action()), "the program returned {done} for {}", reason.label());
        Ok(outcome)
    }

    /// The one counter that moved, and its bytes.
    fn counted(&mut self) -> Result<(Plane, Reason, u64)> {
        let words = self.maps.counters.words();
        let mut found = None;
        for (index, (plane, reason)) in places().enumerate() {
            let at = counter_index(self.config.interface, plane, reason) as usize * 2;
            let now = [words[at].load(Relaxed), words[at + 1].load(Relaxed)];
            let before = std::mem::replace(&mut self.seen[index], now);
            if now[0] != before[0] {
                ensure!(found.is_none() && now[0] == before[0] + 1, "one packet was counted more than once");
                found = Some((plane, reason, now[1] - before[1]));
            }
        }
        let (plane, number, bytes) = found.context("the packet was not counted")?;
        let reason = Reason::ALL.iter().find(|reason| **reason as u8 == number);
        Ok((plane, *reason.with_context(|| format!("no reason {number}"))?, bytes))
    }

    fn met(&mut self) -> Vec<Met> {
        let count = self.rules.len.min(rules::MAX_RULES as u64) as u32;
        let mut met = Vec::new();
        for (rule, acted) in (0..count).flat_map(|rule| [(rule, false), (rule, true)]) {
            let index = rules::counter_index(rule, acted) as usize;
            let now = self.maps.rules.words()[index * 2].load(Relaxed);
            if std::mem::replace(&mut self.seen_rules[index], now) != now {
                met.push(Met { rule, acted });
            }
        }
        met
    }

    /// The number of the packet's service, as the program finds it; 0 for none.
    pub fn service(&self, packet: &Packet) -> Result<u32> {
        let mut world = World::new();
        world.config = *self.config;
        world.ports.clone_from(&self.ports);
        let map = self.ebpf.map(name::SERVICE_DST).context("no map SERVICE_DST")?;
        let trie: LpmTrie<_, [u32; 4], u64> = LpmTrie::try_from(map)?;
        for entry in &trie {
            let (key, services) = entry.context(name::SERVICE_DST)?;
            let prefix = bytes::prefix(key.prefix_len(), key.data());
            world.listed.push((List::ServiceDestinations, prefix, services));
        }
        // The longest one that holds an address counts.
        world
            .listed
            .sort_by_key(|(_, prefix, _)| prefix.mask.iter().map(|part| part.count_ones()).sum::<u32>());
        Ok(stages::service_of(packet, &world))
    }

    fn program(&mut self) -> Result<&mut Xdp> {
        load::xdp(&mut self.ebpf)
    }

    /// Whose the packets are that pass; `None`: the stack's.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// What is odd about it, for people.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The interface that its packets come in on.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The configuration that the program was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What the attached program was made from, in short; `None` for a plan.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.fingerprint.map(|[first, ..]| format!("{first:08x}"))
    }
}

/// Where maps have names while they are made.
const FOLDER: &str = "rehearsal";

/// Planes of packets that come in.
const PLANES: [Plane; 2] = [Plane::Enforced, Plane::Observed];

/// Every place where a packet that comes in may be counted.
fn places() -> impl Iterator<Item = (Plane, u8)> {
    PLANES.into_iter().flat_map(|plane| (0..REASONS as u8).map(move |reason| (plane, reason)))
}

// linux/bpf.h, enum xdp_action
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

const fn number(action: Action) -> u32 {
    match action {
        Action::Pass => XDP_PASS,
        Action::Drop => XDP_DROP,
        Action::Reply => XDP_TX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_decides_if_a_rule_did() {
        let met = |rule, acted| Met { rule, acted };
        let rules = vec![met(2, true), met(5, true)];
        let outcome = Outcome { reason: Reason::RuleDrop, observed: false, bytes: 60, rules, reply: None };
        assert_eq!((outcome.rule(), outcome.action()), (Some(5), Action::Drop));
        let outcome = Outcome { reason: Reason::Bogon, observed: true, ..outcome };
        assert_eq!((outcome.rule(), outcome.action()), (None, Action::Pass));
    }
}
