//! What a daemon starts with.

use std::path::PathBuf;

use tracing::{error, warn};

use super::{
    Ledger, Pending, Reverted,
    record::{How, sum, texts},
};
use crate::{
    config::{self, Loaded, Source, schema::STATE},
    daemon::deadline::Moment,
};

/// Where the configuration of a start came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The file.
    File,
    /// A revision that goes before the file.
    Revision(u64),
}

/// What to start with though the file is not valid: an apply waits, and has to be taken back in time. `None` if nothing waits.
#[must_use]
pub fn while_one_waits(error: &config::Error) -> Option<Loaded> {
    let ledger = Ledger::open(&state_folder(error));
    ledger.commit().pending.as_ref()?;
    let confirmed = ledger.get(ledger.commit().confirmed?)?;
    let loaded = super::loaded(&confirmed.sources).ok()?;
    eprintln!("{error}\nstarting with revision {} all the same: one waits to be confirmed", confirmed.number);
    Some(loaded)
}

/// The folder that a file names which is not valid, as far as it can be made out; else the usual one.
fn state_folder(error: &config::Error) -> PathBuf {
    let sources = match error {
        config::Error::Invalid(report) => &report.sources[..],
        config::Error::Unreadable { .. } => &[],
    };
    let named = |source: &Source| {
        let table: toml::Table = source.text.parse().ok()?;
        Some(PathBuf::from(table.get("daemon")?.get("state")?.as_str()?))
    };
    let named = sources.iter().find_map(named).filter(|path| path.is_absolute());
    named.unwrap_or_else(|| PathBuf::from(STATE))
}

impl Ledger {
    /// Chooses between the file and what was in force before: an apply that waits goes on waiting, one that waited too long
    /// is taken back, and a file that was passed over stays so until it changes.
    ///
    /// `fresh`: nothing is pinned, as after a boot.
    pub fn begin(&mut self, file: Loaded, fresh: bool, now: &Moment) -> (Loaded, Begin) {
        let file_sum = sum(&texts(&file));
        let Some((number, why)) = self.choose(&file_sum, fresh, now) else {
            self.change(|commit| (commit.passed_over, commit.pending) = (None, None));
            return (file, Begin::File);
        };
        let revision = self.get(number).map(|revision| super::loaded(&revision.sources));
        match revision {
            Some(Ok(loaded)) => {
                warn!("starting with revision {number}, not with {}: {why}", file.report.path());
                (loaded, Begin::Revision(number))
            }
            Some(Err(problem)) => {
                error!("revision {number} is not valid any more, so the file is used: {problem}");
                self.change(|commit| (commit.passed_over, commit.pending) = (None, None));
                (file, Begin::File)
            }
            None => (file, Begin::File),
        }
    }

    /// The revision that goes before the file, and why.
    fn choose(&mut self, file: &str, fresh: bool, now: &Moment) -> Option<(u64, String)> {
        if let Some(Pending { revision, deadline, .. }) = self.commit().pending.clone() {
            let why = match deadline.left(now) {
                Some(left) if deadline.is_of(now) && !fresh => {
                    let why = format!("it waits to be confirmed for another {} s", left.as_secs());
                    return Some((revision, why));
                }
                None => "nobody confirmed it in time".to_owned(),
                Some(_) => "the host has booted, and nobody had confirmed it".to_owned(),
            };
            return self.take_back(revision, why, file);
        }
        let active = self.active()?;
        let passed_over = self.commit().passed_over.as_deref() == Some(file) && active.sha256 != file;
        let why = "it was rolled back to, or applied from another file, and the file has not changed since: \
                   floodwall apply";
        passed_over.then(|| (active.number, why.to_owned()))
    }

    /// Back to the last confirmed revision.
    fn take_back(&mut self, revision: u64, why: String, file: &str) -> Option<(u64, String)> {
        let confirmed = self.get(self.commit().confirmed?)?.clone();
        let how = How::Reverted { of: confirmed.number };
        // The draft has to differ from what is in force, which is the one that waits.
        let number = self.draft(how, None, &why, confirmed.sources);
        let said = format!("revision {revision} is taken back: {why}");
        self.reverted(number, Reverted { revision, why, time: Moment::now().wall }, file);
        Some((number, said))
    }

    /// Notes that one was taken back, and what is in force now.
    pub fn reverted(&mut self, now: u64, reverted: Reverted, file: &str) {
        // A file that is not valid at this moment is most likely the one that is taken back, half saved.
        let taken_back = self.get(reverted.revision).map(|revision| revision.sha256.clone());
        let file = if file.is_empty() { taken_back.as_deref().unwrap_or_default() } else { file };
        let differs = self.get(now).is_some_and(|revision| revision.sha256 != file);
        self.change(|commit| {
            (commit.active, commit.confirmed, commit.pending) = (Some(now), Some(now), None);
            commit.reverted = Some(reverted);
            commit.passed_over = differs.then(|| file.to_owned());
        });
    }

    /// Notes what is in force now and need not be confirmed; `file` is the sum of the daemon's file.
    pub fn settle(&mut self, number: u64, file: &str) {
        let differs = self.get(number).is_some_and(|revision| revision.sha256 != file);
        self.change(|commit| {
            (commit.active, commit.confirmed, commit.pending) = (Some(number), Some(number), None);
            commit.reverted = None;
            commit.passed_over = differs.then(|| file.to_owned());
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_state_folder_of_an_invalid_file_is_made_out() {
        let folder = |text: &str| {
            let source = Source { path: "f.toml".to_owned(), text: text.to_owned() };
            state_folder(&config::parse(source).unwrap_err())
        };
        let wrong = "schema = 1\nno_such = 1\n";
        assert_eq!(folder(&format!("{wrong}[daemon]\nstate = \"/srv/state\"")), Path::new("/srv/state"));
        assert_eq!(folder(&format!("{wrong}[daemon]\nstate = 1")), Path::new(STATE));
        assert_eq!(folder("[daemon]\nstate = "), Path::new(STATE));
    }
}
