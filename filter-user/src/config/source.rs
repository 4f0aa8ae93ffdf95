//! Reads a configuration file as if its owner wished us ill.

use std::{fs::OpenOptions, io, io::Read as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use super::Diagnostic;

/// Largest file that is read, in bytes.
pub const LARGEST: u64 = 1 << 20;

/// A configuration file's text.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its path, fit for a terminal.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Why a file is not even parsed.
#[derive(Debug)]
pub enum Refused {
    /// The system said no.
    Unreadable(io::Error),
    /// Its bytes are no text, or too many.
    Unfit(Source, Box<Diagnostic>),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// A path without control characters or bytes that are no UTF-8.
#[must_use]
pub fn shown(path: &Path) -> String {
    let replace = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    path.to_string_lossy().chars().map(replace).collect()
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<Source, Refused> {
    // Not blocking: a FIFO without a writer would hold us for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file").into());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    decode(shown(path), bytes)
}

fn decode(path: String, bytes: Vec<u8>) -> Result<Source, Refused> {
    if bytes.len() as u64 > LARGEST {
        let error = Diagnostic::error(None, format!("{path} is larger than 1 MiB"))
            .hint("a configuration has a few kilobytes: is it the right file?");
        return Err(Refused::Unfit(Source { path, text: String::new() }, Box::new(error)));
    }
    String::from_utf8(bytes).map(|text| Source { path: path.clone(), text }).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let diagnostic = Diagnostic::error(at..at + char::REPLACEMENT_CHARACTER.len_utf8(), "invalid UTF-8")
            .label("not UTF-8 from here on")
            .hint("TOML files are UTF-8: convert it, for instance with iconv -t UTF-8");
        Refused::Unfit(Source { path, text }, Box::new(diagnostic))
    })
}
