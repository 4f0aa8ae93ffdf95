//! The state itself: each change is whole or none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use filter_common::config::{MAX_SERVICES, Service, flags, service, syn_mode};
use tracing::{info, warn};

use super::{bans::Memory, feeds::neighbours, revisions};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{self, Host, Loaded, Mode, Report, Settings, value::Probe},
    daemon::{
        allow::Allowed,
        bans::Keeper,
        commit::Standing,
        config::plan::needs_restart,
        kernel_log::KernelLog,
        ledger::{Begin, Ledger},
        refuse_in_panic,
        secrets::{self, Secrets},
    },
    dataplane::{self, Dataplane, InterfacePlan, Lists, NextPlan, Plan},
    feed::Feeds,
    observe::{
        metrics::{Facts, RuleFacts},
        status::why,
    },
    sys,
};

/// A configuration that fits this host, before anything is touched.
pub(super) struct Staged {
    pub(super) loaded: Loaded,
    pub(super) host: Host,
    pub(super) plan: Plan,
    pub(super) report: Report,
    /// What the plan was made for: a bypass may begin or end before it is in force.
    mode: Mode,
}

pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) report: Report,
    pub(super) host: Host,
    pub(super) plan: Plan,
    pub(super) dataplane: Dataplane,
    /// Opened at the first refresh: looking through the system's programs takes a while.
    kernel_log: Option<KernelLog>,
    pub(super) secrets: Secrets,
    pub(super) facts: Facts,
    /// Ports that were told about.
    stepped_down: BTreeSet<u16>,
    /// The last complaint of [`Live::refresh`], told once.
    pub(super) complaint: Option<String>,
    /// The last one about a configuration that cannot be taken back.
    pub(super) commit_complaint: Option<String>,
    /// The lists before an apply that waits: their files may say something else by now.
    pub(super) lists_before: Option<Arc<Lists>>,
    /// Which configuration this is.
    pub(super) ledger: Ledger,
    /// Last good copies of feeds.
    pub(super) feeds: Feeds,
    /// How often in a row each probe has failed.
    pub(super) failures: BTreeMap<Probe, u32>,
    /// What there is about bans beside the kernel's tables.
    pub(super) bans: Memory,
    /// Who is let through for a while.
    pub(super) allowed: Allowed,
    /// Somebody's time is over, and the programs don't know yet.
    pub(super) allowed_changed: bool,
    /// Rises with each change of settings or plan.
    pub(super) generation: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl State {
    /// Looks at the host, plans and applies.
    pub(super) fn start(
        loaded: Loaded,
        mut ledger: Ledger,
        begin: Begin,
        replace: bool,
        keeper: &mut Keeper,
    ) -> Result<Self> {
        let host = Host::read()?;
        let spared = neighbours(&loaded.settings);
        let allowed = Allowed::open(loaded.settings.daemon.state.as_ref());
        let feeds = Feeds { spared, allowed: allowed.prefixes(), ..loaded.feeds };
        let loaded = Loaded { feeds, ..loaded };
        let bypassed = revisions::is_bypassed(&ledger);
        let (mut plan, report) = config::fit(&in_force(&loaded, bypassed), &host)?;
        tell(&report);
        plan.replace = replace;
        let keys = secret_settings(&loaded.settings);
        let dataplane = dataplane::apply_keyed(&plan, &|map| Secrets::of(map, keys.clone()).map(drop))?;
        plan.replace = false;
        let secrets = Secrets::start(&dataplane, keys).context("cookie keys")?;
        tell_attached(&dataplane)?;
        revisions::note_start(&mut ledger, begin, &loaded);
        let mut state = Self {
            facts: facts(&in_force(&loaded, bypassed).settings, &plan),
            settings: loaded.settings,
            report: loaded.report,
            host,
            plan,
            kernel_log: None,
            dataplane,
            secrets,
            stepped_down: BTreeSet::new(),
            complaint: None,
            commit_complaint: None,
            lists_before: None,
            ledger,
            feeds: loaded.feeds,
            failures: BTreeMap::new(),
            bans: Memory::default(),
            allowed,
            allowed_changed: false,
            generation: 0,
        };
        state.dataplane.sweep_all_bans().and_then(|()| state.restore_bans(keeper)).context("bans")?;
        sys::trim_memory();
        Ok(state)
    }

    /// What a configuration comes to on this host as it is now; nothing is changed.
    pub(super) fn stage(&self, loaded: Loaded) -> Result<Staged> {
        refuse_in_panic(self.settings.daemon.runtime.as_ref())?;
        refuse_what_needs_a_restart(&self.settings, &loaded.settings)?;
        let host = self.host.refreshed()?;
        let loaded = Loaded { feeds: self.fed(), ..loaded };
        let effective = in_force(&loaded, revisions::is_bypassed(&self.ledger));
        let (plan, report) = config::fit(&effective, &host)?;
        let mode = *effective.settings.daemon.mode.as_ref();
        Ok(Staged { loaded, host, plan, report, mode })
    }

    /// Makes it so: all of it or, with an error, nothing.
    pub(super) fn adopt(&mut self, staged: Staged) -> Result<()> {
        let Staged { loaded, host, plan, report, mode } = staged;
        tell(&report);
        // The part that can be taken back goes first.
        self.secrets.reconfigure(secret_settings(&loaded.settings)).context("cookie keys")?;
        let applied = dataplane::apply(&plan).or_else(|error| {
            self.secrets.reconfigure(secret_settings(&self.settings)).context("cookie keys")?;
            self.put_back();
            Err(error)
        })?;
        if !answers_only_what(&self.plan, &plan) {
            self.secrets.arm().context("cookie keys")?;
        }
        self.replace(applied)?;
        let new = Facts { mode, ..facts(&loaded.settings, &plan) };
        let before = std::mem::replace(&mut self.facts, new).services;
        if self.facts.services != before {
            self.dataplane.disarm().context("services have other numbers now")?;
        }
        (self.plan, self.host) = (plan, host);
        (self.settings, self.report) = (loaded.settings, loaded.report);
        self.generation += 1;
        sys::trim_memory();
        Ok(())
    }

    /// An apply may have failed between two interfaces. Where nothing was swapped this finds everything as it should be.
    fn put_back(&mut self) {
        match dataplane::apply(&self.plan) {
            Ok(before) => self.dataplane = before,
            Err(problem) => warn!("some interfaces may run what was refused: {problem:#}"),
        }
    }

    pub(super) fn follow_host(&mut self) -> Result<()> {
        refuse_in_panic(self.settings.daemon.runtime.as_ref())?;
        let host = self.host.refreshed()?;
        if host == self.host && !self.plan.next_has_changed() {
            return self.still_attached();
        }
        let renamed = renamed(&self.host, &host, &self.plan);
        let loaded = in_force(&self.loaded(), revisions::is_bypassed(&self.ledger));
        let (mut plan, report) = match (config::fit(&loaded, &host), renamed) {
            // Told once, as every complaint.
            (Err(_), Some(renamed)) => anyhow::bail!(renamed),
            (fits, renamed) => {
                renamed.inspect(|renamed| warn!("{renamed}"));
                fits?
            }
        };
        plan.keep_next(&self.plan);
        if needs_new_programs(&self.plan, &self.host, &plan, &host) {
            info!("an interface, a sysctl or what packets go on to has changed: loading new programs");
            tell(&report);
            let applied = dataplane::apply(&plan)?;
            if !answers_only_what(&self.plan, &plan) {
                self.secrets.arm().context("cookie keys")?;
            }
            self.replace(applied)?;
            self.facts.mode = *loaded.settings.daemon.mode.as_ref();
        } else if plan.local != self.plan.local {
            self.dataplane.set_local(&plan.local, &plan.broadcasts)?;
            info!(addresses = plan.local.len(), "own addresses have changed");
        }
        let new = facts(&self.settings, &plan);
        (self.facts.cookies, self.facts.next) = (new.cookies, new.next);
        // Only now: what failed is tried again at the next turn.
        (self.plan, self.host) = (plan, host);
        self.generation += 1;
        Ok(())
    }

    /// The configuration in force. Its lists are those of the last reload: their files may have changed meanwhile.
    pub(super) fn loaded(&self) -> Loaded {
        let lists = Some(self.plan.lists.written());
        Loaded { settings: self.settings.clone(), report: self.report.clone(), lists, feeds: self.fed() }
    }

    /// Somebody may have called `detach`, or `ip link set .. xdp off`.
    fn still_attached(&self) -> Result<()> {
        let bare = self.bare()?;
        anyhow::ensure!(
            bare.is_empty(),
            "the filter was taken off {}: a reload (SIGHUP) attaches it again",
            bare.join(", ")
        );
        Ok(())
    }

    /// Interfaces that should be filtered, and are not.
    fn bare(&self) -> Result<Vec<&str>> {
        let attached = self.dataplane.interfaces()?;
        let runs = |name: &str| attached.iter().any(|now| now.name == name && now.mode.is_some());
        let names = self.plan.interfaces.iter().map(|plan| plan.name.as_str());
        Ok(names.filter(|name| !runs(name)).collect())
    }

    /// Why not everything is filtered that should be; nothing if it is.
    pub(super) fn unready(&self) -> Vec<String> {
        let panic = refuse_in_panic(self.settings.daemon.runtime.as_ref()).err();
        let mut why: Vec<_> = panic.iter().map(ToString::to_string).collect();
        why.extend(self.plan.absent.iter().map(|name| format!("{name} is not there")));
        match self.bare() {
            Ok(bare) => why.extend(bare.iter().map(|name| format!("{name} is not filtered"))),
            Err(problem) => why.push(format!("cannot tell what is attached: {problem:#}")),
        }
        if let Err(problem) = self.dataplane.counters() {
            why.push(format!("cannot read the tables: {problem:#}"));
        }
        why
    }

    fn replace(&mut self, dataplane: Dataplane) -> Result<()> {
        self.flush_kernel_log();
        self.kernel_log = None;
        self.dataplane = dataplane;
        self.secrets.follow(&self.dataplane).context("cookie keys")
    }

    pub(super) fn retry_stepped_down(&self) -> Result<()> {
        if self.dataplane.step_downs()?.iter().all(|(port, _)| *port == 0) {
            return Ok(());
        }
        self.secrets.arm()?;
        self.dataplane.retry_step_downs()
    }

    fn flush_kernel_log(&mut self) {
        self.kernel_log.get_or_insert_with(|| KernelLog::open(&self.dataplane)).flush();
    }

    pub(super) fn tell_step_downs(&mut self) {
        self.flush_kernel_log();
        let Ok(ports) = self.dataplane.step_downs() else { return };
        for (port, reason) in ports {
            if !self.stepped_down.insert(port) {
                continue;
            }
            if port == 0 {
                warn!(
                    "the driver has no XDP metadata, so SYNs are challenged instead of getting cookies: set \
                     handover = \"decode\" and reload"
                );
            } else {
                warn!(port, reason = why(reason), "no SYN cookies on this port: its SYNs are challenged");
            }
        }
    }
}

/// The configuration as it is carried out: while the filter is bypassed, as in observe mode.
fn in_force(loaded: &Loaded, bypassed: bool) -> Loaded {
    let mut loaded = loaded.clone();
    if bypassed {
        let mode = &mut loaded.settings.daemon.mode;
        *mode = toml::Spanned::new(mode.span(), Mode::Observe);
    }
    loaded
}

fn facts(settings: &Settings, plan: &Plan) -> Facts {
    Facts {
        commit: Standing::default(),
        attacks: Vec::new(),
        incidents: [0; 2],
        notify: Vec::new(),
        syns: Vec::new(),
        absent: Vec::new(),
        lists: plan.lists.prefixes,
        feeds: Vec::new(),
        mode: *settings.daemon.mode.as_ref(),
        services: settings.service.iter().map(|service| service.name.as_ref().clone()).collect(),
        rules: settings.rule.iter().map(RuleFacts::of).collect(),
        cookies: plan.interfaces.iter().any(|interface| interface.config.has(flags::COOKIES)),
        next: next_paths(plan),
        reload_successful: true,
        reload_success: SystemTime::now(),
    }
}

fn next_paths(plan: &Plan) -> BTreeMap<String, String> {
    let all = plan.interfaces.iter();
    all.filter_map(|one| Some((one.name.clone(), one.next.as_ref()?.path.display().to_string()))).collect()
}

/// A device keeps its filter whatever it is called; only the configuration does not know it any more.
fn renamed(old: &Host, new: &Host, plan: &Plan) -> Option<String> {
    plan.interfaces.iter().find_map(|InterfacePlan { name, .. }| {
        let index = old.links.get(name)?.index;
        let (now, _) = new.links.iter().find(|(now, link)| link.index == index && *now != name)?;
        Some(format!(
            "{name} is called {now} now; the filter stays on it: set interface.name = {now:?} and reload"
        ))
    })
}

fn tell_attached(dataplane: &Dataplane) -> Result<()> {
    for interface in dataplane.interfaces()? {
        let xdp = interface.mode.map_or("no", dataplane::Mode::label);
        let tc = |kind: Option<dataplane::TcKind>| kind.map_or("no", dataplane::TcKind::label);
        let (ingress, egress) = (tc(interface.ingress), tc(interface.egress));
        info!("{}: {xdp} XDP, {ingress} tc ingress, {egress} tc egress", interface.name);
    }
    Ok(())
}

fn tell(report: &Report) {
    for record in report.records() {
        let hint = record.hint.unwrap_or_default();
        warn!("{}:{}: {} ({hint})", record.file, record.line, record.message);
    }
}

fn secret_settings(settings: &Settings) -> secrets::Settings {
    secrets::Settings {
        period: *settings.cookie.period.as_ref(),
        grace: *settings.cookie.grace.as_ref(),
        key_file: settings.cookie.key_file.as_ref().map(|path| path.as_ref().clone()),
    }
}

/// Whether no SYN is answered under `new` that was not answered under `old`.
fn answers_only_what(old: &Plan, new: &Plan) -> bool {
    let ports = |plan: &Plan| -> BTreeSet<(String, usize)> {
        let answering = plan.interfaces.iter().filter(|interface| {
            interface.config.has(flags::COOKIES) && !interface.config.has(flags::OBSERVE)
        });
        answering
            .flat_map(|interface| {
                let config = &interface.config;
                let answers = move |number: usize| {
                    let Service { syn_mode, flags, .. } = config.services[number];
                    syn_mode >= syn_mode::CHALLENGE && flags & service::OBSERVE == 0
                };
                let by_destination = config.has(flags::SERVICES_BY_DESTINATION);
                let cookies = move |class: u8| {
                    let services =
                        if by_destination { plan.ports.classes[class as usize] } else { 1 << class };
                    (1..MAX_SERVICES).any(|number| services >> number & 1 != 0 && answers(number))
                };
                let open = plan.ports.tcp.iter().enumerate().filter(move |(_, class)| cookies(**class));
                open.map(|(port, _)| (interface.name.clone(), port))
            })
            .collect()
    };
    ports(new).is_subset(&ports(old))
}

/// Addresses are data; everything else about the host is in the programs' constants.
fn needs_new_programs(old: &Plan, old_host: &Host, new: &Plan, new_host: &Host) -> bool {
    let index = |host: &Host, name: &str| host.links.get(name).map(|link| link.index);
    let next = |plan: &InterfacePlan| plan.next.as_ref().and_then(NextPlan::id);
    let names = |plan: &Plan| plan.interfaces.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
    names(old) != names(new)
        // Feeds never block own addresses.
        || old.lists.digest != new.lists.digest
        || old.interfaces.iter().zip(&new.interfaces).any(|(old, new)| {
            old.config != new.config
                || next(old) != next(new)
                || index(old_host, &old.name) != index(new_host, &new.name)
        })
}

fn refuse_what_needs_a_restart(old: &Settings, new: &Settings) -> Result<()> {
    if let Some(knob) = needs_restart(old, new).next() {
        let message = format!("{knob} has changed, which a running daemon can't follow");
        let hint = "restart the daemon (systemctl restart floodwall): it filters on meanwhile";
        return Err(Failure::new(Kind::Failed, message, hint).into());
    }
    if old.daemon.log.as_ref() != new.daemon.log.as_ref() {
        warn!("daemon.log takes effect at the next start");
    }
    Ok(())
}
