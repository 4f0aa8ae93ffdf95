//! When an attack is written down, and what of the daemon's state goes into it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{MutexGuard, PoisonError, TryLockError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Result;
use filter_common::reason::Reason;
use tracing::{error, info};

use super::{Live, events::interface, notify::Said};
use crate::{
    daemon::{
        deadline::{Clock, wall},
        detect::{Detection, Line, One},
        events,
        forget::Subject,
        incidents::{
            Cut, Fixed, Incident, Incidents, Privacy, Shelf, Standing, Wanted,
            form::{self, id},
            pseudonyms,
        },
    },
    detect::{attack::Attack, vector::Evidence},
};

/// How often an attack that goes on is written down.
const PAUSE: Duration = Duration::from_secs(10);
/// How long handshakes after its end are waited for.
const AFTER: u64 = 60_000_000_000;
/// Packets of an incident, and of those of one reason.
const SAMPLES: usize = 10;
const PER_REASON: usize = 3;

/// An attack that is written again.
struct Open {
    fixed: Fixed,
    written: Option<Instant>,
    /// As it was written.
    state: Standing,
    said: Said,
}

/// What is to be written.
struct Due {
    /// The attack's number.
    number: u64,
    incident: Incident,
    /// Nothing more will be known of it.
    is_done: bool,
}

/// Where incidents are written.
pub(super) struct Desk {
    shelf: Shelf,
    /// By the attack's number.
    open: BTreeMap<u64, Open>,
    /// The last complaint, told once.
    complaint: Option<String>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("shelf", &self.shelf).finish_non_exhaustive()
    }
}

impl Desk {
    /// And attacks that an earlier daemon did not see the end of.
    pub(super) fn open(state: &Path) -> (Self, Vec<Incident>) {
        let (shelf, interrupted) = Shelf::open(state);
        (Self { shelf, open: BTreeMap::new(), complaint: None }, interrupted)
    }

    /// An id that no other attack has.
    fn id(&self, began: u64, number: u64) -> String {
        let mut number = number;
        while self.shelf.has(&id(began, number)) {
            number += 1;
        }
        id(began, number)
    }

    /// Who is to be forgotten, as incidents may have kept him.
    pub(super) fn wanted(&mut self, subject: &Subject, state: &Path) -> Result<Wanted> {
        let mut known = self.shelf.pseudonyms()?;
        for Open { fixed, .. } in self.open.values() {
            pseudonyms(&fixed.samples, fixed.addresses, &mut known);
        }
        Wanted::new(subject, &known, || Privacy::of_before(state))
    }

    /// Takes him out of what is on the disk, and of what will be; with `dry_run` it only counts the former.
    pub(super) fn forget(&mut self, wanted: &Wanted, dry_run: bool) -> Result<Cut> {
        for Open { fixed, .. } in self.open.values_mut().filter(|_| !dry_run) {
            wanted.cut_samples(&mut fixed.samples, fixed.addresses);
        }
        self.shelf.forget(wanted, dry_run)
    }
}

impl Live {
    /// Taken before all others but the keeper of bans.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what has changed, if it is time, or `now`. It waits for the disk.
    pub fn keep_incidents(&self, now: bool) {
        let mut desk = match self.incidents.try_lock() {
            Ok(desk) => desk,
            Err(TryLockError::WouldBlock) if !now => return,
            Err(_) => self.desk(),
        };
        let kept = self.due(&mut desk, now).and_then(|due| {
            for due in due {
                let is_new = desk.shelf.put(&due.incident)?;
                self.incident_figures[0].fetch_add(u64::from(is_new), Relaxed);
                self.written(&mut desk, &due);
            }
            let retention = *self.state().settings.privacy.retention.as_ref();
            desk.shelf.thin_out(wall(), retention)
        });
        let complaint = kept.err().map(|problem| format!("{problem:#}"));
        if let Some(text) = &complaint {
            self.incident_figures[1].fetch_add(1, Relaxed);
            if desk.complaint.as_ref() != Some(text) {
                error!("an attack is not kept: {text}");
            }
        }
        desk.complaint = complaint;
    }

    /// Only now: what could not be written is tried again.
    fn written(&self, desk: &mut Desk, due: &Due) {
        let Due { number, ref incident, is_done } = *due;
        if is_done {
            let id = &incident.id;
            info!(incident = id, "the attack is kept: floodwall incident show {id}");
            self.detection().recorder.forget(number);
            desk.open.remove(&number);
        } else if let Some(open) = desk.open.get_mut(&number) {
            (open.written, open.state) = (Some(Instant::now()), incident.state);
        }
    }

    /// What is to be written.
    fn due(&self, desk: &mut Desk, now: bool) -> Result<Vec<Due>> {
        let (mut detection, clock) = (self.detection(), Clock::now()?);
        let mut due = Vec::new();
        for number in detection.recorder.attacks() {
            let (Some(attack), Some(course)) = (detection.attack(number), detection.recorder.course(number))
            else {
                detection.recorder.forget(number);
                desk.open.remove(&number);
                continue;
            };
            let line = Line::new(attack, detection.service(attack.service), &clock);
            if !desk.open.contains_key(&number) {
                desk.open.insert(number, self.opened(desk.id(line.began, number), &line));
            }
            let Some(open) = desk.open.get_mut(&number) else { continue };
            let state = Standing::of(attack.ended);
            let is_done = course.is_done()
                || attack.ended.is_some_and(|end| clock.monotonic().saturating_sub(end) > AFTER);
            let is_late = open.written.is_none_or(|at| at.elapsed() >= PAUSE);
            let has_news = open.said != Some((attack.hits.len(), state));
            if is_late || is_done || now || has_news || open.state != state {
                self.pick(&mut open.fixed, attack, &detection)?;
                let incident = Incident::new(&open.fixed, One::new(attack, line), course, wall());
                // Whether it can be written or not.
                open.said = Some(self.say(open.said, &incident));
                due.push(Due { number, incident, is_done });
            }
        }
        Ok(due)
    }

    fn opened(&self, id: String, line: &Line) -> Open {
        let state = self.state();
        let revision = state.ledger.active().map_or(0, |active| active.number);
        let mode = state.facts.mode.label().to_owned();
        let addresses = *state.settings.privacy.addresses.as_ref();
        let privacy = Privacy::new(addresses, state.settings.daemon.state.as_ref());
        drop(state);
        let (addresses, privacy) = match privacy {
            Ok(privacy) => (addresses, privacy),
            Err(problem) => {
                error!("no key for pseudonyms, addresses are truncated: {problem:#}");
                <_>::default()
            }
        };
        let samples = Vec::new();
        let fixed = Fixed { id, began: line.began, revision, mode, addresses, privacy, samples };
        Open { fixed, written: None, state: Standing::Active, said: None }
    }

    /// Takes some of its packets, as long as there are few: those that nobody honest would send, or that tell nothing either way.
    fn pick(&self, fixed: &mut Fixed, attack: &Attack, detection: &Detection) -> Result<()> {
        let Fixed { samples, privacy, .. } = fixed;
        let (clock, service) = (Clock::now()?, detection.service(attack.service));
        let history = self.history();
        for kept in history.after(0).1.filter(|kept| usize::from(kept.service) == attack.service) {
            if samples.len() >= SAMPLES {
                break;
            }
            let Some(reason) = Reason::from_number(kept.event.reason) else { continue };
            let is_other = matches!(Evidence::of(reason), Evidence::Exempt | Evidence::Honest);
            let same = samples.iter().filter(|line| line.reason == reason.label()).count();
            let is_known = samples.iter().any(|line| line.number == kept.number);
            if is_other || is_known || same >= PER_REASON || kept.event.time < attack.began {
                continue;
            }
            let (time, interface) = (clock.seconds(kept.event.time), interface(kept.event.ifindex));
            let line = events::Line::new(kept, time, [&interface, service], false);
            samples.extend(line.map(|line| form::kept(line, privacy)));
        }
        Ok(())
    }

    /// All that are kept.
    pub fn incidents(&self) -> Incidents {
        Incidents { schema: 1, incidents: self.desk().shelf.list() }
    }

    /// One of them, `latest` the last.
    pub fn incident(&self, id: &str) -> Result<Option<Incident>> {
        self.desk().shelf.get(id)
    }
}
