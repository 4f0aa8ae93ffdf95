//! Makes a [`Plan`] so: everything is loaded first, then attached and swapped.

use std::fs::File;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, LpmTrie, Map, MapData},
};
use filter_common::abi::name;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use tracing::{info, warn};

use super::{
    Dataplane,
    bytes::prefix_key,
    commit, load,
    load::MapPaths,
    netlink, object,
    pins::{Hook, Pins, exists},
    plan::{InterfacePlan, Plan},
    schema::{Fate, STATE, Schema},
    slots::{self, Assigned, Slots},
    tables::Local,
    tc, xdp,
};

/// Name of the pinned map with the key of the table hashes, which lives as long as the tables.
const SEED: &str = "SEED";

/// One interface on its way: what it is to be, what it is now, and its loaded programs.
pub(super) struct Target<'a> {
    pub(super) plan: &'a InterfacePlan,
    pub(super) ifindex: u32,
    pub(super) assigned: Assigned,
    pub(super) xdp: xdp::Now,
    pub(super) tc: tc::Now,
    pub(super) ingress: Option<tc::IngressKind>,
    pub(super) programs: Ebpf,
}

/// Loads, attaches and swaps; the data path follows `plan` when this returns.
///
/// An error before the first swap changes nothing. Programs of interfaces that are not in the plan are
/// detached. Needs `CAP_BPF`, `CAP_NET_ADMIN`, `CAP_PERFMON` and a bpffs.
pub fn apply(plan: &Plan) -> Result<Dataplane> {
    ensure!(!plan.interfaces.is_empty(), "no interface is configured");
    raise_memlock();
    let schema = Schema::of(object::filter()?)?.with(&plan.tables)?;
    let pins = Pins::at(&plan.pins, &schema.layout())?;
    let lock = pins.create()?;
    let notes = apply_locked(plan, &pins, &schema, &lock).inspect_err(|_| pins.abandon())?;
    for note in &notes {
        info!("{note}");
    }
    Ok(Dataplane { notes, ..Dataplane::open_at(pins)? })
}

fn apply_locked(plan: &Plan, pins: &Pins, schema: &Schema, _lock: &File) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let paths = map_paths(pins, schema, &mut notes)?;
    let seed = seed(pins)?;
    let mut slots = match pins.map(slots::NAME) {
        path if exists(&path) => Slots::open(&path)?,
        _ => Slots::create(&pins.staged(slots::NAME))?,
    };
    let names: Vec<&str> = plan.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    let assigned = slots::assign(&slots.records()?, &names)?;
    let mut targets = Vec::new();
    for (interface, assigned) in plan.interfaces.iter().zip(assigned) {
        let target = prepare(plan, interface, assigned, seed, pins, schema, &paths)
            .with_context(|| format!("interface {}", interface.name))?;
        targets.push(target);
    }
    fill_management(plan, &mut targets)?;
    commit::commit(&mut targets, pins, &mut slots, &mut notes)?;
    Local::open(&pins.map(name::LOCAL))?.set(&plan.local)?;
    Ok(notes)
}

/// Looks at an interface and loads its programs; nothing is attached.
fn prepare<'a>(
    plan: &Plan,
    interface: &'a InterfacePlan,
    assigned: Assigned,
    seed: [u64; 2],
    pins: &Pins,
    schema: &Schema,
    paths: &MapPaths,
) -> Result<Target<'a>> {
    let ifindex = netlink::index(&interface.name)?;
    let xdp = xdp::now(&interface.name, ifindex, &pins.link(ifindex, Hook::Xdp))?;
    let tc = tc::now(ifindex, &pins.link(ifindex, Hook::Tc))?;
    let ingress = interface.ingress.map(tc::choose).transpose()?;
    let programs = load::load(plan, interface, assigned.slot, seed, schema, paths)?;
    Ok(Target { plan: interface, ifindex, assigned, xdp, tc, ingress, programs })
}

/// Where each map comes from: its pin, or the staging folder if it is to be new.
fn map_paths(pins: &Pins, schema: &Schema, notes: &mut Vec<String>) -> Result<MapPaths> {
    let mut paths = MapPaths::from([(name::MANAGEMENT, pins.staged(name::MANAGEMENT))]);
    for name in STATE {
        let pinned = pins.map(name);
        let path = match schema.fate(name, &pinned)? {
            Fate::Adopt => pinned,
            Fate::Create => pins.staged(name),
            Fate::Replace { from } => {
                let to = schema.get(name)?.entries;
                notes.push(format!("table {name} starts empty: {to} entries instead of {from}"));
                pins.staged(name)
            }
        };
        paths.insert(name, path);
    }
    Ok(paths)
}

/// The key of the table hashes: random once, then what is pinned.
fn seed(pins: &Pins) -> Result<[u64; 2]> {
    let pinned = pins.map(SEED);
    let path = if exists(&pinned) { pinned } else { pins.staged(SEED) };
    let fresh = !exists(&path);
    if fresh {
        super::create_array(SEED, 16, 1, &path)?;
    }
    let map = MapData::from_pin(&path).with_context(|| format!("open {}", path.display()))?;
    let mut map: Array<_, [u64; 2]> = Map::from_map_data(map)?.try_into().context(SEED)?;
    if fresh {
        let random = [random_word()?, random_word()?];
        map.set(0, random, 0).context(SEED)?;
    }
    map.get(&0, 0).context(SEED)
}

fn random_word() -> Result<u64> {
    getrandom::u64().context("the kernel's random source")
}

/// Fills the new management list, which all interfaces share; running programs keep the old one.
fn fill_management(plan: &Plan, targets: &mut [Target<'_>]) -> Result<()> {
    let list = &plan.management;
    ensure!(
        list.len() <= plan.tables.management as usize,
        "{} management prefixes, but room for {}",
        list.len(),
        plan.tables.management
    );
    let programs = &mut targets.first_mut().context("no interface")?.programs;
    let map = programs.map_mut(name::MANAGEMENT).context("no map MANAGEMENT")?;
    let mut trie: LpmTrie<_, [u32; 4], u8> = map.try_into()?;
    for prefix in list {
        trie.insert(&prefix_key(*prefix), 1, 0).with_context(|| format!("management prefix {prefix}"))?;
    }
    Ok(())
}

/// Before 5.11 maps count against `RLIMIT_MEMLOCK`; raising it may be refused even to root.
fn raise_memlock() {
    let refused = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).err();
    if let Some(error) = refused.filter(|_| !super::kernel_at_least(5, 11)) {
        warn!("RLIMIT_MEMLOCK can't be raised ({error}); if the tables don't fit, set LimitMEMLOCK=infinity");
    }
}
