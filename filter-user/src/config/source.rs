//! Reads configuration files as if their owner wished us ill.

mod folder;

use std::{
    fs::{File, OpenOptions},
    io,
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

pub use self::folder::{FOLDER, MOST};
use super::Diagnostic;

/// Largest file that is read, in bytes.
pub const LARGEST: u64 = 1 << 20;

/// A configuration file's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its path, fit for a terminal.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A file as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its text, as far as it is any.
    pub source: Source,
    /// Why it is not even parsed; a span counts from this file's beginning.
    pub fault: Option<Diagnostic>,
}

impl From<Source> for Found {
    fn from(source: Source) -> Self {
        Self { source, fault: None }
    }
}

impl Found {
    /// A file without text, at fault as a whole.
    fn unfit(path: String, message: String, hint: &str) -> Self {
        let fault = Some(Diagnostic::error(0..0, message).hint(hint));
        Self { source: Source { path, text: String::new() }, fault }
    }
}

/// A path without control characters or bytes that are no UTF-8.
#[must_use]
pub fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// Somebody else's words, fit for a terminal: without control characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let replace = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(replace).collect()
}

/// The file at `path` and those of `conf.d` beside it, by name; with warnings about what is skipped there. An error is
/// about the file at `path`.
pub fn read_all(path: &Path) -> io::Result<(Vec<Found>, Vec<Diagnostic>)> {
    let main = read(path)?;
    let mut warnings = Vec::new();
    let folder = path.parent().unwrap_or(Path::new("")).join(FOLDER);
    let found = [main].into_iter().chain(folder::read(&folder, &mut warnings)).collect();
    Ok((found, warnings))
}

/// Reads the file at `path`.
fn read(path: &Path) -> io::Result<Found> {
    let file =
        open(path)?.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))?;
    text_of(file, shown(path))
}

/// The regular file at `path`; `None` if it is something else.
fn open(path: &Path) -> io::Result<Option<File>> {
    // Not blocking: a FIFO without a writer would hold us for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

fn text_of(file: File, path: String) -> io::Result<Found> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(decode(path, bytes))
}

fn decode(path: String, bytes: Vec<u8>) -> Found {
    if bytes.len() as u64 > LARGEST {
        let message = format!("{path} is larger than 1 MiB");
        return Found::unfit(path, message, "a configuration has a few kilobytes: is it the right file?");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Source { path, text }.into(),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let fault = Diagnostic::error(at..at + char::REPLACEMENT_CHARACTER.len_utf8(), "invalid UTF-8")
                .label("not UTF-8 from here on")
                .hint("TOML files are UTF-8: convert it, for instance with iconv -t UTF-8");
            Found { source: Source { path, text }, fault: Some(fault) }
        }
    }
}
