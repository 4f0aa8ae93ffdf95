//! `floodwall notify ..`

use std::{fmt::Write as _, path::Path, process::ExitCode};

use hyper::Method;

use super::{
    client,
    failure::{Failure, Kind},
    output::Output,
    times::roughly,
};
use crate::daemon::notify::{Line, Lines, Trial, Which};

/// `floodwall notify ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show who is told of attacks: what waits, what became of the rest, what was wrong
    #[command(
        after_help = "last: how long ago it took something; repeated: attacks within `repeat` of the one before, that were not told.\n\n\
                           Examples:\n  floodwall notify list\n  \
                           floodwall notify list --json | jq -r '.targets[] | select(.error).name'"
    )]
    List,
    /// Send a notification that says it is a test, to one target or to all
    #[command(after_help = "Code 1: nobody took it; 8: some did.\n\n\
                           Examples:\n  floodwall notify test\n  floodwall notify test ops")]
    Test(TestArgs),
}

/// `floodwall notify test`
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The target [default: all of them]
    name: Option<String>,
}

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => {
            let lines: Lines = client::call(socket, Method::GET, "/v1/notify")?;
            out.print(&lines, |lines| table(&lines.targets))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Test(args) => test(args, socket, out),
    }
}

fn table(targets: &[Line]) -> String {
    if targets.is_empty() {
        return "there is no [[notify]] in the configuration".to_owned();
    }
    let mut text = format!(
        "{:<16} {:<12} {:>7} {:>5} {:>8} {:>6} {:>8} {:>8}\n",
        "target", "kind", "waiting", "sent", "last", "failed", "given up", "repeated"
    );
    for line in targets {
        let Line { kind, to, sent, failed, given_up, deduplicated, .. } = line;
        let name: String = line.name.chars().take(16).collect();
        let waiting = line.waiting + line.held;
        let last = line.sent_seconds.map_or("-".to_owned(), roughly);
        let _ = writeln!(
            text,
            "{name:<16} {kind:<12} {waiting:>7} {sent:>5} {last:>8} {failed:>6} {given_up:>8} {deduplicated:>8}"
        );
        if !to.is_empty() {
            let _ = writeln!(text, "  {to}");
        }
        if let Some(error) = &line.error {
            let again = line.next_seconds.map(|rest| format!("; tried again in {}", roughly(rest)));
            let _ = writeln!(text, "  failed: {error}{}", again.unwrap_or_default());
        }
    }
    text
}

fn test(args: &TestArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let which = Which { name: args.name.clone() };
    let trial: Trial = client::send(socket, Method::POST, "/v1/notify/test", &which)?;
    let failures: Vec<_> =
        trial.targets.iter().filter_map(|tried| Some((&tried.name, tried.error.as_ref()?))).collect();
    if let ([(name, why)], 1) = (&failures[..], trial.targets.len()) {
        let message = format!("notify {name}: {why}");
        return Err(
            Failure::new(Kind::Failed, message, "floodwall notify list shows where it is sent").into()
        );
    }
    out.print(&trial, |trial| {
        if trial.targets.is_empty() {
            return "there is no [[notify]] in the configuration".to_owned();
        }
        let line = |tried: &crate::daemon::notify::Tried| match &tried.error {
            Some(why) => format!("{}: failed: {why}", tried.name),
            None => format!("{}: sent", tried.name),
        };
        trial.targets.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    let all_failed = failures.len() == trial.targets.len();
    Ok(match (failures.is_empty(), all_failed) {
        (true, false) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(Kind::Partial.code()),
        _ => ExitCode::from(Kind::Failed.code()),
    })
}
