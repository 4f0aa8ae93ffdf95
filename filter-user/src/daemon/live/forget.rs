//! Somebody is forgotten: in the daemon's memory, on the disk, in the kernel's table of proofs.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use tracing::info;

use super::Live;
use crate::{
    daemon::{
        forget::{Forgotten, Removed, Stays, Subject},
        incidents::{INCIDENTS, PSEUDONYM_KEY},
    },
    dataplane::monotonic,
    store::Folder,
};

/// Bans that are told one by one.
const TOLD: usize = 20;

impl Live {
    /// Forgets somebody, or with `dry_run` only counts what there is of him. It waits for the disk; what it could not do it does when it
    /// is asked again.
    pub(in crate::daemon) fn forget(&self, subject: &Subject, dry_run: bool) -> Result<Forgotten> {
        let state = self.state().settings.daemon.state.as_ref().clone();
        let mut answer = Forgotten::new(subject.net, dry_run);
        // A part that fails keeps no other from being done.
        let parts = [
            self.forget_attacks(subject, &state, &mut answer),
            self.forget_bans(subject, &mut answer),
            self.forget_proofs(subject, &mut answer),
            self.keep_forgotten(&state, &mut answer),
        ];
        parts.into_iter().collect::<Result<()>>()?;
        answer.stays.extend(aside(&state));
        if !dry_run {
            let Removed { samples, attack_entries, incidents, offenders, .. } = answer.removed;
            let network = subject.network();
            info!(%network, samples, attack_entries, incidents, offenders, "somebody is forgotten on request");
        }
        Ok(answer)
    }

    /// The desk is held to the end: an incident that is being written would bring him back.
    fn forget_attacks(&self, subject: &Subject, state: &Path, answer: &mut Forgotten) -> Result<()> {
        let (mut desk, dry_run) = (self.desk(), answer.dry_run);
        {
            let mut detection = self.detection();
            answer.removed.attack_entries = detection.forget_sources(dry_run, |who| subject.holds(who));
            answer.removed.samples = self.history().forget(&subject.net, dry_run);
        }
        let wanted = desk.wanted(subject, state)?;
        let cut = desk.forget(&wanted, dry_run).context("incidents may still have him: ask again")?;
        (answer.removed.incident_entries, answer.removed.incidents) = (cut.entries, cut.incidents);
        let wider = wanted.wider.get();
        if wider > 0 {
            let network = subject.network();
            let what = format!("{wider} entries of incidents that name {network}: others are in it as well");
            answer.stay(what, format!("floodwall forget {network} forgets all of them"));
        }
        answer.removed.notices = self.outbox().forget(&wanted, dry_run);
        self.keep_notices();
        if wanted.is_incomplete {
            let what = format!("pseudonyms of other addresses of {}, if incidents have any", subject.net);
            let key = state.join(PSEUDONYM_KEY);
            answer.stay(what, format!("forget these addresses one by one, or remove {}", key.display()));
        }
        Ok(())
    }

    fn forget_bans(&self, subject: &Subject, answer: &mut Forgotten) -> Result<()> {
        let (mut state, dry_run) = (self.state(), answer.dry_run);
        let offenders = state.bans.offenders.forget(&subject.net, dry_run);
        let notes = state.bans.notes.forget(&subject.net, dry_run);
        state.bans.changes += u64::from(offenders + notes > 0 && !dry_run);
        let (comments, is_kept) = state.allowed.forget_comments(&subject.net, dry_run);
        (answer.removed.offenders, answer.removed.comments) = (offenders, notes + comments);
        let (mut banned, mut more) = (Vec::new(), 0_u64);
        state.dataplane.each_ban(|ban| {
            if subject.holds(&ban.prefix) {
                more += u64::from(banned.len() == TOLD);
                banned.extend((banned.len() < TOLD).then_some(ban.prefix));
            }
            true
        })?;
        let allowed = state.allowed.prefixes();
        drop(state);
        let told = |what: &str, net: &IpNet, verb: &str| Stays {
            what: format!("{what} {net}"),
            hint: format!("floodwall {verb} {net} ends it"),
        };
        answer.stays.extend(banned.iter().map(|net| told("the ban of", net, "ban del")));
        if more > 0 {
            answer.stay(format!("{more} more bans"), format!("floodwall ban list --within {}", subject.net));
        }
        let allowed = allowed.iter().filter(|net| subject.holds(net));
        answer.stays.extend(allowed.map(|net| told("the entry of floodwall allow for", net, "allow del")));
        ensure!(is_kept, "the disk still has comments of floodwall allow: see the log, and ask again");
        Ok(())
    }

    /// No lock is held: they may be many, and the data path asks for none.
    fn forget_proofs(&self, subject: &Subject, answer: &mut Forgotten) -> Result<()> {
        let proofs = self.state().dataplane.proofs()?;
        let sources = subject.parts(if subject.net.addr().is_ipv4() { 32 } else { 64 });
        if sources.is_all {
            answer.removed.proofs = proofs.forget(sources.nets, monotonic()?, answer.dry_run);
        } else {
            let what = format!("proofs in the kernel's table: {} has too many /64s to try them", subject.net);
            answer.stay(what, "they end by themselves (challenge.proven)");
        }
        Ok(())
    }

    /// Comments, and who was banned before, lie in files with others.
    fn keep_forgotten(&self, state: &Path, answer: &mut Forgotten) -> Result<()> {
        if answer.dry_run {
            return Ok(());
        }
        let changes = self.state().bans.changes;
        self.keep_bans(true);
        let keeper = self.keeper.lock().map_err(|_| anyhow::anyhow!("bans can't be written any more"))?;
        if !keeper.can_write() {
            let what = format!("what earlier daemons have left in {}", state.display());
            answer.stay(what, "remove it, or put that right and restart the daemon");
            return Ok(());
        }
        ensure!(
            keeper.has_written(changes),
            "the disk still has comments and who was banned before: see the log, and ask again"
        );
        Ok(())
    }
}

/// Damaged files, that nobody reads any more.
fn aside(state: &Path) -> Option<Stays> {
    let count =
        |path: &Path| Folder::existing(path).and_then(|folder| folder.aside()).map_or(0, |all| all.len());
    let count = count(state) + count(&state.join(INCIDENTS));
    let what = format!("{count} damaged files that were put aside below {}", state.display());
    (count > 0).then(|| Stays { what, hint: "remove those called *.quarantined-*".to_owned() })
}
