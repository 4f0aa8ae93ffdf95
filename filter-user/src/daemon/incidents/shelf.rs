//! Incidents in `daemon.state`: a file each, whole or put aside, the oldest forgotten first.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tracing::{error, info};

use super::{
    forget::{Cut, Wanted},
    form::{Incident, Standing, Summary},
};
use crate::store::Folder;

/// The folder in `daemon.state`.
pub(in crate::daemon) const FOLDER: &str = "incidents";
/// How each file's name begins.
const PREFIX: &str = "incident-";
/// Largest of them: 601 points, 100 acts, a few samples and prefixes take a tenth.
const LARGEST: u64 = 1 << 20;
/// Incidents that are kept, and the bytes of their files.
const KEPT: usize = 200;
const KEPT_BYTES: u64 = 16 << 20;
/// Damaged files that are kept aside.
const ASIDE: usize = 8;

/// All that are kept, by id, which is by time.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Shelf {
    folder: Option<Folder>,
    known: BTreeMap<String, (Summary, u64)>,
}

fn file(id: &str) -> String {
    format!("{PREFIX}{id}")
}

impl Shelf {
    /// What there is; an attack that went on when the daemon before ended is marked so.
    pub(in crate::daemon) fn open(state: &Path) -> (Self, Vec<Incident>) {
        let mut shelf = Self::default();
        let mut interrupted = Vec::new();
        let opened = Folder::open(&state.join(FOLDER)).and_then(|folder| {
            shelf.folder = Some(folder);
            shelf.read(&mut interrupted)
        });
        if let Err(problem) = opened {
            error!("attacks may not be kept: {problem:#}");
        }
        (shelf, interrupted)
    }

    fn read(&mut self, interrupted: &mut Vec<Incident>) -> Result<()> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        for name in folder.names()? {
            let Some(id) = name.strip_prefix(PREFIX).filter(|id| !id.contains('.')) else { continue };
            let found = folder.read_with(&name, LARGEST, |bytes| parse(id, bytes))?;
            let Some((incident, size)) = found else { continue };
            if incident.state == Standing::Active {
                interrupted.push(incident.interrupted());
            } else {
                self.known.insert(id.to_owned(), (incident.summary(), size));
            }
        }
        let aside = folder.aside()?;
        for old in aside.iter().take(aside.len().saturating_sub(ASIDE)) {
            folder.remove(old)?;
        }
        for incident in &*interrupted {
            info!(incident = incident.id, "the daemon ended during an attack: what was known of it is kept");
            self.put(incident)?;
        }
        Ok(())
    }

    /// Writes it; whether it is new.
    pub(in crate::daemon) fn put(&mut self, incident: &Incident) -> Result<bool> {
        let folder = self.folder.as_ref().context("daemon.state cannot be used")?;
        let bytes = serde_json::to_vec(incident)?;
        folder.write_bytes(&file(&incident.id), &bytes)?;
        let kept = (incident.summary(), bytes.len() as u64);
        Ok(self.known.insert(incident.id.clone(), kept).is_none())
    }

    /// Whether there is one of that id.
    pub(in crate::daemon) fn has(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// One of them, `latest` the last; nothing if it is not known, or damaged.
    pub(in crate::daemon) fn get(&mut self, id: &str) -> Result<Option<Incident>> {
        let latest = self.known.last_key_value().map(|(id, _)| id.clone());
        let id = if id == "latest" { latest.unwrap_or_default() } else { id.to_owned() };
        let Some(folder) = self.folder.as_mut().filter(|_| self.known.contains_key(&id)) else {
            return Ok(None);
        };
        let found = folder.read_with(&file(&id), LARGEST, |bytes| parse(&id, bytes))?;
        if found.is_none() {
            self.known.remove(&id);
        }
        Ok(found.map(|(incident, _)| incident))
    }

    /// The last one first.
    pub(in crate::daemon) fn list(&self) -> Vec<Summary> {
        self.known.values().rev().map(|(summary, _)| summary.clone()).collect()
    }

    /// All pseudonyms in them.
    pub(in crate::daemon) fn pseudonyms(&mut self) -> Result<HashSet<IpAddr>> {
        let mut all = HashSet::new();
        for id in self.ids() {
            if let Some(incident) = self.get(&id)? {
                incident.pseudonyms(&mut all);
            }
        }
        Ok(all)
    }

    /// Takes somebody out of all of them, or with `dry_run` only counts. Each file is as it was before or without him.
    pub(in crate::daemon) fn forget(&mut self, wanted: &Wanted, dry_run: bool) -> Result<Cut> {
        let mut cut = Cut::default();
        for id in self.ids() {
            let Some(mut incident) = self.get(&id)? else { continue };
            let entries = wanted.cut(&mut incident);
            if entries > 0 && !dry_run {
                self.put(&incident)?;
            }
            cut.entries += entries;
            cut.incidents += u64::from(entries > 0);
        }
        Ok(cut)
    }

    fn ids(&self) -> Vec<String> {
        self.known.keys().cloned().collect()
    }

    /// Forgets what is older than `retention` at `wall`, seconds since 1970, and the oldest of too many.
    pub(in crate::daemon) fn thin_out(&mut self, wall: u64, retention: Duration) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut count = self.known.len();
        let mut bytes: u64 = self.known.values().map(|(_, size)| size).sum();
        let mut old = Vec::new();
        for (id, (summary, size)) in &self.known {
            let age = wall.saturating_sub(summary.ended.unwrap_or(wall));
            if count > KEPT || bytes > KEPT_BYTES || age > retention.as_secs() {
                (count, bytes) = (count - 1, bytes - size);
                old.push(id.clone());
            }
        }
        for id in old {
            folder.remove(&file(&id))?;
            self.known.remove(&id);
        }
        Ok(())
    }
}

fn parse(id: &str, bytes: &[u8]) -> Result<(Incident, u64), String> {
    let incident: Incident = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if incident.id == id {
        Ok((incident, bytes.len() as u64))
    } else {
        Err(format!("it says that it is {:?}", incident.id))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::form::tests::incident, *};

    const DAY: u64 = 86_400;
    const RETENTION: Duration = Duration::from_secs(30 * DAY);

    fn state() -> (tempfile::TempDir, std::path::PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        (parent, state)
    }

    fn ids(shelf: &Shelf) -> Vec<String> {
        shelf.list().into_iter().map(|summary| summary.id).collect()
    }

    #[test]
    fn they_outlive_the_daemon() {
        let (_parent, state) = state();
        let mut shelf = Shelf::open(&state).0;
        let active = Incident { state: Standing::Active, ..incident(200 * DAY, 2) };
        assert!(shelf.put(&incident(100 * DAY, 1)).unwrap());
        assert!(shelf.put(&active).unwrap());
        assert!(!shelf.put(&active).unwrap(), "it is the same");
        let mut shelf = Shelf::open(&state).0;
        let states: Vec<_> = shelf.list().into_iter().map(|summary| summary.state).collect();
        assert_eq!(states, [Standing::Interrupted, Standing::Over]);
        let latest = shelf.get("latest").unwrap().unwrap();
        assert_eq!((&latest.id, latest.state), (&active.id, Standing::Interrupted));
        assert_eq!(latest.attack.ended, Some(active.written));
        assert!(shelf.has(&active.id) && shelf.get("../baselines").unwrap().is_none());
        assert_eq!(Shelf::open(&state).0.get(&active.id).unwrap().unwrap().state, Standing::Interrupted);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (_parent, state) = state();
        let mut shelf = Shelf::open(&state).0;
        for number in 0..KEPT as u64 + 3 {
            shelf.put(&incident(100 * DAY + number, number)).unwrap();
        }
        shelf.thin_out(100 * DAY, RETENTION).unwrap();
        assert_eq!(shelf.list().len(), KEPT);
        assert_eq!(ids(&shelf).last(), Some(&incident(100 * DAY + 3, 3).id), "three of them went");
        assert_eq!(ids(&Shelf::open(&state).0), ids(&shelf), "from the disk as well");
        shelf.thin_out(7, RETENTION).unwrap();
        assert_eq!(shelf.list().len(), KEPT, "a clock in 1970 forgets nothing");
        shelf.thin_out(131 * DAY, RETENTION).unwrap();
        assert!(ids(&shelf).is_empty() && ids(&Shelf::open(&state).0).is_empty());
    }

    #[test]
    fn what_is_damaged_is_put_aside() {
        let (_parent, state) = state();
        let mut shelf = Shelf::open(&state).0;
        let (first, second) = (incident(100, 1), incident(200, 2));
        shelf.put(&first).unwrap();
        shelf.put(&second).unwrap();
        let path = state.join(FOLDER).join(file(&first.id));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(shelf.get(&first.id).unwrap().is_none());
        assert_eq!(ids(&shelf), std::slice::from_ref(&second.id));
        // A whole one under another's name.
        let other = Incident { id: second.id.clone(), ..incident(300, 3) };
        Folder::open(&state.join(FOLDER)).unwrap().write(&file("19700101T000500Z-3"), &other).unwrap();
        Folder::open(&state.join(FOLDER)).unwrap().write_bytes(&file("19700101T000600Z-4"), b"{}").unwrap();
        assert_eq!(ids(&Shelf::open(&state).0), [second.id]);
        assert_eq!(Folder::existing(&state.join(FOLDER)).unwrap().aside().unwrap().len(), 3);
    }
}
