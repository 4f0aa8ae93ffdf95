//! Bans: what is asked for, and what was kept from before the boot.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result};
use filter_common::ban::Origin;
use ipnet::IpNet;
use tracing::{info, warn};

use super::{Live, state::State};
use crate::{
    daemon::{
        bans::{
            Add, Added, CHUNK, Delete, Deleted, Guard, Import, Keeper, Kept, Note, Notes, Offenders, Refusal,
            Report, Shown, Which, Writer,
        },
        deadline::wall,
    },
    dataplane::{New, monotonic},
    guard::Found,
    sys,
};

/// What there is about bans beside the kernel's tables.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) offenders: Offenders,
    pub(super) notes: Notes,
    /// How often somebody has made or ended any.
    pub(super) changes: u64,
}

impl Memory {
    fn of(kept: Kept, wall: u64) -> Self {
        let Kept { notes, offenders } = kept;
        Self { offenders: Offenders::of(offenders, wall), notes: Notes::of(notes), changes: 0 }
    }
}

impl State {
    /// Puts the bans from before the boot into tables that are new; returns what else was kept.
    pub(super) fn restore_bans(&mut self, keeper: &mut Keeper) -> Result<()> {
        let now = wall();
        let (bans, kept) = keeper.load(now);
        self.bans = Memory::of(kept, now);
        if self.dataplane.are_bans_restored()? {
            return Ok(());
        }
        let guard = Guard::new(&self.plan, &self.settings.ban);
        let (mut made, mut left) = (0, 0);
        for bans in bans.chunks(CHUNK) {
            let fine = bans.iter().filter(|ban| guard.refusal(&ban.prefix).is_none());
            let news: Vec<_> = fine.map(Shown::as_new).collect();
            let done = self.dataplane.ban(&news)?;
            made += done.made + done.replaced;
            left += bans.len() as u64 - done.made - done.replaced;
        }
        self.dataplane.set_bans_restored()?;
        if made + left > 0 {
            info!(made, left, "bans from before the boot");
        }
        Ok(())
    }

    fn guard(&self, ssh: Option<&str>) -> Guard {
        let near = self.settings.management.auto.then(|| Found::near(ssh));
        let peers = near.map_or_else(Vec::new, |found| found.not_to_ban());
        Guard::new(&self.plan, &self.settings.ban).also(peers)
    }

    /// Bans what neither the guard rails nor a full table refuse.
    pub(super) fn ban(&mut self, add: &Add, uid: u32) -> Result<Added> {
        let mut added = Added { schema: 1, ..Added::default() };
        let fine = allowed(&self.guard(add.ssh.as_deref()), add.entries.iter().map(IpNet::trunc), &mut added);
        let (now, settings) = (wall(), &self.settings.ban);
        let usual = *settings.ttl.as_ref();
        let escalates = !add.forever && add.ttl_seconds.is_none();
        let length = |prefix: &IpNet| match add.ttl_seconds {
            _ if add.forever => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => Some(self.bans.offenders.length(prefix, now, settings)),
        };
        let new = |prefix: &IpNet| New {
            prefix: *prefix,
            length: length(prefix),
            origin: add.origin,
            reason: &add.reason,
            age: Duration::ZERO,
        };
        let news: Vec<_> = fine.iter().map(new).collect();
        added.escalated = news.iter().filter(|new| escalates && new.length > Some(usual)).count() as u64;
        self.carry_out(&news, add.dry_run, &mut added)?;
        if !add.dry_run {
            self.remember(&fine, escalates, uid, &add.comment);
            info!(made = added.made, replaced = added.replaced, refused = added.refused, "bans on request");
        }
        Ok(added)
    }

    fn remember(&mut self, banned: &[IpNet], offences: bool, uid: u32, comment: &str) {
        let (now, decay) = (wall(), *self.settings.ban.decay.as_ref());
        for prefix in banned {
            if offences {
                self.bans.offenders.note(*prefix, now, decay);
            }
            if !self.bans.notes.take(*prefix, uid, comment) {
                warn!("no room for more comments on bans");
                return;
            }
        }
    }

    fn import_bans(&mut self, import: &Import) -> Result<Added> {
        let mut added = Added { schema: 1, ..Added::default() };
        let guard = self.guard(import.ssh.as_deref());
        let mut fine = Vec::with_capacity(import.bans.len());
        for shown in &import.bans {
            let new = shown.as_new();
            // Nobody but the detector is the detector: it ends its bans when the attack ends.
            let new = New { origin: Origin::Operator, ..new };
            fine.extend(allowed(&guard, [new.prefix].into_iter(), &mut added).first().map(|_| new));
        }
        self.carry_out(&fine, import.dry_run, &mut added)?;
        if !import.dry_run {
            for shown in import.bans.iter().filter(|shown| !shown.comment.is_empty()) {
                self.bans.notes.take(shown.prefix.trunc(), 0, &shown.comment);
            }
            info!(made = added.made, replaced = added.replaced, refused = added.refused, "bans imported");
        }
        Ok(added)
    }

    fn carry_out(&mut self, news: &[New<'_>], dry_run: bool, added: &mut Added) -> Result<()> {
        if dry_run {
            added.replaced = self.banned(news.iter().map(|new| new.prefix))?;
            added.made = news.len() as u64 - added.replaced;
            return Ok(());
        }
        self.bans.changes += 1;
        let made = self.dataplane.ban(news)?;
        (added.made, added.replaced) = (made.made, made.replaced);
        made.full.into_iter().for_each(|entry| added.refuse(full(entry)));
        Ok(())
    }

    /// How many of these are banned, exactly as they are.
    fn banned(&self, entries: impl Iterator<Item = IpNet>) -> Result<u64> {
        let wanted: BTreeSet<_> = entries.collect();
        let mut count = 0;
        self.dataplane.each_ban(|banned| {
            count += u64::from(wanted.contains(&banned.prefix));
            true
        })?;
        Ok(count)
    }

    fn unban(&mut self, delete: &Delete) -> Result<Deleted> {
        let asked = delete.entries.len() as u64;
        let entries: Vec<_> = delete.entries.iter().map(IpNet::trunc).collect();
        let removed = if delete.dry_run {
            self.banned(entries.into_iter())?
        } else {
            self.bans.changes += 1;
            let removed = self.dataplane.unban(&entries)?;
            for prefix in &entries {
                self.bans.offenders.forgive(prefix);
                self.bans.notes.take(*prefix, 0, "");
            }
            info!(removed, "bans ended on request");
            removed
        };
        Ok(Deleted { schema: 1, removed, absent: asked.saturating_sub(removed) })
    }

    /// Ends bans of the detector's. An operator may have made them his own meanwhile.
    pub(super) fn end_detectors(&mut self, mut prefixes: Vec<IpNet>) -> Result<()> {
        let dataplane = &self.dataplane;
        let is_its = |prefix: &IpNet| -> Result<bool> {
            let held = dataplane.bans_holding(prefix.network())?;
            let ban = held.into_iter().find(|banned| banned.prefix == *prefix);
            Ok(ban.is_some_and(|banned| Origin::of(banned.ban.origin) == Origin::Detector))
        };
        prefixes.retain(|prefix| is_its(prefix).unwrap_or(false));
        self.dataplane.unban(&prefixes)?;
        self.bans.changes += 1;
        Ok(())
    }

    fn bans(&self, which: &Which) -> Result<Report> {
        let now = monotonic()?;
        let wanted = |prefix: &IpNet| {
            which.within.is_none_or(|within| within.contains(prefix) || prefix.contains(&within))
        };
        // The first of them in order, of however many there are.
        let (mut first, mut total) = (BTreeMap::new(), 0);
        self.dataplane.each_ban(|banned| {
            if wanted(&banned.prefix) {
                total += 1;
                first.insert(banned.prefix, banned);
                if first.len() > which.limit {
                    first.pop_last();
                }
            }
            true
        })?;
        let shown = |banned| {
            let shown = Shown::new(banned, now);
            Shown { comment: self.bans.notes.comment(&shown.prefix).to_owned(), ..shown }
        };
        Ok(Report { schema: 1, total, bans: first.values().map(shown).collect() })
    }

    /// All that has to be kept, as files.
    fn written_bans(&mut self) -> Result<(Vec<u8>, Kept)> {
        let mut writer = Writer::new(monotonic()?, wall());
        let mut commented = BTreeSet::new();
        let notes = &self.bans.notes;
        self.dataplane.each_ban(|banned| {
            writer.push(&banned);
            if !notes.comment(&banned.prefix).is_empty() {
                commented.insert(banned.prefix);
            }
            true
        })?;
        self.bans.notes.keep(|prefix| commented.contains(prefix));
        let Memory { notes, offenders, .. } = &self.bans;
        Ok((writer.finish(), Kept { notes: notes.all(), offenders: offenders.all() }))
    }
}

impl Live {
    /// Bans what may be banned.
    pub fn ban(&self, add: &Add, uid: u32) -> Result<Added> {
        self.state().ban(add, uid)
    }

    /// Bans what was banned elsewhere.
    pub fn import_bans(&self, import: &Import) -> Result<Added> {
        self.state().import_bans(import)
    }

    /// Ends bans.
    pub fn unban(&self, delete: &Delete) -> Result<Deleted> {
        self.state().unban(delete)
    }

    /// Bans in force.
    pub fn bans(&self, which: &Which) -> Result<Report> {
        self.state().bans(which)
    }

    /// Comments on them.
    #[must_use]
    pub fn ban_notes(&self) -> Vec<Note> {
        self.state().bans.notes.all()
    }

    /// Writes bans down for the next boot, if they have changed and it is time; `now` in any case. Takes a second for a million: not
    /// for the loop.
    pub fn keep_bans(&self, now: bool) {
        let keeper = if now { self.keeper.lock().ok() } else { self.keeper.try_lock().ok() };
        let Some(mut keeper) = keeper else { return };
        let read = || -> Result<_> {
            let mut state = self.state();
            let (changes, figures) = (state.bans.changes, state.dataplane.ban_figures()?);
            let due = if now { keeper.is_behind(changes) } else { keeper.is_due(changes, figures.sources) };
            Ok(if due { Some((changes, state.written_bans().context("read")?)) } else { None })
        };
        match read() {
            Ok(Some((changes, (bans, kept)))) => {
                keeper.write(changes, &bans, &kept);
                drop((bans, kept));
                // A million of them leave tens of megabytes behind.
                sys::trim_memory();
            }
            Ok(None) => {}
            Err(problem) => warn!("cannot keep bans for the next boot: {problem:#}"),
        }
    }
}

/// Those that may be banned; the others are counted.
fn allowed(guard: &Guard, entries: impl Iterator<Item = IpNet>, added: &mut Added) -> Vec<IpNet> {
    let may = |entry: &IpNet| match guard.refusal(entry) {
        None => true,
        Some((message, hint)) => {
            added.refuse(Refusal { entry: *entry, full: false, message, hint: hint.to_owned() });
            false
        }
    };
    entries.filter(may).collect()
}

/// There is no room for a ban.
fn full(entry: IpNet) -> Refusal {
    let source = entry.prefix_len() == if entry.addr().is_ipv4() { 32 } else { 64 };
    let knob = if source { "limits.bans" } else { "limits.banned_prefixes" };
    let message = format!("no room for {entry}: the table is full ({knob})");
    let hint = format!("raise {knob} and reload, or end other bans: floodwall ban list");
    Refusal { entry, full: true, message, hint }
}
