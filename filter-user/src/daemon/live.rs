//! What runs now, and how it changes: all at once or not at all.

mod allow;
mod bans;
mod detect;
mod events;
mod feeds;
mod forget;
mod incidents;
mod notify;
mod revisions;
mod standing;
mod state;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tracing::{error, info, warn};

use self::{incidents::Desk, state::State};
use super::{
    api::Rotate,
    bans::Keeper,
    config::plan::Side,
    detect::Detection,
    events::History,
    feeds::Board,
    ledger::{Begin, Ledger},
    notify::{Event, Outbox},
    secrets::Rotated,
    systemd,
};
use crate::{
    config::{self, Loaded, Source},
    observe::{
        Sample,
        metrics::{Facts, rule_lines},
        status::{self, Status},
    },
};

/// The daemon's state. Its methods take the lock for as long as they work; none waits for the network.
#[derive(Debug)]
pub struct Live {
    path: PathBuf,
    started: Instant,
    state: Mutex<State>,
    /// Taken before `state`, never while that is held.
    keeper: Mutex<Keeper>,
    /// Taken before `detection`, and held while incidents are written.
    incidents: Mutex<Desk>,
    /// Incidents that were kept, and writings of them that failed.
    incident_figures: [AtomicU64; 2],
    detection: Mutex<Detection>,
    /// Taken by itself or behind `detection`.
    history: Mutex<History>,
    /// Taken by itself or behind `state`, and never held while anything is waited for.
    board: Mutex<Board>,
    outbox: Mutex<Outbox>,
}

impl Live {
    /// Looks at the host, plans and applies.
    pub fn start(path: &Path, loaded: Loaded, ledger: Ledger, begin: Begin, replace: bool) -> Result<Self> {
        let (board, feeds) = Board::open(loaded.settings.daemon.state.as_ref(), &loaded.settings.feed);
        let loaded = Loaded { feeds, ..loaded };
        let mut keeper = Keeper::open(loaded.settings.daemon.state.as_ref());
        let state = State::start(loaded, ledger, begin, replace, &mut keeper)?;
        let detection = Mutex::new(Detection::new(&state.settings));
        let (path, started) = (path.to_owned(), Instant::now());
        let folder = state.settings.daemon.state.as_ref();
        let (incidents, interrupted) = Desk::open(folder);
        let mut outbox = Outbox::open(folder, &state.settings.notify);
        for incident in &interrupted {
            outbox.tell(&state.settings.notify, Event::Ended, incident);
        }
        let (incidents, outbox) = (Mutex::new(incidents), Mutex::new(outbox));
        let (state, keeper, board) = (Mutex::new(state), Mutex::new(keeper), Mutex::new(board));
        let (incident_figures, history) = <_>::default();
        Ok(Self {
            path,
            started,
            state,
            keeper,
            incidents,
            incident_figures,
            detection,
            history,
            board,
            outbox,
        })
    }

    /// A panic while it was held has left whole values behind: every change is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let state = self.state();
        let names: Vec<_> = state.plan.interfaces.iter().map(|i| i.name.as_str()).collect();
        let services = state.settings.service.len();
        let absent = match &state.plan.absent[..] {
            [] => String::new(),
            absent => format!(" (not there: {})", absent.join(", ")),
        };
        let (mode, names) = (state.facts.mode.label(), names.join(", "));
        format!("mode {mode}, interfaces {names}{absent}, {services} service(s)")
    }

    /// Reads the file again; a file that is wrong changes nothing.
    pub fn reload(&self) {
        systemd::reloading();
        let mut state = self.state();
        match state.reload(&self.path) {
            Ok(said) => info!("{said}"),
            Err(problem) => {
                state.facts.reload_successful = false;
                error!("not reloaded, everything stays as it was: {problem:#}");
            }
        }
        drop(state);
        systemd::ready(&self.summary());
    }

    /// Follows the host's interfaces, addresses, sysctls and MTUs.
    pub fn follow(&self) {
        let mut state = self.state();
        let complaint = state.follow_host().err().map(|problem| format!("{problem:#}"));
        if let Some(text) = complaint.as_ref().filter(|text| state.complaint.as_ref() != Some(*text)) {
            warn!("the filter stays as it was: {text}");
        }
        state.complaint = complaint;
    }

    /// What has to be looked at now and then: the host, ports that stepped down, bans that have ended.
    pub fn refresh(&self) {
        self.follow();
        let mut state = self.state();
        state.tell_step_downs();
        state.ledger.retry();
        if let Err(problem) = state.dataplane.sweep_bans() {
            warn!("cannot sweep bans that have ended: {problem:#}");
        }
    }

    /// Gives ports that stepped down another try.
    pub fn retry_stepped_down(&self) {
        if let Err(problem) = self.state().retry_stepped_down() {
            warn!("cannot clear the stepped down ports: {problem:#}");
        }
    }

    /// Time until the keys want attention.
    #[must_use]
    pub fn until_rotation(&self) -> Duration {
        self.state().secrets.until_due().unwrap_or(Duration::from_secs(1))
    }

    /// Rotates the keys if it is time.
    pub fn rotate_if_due(&self) {
        match self.state().secrets.tick() {
            Ok(Some(epoch)) => info!(epoch, "cookie key rotated"),
            Ok(None) => {}
            Err(problem) => error!("cookie key not rotated: {problem:#}"),
        }
    }

    /// Rotates the keys now.
    pub fn rotate(&self, options: Rotate) -> Result<(Rotated, u64)> {
        let mut state = self.state();
        let rotated = state.secrets.rotate(options.force, options.dry_run)?;
        if options.dry_run {
            let epoch = match rotated {
                Rotated::Now { epoch } => epoch,
                Rotated::NextEpoch { .. } => state.dataplane.keys()?.epoch,
            };
            return Ok((rotated, epoch));
        }
        let epoch = state.dataplane.keys()?.epoch;
        info!(epoch, "cookie key rotated on request");
        Ok((rotated, epoch))
    }

    /// The files that it goes by.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.state().report.sources.clone()
    }

    /// What it goes by, to compare with.
    #[must_use]
    pub fn side(&self) -> Side {
        let state = self.state();
        let sources = state.report.sources.clone();
        Side { sources, settings: state.settings.clone(), plan: state.plan_as_written() }
    }

    /// For a scrape.
    #[must_use]
    pub fn sample(&self) -> Option<(Sample, Facts)> {
        let (attacks, syns) = self.found();
        let state = self.state();
        match Sample::read(&state.dataplane) {
            Ok(sample) => {
                let absent = state.plan.absent.clone();
                let incidents = self.incident_figures.each_ref().map(|figure| figure.load(Relaxed));
                let commit = state.standing();
                let facts = Facts { commit, absent, syns, attacks, incidents, ..state.facts.clone() };
                drop(state);
                Some((sample, Facts { feeds: self.feeds(None), notify: self.told(), ..facts }))
            }
            Err(problem) => {
                warn!("cannot read the maps: {problem:#}");
                None
            }
        }
    }

    /// Whether browsers get a page.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.state().settings.metrics.page
    }

    /// Why not everything is filtered that should be; nothing if it is.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        self.state().unready()
    }

    /// For the control socket.
    pub fn status(&self) -> Result<Status> {
        let state = self.state();
        let daemon = status::Daemon {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: state.facts.mode.label().to_owned(),
            services: state.facts.services.clone(),
            absent: state.plan.absent.clone(),
            next: state.facts.next.clone(),
            config: config::source::shown(&self.path),
            reload_successful: state.facts.reload_successful,
            uptime_seconds: self.started.elapsed().as_secs(),
            commit: state.standing(),
            feeds: Vec::new(),
        };
        let sample = Sample::read(&state.dataplane)?;
        let rules = rule_lines(&sample, &state.facts.rules, state.facts.mode);
        drop(state);
        let feeds = self.feeds(None).into_iter().map(|feed| (feed.name, feed.state)).collect();
        let daemon = status::Daemon { feeds, ..daemon };
        Ok(Status { rules, ..Status::new(&sample, Some(daemon)) })
    }
}
