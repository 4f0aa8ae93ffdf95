//! One interface's programs, loaded but not attached.

use std::{borrow::Cow, collections::HashMap, path::PathBuf};

use anyhow::{Context as _, Error, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{ProgramError, SchedClassifier, Xdp},
};
use filter_common::{
    abi::{VERSION, name},
    config::{BAN_HINTS, Config, TABLES, flags},
    event::WINDOW,
    state::Table,
};

use super::{
    bytes::bytes_of,
    kernel_at_least, object,
    plan::{InterfacePlan, Plan},
    schema::{LISTS, STATE, Schema},
    tc::Side,
};

/// Lines of the verifier's log that an error shows: the reason is at the end.
const LOG_LINES: usize = 25;

/// Where the loader finds or puts each map.
pub(super) type MapPaths = HashMap<&'static str, PathBuf>;

/// The read-only global of one interface's programs.
pub(super) fn config(
    interface: &InterfacePlan,
    slot: u32,
    seed: [u64; 2],
    schema: &Schema,
) -> Result<Box<Config>> {
    let lines = lines(schema)?;
    let mut config = Config { abi: VERSION, interface: slot, seed, lines, ..*interface.config };
    // bpf_xdp_load_bytes
    if !kernel_at_least(5, 18) {
        config.flags &= !flags::EVENTS;
    }
    config.sample_budget = share(config.sample_budget, cpus()?);
    Ok(Box::new(config))
}

/// One CPU's part of so many events a second, in a [`WINDOW`].
fn share(budget: u32, cpus: u32) -> u32 {
    let windows = 1_000_000_000 / WINDOW as u32;
    (budget / windows / cpus.max(1)).max(1)
}

fn cpus() -> Result<u32> {
    let online = aya::util::online_cpus().map_err(|(_, error)| error).context("CPUs")?;
    Ok(online.len() as u32)
}

/// The read-only globals of a program, as they lie in memory.
pub(super) struct Globals<'a> {
    pub(super) config: &'a [u8],
    pub(super) ports: &'a [u8],
    pub(super) summary: &'a [u8],
    pub(super) listed: &'a [u8],
    pub(super) rules: &'a [u8],
}

impl<'a> Globals<'a> {
    /// What a plan says, with the configuration of one interface.
    pub(super) fn of(plan: &'a Plan, config: &'a Config) -> Self {
        Self {
            config: bytes_of(config),
            ports: bytes_of(&*plan.ports),
            summary: bytes_of(&*plan.summary),
            listed: bytes_of(&*plan.lists.listed),
            rules: bytes_of(&*plan.rules),
        }
    }
}

/// Loads the programs of one interface on the maps at `paths`.
pub(super) fn load(
    plan: &Plan,
    config: &Config,
    sides: impl Iterator<Item = Side>,
    frags: bool,
    schema: &Schema,
    paths: &MapPaths,
) -> Result<Ebpf> {
    let mut ebpf = object(&Globals::of(plan, config), frags, schema, paths)?;
    load_xdp(&mut ebpf)?;
    for side in sides {
        tc(&mut ebpf, side)?.load().map_err(explain)?;
    }
    Ok(ebpf)
}

/// Loads the XDP program of an object.
pub(super) fn load_xdp(ebpf: &mut Ebpf) -> Result<()> {
    xdp(ebpf)?.load().map_err(explain)
}

/// The object on the maps at `paths`, which are made if they are not there; its programs are not loaded yet.
pub(super) fn object(globals: &Globals<'_>, frags: bool, schema: &Schema, paths: &MapPaths) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    loader
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
        .override_global(name::CONFIG, globals.config, true)
        .override_global(name::PORTS, globals.ports, true)
        .override_global(name::SUMMARY, globals.summary, true)
        .override_global(name::LISTED, globals.listed, true)
        .override_global(name::RULES, globals.rules, true);
    for name in STATE.into_iter().chain(LISTS) {
        let path = paths.get(name).with_context(|| format!("no path for map {name}"))?;
        loader
            .map_max_entries(name, schema.get(name)?.entries)
            .map_pin_path(name, Cow::Borrowed(path.as_path()));
    }
    loader.load(if frags { object::filter()? } else { object::filter_of_one_buffer()? }).map_err(explain_maps)
}

/// Lines of each table, as the data path indexes them.
fn lines(schema: &Schema) -> Result<[u32; TABLES]> {
    let mut lines = [0; TABLES];
    for (table, name) in [
        (Table::Sources, name::SOURCES),
        (Table::Replies, name::REPLIES),
        (Table::Recent, name::RECENT),
        (Table::Proven, name::PROVEN),
        (Table::Queries, name::QUERIES),
        (Table::Flows, name::FLOWS),
    ] {
        lines[table as usize] = schema.get(name)?.entries;
    }
    lines[BAN_HINTS] = schema.get(name::BAN_HINTS)?.entries;
    Ok(lines)
}

/// The XDP program of a loaded object.
pub(super) fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut(name::XDP).with_context(|| format!("no program {}", name::XDP))?;
    Ok(program.try_into()?)
}

/// The tc program of a loaded object for that direction.
pub(super) fn tc(ebpf: &mut Ebpf, side: Side) -> Result<&mut SchedClassifier> {
    let name = side.program();
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}

fn explain_maps(error: aya::EbpfError) -> Error {
    let hint = "loading needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and memory for the tables ([limits])";
    Error::new(error).context(hint)
}

/// A refused program: the end of the verifier's log.
fn explain(error: ProgramError) -> Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            anyhow!("the kernel refused the program: {io_error}\n{tail}")
        }
        other => other.into(),
    }
}
