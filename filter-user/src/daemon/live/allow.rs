//! Who is let through for a while.

use anyhow::Result;
use ipnet::IpNet;
use tracing::{info, warn};

use super::{Live, state::State};
use crate::{
    config::lists::compare::is_allowed,
    daemon::{
        allow::{Allow, Allowed, Allowing, Disallow, Snapshot},
        bans::{Deleted, Report},
        deadline::Moment,
    },
};

impl State {
    /// What cannot be carried out has not happened.
    fn swap_or_restore(&mut self, before: Snapshot) -> Result<()> {
        self.swap_lists().map(drop).inspect_err(|_| self.allowed.restore(before))
    }

    /// Whose time is over passes no longer than anybody else.
    pub(super) fn expire_allowed(&mut self) {
        if self.allowed.has_ends() && self.allowed.expire(&Moment::now()) {
            self.allowed_changed = true;
        }
        if !self.allowed_changed {
            return;
        }
        match self.swap_lists() {
            Ok(_) => {
                self.allowed_changed = false;
                info!("an entry of floodwall allow has ended");
            }
            Err(problem) => {
                self.complain(&format!("entries of floodwall allow that have ended pass on: {problem:#}"));
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
        if is_allowed(&state.plan.lists.written(), &prefix) {
            by.push("lists.allow".to_owned());
        }
        by
    }

    /// Lets them pass.
    pub fn allow(&self, allow: &Allow) -> Result<Allowing> {
        let mut state = self.state();
        let count = allow.entries.len() as u64;
        if allow.dry_run {
            let mut trial = Allowed::default();
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
