//! Configurations come into force, wait, and are taken back.

use std::{path::Path, time::Duration};

use anyhow::{Result, anyhow};
use tracing::{info, warn};

use super::{
    Live,
    standing::{file_sum, unknown},
    state::Staged,
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{self, Loaded, value::Probe},
    daemon::{
        commit::{Applied, Apply, Line, Rollback, Standing, guard_rail},
        deadline::{Deadline, Moment},
        ledger::{self, Begin, Commit, How, Ledger, Reverted, Revision, sum, texts},
    },
    guard,
};

/// Longest and shortest time that an apply waits.
const WAIT: std::ops::RangeInclusive<u64> = 5..=86_400;
/// Longest time that everything may pass.
const LONGEST_BYPASS: u64 = 86_400;
/// So often in a row a probe may not fail.
const FAILURES: u32 = 2;

/// Whether everything passes now.
pub(super) fn is_bypassed(ledger: &Ledger) -> bool {
    ledger.commit().bypass.as_ref().is_some_and(|deadline| deadline.left(&Moment::now()).is_some())
}

/// The daemon filters with what it was started with.
pub(super) fn note_start(ledger: &mut Ledger, begin: Begin, loaded: &Loaded) {
    if begin == Begin::File {
        let sources = texts(loaded);
        let file = sum(&sources);
        let number = ledger.draft(How::Start, None, "", sources);
        ledger.settle(number, &file);
    }
    if is_bypassed(ledger) {
        warn!("everything passes: floodwall bypass is in force");
    }
}

impl Live {
    /// The daemon's file.
    pub(in crate::daemon) fn path(&self) -> &Path {
        &self.path
    }

    /// Which configuration is in force.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.state().standing()
    }

    /// All revisions, the oldest first.
    #[must_use]
    pub fn revisions(&self) -> Vec<Line> {
        let state = self.state();
        let commit = state.ledger.commit();
        let waits = commit.pending.as_ref().map(|pending| pending.revision);
        let line = |revision: &Revision| Line {
            number: revision.number,
            time: revision.time,
            uid: revision.uid,
            how: revision.how.label(),
            comment: revision.comment.clone(),
            sha256: revision.sha256.clone(),
            active: commit.active == Some(revision.number),
            pending: waits == Some(revision.number),
        };
        state.ledger.revisions().map(line).collect()
    }

    /// One of them.
    pub fn revision(&self, number: u64) -> Result<Revision> {
        let state = self.state();
        state.ledger.get(number).cloned().ok_or_else(|| unknown(number))
    }

    /// Applies a configuration; `working` are its probes that work now.
    pub fn apply(&self, request: &Apply, uid: u32, loaded: Loaded, working: Vec<Probe>) -> Result<Applied> {
        let mut state = self.state();
        state.refuse_while_waiting()?;
        let wait = wait(request, &loaded)?;
        let staged = state.stage(loaded)?;
        let guard = tried_out(&staged, is_bypassed(&state.ledger), request.ssh.as_deref(), request.force)?;
        let mut applied = state.preview(&staged, guard, &file_sum(&self.path));
        applied.confirm_seconds = wait.map(|wait| wait.as_secs()).filter(|_| applied.changed);
        if request.dry_run {
            return Ok(applied);
        }
        let draft = state.ledger.draft(How::Apply, Some(uid), &request.comment, texts(&staged.loaded));
        match wait.filter(|_| applied.changed) {
            Some(wait) => state.try_out(draft, staged, wait, working)?,
            None => state.settle(draft, staged, &self.path)?,
        }
        info!("revision {draft} applied by user {uid}{}", waits(applied.confirm_seconds));
        Ok(Applied { revision: draft, dry_run: false, ..applied })
    }

    /// Keeps what waits.
    pub fn confirm(&self) -> Result<Standing> {
        let mut state = self.state();
        let commit = state.ledger.commit();
        let Some(pending) = commit.pending.clone() else {
            return Err(match &commit.reverted {
                Some(Reverted { revision, why, .. }) => {
                    let message = format!("too late: revision {revision} was taken back: {why}");
                    Failure::new(Kind::RolledBack, message, "floodwall apply --confirm TIME tries it again")
                        .into()
                }
                None => nothing_waits(),
            });
        };
        if is_bypassed(&state.ledger) {
            let message = "everything passes (floodwall bypass), so that you are here proves nothing";
            return Err(guard_rail(message, "floodwall bypass --off, then confirm from a new login"));
        }
        let file = file_sum(&self.path);
        state.ledger.settle(pending.revision, &file);
        state.lists_before = None;
        info!("revision {} confirmed", pending.revision);
        Ok(state.standing())
    }

    /// Goes back to an earlier revision.
    pub fn rollback(&self, request: &Rollback, uid: u32) -> Result<Applied> {
        let mut state = self.state();
        let target = state.target(request.revision)?;
        let Commit { pending, confirmed, .. } = state.ledger.commit();
        let waits = pending.as_ref().map(|pending| pending.revision);
        let back = waits.is_some() && *confirmed == Some(target.number);
        if waits == Some(target.number) && !back {
            let message = format!("revision {} is the one that waits", target.number);
            return Err(guard_rail(message, "floodwall confirm keeps it, floodwall rollback takes it back"));
        }
        let loaded = if back { state.before(&target)? } else { ledger::loaded(&target.sources)? };
        let staged = state.stage(loaded)?;
        // What takes an apply back that waits is never refused.
        let force = request.force || back;
        let guard = tried_out(&staged, is_bypassed(&state.ledger), request.ssh.as_deref(), force)?;
        let applied = state.preview(&staged, guard, &file_sum(&self.path));
        if request.dry_run {
            return Ok(applied);
        }
        let how = How::Rollback { of: target.number };
        let draft = state.ledger.draft(how, Some(uid), &request.comment, target.sources);
        state.settle(draft, staged, &self.path)?;
        state.lists_before = None;
        if applied.differs_from_file {
            let file = config::source::shown(&self.path);
            warn!(
                "{file} says something else: until it changes, SIGHUP and restarts stay with revision {draft}"
            );
        }
        info!("rolled back to the content of revision {} by user {uid}", target.number);
        Ok(Applied { revision: draft, dry_run: false, ..applied })
    }

    /// Lets everything pass for a while, or ends that.
    pub fn bypass(&self, seconds: u64) -> Result<Standing> {
        if seconds > LONGEST_BYPASS {
            let hint = "daemon.mode = \"observe\" is the way to let everything pass for long";
            return Err(Failure::new(Kind::Usage, "a bypass lasts a day at most", hint).into());
        }
        let mut state = self.state();
        let deadline = (seconds > 0).then(|| Deadline::after(&Moment::now(), Duration::from_secs(seconds)));
        let before = state.ledger.commit().bypass.clone();
        state.ledger.change(|commit| commit.bypass = deadline);
        if let Err(problem) = state.follow_mode() {
            state.ledger.change(|commit| commit.bypass = before);
            return Err(problem);
        }
        Ok(state.standing())
    }

    /// Takes back what nobody has confirmed; ends a bypass.
    pub fn follow_deadlines(&self) {
        let mut state = self.state();
        state.expire_allowed();
        let Commit { pending, bypass, .. } = state.ledger.commit().clone();
        if pending.is_none() && bypass.is_none() {
            return;
        }
        let now = Moment::now();
        if let Some(pending) = pending.filter(|pending| pending.deadline.left(&now).is_none()) {
            let length = pending.deadline.length().as_secs();
            state.take_back(&pending, format!("nobody confirmed it within {length} s"), &self.path);
        }
        if bypass.is_some_and(|deadline| deadline.left(&now).is_none()) {
            match state.follow_mode() {
                Ok(()) => {
                    state.commit_complaint = None;
                    state.ledger.change(|commit| commit.bypass = None);
                    info!("the bypass is over");
                }
                Err(problem) => state.complain(&format!("the bypass cannot be ended: {problem:#}")),
            }
        }
    }

    /// The probes to try, while something waits.
    #[must_use]
    pub fn probes(&self) -> Option<(u64, Vec<Probe>)> {
        let state = self.state();
        let pending = state.ledger.commit().pending.as_ref()?;
        (!pending.probes.is_empty()).then(|| (pending.revision, pending.probes.clone()))
    }

    /// Notes which probes have failed; the second time in a row it takes back what waits.
    pub fn probed(&self, revision: u64, failed: &[Probe]) {
        let mut state = self.state();
        let Some(pending) = state.ledger.commit().pending.clone() else { return };
        if pending.revision != revision {
            return;
        }
        state.failures.retain(|probe, _| failed.contains(probe));
        for probe in failed {
            *state.failures.entry(probe.clone()).or_default() += 1;
        }
        let worst = state.failures.iter().find(|(_, count)| **count >= FAILURES);
        if let Some((probe, count)) = worst {
            let why = format!("{probe} worked before and failed {count} times since");
            state.failures.clear();
            state.take_back(&pending, why, &self.path);
        }
    }
}

fn wait(request: &Apply, loaded: &Loaded) -> Result<Option<Duration>> {
    if !request.confirm {
        return Ok(None);
    }
    let usual = *loaded.settings.commit.confirm.as_ref();
    let wait = request.confirm_seconds.map_or(usual, Duration::from_secs);
    if WAIT.contains(&wait.as_secs()) {
        return Ok(Some(wait));
    }
    let message = format!("--confirm takes {} s to 24 h", WAIT.start());
    Err(Failure::new(Kind::Usage, message, "as in: floodwall apply --confirm 5m").into())
}

fn waits(seconds: Option<u64>) -> String {
    seconds.map_or(String::new(), |s| format!("; it goes back unless it is confirmed within {s} s"))
}

fn nothing_waits() -> anyhow::Error {
    let error =
        Failure::new(Kind::Failed, "nothing waits to be confirmed", "floodwall history tells what was");
    anyhow!(error)
}

/// What the guard rails say about it.
///
/// A bypass ends: what is tried out is the configuration as it is written.
fn tried_out(staged: &Staged, bypassed: bool, ssh: Option<&str>, force: bool) -> Result<Vec<String>> {
    let written = if bypassed { Some(config::fit(&staged.loaded, &staged.host)?.0) } else { None };
    let plan = written.as_ref().unwrap_or(&staged.plan);
    guard::try_out((plan, &staged.host), &staged.loaded.settings, ssh, force)
}
