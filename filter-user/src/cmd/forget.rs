//! `floodwall forget`

use std::{fmt::Write as _, path::Path, process::ExitCode};

use hyper::Method;
use ipnet::IpNet;

use super::{DryRunArg, client, output::Output};
use crate::{
    config::lists::file,
    daemon::forget::{Forget, Forgotten, Removed},
};

const EXAMPLES: &str = "\
Examples:
  floodwall forget -n 192.31.196.9        what is remembered of somebody?
  floodwall forget 192.31.196.9
  floodwall forget 2620:4f:8000::/48 --json

It reaches sampled packets, attacks, incidents, notifications that wait, comments, who was banned
before, and proofs. Networks wider than what is named stay, as they tell nobody apart; bans in force
and entries of floodwall allow stay, and are told. Whoever goes on sending is remembered again. docs/privacy.md tells what it
does not reach: logs, captures, exports, backups.

Code 0 also if there was nothing; 6: wider than /8 (IPv6: /20).";

/// `floodwall forget`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who; an IPv6 address is its /64
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    source: IpNet,
    #[command(flatten)]
    dry: DryRunArg,
}

/// Does it.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let request = Forget { source: args.source.to_string(), dry_run: args.dry.dry_run };
    let answer: Forgotten = client::send(socket, Method::POST, "/v1/forget", &request)?;
    out.print(&answer, text)?;
    Ok(ExitCode::SUCCESS)
}

/// What it is, and how many.
fn parts(removed: &Removed) -> impl Iterator<Item = (u64, &'static str)> {
    [
        (removed.samples, "sampled packets, in memory"),
        (removed.attack_entries, "entries of attacks, in memory"),
        (removed.incident_entries, "entries of incidents, on the disk"),
        (removed.notices, "entries of notifications that wait"),
        (removed.comments, "comments on bans and allowed prefixes"),
        (removed.offenders, "remembered as banned before"),
        (removed.proofs, "proofs, in the kernel's table"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
}

fn text(answer: &Forgotten) -> String {
    let Forgotten { source, removed, .. } = answer;
    let mut text = match (parts(removed).next(), answer.dry_run) {
        (None, _) => format!("nothing is remembered of {source}"),
        (_, true) => format!("of {source} would be forgotten:"),
        (_, false) => format!("of {source} is forgotten:"),
    };
    for (count, what) in parts(removed) {
        let _ = write!(text, "\n{count:>8}  {what}");
    }
    if !answer.stays.is_empty() {
        text += "\nwhat stays:";
    }
    for stays in &answer.stays {
        let _ = write!(text, "\n  {}: {}", stays.what, stays.hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::forget::Stays;

    #[test]
    fn people_are_told_what_there_was() {
        let answer = |removed, dry_run| Forgotten {
            schema: 1,
            source: "192.31.196.9/32".parse().unwrap(),
            dry_run,
            removed,
            stays: Vec::new(),
        };
        assert_eq!(text(&answer(Removed::default(), false)), "nothing is remembered of 192.31.196.9/32");
        let removed = Removed { samples: 12, incident_entries: 3, incidents: 2, ..Removed::default() };
        let hint = "floodwall ban del 192.31.196.9/32 ends it".to_owned();
        let stays = Stays { what: "the ban of 192.31.196.9/32".to_owned(), hint };
        let told = Forgotten { stays: vec![stays], ..answer(removed, false) };
        assert_eq!(
            text(&told),
            "of 192.31.196.9/32 is forgotten:\n      12  sampled packets, in memory\n       3  entries of incidents, on the \
             disk\nwhat stays:\n  the ban of 192.31.196.9/32: floodwall ban del 192.31.196.9/32 ends it"
        );
        assert!(text(&answer(removed, true)).contains("would be forgotten"));
    }
}
