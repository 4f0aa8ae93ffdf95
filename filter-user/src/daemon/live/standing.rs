//! Where the daemon's state stands among revisions, and how it gets from one to the next.

use std::{path::Path, time::Duration};

use anyhow::Result;
use tracing::{error, info, warn};

use super::{
    revisions::is_bypassed,
    state::{Staged, State},
};
use crate::{
    cmd::failure::{Failure, Kind},
    config::{self, Loaded, Mode, value::Probe},
    daemon::{
        commit::{Applied, Standing, guard_rail},
        deadline::{Deadline, Moment},
        ledger::{self, Commit, How, Pending, Reverted, Revision, sum, texts},
    },
    dataplane::Plan,
};

impl State {
    /// Which configuration is in force, and what waits.
    pub(super) fn standing(&self) -> Standing {
        let now = Moment::now();
        let Commit { confirmed, pending, reverted, passed_over, bypass, .. } = self.ledger.commit().clone();
        let active = self.ledger.active();
        Standing {
            schema: 1,
            revision: active.map_or(0, |active| active.number),
            how: active.map_or(String::new(), |active| active.how.label()),
            confirmed: confirmed.unwrap_or(0),
            confirm_seconds: pending
                .map(|pending| pending.deadline.left(&now).map_or(0, |left| left.as_secs())),
            reverted,
            differs_from_file: passed_over.is_some(),
            bypass_seconds: bypass.and_then(|end| end.left(&now)).map(|left| left.as_secs()),
            state_problem: self.ledger.problem().map(str::to_owned),
            quarantined: self.ledger.quarantined(),
        }
    }

    pub(super) fn refuse_while_waiting(&self) -> Result<()> {
        let Some(pending) = &self.ledger.commit().pending else { return Ok(()) };
        let message = format!("revision {} waits to be confirmed", pending.revision);
        Err(guard_rail(message, "floodwall confirm keeps it, floodwall rollback takes it back"))
    }

    /// What an apply would say; nothing is changed.
    pub(super) fn preview(&self, staged: &Staged, guard: Vec<String>, file: &str) -> Applied {
        let new = sum(&texts(&staged.loaded));
        let active = self.ledger.active();
        let changed = active.is_none_or(|active| active.sha256 != new)
            || staged.plan.lists.digest != self.plan.lists.digest;
        let next = self.ledger.commit().next.max(1);
        Applied {
            schema: 1,
            revision: active.filter(|_| !changed).map_or(next, |active| active.number),
            changed,
            dry_run: true,
            confirm_seconds: None,
            differs_from_file: new != file,
            warnings: staged
                .report
                .records()
                .into_iter()
                .map(|r| format!("{}:{}: {}", r.file, r.line, r.message))
                .collect(),
            guard,
        }
    }

    /// Puts a draft into force for good.
    pub(super) fn settle(&mut self, draft: u64, staged: Staged, path: &Path) -> Result<()> {
        if let Err(problem) = self.adopt(staged) {
            self.ledger.discard(draft);
            return Err(problem);
        }
        self.ledger.settle(draft, &file_sum(path));
        self.failures.clear();
        Ok(())
    }

    /// Puts a draft into force until somebody confirms it: the way back is on the disk before anything changes.
    pub(super) fn try_out(
        &mut self,
        draft: u64,
        staged: Staged,
        wait: Duration,
        probes: Vec<Probe>,
    ) -> Result<()> {
        let before = self.ledger.commit().active;
        let deadline = Deadline::after(&Moment::now(), wait);
        let kept = self.ledger.change_for_sure(|commit| {
            commit.active = Some(draft);
            commit.pending = Some(Pending { revision: draft, deadline, probes });
            commit.reverted = None;
        });
        if let Err(problem) = kept {
            self.ledger.discard(draft);
            let message = format!("the way back cannot be kept, so nothing is applied: {problem:#}");
            return Err(guard_rail(message, "make daemon.state writable, or apply without --confirm"));
        }
        self.failures.clear();
        self.lists_before = Some(self.plan.lists.written());
        self.adopt(staged).inspect_err(|_| {
            self.ledger.change(|commit| (commit.active, commit.pending) = (before, None));
            self.ledger.discard(draft);
        })
    }

    /// Goes back to the last confirmed revision; what fails is tried again.
    pub(super) fn take_back(&mut self, pending: &Pending, why: String, path: &Path) {
        let Some(confirmed) =
            self.ledger.commit().confirmed.and_then(|number| self.ledger.get(number)).cloned()
        else {
            error!("revision {} stays: there is none to go back to", pending.revision);
            self.ledger.settle(pending.revision, &file_sum(path));
            return;
        };
        let staged = self.before(&confirmed);
        if let Err(problem) =
            staged.and_then(|loaded| self.stage(loaded)).and_then(|staged| self.adopt(staged))
        {
            let (revision, number) = (pending.revision, confirmed.number);
            self.complain(&format!("revision {revision} cannot be taken back to {number}: {problem:#}"));
            return;
        }
        (self.commit_complaint, self.lists_before) = (None, None);
        let how = How::Reverted { of: confirmed.number };
        let number = self.ledger.draft(how, None, &why, confirmed.sources);
        error!("revision {} is taken back: {why}", pending.revision);
        let reverted = Reverted { revision: pending.revision, why, time: Moment::now().wall };
        self.ledger.reverted(number, reverted, &file_sum(path));
    }

    /// The revision from before an apply that waits, with the lists of that time.
    pub(super) fn before(&self, confirmed: &Revision) -> Result<Loaded> {
        Ok(Loaded { lists: self.lists_before.clone(), ..ledger::loaded(&confirmed.sources)? })
    }

    /// The revision that a rollback goes to.
    pub(super) fn target(&self, asked: Option<u64>) -> Result<Revision> {
        let commit = self.ledger.commit();
        let active = self.ledger.active();
        let number = match (asked, &commit.pending) {
            (Some(number), _) => Some(number),
            (None, Some(_)) => commit.confirmed,
            (None, None) => {
                let other = |revision: &&Revision| active.is_some_and(|now| now.sha256 != revision.sha256);
                let before = |revision: &&Revision| Some(revision.number) < commit.active;
                self.ledger.revisions().rev().filter(before).find(other).map(|revision| revision.number)
            }
        };
        let number = number.ok_or_else(|| {
            Failure::new(Kind::Failed, "there is no earlier revision", "floodwall history lists them")
        })?;
        self.ledger.get(number).cloned().ok_or_else(|| unknown(number))
    }

    /// SIGHUP: the file, unless it was passed over and says the same still; then what is in force, with its lists as
    /// they are now.
    pub(super) fn reload(&mut self, path: &Path) -> Result<String> {
        self.refuse_while_waiting()?;
        let loaded = config::load(path)?;
        let (sources, shown) = (texts(&loaded), config::source::shown(path));
        let file = sum(&sources);
        let passed_over = self.ledger.commit().passed_over.as_ref() == Some(&file);
        if let Some(active) = self.ledger.active().filter(|_| passed_over).cloned() {
            let staged = self.stage(ledger::loaded(&active.sources)?)?;
            self.adopt(staged)?;
            let number = active.number;
            return Ok(format!(
                "{shown} has not changed since it was passed over: revision {number} stays in force (its lists \
                 are read again); floodwall apply takes the file"
            ));
        }
        let staged = self.stage(loaded)?;
        self.adopt(staged)?;
        let number = self.ledger.draft(How::Reload, None, "", sources);
        self.ledger.settle(number, &file);
        Ok(format!("reloaded {shown}, revision {number}"))
    }

    /// Loads the programs anew if a bypass has begun or ended.
    pub(super) fn follow_mode(&mut self) -> Result<()> {
        let wanted =
            if is_bypassed(&self.ledger) { Mode::Observe } else { *self.settings.daemon.mode.as_ref() };
        if self.facts.mode == wanted {
            return Ok(());
        }
        let staged = self.stage(self.loaded())?;
        self.adopt(staged)?;
        if is_bypassed(&self.ledger) {
            warn!("bypass: every packet passes, and is counted as it would have been");
        } else {
            info!("no bypass any more: the filter is on, as its configuration says");
        }
        Ok(())
    }

    /// What would run if nothing were bypassed.
    pub(super) fn plan_as_written(&self) -> Plan {
        let written = is_bypassed(&self.ledger).then(|| config::fit(&self.loaded(), &self.host));
        written.and_then(Result::ok).map_or_else(|| self.plan.clone(), |(plan, _)| plan)
    }

    /// Says what is wrong, once.
    pub(super) fn complain(&mut self, text: &str) {
        if self.commit_complaint.as_deref() != Some(text) {
            error!("{text}");
        }
        self.commit_complaint = Some(text.to_owned());
    }
}

/// The sum of the daemon's file as it is now; empty when it is not valid.
pub(super) fn file_sum(path: &Path) -> String {
    config::load(path).map_or(String::new(), |loaded| sum(&texts(&loaded)))
}

pub(super) fn unknown(number: u64) -> anyhow::Error {
    let message = format!("there is no revision {number}");
    Failure::new(Kind::Failed, message, "floodwall history lists them").into()
}
