//! One revision, and a configuration's way into it and out of it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{self, Loaded, Source};

const NAME: &str = "revision-";

/// How a configuration came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The daemon started with it.
    Start,
    /// SIGHUP.
    Reload,
    /// `floodwall apply`
    Apply,
    /// `floodwall rollback`, to the content of an earlier one.
    Rollback {
        /// Whose content it has.
        of: u64,
    },
    /// Nobody confirmed another one, or its probes failed.
    Reverted {
        /// Whose content it has.
        of: u64,
    },
}

impl How {
    /// In a word or two.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Apply => "apply".to_owned(),
            Self::Rollback { of } => format!("rollback to {of}"),
            Self::Reverted { of } => format!("reverted to {of}"),
        }
    }
}

/// A configuration that is or was in force.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Revision {
    /// Its number; never given twice.
    pub number: u64,
    /// When, seconds since 1970.
    pub time: u64,
    /// Whose request it was; absent for the daemon's own doing.
    pub uid: Option<u32>,
    /// How.
    pub how: How,
    /// Why, in the operator's words.
    pub comment: String,
    /// SHA-256 of the files' texts.
    pub sha256: String,
    /// The files.
    pub sources: Vec<Source>,
}

impl Revision {
    pub(super) fn name(&self) -> String {
        format!("{NAME}{:08}", self.number)
    }

    pub(super) fn bytes(&self) -> usize {
        self.sources.iter().map(|source| source.path.len() + source.text.len()).sum()
    }
}

/// The number in a revision's file name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// What a configuration was made of.
#[must_use]
pub fn texts(loaded: &Loaded) -> Vec<Source> {
    loaded.sources().to_vec()
}

/// A configuration made of what an earlier one was made of.
pub fn loaded(sources: &[Source]) -> Result<Loaded, config::Error> {
    config::of_sources(sources.to_vec())
}

/// The sum that tells whether two say the same. Where the files lay is no part of it.
#[must_use]
pub fn sum(sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    for Source { text, .. } in sources {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
