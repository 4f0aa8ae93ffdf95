//! What commands print.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::ProgressBar;
use serde::Serialize;

/// How to print.
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON object instead of text.
    pub json: bool,
    /// Only what was asked for.
    pub quiet: bool,
    /// 1: more, 2: everything.
    pub verbose: u8,
    /// Colour on stdout.
    pub color: bool,
    /// Colour on stderr.
    pub color_errors: bool,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn on(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

impl Output {
    /// From the command line's flags.
    #[must_use]
    pub fn new(json: bool, quiet: bool, verbose: u8, color: Color) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { json, quiet, verbose, color: color.on(out), color_errors: color.on(err) }
    }

    /// Prints `value` as JSON, or what `text` makes of it. A reader that went away (`| head`) is no error.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { text(value) };
        match writeln!(io::stdout(), "{}", text.trim_end()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Prints a remark to stderr.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // A reader that went away is no reason to panic.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// A bar on stderr for work of so many parts: for people at a terminal who wait for it.
    #[must_use]
    pub fn progress(&self, parts: usize) -> ProgressBar {
        let silent = self.json || self.quiet || !io::stderr().is_terminal();
        if silent { ProgressBar::hidden() } else { ProgressBar::new(parts as u64) }
    }

    /// `text` in a colour: 31 red, 32 green, 33 yellow, 1 bold.
    #[must_use]
    pub fn paint(&self, code: u8, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
