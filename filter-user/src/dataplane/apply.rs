//! Makes a [`Plan`] so: everything is loaded first, then attached and swapped.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, LpmTrie, Map, MapData},
};
use filter_common::{abi::name, config::Config};
use nix::{
    net::if_::if_indextoname,
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
};
use tracing::{info, warn};

use super::{
    Dataplane, bans,
    bytes::prefix_key,
    commit, fingerprint, inherit,
    keymap::KeyMap,
    lists, load,
    load::MapPaths,
    local::Local,
    netlink, object,
    pins::{Hook, Pins, exists},
    plan::{InterfacePlan, Plan},
    rules::RuleCounters,
    schema::{Fate, LISTS, STATE, Schema},
    slots::{self, Assigned, Record, Slots},
    tables::StepDowns,
    tc::{self, Side},
    xdp,
};

/// Name of the pinned map with the key of the table hashes, which lives as long as the tables.
pub(super) const SEED: &str = "SEED";

/// One interface on its way: what it is to be and what it is now.
pub(super) struct Target<'a> {
    pub(super) plan: &'a InterfacePlan,
    pub(super) ifindex: u32,
    pub(super) assigned: Assigned,
    pub(super) xdp: xdp::Now,
    pub(super) tc: [Tc; 2],
    pub(super) config: Box<Config>,
    /// Its XDP program takes frames in several buffers.
    pub(super) frags: bool,
    /// Loaded, unless what runs is what is wanted.
    pub(super) programs: Option<Ebpf>,
}

/// One direction of tc on an interface.
pub(super) struct Tc {
    pub(super) side: Side,
    pub(super) now: tc::Now,
    pub(super) wanted: Option<tc::TcKind>,
}

impl Tc {
    fn look(plan: &InterfacePlan, side: Side, ifindex: u32, pins: &Pins) -> Result<Self> {
        let wanted = match side {
            Side::Ingress => plan.ingress,
            Side::Egress => plan.egress,
        };
        let now = tc::now(ifindex, side, &pins.link(ifindex, side.hook()))?;
        Ok(Self { side, now, wanted: wanted.map(tc::choose).transpose()? })
    }
}

impl<'a> Target<'a> {
    fn look(
        plan: &'a InterfacePlan,
        assigned: Assigned,
        schema: &Schema,
        seed: [u64; 2],
        pins: &Pins,
        replace: bool,
    ) -> Result<Self> {
        let ifindex = netlink::index(&plan.name)?;
        let xdp = xdp::now(&plan.name, ifindex, &pins.link(ifindex, Hook::Xdp), replace)?;
        Ok(Self {
            plan,
            ifindex,
            assigned,
            xdp,
            frags: takes_frags(plan, xdp),
            tc: [Tc::look(plan, Side::Ingress, ifindex, pins)?, Tc::look(plan, Side::Egress, ifindex, pins)?],
            config: load::config(plan, assigned.slot, seed, schema)?,
            programs: None,
        })
    }

    /// What is known of the interface when the apply is done.
    pub(super) fn record(&self) -> Record {
        let Self { ifindex, assigned: Assigned { fingerprint, .. }, .. } = *self;
        Record { name: self.plan.name.clone(), ifindex, fingerprint }
    }

    /// Whether exactly the wanted programs run, attached as wanted.
    fn runs(&self, plan: &Plan, schema: &Schema, pins: &Pins) -> bool {
        let xdp::Now::Ours(mode) = self.xdp else { return false };
        let fits = |tc: &Tc| tc.wanted.is_none_or(|kind| tc.now.has(kind));
        let attached = xdp::fits(mode, self.plan.attach) && self.tc.iter().all(fits);
        let now = fingerprint::of(plan, &self.config, self.frags, schema, pins, self.record());
        attached && now == self.assigned.fingerprint
    }
}

/// As the next program does. In generic mode such a program would lose the hand-over to tc, and gets frames in one piece without it.
fn takes_frags(plan: &InterfacePlan, now: xdp::Now) -> bool {
    match plan.next.as_ref().and_then(|next| next.program.as_ref()) {
        Some(next) => next.frags,
        None => plan.frags && now != xdp::Now::Ours(netlink::Mode::Generic),
    }
}

/// Loads, attaches and swaps; the data path follows `plan` when this returns.
///
/// An error before the first swap changes nothing. Programs of interfaces that are not in the plan are
/// detached. Needs `CAP_BPF`, `CAP_NET_ADMIN`, `CAP_PERFMON` and a bpffs.
pub fn apply(plan: &Plan) -> Result<Dataplane> {
    apply_keyed(plan, &|_| Ok(()))
}

/// The same; a key map that is made anew is given to `first_key` before any program runs on it, so that an upgrade which can use nothing
/// of the tables before answers SYNs from its first packet on.
pub fn apply_keyed(plan: &Plan, first_key: &dyn Fn(KeyMap) -> Result<()>) -> Result<Dataplane> {
    ensure!(!plan.interfaces.is_empty(), "no interface is configured");
    raise_memlock();
    let schema = Schema::of(object::filter()?)?.with(&plan.tables, &plan.words)?;
    let pins = Pins::at(&plan.pins, &schema.layout())?;
    let _lock = pins.create()?;
    // Behind the lock, which `panic` takes after it has made the note: it may have come while programs were tried out.
    if plan.forbidden_by.symlink_metadata().is_ok() {
        pins.abandon();
        bail!("floodwall panic has taken the filter off: floodwall panic --end lets it be attached again");
    }
    let notes = apply_locked(plan, &pins, &schema, first_key).inspect_err(|_| pins.abandon())?;
    for note in &notes {
        info!("{note}");
    }
    Ok(Dataplane { notes, ..Dataplane::open_at(pins)? })
}

/// With the lock held.
fn apply_locked(
    plan: &Plan,
    pins: &Pins,
    schema: &Schema,
    first_key: &dyn Fn(KeyMap) -> Result<()>,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    inherit::inherit(pins, schema)?;
    let seed = seed(pins)?;
    let mut slots = match [pins.map(slots::NAME), pins.staged(slots::NAME)] {
        [path, _] | [_, path] if exists(&path) => Slots::open(&path)?,
        [_, staged] => Slots::create(&staged)?,
    };
    let mut targets = targets(plan, schema, seed, pins, &slots)?;
    match running(&targets, plan, schema, pins)? {
        Running::All => info!("the programs that run are the configured ones: adopted as they are"),
        Running::Beside => load_new(&mut targets, plan, schema, pins)?,
        Running::Others => {
            load_all(&mut targets, plan, schema, pins, &mut notes)?;
            begin(pins, first_key)?;
        }
    }
    let [local, hints] = [name::LOCAL, name::HINTS].map(|name| coming(pins, name));
    Local::open(&local, &hints)?.set(&plan.local, &plan.broadcasts)?;
    let kept = kept(plan, &slots)?;
    commit::commit(&mut targets, &kept, pins, &mut slots, &mut notes)?;
    if targets.iter().any(|target| target.programs.is_some()) {
        StepDowns::open(&pins.map(name::STEP_DOWN))?.clear()?;
    }
    for target in &targets {
        let fingerprint = fingerprint::of(plan, &target.config, target.frags, schema, pins, target.record());
        slots.set(target.assigned.slot, &Record { fingerprint, ..target.record() })?;
    }
    if became_generic(&targets, pins)? {
        drop(targets);
        pins.stage()?;
        notes.extend(apply_locked(plan, pins, schema, first_key)?);
    }
    RuleCounters::open(&pins.map(name::RULE_COUNTERS))?.belong_to(&plan.rule_names)?;
    Ok(notes)
}

/// Whether an interface refused native mode, and now has a program that is for that mode: another apply gives it the other.
fn became_generic(targets: &[Target<'_>], pins: &Pins) -> Result<bool> {
    for target in targets.iter().filter(|target| target.frags && target.xdp.is_new()) {
        let now = xdp::now(&target.plan.name, target.ifindex, &pins.link(target.ifindex, Hook::Xdp), false)?;
        if now == xdp::Now::Ours(netlink::Mode::Generic) && !takes_frags(target.plan, now) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks at every interface; nothing is loaded or attached.
fn targets<'a>(
    plan: &'a Plan,
    schema: &Schema,
    seed: [u64; 2],
    pins: &Pins,
    slots: &Slots,
) -> Result<Vec<Target<'a>>> {
    // Those that are absent keep their blocks, too.
    let names = plan.interfaces.iter().map(|interface| &interface.name).chain(&plan.absent);
    let assigned = slots::assign(&slots.records()?, &names.map(String::as_str).collect::<Vec<_>>())?;
    let targets = plan.interfaces.iter().zip(assigned);
    targets
        .map(|(interface, slot)| {
            Target::look(interface, slot, schema, seed, pins, plan.replace).with_context(|| on(interface))
        })
        .collect()
}

/// Indices of devices that have another name than when they were attached, while the configuration still has that one.
fn kept(plan: &Plan, slots: &Slots) -> Result<Vec<u32>> {
    let records = slots.records()?.into_iter().filter(|record| plan.absent.contains(&record.name));
    Ok(records.map(|record| record.ifindex).filter(|index| if_indextoname(*index).is_ok()).collect())
}

fn on(interface: &InterfacePlan) -> String {
    format!("interface {}", interface.name)
}

/// What runs already.
enum Running {
    /// All that is wanted.
    All,
    /// What is wanted, but on interfaces that have none yet.
    Beside,
    /// Something else, somewhere: all is loaded anew, since interfaces share their maps.
    Others,
}

fn running(targets: &[Target<'_>], plan: &Plan, schema: &Schema, pins: &Pins) -> Result<Running> {
    for name in STATE {
        if schema.fate(name, &pins.map(name))? != Fate::Adopt {
            return Ok(Running::Others);
        }
    }
    let runs: Vec<bool> = targets.iter().map(|target| target.runs(plan, schema, pins)).collect();
    let mut rest = targets.iter().zip(&runs).filter(|(_, runs)| !**runs);
    Ok(match (runs.contains(&true), runs.contains(&false)) {
        (true, false) => Running::All,
        (true, true) if rest.all(|(target, _)| target.xdp.is_new()) => Running::Beside,
        _ => Running::Others,
    })
}

/// Loads programs for the interfaces that have none, on the maps of those that run: their fingerprint says that these hold what
/// the plan says.
fn load_new(targets: &mut [Target<'_>], plan: &Plan, schema: &Schema, pins: &Pins) -> Result<()> {
    let paths = STATE.into_iter().chain(LISTS).map(|name| (name, pins.map(name))).collect();
    for target in targets.iter_mut().filter(|target| target.xdp.is_new()) {
        load_one(target, plan, schema, pins, &paths)?;
    }
    Ok(())
}

fn load_one(
    target: &mut Target<'_>,
    plan: &Plan,
    schema: &Schema,
    pins: &Pins,
    paths: &MapPaths,
) -> Result<()> {
    let sides = target.tc.iter().filter(|tc| tc.wanted.is_some()).map(|tc| tc.side);
    let programs = load::load(plan, &target.config, sides, target.frags, schema, paths);
    let programs = programs.with_context(|| on(target.plan))?;
    if let Some(next) = target.plan.next.as_ref().and_then(|next| next.program.as_ref()) {
        next.follow(&programs, target.ifindex, pins).with_context(|| on(target.plan))?;
    }
    target.programs = Some(programs);
    Ok(())
}

fn load_all(
    targets: &mut [Target<'_>],
    plan: &Plan,
    schema: &Schema,
    pins: &Pins,
    notes: &mut Vec<String>,
) -> Result<()> {
    let paths = map_paths(pins, schema, notes)?;
    for target in targets.iter_mut() {
        load_one(target, plan, schema, pins, &paths)?;
    }
    let programs = targets.first_mut().and_then(|target| target.programs.as_mut()).context("no programs")?;
    fill(plan, programs)?;
    bans::move_over(pins)
}

/// Gives new tables a key, before any link is swapped.
fn begin(pins: &Pins, first_key: &dyn Fn(KeyMap) -> Result<()>) -> Result<()> {
    let keys = pins.staged(name::KEYS);
    if exists(&keys) {
        first_key(KeyMap::new(&MapData::from_pin(keys).context("KEYS")?)?).context("the first cookie key")?;
    }
    Ok(())
}

/// Where a map is that programs will use: staged, if it is to be new.
fn coming(pins: &Pins, name: &str) -> PathBuf {
    let staged = pins.staged(name);
    if exists(&staged) { staged } else { pins.map(name) }
}

/// Fills the lists of a freshly loaded object, which all interfaces share; running programs keep the old ones.
pub(super) fn fill(plan: &Plan, programs: &mut Ebpf) -> Result<()> {
    fill_management(plan, programs)?;
    lists::fill(programs, &plan.lists)?;
    fill_words(plan, programs)
}

/// Where each map comes from: its pin, or the staging folder if it is to be new.
fn map_paths(pins: &Pins, schema: &Schema, notes: &mut Vec<String>) -> Result<MapPaths> {
    let mut paths = MapPaths::from(LISTS.map(|name| (name, pins.staged(name))));
    for name in STATE {
        let pinned = pins.map(name);
        let path = match schema.fate(name, &pinned)? {
            Fate::Adopt => pinned,
            Fate::Create => pins.staged(name),
            Fate::Replace { from } => {
                let to = schema.get(name)?.entries;
                let starts =
                    if bans::TABLES.contains(&name) { "takes its entries along" } else { "starts empty" };
                notes.push(format!("table {name} {starts}: {to} entries instead of {from}"));
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
    let mut map = open_seed(&path)?;
    if fresh {
        let random = [random_word()?, random_word()?];
        map.set(0, random, 0).context(SEED)?;
    }
    map.get(&0, 0).context(SEED)
}

fn open_seed(path: &Path) -> Result<Array<MapData, [u64; 2]>> {
    let map = MapData::from_pin(path).with_context(|| format!("open {}", path.display()))?;
    Map::from_map_data(map)?.try_into().context(SEED)
}

/// The key of the table hashes of what is pinned.
pub(super) fn pinned_seed(pins: &Pins) -> Result<[u64; 2]> {
    open_seed(&pins.map(SEED))?.get(&0, 0).context(SEED)
}

/// The pinned key, or one that nobody else has.
pub(super) fn seed_or_random(pins: &Pins) -> Result<[u64; 2]> {
    if exists(&pins.map(SEED)) { pinned_seed(pins) } else { Ok([random_word()?, random_word()?]) }
}

/// Neither half is 0: NH multiplies with them.
fn random_word() -> Result<u64> {
    loop {
        let word = getrandom::u64().context("the kernel's random source")?;
        if word as u32 != 0 && word >> 32 != 0 {
            return Ok(word);
        }
    }
}

fn fill_management(plan: &Plan, programs: &mut Ebpf) -> Result<()> {
    let list = &plan.management;
    ensure!(
        list.len() <= plan.tables.management as usize,
        "{} management prefixes, but room for {}",
        list.len(),
        plan.tables.management
    );
    let map = programs.map_mut(name::MANAGEMENT).context("no map MANAGEMENT")?;
    let mut trie: LpmTrie<_, [u32; 4], u8> = map.try_into()?;
    for prefix in list {
        trie.insert(&prefix_key(*prefix), 1, 0).with_context(|| format!("management prefix {prefix}"))?;
    }
    Ok(())
}

/// What rules and services say about addresses.
fn fill_words(plan: &Plan, programs: &mut Ebpf) -> Result<()> {
    for (name, list) in plan.words.by_map() {
        let map = programs.map_mut(name).with_context(|| format!("no map {name}"))?;
        let mut trie: LpmTrie<_, [u32; 4], u64> = map.try_into()?;
        for (prefix, word) in list {
            trie.insert(&prefix_key(*prefix), word, 0).with_context(|| format!("{name}: prefix {prefix}"))?;
        }
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
