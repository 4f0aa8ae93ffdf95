//! Which configuration is in force, which were, and which waits to be confirmed.
//!
//! In memory, and in `daemon.state` as far as that can be written: `revision-N` never change, `commit` and its copy are replaced as a
//! whole. A revision that was passed over for an older one is known by its sum, so that a file that holds it still is not
//! loaded again by a restart.

mod begin;
mod record;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

pub use self::{
    begin::{Begin, while_one_waits},
    record::{How, Revision, loaded, sum, texts},
};
use super::deadline::{Deadline, Moment};
use crate::{
    config::{Source, value::Probe},
    store::Folder,
};

/// Revisions that are kept, and the bytes of their files' text.
const KEPT: usize = 100;
const KEPT_BYTES: usize = 16 << 20;
/// Largest state file: a revision with several full files, each byte escaped.
const LARGEST: u64 = 64 << 20;
const COMMIT: &str = "commit";
/// The same once more: damage to one file must not let something stay that nobody has confirmed.
const COPY: &str = "commit-copy";

/// What waits for `floodwall confirm`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pending {
    /// The revision that waits; it is in force meanwhile.
    pub revision: u64,
    /// Until then.
    pub deadline: Deadline,
    /// What worked before, and has to go on working.
    #[serde(default)]
    pub probes: Vec<Probe>,
}

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reverted {
    /// The revision that did not stay.
    pub revision: u64,
    /// Why not.
    pub why: String,
    /// When, seconds since 1970.
    pub time: u64,
}

/// What the file `commit` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Commit {
    /// Number of the next revision.
    pub next: u64,
    /// The one in force.
    pub active: Option<u64>,
    /// The last that nobody has to confirm.
    pub confirmed: Option<u64>,
    /// The one that waits.
    pub pending: Option<Pending>,
    /// The last that was taken back, until something else is applied.
    pub reverted: Option<Reverted>,
    /// Sum of a file that is not in force though it is the daemon's.
    pub passed_over: Option<String>,
    /// Until then everything passes.
    pub bypass: Option<Deadline>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    folder: Option<Folder>,
    /// Why the folder cannot be used.
    problem: Option<String>,
    commit: Commit,
    revisions: BTreeMap<u64, Revision>,
}

impl Ledger {
    /// What the folder holds; what is wrong with it is said, and is no reason not to filter.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let mut ledger = Self::default();
        match Folder::open(path) {
            Ok(folder) => ledger.folder = Some(folder),
            Err(problem) => ledger.failed(format!("{problem:#}")),
        }
        if let Err(problem) = ledger.read() {
            ledger.failed(format!("{problem:#}"));
        }
        ledger
    }

    fn read(&mut self) -> Result<()> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        self.commit = match folder.read(COMMIT, LARGEST)? {
            Some(commit) => commit,
            None => folder.read(COPY, LARGEST)?.unwrap_or_default(),
        };
        for name in folder.names()? {
            let Some(number) = record::number(&name) else { continue };
            if let Some(revision) = folder.read::<Revision>(&name, LARGEST)?.filter(|r| r.number == number) {
                self.revisions.insert(number, revision);
            }
        }
        // Numbers are never given twice, whatever became of the other file.
        let last = self.revisions.last_key_value().map_or(0, |(number, _)| *number);
        self.commit.next = self.commit.next.max(last + 1);
        let known = |number: &u64| self.revisions.contains_key(number);
        self.commit.active = self.commit.active.filter(known);
        self.commit.confirmed = self.commit.confirmed.filter(known);
        if self.commit.pending.as_ref().is_some_and(|pending| !known(&pending.revision)) {
            error!("the revision that waits to be confirmed is lost: the file is used");
            self.commit.pending = None;
        }
        Ok(())
    }

    fn failed(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            error!(
                "the state is not kept: {problem}; filtering goes on, `apply --confirm` is refused meanwhile"
            );
        }
        self.problem = Some(problem);
    }

    /// Notes how writing ended.
    fn note(&mut self, result: Result<()>) {
        match result {
            Ok(()) if self.problem.take().is_some() => info!("the state is kept again"),
            Ok(()) => {}
            Err(problem) => self.failed(format!("{problem:#}")),
        }
    }

    /// Why nothing can be kept, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Damaged files found.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.folder.as_ref().map_or(0, Folder::quarantined)
    }

    /// Where things stand.
    #[must_use]
    pub const fn commit(&self) -> &Commit {
        &self.commit
    }

    /// All revisions, the oldest first.
    #[must_use]
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.revisions.values()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Revision> {
        self.revisions.get(&number)
    }

    /// The one in force.
    #[must_use]
    pub fn active(&self) -> Option<&Revision> {
        self.get(self.commit.active?)
    }

    /// A new revision, or the one in force if it says the same. Nothing refers to it yet.
    pub fn draft(&mut self, how: How, uid: Option<u32>, comment: &str, sources: Vec<Source>) -> u64 {
        let sha256 = sum(&sources);
        if let Some(active) = self.active().filter(|active| active.sha256 == sha256) {
            return active.number;
        }
        let number = self.commit.next.max(1);
        self.commit.next = number + 1;
        let comment = comment.chars().filter(|c| !c.is_control()).take(200).collect();
        let revision = Revision { number, time: Moment::now().wall, uid, how, comment, sha256, sources };
        let written = match &self.folder {
            Some(folder) => folder.write(&revision.name(), &revision),
            None => Ok(()),
        };
        self.revisions.insert(number, revision);
        if let Err(problem) = written {
            self.failed(format!("{problem:#}"));
        }
        number
    }

    /// Forgets a draft that came to nothing.
    pub fn discard(&mut self, number: u64) {
        let Commit { active, confirmed, .. } = self.commit;
        if active == Some(number) || confirmed == Some(number) {
            return;
        }
        if let (Some(revision), Some(folder)) = (self.revisions.remove(&number), &self.folder) {
            let _ = folder.remove(&revision.name());
        }
        // It was never in force: the number is free.
        if self.commit.next == number + 1 {
            self.commit.next = number;
        }
    }

    /// Changes where things stand, and tries to keep it.
    pub fn change(&mut self, change: impl FnOnce(&mut Commit)) {
        let before = self.commit.clone();
        change(&mut self.commit);
        if self.commit == before && self.problem.is_none() {
            return;
        }
        self.thin_out();
        let written = self.write();
        self.note(written);
    }

    /// Writes what could not be written before.
    pub fn retry(&mut self) {
        if self.folder.is_some() && self.problem.is_some() {
            self.change(|_| {});
        }
    }

    /// The same, or nothing: for what must not be forgotten.
    pub fn change_for_sure(&mut self, change: impl FnOnce(&mut Commit)) -> Result<()> {
        let before = self.commit.clone();
        change(&mut self.commit);
        let written = self.write();
        if written.is_err() {
            self.commit = before;
        }
        self.note(written.as_ref().copied().map_err(|problem| anyhow::anyhow!("{problem:#}")));
        written
    }

    /// Everything that `commit` refers to is there before it is.
    fn write(&self) -> Result<()> {
        let Some(folder) = &self.folder else {
            anyhow::bail!("{}", self.problem.as_deref().unwrap_or("there is no state folder"))
        };
        let Commit { active, confirmed, ref pending, .. } = self.commit;
        let waits = pending.as_ref().map(|pending| pending.revision);
        let names = folder.names()?;
        for number in [active, confirmed, waits].into_iter().flatten() {
            if let Some(revision) = self.get(number).filter(|revision| !names.contains(&revision.name())) {
                folder.write(&revision.name(), revision)?;
            }
        }
        folder.write(COMMIT, &self.commit)?;
        folder.write(COPY, &self.commit)
    }

    /// Removes the oldest revisions that nothing refers to.
    fn thin_out(&mut self) {
        let Commit { active, confirmed, ref pending, .. } = self.commit;
        let waits = pending.as_ref().map(|pending| pending.revision);
        let needed = [active, confirmed, waits];
        let mut count = self.revisions.len();
        let mut bytes: usize = self.revisions.values().map(Revision::bytes).sum();
        let mut old = Vec::new();
        for revision in self.revisions.values().filter(|revision| !needed.contains(&Some(revision.number))) {
            if count <= KEPT && bytes <= KEPT_BYTES {
                break;
            }
            (count, bytes) = (count - 1, bytes - revision.bytes());
            old.push(revision.number);
        }
        for number in old {
            if let (Some(revision), Some(folder)) = (self.revisions.remove(&number), &self.folder) {
                let _ = folder.remove(&revision.name());
            }
        }
    }
}
