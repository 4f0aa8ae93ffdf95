//! Who is let through for a while.

use anyhow::Result;
use filter_common::list::Class;
use ipnet::IpNet;
use tracing::{info, warn};

use super::{Live, state::State};
use crate::{
    config::lists::compare::class_of,
    daemon::{
        allow::{Allow, Allowing, Disallow, Snapshot},
        bans::{Deleted, Report},
        deadline::Moment,
    },
};

impl State {
    /// Loads the programs anew with other lists. This is no revision: what waits to be confirmed goes on waiting.
    fn swap_allowed(&mut self) -> Result<()> {
        let mut staged = self.stage(self.loaded())?;
        // They were told when the configuration came into force.
        staged.report.diagnostics.clear();
        let (when, successful) = (self.facts.reload_success, self.facts.reload_successful);
        self.adopt(staged)?;
        (self.facts.reload_success, self.facts.reload_successful) = (when, successful);
        Ok(())
    }

    /// What cannot be carried out has not happened.
    fn swap_or_restore(&mut self, before: Snapshot) -> Result<()> {
        self.swap_allowed().inspect_err(|_| self.allowed.restore(before))
    }

    /// Whose time is over passes no longer than anybody else.
    pub(super) fn expire_allowed(&mut self) {
        if self.allowed.expire(&Moment::now()) {
            self.allowed_changed = true;
        }
        if self.allowed_changed {
            match self.swap_allowed() {
                Ok(()) => {
                    self.allowed_changed = false;
                    info!("an entry of floodwall allow has ended");
                }
                Err(problem) => {
                    self.complain(&format!(
                        "entries of floodwall allow that have ended pass on: {problem:#}"
                    ));
                }
            }
        }
    }
}

impl Live {
    /// Who passes for a while.
    #[must_use]
    pub fn allowed(&self) -> Report {
        self.state().allowed.report(&Moment::now())
    }

    /// What lets all of a prefix pass.
    #[must_use]
    pub fn passes_by(&self, prefix: IpNet) -> Vec<String> {
        let state = self.state();
        let management = state.plan.management.iter().filter(|allowed| allowed.contains(&prefix));
        let mut by: Vec<_> = management.map(|allowed| format!("management.allow ({allowed})")).collect();
        by.extend(state.allowed.holding(prefix).map(|allowed| format!("floodwall allow ({allowed})")));
        let written = state.plan.lists.written();
        let ends = [prefix.network(), prefix.broadcast()];
        if ends.into_iter().all(|address| class_of(&written, address) == Class::Allow) {
            by.push("lists.allow".to_owned());
        }
        by
    }

    /// Lets them pass.
    pub fn allow(&self, allow: &Allow) -> Result<Allowing> {
        let mut state = self.state();
        let count = allow.entries.len() as u64;
        if allow.dry_run {
            let mut trial = crate::daemon::allow::Allowed::default();
            trial.add(&state.allowed.report(&Moment::now()).bans, &Moment::now())?;
            let made = trial.add(&allow.entries, &Moment::now())?;
            return Ok(Allowing { schema: 1, made, replaced: count.saturating_sub(made) });
        }
        let before = state.allowed.snapshot();
        let made = state.allowed.add(&allow.entries, &Moment::now())?;
        state.swap_or_restore(before)?;
        warn!(entries = count, "let through on request");
        Ok(Allowing { schema: 1, made, replaced: count.saturating_sub(made) })
    }

    /// Lets them pass no longer.
    pub fn disallow(&self, disallow: &Disallow) -> Result<Deleted> {
        let mut state = self.state();
        let asked = disallow.entries.len() as u64;
        let held = state.allowed.prefixes();
        let before = state.allowed.snapshot();
        let removed = if disallow.dry_run {
            disallow.entries.iter().filter(|entry| held.contains(&entry.trunc())).count() as u64
        } else {
            state.allowed.remove(&disallow.entries)
        };
        if removed > 0 && !disallow.dry_run {
            state.swap_or_restore(before)?;
            info!(removed, "let through no longer, on request");
        }
        Ok(Deleted { schema: 1, removed, absent: asked.saturating_sub(removed) })
    }
}
