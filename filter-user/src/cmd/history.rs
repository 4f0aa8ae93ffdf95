//! `floodwall history` and `floodwall diff`

use std::{fmt::Write as _, path::Path, process::ExitCode};

use hyper::Method;
use serde::Serialize;
use similar::TextDiff;

use super::{
    client,
    failure::{Failure, Kind},
    output::Output,
    times::roughly,
};
use crate::{
    config::Source,
    daemon::{
        commit::{Line, One, Revisions, Standing},
        deadline::wall,
        ledger::Revision,
    },
};

/// `floodwall history`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  floodwall history\n\n* is in force, ? waits to be confirmed.")]
pub struct Args {}

/// `floodwall diff`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  floodwall diff          what the last change was\n  \
                        floodwall diff 38       from revision 38 to what is in force\n  \
                        floodwall diff 38 41\n\nCode 1: they say different things, 0: the same.")]
pub struct DiffArgs {
    /// From [default: the revision before]
    #[arg(value_name = "REV")]
    from: Option<u64>,
    /// To [default: what is in force]
    #[arg(value_name = "REV")]
    to: Option<u64>,
}

/// Lists the revisions, the latest last.
pub fn run(_: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let revisions: Revisions = client::call(socket, Method::GET, "/v1/revisions")?;
    let now = wall();
    out.print(&revisions, |revisions| {
        let mut text = format!("{:>6}  {:<9} {:>6}  {:<16} comment\n", "rev", "age", "user", "how");
        for line in &revisions.revisions {
            let _ = writeln!(text, "{}", shown(line, now));
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

fn shown(line: &Line, now: u64) -> String {
    let mark = if line.pending { '?' } else { ['.', '*'][usize::from(line.active)] };
    let user = line.uid.map_or("-".to_owned(), |uid| uid.to_string());
    let comment: String = line.comment.chars().take(34).collect();
    let (number, age, how) = (line.number, roughly(now.saturating_sub(line.time)), &line.how);
    format!("{mark}{number:>5}  {age:<9} {user:>6}  {how:<16} {comment}").trim_end().to_owned()
}

#[derive(Serialize)]
struct Difference {
    schema: u32,
    from: u64,
    to: u64,
    differs: bool,
    /// As `diff -u` prints it.
    unified: String,
}

/// Shows what changed between two revisions.
pub fn diff(args: &DiffArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let to = match args.to {
        Some(number) => number,
        None => client::call::<Standing>(socket, Method::GET, "/v1/commit")?.revision,
    };
    let from = match args.from {
        Some(number) => number,
        None => before(socket, to)?,
    };
    let get = |number| client::call::<One>(socket, Method::GET, &format!("/v1/revisions/{number}"));
    let unified = unified(&get(from)?.revision, &get(to)?.revision);
    let difference = Difference { schema: 1, from, to, differs: !unified.is_empty(), unified };
    out.print(&difference, |d| {
        if d.differs { painted(&d.unified, out) } else { format!("revisions {from} and {to} say the same") }
    })?;
    Ok(ExitCode::from(u8::from(difference.differs)))
}

fn before(socket: &Path, number: u64) -> anyhow::Result<u64> {
    let known: Revisions = client::call(socket, Method::GET, "/v1/revisions")?;
    let earlier = known.revisions.iter().rev().find(|line| line.number < number);
    let failure =
        || Failure::new(Kind::Failed, "there is no earlier revision", "floodwall history lists them");
    Ok(earlier.ok_or_else(failure)?.number)
}

/// File by file; one that is missing on a side is empty there.
fn unified(from: &Revision, to: &Revision) -> String {
    let mut paths: Vec<&str> =
        from.sources.iter().chain(&to.sources).map(|text| text.path.as_str()).collect();
    // The main file may have another name on each side.
    let pair = |revision: &Revision| revision.sources.first().map(|first| first.path.clone());
    if let (Some(old), Some(new)) = (pair(from), pair(to))
        && old != new
        && from.sources.len() == 1
        && to.sources.len() == 1
    {
        return one(from.number, from.sources.first(), to.number, to.sources.first());
    }
    let mut seen = std::collections::BTreeSet::new();
    paths.retain(|path| seen.insert(*path));
    let find = |revision: &'_ Revision, path: &str| revision.sources.iter().find(|t| t.path == path).cloned();
    let files = paths
        .iter()
        .map(|path| one(from.number, find(from, path).as_ref(), to.number, find(to, path).as_ref()));
    files.collect()
}

fn one(from: u64, old: Option<&Source>, to: u64, new: Option<&Source>) -> String {
    let text = |side: Option<&Source>| side.map_or(String::new(), |side| side.text.clone());
    let name = |number, side: Option<&Source>| match side {
        Some(side) => format!("{} (revision {number})", side.path),
        None => "/dev/null".to_owned(),
    };
    let (before, after) = (text(old), text(new));
    let diff = TextDiff::from_lines(&before, &after);
    let mut unified = diff.unified_diff();
    unified.header(&name(from, old), &name(to, new)).to_string()
}

/// Control characters of a file do nothing to the terminal.
fn painted(unified: &str, out: Output) -> String {
    let mut text = String::new();
    for line in unified.lines() {
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let line = match line.as_bytes().first() {
            Some(b'+') => out.paint(32, &line),
            Some(b'-') => out.paint(31, &line),
            Some(b'@') => out.paint(36, &line),
            _ => line,
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::ledger::How;

    fn revision(number: u64, files: &[(&str, &str)]) -> Revision {
        let sources =
            files.iter().map(|(path, text)| Source { path: (*path).into(), text: (*text).into() }).collect();
        let (comment, sha256) = (String::new(), String::new());
        Revision { number, time: 0, uid: None, how: How::Apply, comment, sha256, sources }
    }

    #[test]
    fn files_are_compared_by_name() {
        let from = revision(1, &[("f.toml", "a = 1\nb = 2\n"), ("conf.d/x.toml", "x = 1\n")]);
        let to = revision(2, &[("f.toml", "a = 1\nb = 3\n"), ("conf.d/y.toml", "y = 1\n")]);
        let text = unified(&from, &to);
        for line in [
            "--- f.toml (revision 1)",
            "+++ f.toml (revision 2)",
            "-b = 2",
            "+b = 3",
            "+++ /dev/null",
            "-x = 1",
            "+++ conf.d/y.toml (revision 2)",
            "+y = 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(unified(&from, &from), "");
        let renamed = revision(3, &[("/etc/floodwall/try.toml", "a = 2\n")]);
        let text = unified(&revision(1, &[("f.toml", "a = 1\n")]), &renamed);
        assert!(text.contains("-a = 1\n+a = 2\n"), "{text}");
    }

    #[test]
    fn lines_fit() {
        let line = Line {
            number: 12345,
            time: 0,
            uid: Some(1000),
            how: "reverted to 12344".to_owned(),
            comment: "x".repeat(200),
            sha256: String::new(),
            active: true,
            pending: false,
        };
        let text = shown(&line, 100_000);
        assert!(text.starts_with("*12345  27 h") && text.len() <= 80, "{text}");
    }
}
