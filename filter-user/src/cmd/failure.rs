//! How a command ends: exit codes, and errors for people and for programs.

use std::{
    io::{self, Write as _},
    panic,
    process::ExitCode,
};

use serde::Serialize;

use crate::config::{self, Record};

/// What went wrong, in a word; each has an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No, not found, or an error that has no code of its own.
    Failed,
    /// The command line.
    Usage,
    /// Nobody answers on the control socket.
    DaemonUnreachable,
    /// The system refuses.
    Permission,
    /// The configuration.
    ConfigInvalid,
    /// It would do harm.
    GuardRail,
    /// It was done and taken back.
    RolledBack,
    /// Some of it was done.
    Partial,
}

impl Kind {
    /// The process' exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::DaemonUnreachable => 3,
            Self::Permission => 4,
            Self::ConfigInvalid => 5,
            Self::GuardRail => 6,
            Self::RolledBack => 7,
            Self::Partial => 8,
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Failed => "floodwall doctor tells what this host lacks; the daemon's log may tell more",
            Self::Usage => "floodwall --help",
            Self::DaemonUnreachable => "start it with: floodwall run --config FILE, or name its --socket",
            Self::Permission => "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
            Self::ConfigInvalid => "floodwall config check --config FILE",
            Self::GuardRail => "floodwall doctor tells what is in the way",
            Self::RolledBack => "floodwall status tells why",
            Self::Partial => "what is refused is told line by line",
        }
    }
}

/// An error whose kind is known where it arises.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// What happened, and where.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Failure {
    /// A failure.
    pub fn new(kind: Kind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}

/// The body of an error, as `--json` prints it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Body {
    /// Exit code.
    pub code: u8,
    /// What went wrong, in a word.
    pub kind: Kind,
    /// What happened, and where.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Places in the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Record>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    schema: u32,
    error: &'a Body,
}

impl Body {
    /// Finds out what kind of error this is.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        if let Some(Failure { kind, hint, .. }) = error.downcast_ref::<Failure>() {
            return Self::new(*kind, format!("{error:#}"), hint.clone());
        }
        if let Some(invalid) = error.downcast_ref::<config::Error>() {
            return Self::of_config(invalid);
        }
        let kind = if error.chain().any(is_permission) { Kind::Permission } else { Kind::Failed };
        Self::new(kind, format!("{error:#}"), kind.hint().to_owned())
    }

    fn new(kind: Kind, message: String, hint: String) -> Self {
        Self { code: kind.code(), kind, message, hint, diagnostics: Vec::new() }
    }

    fn of_config(error: &config::Error) -> Self {
        match error {
            config::Error::Unreadable { path, .. } => {
                let hint = format!("is {path} there and readable? --config FILE names another one");
                Self::new(Kind::ConfigInvalid, error.to_string(), hint)
            }
            config::Error::Invalid(report) => {
                let diagnostics = report.records();
                let first = diagnostics.first().map_or(String::new(), |d| format!(": {}", d.message));
                let file = diagnostics.first().map_or(report.path(), |d| &d.file);
                let message = format!("{file} is refused{first}");
                let hint = diagnostics.first().and_then(|d| d.hint.clone());
                let hint = hint.unwrap_or_else(|| Kind::ConfigInvalid.hint().to_owned());
                Self { diagnostics, ..Self::new(Kind::ConfigInvalid, message, hint) }
            }
        }
    }

    /// The error as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Envelope { schema: 1, error: self }).unwrap_or_default()
    }
}

fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    let errno = error.downcast_ref::<nix::Error>();
    io || matches!(errno, Some(nix::Error::EPERM | nix::Error::EACCES))
}

/// Tells about `error` on stderr and returns its exit code.
#[must_use]
pub fn report(error: &anyhow::Error, json: bool, color: bool) -> ExitCode {
    let body = Body::of(error);
    // A reader that went away is no reason to panic.
    let tell = |text: &str| drop(writeln!(io::stderr(), "{text}"));
    if json {
        tell(&body.to_json());
    } else if let Some(config::Error::Invalid(report)) = error.downcast_ref() {
        tell(&report.render(color));
    } else {
        let (red, cyan, off) = if color { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        tell(&format!("{red}error{off}: {}\n{cyan}help{off}: {}", body.message, body.hint));
    }
    ExitCode::from(body.code)
}

/// A mistake of ours is told in two lines, without a stack trace unless `RUST_BACKTRACE` asks for one.
pub(super) fn tell_panics() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            return default(info);
        }
        let place = info.location().map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        let what = info.payload_as_str().unwrap_or("no message");
        let hint = "please report it; the filter goes on by itself";
        let _ = writeln!(io::stderr(), "error: a mistake in floodwall{place}: {what}\nhelp: {hint}");
    }));
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_json_shape_is_the_documented_one() {
        let error = anyhow::Error::new(Failure::new(Kind::GuardRail, "it runs", "stop it"));
        let wanted =
            r#"{"schema":1,"error":{"code":6,"kind":"guard_rail","message":"it runs","hint":"stop it"}}"#;
        assert_eq!(Body::of(&error).to_json(), wanted);
    }

    #[test]
    fn kinds_are_found_below_context() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Err::<(), _>(denied).context("open the map").unwrap_err();
        let body = Body::of(&error);
        assert_eq!((body.code, body.message.starts_with("open the map: ")), (4, true));
        let failure = Failure::new(Kind::DaemonUnreachable, "no answer", "start it");
        let error = Err::<(), _>(failure).context("rotate").unwrap_err();
        assert_eq!(Body::of(&error).code, 3);
        assert_eq!(Body::of(&anyhow::anyhow!("odd")).code, 1);
    }

    #[test]
    fn a_bad_file_is_code_5_with_its_places() {
        let source = config::Source { path: "f.toml".to_owned(), text: "schema = 1\n[daemn]\n".to_owned() };
        let body = Body::of(&config::parse(source).unwrap_err().into());
        assert_eq!(body.code, 5);
        assert!(body.diagnostics.iter().any(|d| (d.line, d.column) == (2, 2)), "{body:?}");
    }
}
