//! From a TOML file to what the data path understands.
//!
//! The major components are:
//! - [`source`]: reads the file, with limits.
//! - [`schema`]: the tables and knobs, each declared once; [`rule`] and [`value`] say what a knob accepts.
//! - [`profile`]: presets for services.
//! - [`validate`]: what no single knob can know (a port in two services).
//! - [`host`]: the facts about this machine; the only thing here that looks at it.
//! - `accepts`: what a rule accepts.
//! - [`compile`]: settings and facts to a [`crate::dataplane::Plan`].
//! - [`mod@fit`]: both of the last, with all that is in the way.
//! - [`lists`]: the prefixes of allow and block lists, from the file and from those that it names.
//! - [`diagnostic`]: what is wrong, with line, column, caret and hint.

mod accepts;
pub mod compile;
pub mod diagnostic;
pub mod fit;
pub mod host;
pub mod lists;
pub mod profile;
pub mod rule;
pub mod schema;
pub mod source;
pub mod validate;
pub mod value;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use toml::de::DeTable;

use self::{diagnostic::Problems, rule::Section as _};
pub use self::{
    diagnostic::{Diagnostic, Record, Severity},
    fit::fit,
    host::Host,
    schema::{Mode, Settings},
    source::Source,
};
use crate::dataplane::plan::Lists;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        reason: std::io::Error,
    },
    /// The file is wrong, or does not fit this host.
    #[error("{}", .0.render(false))]
    Invalid(Box<Report>),
}

/// A file with all that is to be said about it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub source: Source,
    /// Complaints, errors first.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// As a compiler would print it.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        diagnostic::render(&self.source.path, &self.source.text, &self.diagnostics, color)
    }

    /// The same for programs.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.diagnostics.iter().map(|d| Record::new(d, &self.source.text)).collect()
    }
}

/// A valid file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// Warnings about it; without errors.
    pub report: Report,
    /// What its lists hold; `None` until they are read.
    pub lists: Option<Arc<Lists>>,
}

/// Reads and validates the file at `path`.
pub fn load(path: &Path) -> Result<Loaded, Error> {
    match source::read(path) {
        Ok(source) => parse(source),
        Err(source::Refused::Unreadable(reason)) => {
            Err(Error::Unreadable { path: source::shown(path), reason })
        }
        Err(source::Refused::Unfit(source, diagnostic)) => {
            Err(Error::Invalid(Box::new(Report { source, diagnostics: vec![*diagnostic] })))
        }
    }
}

/// Validates a file's text.
pub fn parse(source: Source) -> Result<Loaded, Error> {
    let mut problems = Problems::default();
    let settings = read(&source.text, &mut problems);
    let refused = problems.any_error();
    let report = Report { source, diagnostics: problems.into_sorted() };
    match settings {
        Some(settings) if !refused => Ok(Loaded { settings, report, lists: None }),
        _ => Err(Error::Invalid(Box::new(report))),
    }
}

fn read(text: &str, problems: &mut Problems) -> Option<Settings> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.push(Diagnostic::error(error.span(), error.message().replace('\n', "; ")));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut settings = Settings::read(table.as_ref(), 0..0, problems)?;
    validate::settings(&mut settings, problems);
    Some(settings)
}
