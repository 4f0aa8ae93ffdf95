//! All targets, and what waits for them. What waits outlives the daemon: the file `notices` of `daemon.state`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;
use tracing::{error, info, warn};

use super::{
    Counts, Event, Line, Notice,
    failed::{Again, Failed},
    queue::Queue,
};
use crate::{
    config::schema::Notify,
    daemon::{
        deadline::wall,
        incidents::{Incident, Wanted},
    },
    store::Folder,
};

const FILE: &str = "notices";
/// 16 targets with 64 notifications of at most 8 KiB.
const LARGEST: u64 = 8 << 20;

/// A try that is due.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Job {
    pub(in crate::daemon) target: Notify,
    pub(in crate::daemon) notice: Notice,
}

/// What waits for whom.
#[derive(Debug)]
pub(in crate::daemon) struct Outbox {
    state: PathBuf,
    host: String,
    /// By the target's name.
    queues: BTreeMap<String, Queue>,
    /// What waits is no longer what is written.
    dirty: bool,
    complaint: Option<String>,
}

/// About 1, so that hosts don't come all at once.
fn jitter() -> f64 {
    0.9 + 0.2 * f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

impl Outbox {
    /// With what an earlier daemon could not say.
    pub(in crate::daemon) fn open(state: &Path, targets: &[Notify]) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let host = host.unwrap_or_else(|| "?".to_owned());
        let (queues, dirty, complaint) = <_>::default();
        let mut outbox = Self { state: state.to_owned(), host, queues, dirty, complaint };
        outbox.follow(targets);
        let waiting = outbox.read().unwrap_or_else(|problem| {
            error!("notifications that an earlier daemon could not send are lost: {problem:#}");
            BTreeMap::new()
        });
        let (now, since) = (Instant::now(), wall());
        for (name, notices) in waiting {
            match outbox.queues.get_mut(&name) {
                Some(queue) => queue.restore(notices, now, since),
                None => outbox.dirty = true,
            }
        }
        outbox
    }

    fn read(&self) -> Result<BTreeMap<String, Vec<Notice>>> {
        Ok(Folder::open(&self.state)?.read(FILE, LARGEST)?.unwrap_or_default())
    }

    /// This host's name.
    pub(in crate::daemon) fn host(&self) -> &str {
        &self.host
    }

    /// Knows the targets of the configuration, and no others.
    fn follow(&mut self, targets: &[Notify]) {
        let is_there = |name: &str| targets.iter().any(|target| target.name.as_ref() == name);
        let before = self.queues.len();
        self.queues.retain(|name, _| is_there(name));
        self.dirty |= self.queues.len() != before;
        for target in targets {
            self.queues.entry(target.name.as_ref().clone()).or_insert_with(|| Queue::new(Instant::now()));
        }
    }

    /// Something has happened.
    pub(in crate::daemon) fn tell(&mut self, targets: &[Notify], event: Event, incident: &Incident) {
        self.follow(targets);
        let (now, notice) = (Instant::now(), Notice::new(event, incident, &self.host, wall()));
        for target in targets {
            if let Some(queue) = self.queues.get_mut(target.name.as_ref()) {
                self.dirty |= queue.offer(target, notice.clone(), now);
            }
        }
    }

    /// What is to be sent now.
    pub(in crate::daemon) fn due(&mut self, targets: &[Notify]) -> Vec<Job> {
        self.follow(targets);
        let (now, mut jobs) = (Instant::now(), Vec::new());
        for target in targets {
            let Some(queue) = self.queues.get_mut(target.name.as_ref()) else { continue };
            let (given_up, waited) = (queue.counts.given_up, queue.waiting().len());
            jobs.extend(queue.take(target, now).map(|notice| Job { target: target.clone(), notice }));
            // One that was held back may have taken the place of one that was given up.
            let given_up = queue.counts.given_up - given_up;
            self.dirty |= given_up > 0 || queue.waiting().len() != waited;
            if given_up > 0 {
                error!("notify {}: {given_up} notification(s) given up", target.name.as_ref());
            }
        }
        jobs
    }

    /// How a try went.
    pub(in crate::daemon) fn done(&mut self, job: &Job, result: Result<(), Failed>) {
        let name = job.target.name.as_ref();
        let Some(queue) = self.queues.get_mut(name) else { return };
        match (&result, &queue.error) {
            (Ok(()), Some(_)) => info!("notify {name}: it is told again"),
            (Err(Failed { why, again: Again::Never }), _) => error!("notify {name}: given up: {why}"),
            (Err(Failed { why, .. }), before) if before.as_ref() != Some(why) => {
                warn!("notify {name}: not told, it is tried again: {why}");
            }
            _ => {}
        }
        // What is tried again stays as it is written.
        self.dirty |= !matches!(result, Err(Failed { again: Again::Later | Again::After(_), .. }));
        queue.done(&job.notice, result, Instant::now(), jitter());
    }

    /// Takes somebody out of what waits, or with `dry_run` only counts what there is of him.
    pub(in crate::daemon) fn forget(&mut self, wanted: &Wanted, dry_run: bool) -> u64 {
        let mut count = 0;
        for notice in self.queues.values_mut().flat_map(Queue::unsent) {
            let Some(mut attack) = notice.attack.clone() else { continue };
            count += wanted.cut_told(&mut attack);
            if !dry_run {
                notice.attack = Some(attack);
            }
        }
        self.dirty |= count > 0 && !dry_run;
        count
    }

    /// How a test went.
    pub(in crate::daemon) fn tried(&mut self, name: &str, result: &Result<(), Failed>) {
        let queue = self.queues.entry(name.to_owned()).or_insert_with(|| Queue::new(Instant::now()));
        queue.tried(result, Instant::now());
    }

    /// Writes what waits, if it has changed. It waits for the disk.
    pub(in crate::daemon) fn keep(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let waiting = |queue: &Queue| queue.waiting().cloned().collect::<Vec<_>>();
        let all: BTreeMap<_, _> = self.queues.iter().map(|(name, queue)| (name, waiting(queue))).collect();
        let written = Folder::open(&self.state).and_then(|folder| folder.write(FILE, &all));
        let complaint = written.err().map(|problem| format!("{problem:#}"));
        if let Some(text) = complaint.as_ref().filter(|text| self.complaint.as_ref() != Some(*text)) {
            error!("what nobody was told yet would not survive a restart: {text}");
        }
        // Tried again at the next turn.
        self.dirty = complaint.is_some();
        self.complaint = complaint;
    }

    /// All of them, as configured.
    pub(in crate::daemon) fn lines(&mut self, targets: &[Notify]) -> Vec<Line> {
        self.follow(targets);
        let now = Instant::now();
        let line = |target: &Notify| {
            let name = target.name.as_ref();
            let queue = self.queues.get(name)?;
            let Counts { sent, failed, given_up, deduplicated } = queue.counts;
            let to = match (&target.to, &target.to_file) {
                (Some(to), _) => to.as_ref().server(),
                (None, Some(file)) => file.as_ref().display().to_string(),
                (None, None) => String::new(),
            };
            Some(Line {
                name: name.clone(),
                kind: target.kind.as_ref().label().to_owned(),
                to,
                waiting: queue.waiting().len() as u64,
                held: queue.held() as u64,
                error: queue.error.clone(),
                sent,
                failed,
                given_up,
                deduplicated,
                sent_seconds: queue.sent_ago(now).map(|ago| ago.as_secs()),
                next_seconds: queue.next_in(now).map(|rest| rest.as_secs()),
            })
        };
        targets.iter().filter_map(line).collect()
    }
}
