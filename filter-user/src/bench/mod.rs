//! `floodwall bench`: nanoseconds per packet of each way through the filter, on this host.
//!
//! The major components are:
//! - [`paths`]: the ways, with the [`frames`] that go them and the [`sources`] that send these; [`facts`] fits them to a
//!   configuration.
//! - [`scene`]: the filters that they need, as plans; [`stand`] loads them into a [`jail`], away from the live one.
//! - [`rounds`]: measures, interleaved; [`stats`], [`report`]: what comes out.
//! - [`compare`], [`table`], [`plot`]: against a saved run, as text, as a picture.
//!
//! docs/performance.md tells the method.

#![expect(clippy::cast_precision_loss, reason = "counts of packets and of samples, far below 2^52")]

pub mod compare;
pub mod facts;
pub mod frames;
pub mod jail;
pub mod paths;
pub mod plot;
pub mod report;
pub mod rounds;
pub mod scene;
pub mod sources;
pub mod stand;
pub mod stats;
pub mod table;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

use self::{
    facts::Facts,
    jail::Jail,
    paths::PATHS,
    report::{Machine, Report, SCHEMA, Subject},
    stand::{References, Stand},
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{self, Host, Loaded, Source, host::Link},
    dataplane::measure::SOURCES,
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of paths; empty: all.
    pub paths: Vec<String>,
    /// Numbers of sources.
    pub sources: Vec<u32>,
    /// Runs of each path.
    pub rounds: u32,
    /// Prefixes on the full list, and bans.
    pub entries: u32,
    /// Where to run.
    pub cpu: Option<usize>,
}

/// A configuration on a host, or the built-in one on one that is made up.
#[derive(Clone, Debug)]
pub struct Case {
    loaded: Loaded,
    host: Host,
    config: String,
    interface: String,
}

/// A web server and its name service, facing the Internet.
const BUILT_IN: &str = include_str!("usual.toml");

impl Case {
    /// The file at `path` for that interface, or for its first.
    pub fn of_file(path: &Path, interface: Option<&str>) -> Result<Self> {
        let (mut loaded, host) = (config::load(path)?, Host::read()?);
        let known = || loaded.settings.interface.iter().map(|interface| interface.name.as_ref());
        let interface = match interface {
            None => known().next(),
            Some(wanted) => known().find(|name| *name == wanted),
        };
        let Some(interface) = interface.cloned() else {
            let message = format!("{} has no such interface", loaded.report.path());
            return Err(Failure::new(Kind::Usage, message, "name one of its [[interface]]s").into());
        };
        // Read once: the scenes share them.
        let (plan, _) = config::fit(&loaded, &host)?;
        loaded.lists = Some(plan.lists);
        Ok(Self { config: loaded.report.path().to_owned(), loaded, host, interface })
    }

    /// The built-in configuration.
    pub fn built_in() -> Result<Self> {
        let source = Source { path: "built-in".to_owned(), text: BUILT_IN.to_owned() };
        let loaded = config::parse(source)?;
        let interface = loaded.settings.interface.first().context("an interface")?.name.as_ref().clone();
        let link = Link { index: 2, mtu: 1500, addresses: Vec::new(), ..Link::default() };
        let host = Host { links: BTreeMap::from([(interface.clone(), link)]), ..Host::read()? };
        Ok(Self { loaded, host, config: "built-in".to_owned(), interface })
    }
}

/// Measures; `tell` hears how it is going.
pub fn run(case: &Case, options: &Options, tell: &dyn Fn(&str)) -> Result<Report> {
    let Case { loaded, host, config, interface } = case;
    let facts = Facts::of(&loaded.settings, host, interface);
    let paths: Vec<_> =
        PATHS.iter().filter(|path| options.paths.is_empty() || named(&options.paths, path.name)).collect();
    let mut jail = Jail::enter()?;
    let mut stands = BTreeMap::new();
    for path in &paths {
        if stands.contains_key(&path.scene) {
            continue;
        }
        tell(&format!("loading a private filter: {}", path.scene.label()));
        let plan = path.scene.plan(loaded, host, interface, &facts, options.entries)?;
        let bans = sources::banned(path.scene.bans(options.entries));
        let stand = Stand::new(&mut jail, plan, &bans)
            .with_context(|| format!("the private filter {}", path.scene.label()))?;
        stands.insert(path.scene, stand);
    }
    let references = References::new(&mut jail)?;
    jail.change_network()?;
    let _listener = jail::listen(facts.port)?;
    let core = jail::pin(options.cpu)?;
    tell(&format!("measuring {} paths in {} rounds on CPU {core}", paths.len(), options.rounds));
    let (harness, rows) = rounds::run(&paths, &facts, &mut stands, references, options)?;
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(core),
        subject: Subject {
            config: config.clone(),
            interface: interface.clone(),
            entries: options.entries,
            rounds: options.rounds,
            packets: SOURCES,
        },
        harness,
        paths: rows,
        comparison: None,
    })
}

fn named(names: &[String], name: &str) -> bool {
    names.iter().any(|wanted| wanted == name)
}

fn machine(core: usize) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    Machine {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu: model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned()),
        core,
    }
}

/// Whether the kernel counts each run of each program, which makes all of them slower.
#[must_use]
pub fn statistics_are_on() -> bool {
    fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() != "0")
}
