//! Files that somebody else renews: certificates, lists of users.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use tracing::{info, warn};

/// How often a change is looked for, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Inode, modification time and length of each file; nothing of one that is not there.
type Stamp = Vec<Option<(u64, i64, i64, u64)>>;

/// What files come to, read again when they change. A change for the worse is told, and what was good before stays.
pub(super) struct Watched<T> {
    paths: Vec<PathBuf>,
    read: fn(&[PathBuf]) -> Result<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    stamp: Stamp,
    looked: Instant,
}

impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<T> Watched<T> {
    /// Reads them for the first time.
    pub(super) fn open(paths: Vec<PathBuf>, read: fn(&[PathBuf]) -> Result<T>) -> Result<Self> {
        let (stamp, value) = (stamp(&paths), Arc::new(read(&paths)?));
        Ok(Self { paths, read, state: Mutex::new(State { value, stamp, looked: Instant::now() }) })
    }

    /// What they say now.
    pub(super) fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK {
            self.look(&mut state);
        }
        state.value.clone()
    }

    fn look(&self, state: &mut State<T>) {
        state.looked = Instant::now();
        let stamp = stamp(&self.paths);
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        let path = self.paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        match (self.read)(&self.paths) {
            Ok(value) => {
                state.value = Arc::new(value);
                info!(path, "read again");
            }
            Err(problem) => warn!(path, "has changed and is not taken: {problem:#}"),
        }
    }
}

fn stamp(paths: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    };
    paths.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_and_a_bad_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let number = |paths: &[PathBuf]| Ok(fs::read_to_string(&paths[0])?.parse::<u32>()?);
        fs::write(&path, "1").unwrap();
        let watched = Watched::open(vec![path.clone()], number).unwrap();
        let later = || {
            let mut state = watched.state.lock().unwrap();
            watched.look(&mut state);
            *state.value
        };
        assert_eq!(later(), 1);
        fs::write(&path, "22").unwrap();
        assert_eq!(later(), 22);
        fs::write(&path, "none").unwrap();
        assert_eq!(later(), 22);
        fs::remove_file(&path).unwrap();
        assert_eq!(later(), 22);
        assert!(Watched::open(vec![path], number).is_err());
    }
}
