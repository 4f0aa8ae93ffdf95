//! From TOML files to what the data path understands.
//!
//! The major components are:
//! - [`source`]: reads the file and those of `conf.d` beside it, with limits.
//! - `merge`: several files as one; [`place`]: which file and line a place is in.
//! - [`schema`]: the tables and knobs, each declared once; [`rule`] and [`value`] say what a knob accepts.
//! - [`profile`]: presets for services.
//! - [`validate`]: what no single knob can know (a port in two services).
//! - [`host`]: the facts about this machine; the only thing here that looks at it.
//! - `accepts`: what a rule accepts.
//! - [`compile`]: settings and facts to a [`crate::dataplane::Plan`].
//! - [`mod@fit`]: both of the last, with all that is in the way.
//! - [`lists`]: the prefixes of allow and block lists, from the file and from those that it names.
//! - [`effective`]: every knob's value, and where it is from; [`json_schema`]: the schema for editors;
//!   [`changes`]: what differs between two.
//! - [`diagnostic`]: what is wrong, with line, column, caret and hint.

mod accepts;
pub mod changes;
pub mod compile;
pub mod diagnostic;
pub mod effective;
pub mod fit;
pub mod host;
pub mod json_schema;
pub mod lists;
mod merge;
pub mod place;
pub mod profile;
pub mod rule;
pub mod schema;
pub mod source;
pub mod validate;
pub mod value;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod folder_tests;
#[cfg(test)]
mod tests;

use std::{ops::Range, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use self::{
    compile::mapped,
    diagnostic::{Diagnostic, Record, Severity},
    effective::Effective,
    fit::fit,
    host::Host,
    schema::{Mode, Settings},
    source::Source,
};
use self::{diagnostic::Problems, rule::Section as _, source::Found};
use crate::{dataplane::plan::Lists, feed::Feeds};

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

/// The files with all that is to be said about them.
#[derive(Clone, Debug)]
pub struct Report {
    /// The main file and those of `conf.d`, in order.
    pub sources: Vec<Source>,
    /// Complaints, errors first.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// The main file's path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.sources.first().map_or("", |source| &source.path)
    }

    /// As a compiler would print it.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        diagnostic::render(&self.sources, &self.diagnostics, color)
    }

    /// The same for programs.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.diagnostics.iter().map(|d| Record::new(d, &self.sources)).collect()
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// Its files and warnings about them; without errors.
    pub report: Report,
    /// What its lists hold; `None` until they are read.
    pub lists: Option<Arc<Lists>>,
    /// What feeds add to them; the daemon's to fill in.
    pub feeds: Feeds,
}

impl Loaded {
    /// Its files: [`of_sources`] makes the same of them.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.report.sources
    }
}

/// Reads and validates the file at `path` and those of `conf.d` beside it.
pub fn load(path: &Path) -> Result<Loaded, Error> {
    let (found, warnings) =
        source::read_all(path).map_err(|reason| Error::Unreadable { path: source::shown(path), reason })?;
    of_found(found, warnings)
}

/// Validates files' texts; the first is the main file's. Nothing is read from the disk.
pub fn of_sources(sources: Vec<Source>) -> Result<Loaded, Error> {
    of_found(sources.into_iter().map(Found::from).collect(), Vec::new())
}

/// Validates the text of a configuration of one file.
pub fn parse(source: Source) -> Result<Loaded, Error> {
    of_sources(vec![source])
}

fn of_found(found: Vec<Found>, warnings: Vec<Diagnostic>) -> Result<Loaded, Error> {
    let mut problems = Problems::default();
    problems.extend(warnings);
    let (sources, faults): (Vec<_>, Vec<_>) = found.into_iter().map(|file| (file.source, file.fault)).unzip();
    let settings = read(&sources, faults, &mut problems);
    let refused = problems.any_error();
    let report = Report { sources, diagnostics: problems.into_sorted() };
    match settings {
        Some(settings) if !refused => Ok(Loaded { settings, report, lists: None, feeds: Feeds::default() }),
        _ => Err(Error::Invalid(Box::new(report))),
    }
}

fn read(sources: &[Source], faults: Vec<Option<Diagnostic>>, problems: &mut Problems) -> Option<Settings> {
    let (all, sound) = joined(sources, faults, problems);
    if !sound {
        tell_of_the_rest(&all, problems);
        return None;
    }
    let mut settings = Settings::read(&all, 0..0, problems)?;
    validate::settings(&mut settings, problems);
    Some(settings)
}

/// All files as one table, and whether each is TOML and without a fault.
fn joined<'a>(
    sources: &'a [Source],
    faults: Vec<Option<Diagnostic>>,
    problems: &mut Problems,
) -> (DeTable<'a>, bool) {
    let (mut all, mut sound) = (DeTable::new(), true);
    let faults = faults.into_iter().chain(std::iter::repeat(None));
    for ((base, source), fault) in place::bases(sources).zip(faults) {
        match fault.map_or_else(|| table(&source.text), |fault| Err(vec![fault])) {
            Ok(table) => merge::file(&mut all, merge::moved(table, base), problems),
            Err(faults) => {
                sound = false;
                problems.extend(faults.into_iter().map(|fault| fault.moved(base)));
            }
        }
    }
    (all, sound)
}

/// What is wrong in the files that are TOML; what is missing from all of them may be in the others.
fn tell_of_the_rest(table: &DeTable<'_>, problems: &mut Problems) {
    let mut found = Problems::default();
    Settings::read(table, 0..0, &mut found);
    let written = |diagnostic: &Diagnostic| diagnostic.span.as_ref().is_some_and(|span| !span.is_empty());
    problems.extend(found.into_sorted().into_iter().filter(written));
}

fn table(text: &str) -> Result<DeTable<'_>, Vec<Diagnostic>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(text, error)).collect());
    }
    match table.as_ref().values().find_map(|value| deep(value, DEEPEST)) {
        None => Ok(table.into_inner()),
        Some(span) => Err(vec![Diagnostic::error(span, "nested too deeply").hint(DEEP_HINT)]),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Diagnostic {
    match error.span() {
        Some(span) => Diagnostic::error(span, error.message().replace('\n', "; ")),
        // Its only complaint without a place: a key of 80 parts and more.
        None => Diagnostic::error(most_dots(text), "a key of too many parts").hint(DEEP_HINT),
    }
}

/// Levels of tables and arrays. The parser bounds a key's parts and the brackets around it, but not the product.
const DEEPEST: usize = 100;

const DEEP_HINT: &str = "is it the right file? a configuration has three levels";

/// What is deeper than that many levels.
fn deep(value: &Spanned<DeValue<'_>>, levels: usize) -> Option<Range<usize>> {
    match value.as_ref() {
        DeValue::Table(_) | DeValue::Array(_) if levels == 0 => Some(value.span()),
        DeValue::Table(table) => table.values().find_map(|value| deep(value, levels - 1)),
        DeValue::Array(items) => items.iter().find_map(|value| deep(value, levels - 1)),
        _ => None,
    }
}

/// The line with the most dots.
fn most_dots(text: &str) -> Range<usize> {
    let dots = |line: &str| line.bytes().filter(|byte| *byte == b'.').count();
    let lines = text.split_inclusive('\n').scan(0, |at, line| {
        *at += line.len();
        Some((dots(line), *at - line.len()))
    });
    let (_, start) = lines.max().unwrap_or_default();
    start..start + 1
}
