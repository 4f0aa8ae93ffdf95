//! `floodwall feed ..`

use std::{fmt::Write as _, net::IpAddr, path::Path, process::ExitCode};

use hyper::Method;

use super::{
    DryRunArg, client,
    failure::{Failure, Kind},
    output::Output,
    times::roughly,
};
use crate::{
    config::lists::compare::prefixes,
    daemon::feeds::{Line, Lines, One, Outcome, Update, Updated},
};

/// `floodwall feed ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show all feeds, or those that hold an address: state, entries, ages, what was wrong
    #[command(after_help = "Examples:\n  floodwall feed list\n  floodwall feed list 192.31.196.9\n  \
                           floodwall feed list --json | jq -r '.feeds[] | select(.state != \"ok\").name'")]
    List(ListArgs),
    /// Ask feeds for something newer now, and take it into force
    #[command(
        after_help = "Examples:\n  floodwall feed update\n  floodwall feed update drop --dry-run   what would \
                           change\n  floodwall feed update drop --force     although it has lost more than max_shrink"
    )]
    Update(UpdateArgs),
    /// Show one feed, and whether it holds an address; code 1 when it does not
    #[command(after_help = "Examples:\n  floodwall feed show drop\n  floodwall feed show drop 192.31.196.9")]
    Show(ShowArgs),
}

/// `floodwall feed list`
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those that hold it
    address: Option<IpAddr>,
}

/// `floodwall feed update`
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// The feed [default: all of them]
    name: Option<String>,
    /// Take it although it has lost more of its entries than max_shrink allows
    #[arg(long, requires = "name")]
    force: bool,
    #[command(flatten)]
    dry: DryRunArg,
}

/// `floodwall feed show`
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The feed
    name: String,
    /// An address to look for
    address: Option<IpAddr>,
}

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(args, socket, out),
        Command::Update(args) => update(args, socket, out),
        Command::Show(args) => show(args, socket, out),
    }
}

fn list(args: &ListArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let query = args.address.map_or(String::new(), |address| format!("?address={address}"));
    let lines: Lines = client::call(socket, Method::GET, &format!("/v1/feeds{query}"))?;
    out.print(&lines, |lines| match (&lines.feeds[..], args.address) {
        ([], Some(address)) => format!("no feed holds {address}"),
        ([], None) => "there is no [[feed]] in the configuration".to_owned(),
        (feeds, _) => table(feeds),
    })?;
    Ok(ExitCode::from(u8::from(args.address.is_some() && lines.feeds.is_empty())))
}

fn table(feeds: &[Line]) -> String {
    let mut text = format!(
        "{:<20} {:<8} {:>9} {:>9} {:>8} {:>8} {:>8}\n",
        "feed", "state", "ipv4", "ipv6", "left out", "checked", "next"
    );
    for feed in feeds {
        let next = if feed.running { "now".to_owned() } else { ago(feed.next_seconds) };
        let _ = writeln!(
            text,
            "{:<20} {:<8} {:>9} {:>9} {:>8} {:>8} {:>8}",
            short(&feed.name, 20),
            feed.state,
            feed.ranges[0],
            feed.ranges[1],
            feed.counts.wide + feed.counts.bad + feed.counts.other + feed.cut,
            ago(feed.checked_seconds),
            next,
        );
        for line in feed.error.iter().flat_map(|error| wrapped(error)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn update(args: &UpdateArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let request = Update { name: args.name.clone(), dry_run: args.dry.dry_run, force: args.force };
    let updated: Updated = client::send(socket, Method::POST, "/v1/feeds/update", &request)?;
    let bad = |outcome: &&Outcome| matches!(outcome.result.as_str(), "failed" | "refused");
    let failures = updated.feeds.iter().filter(bad).count();
    if let ([only], 1) = (&updated.feeds[..], failures) {
        let why = only.error.as_deref().unwrap_or_default();
        let message = format!("feed {}: {}: {why}", only.name, only.result);
        let kind = if only.result == "refused" { Kind::GuardRail } else { Kind::Failed };
        let hint = "what was in force stays; floodwall feed show NAME tells more";
        return Err(Failure::new(kind, message, hint).into());
    }
    out.print(&updated, |updated| {
        let mut text =
            if updated.dry_run { "dry run, nothing is changed\n".to_owned() } else { String::new() };
        if updated.feeds.is_empty() {
            text += "there is no enabled [[feed]] in the configuration";
        }
        updated.feeds.iter().for_each(|outcome| text += &outcome_text(outcome));
        text
    })?;
    Ok(ExitCode::from(if failures > 0 { Kind::Partial.code() } else { 0 }))
}

fn outcome_text(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}", short(&outcome.name, 32), outcome.result);
    if let Some(error) = &outcome.error {
        for line in wrapped(error) {
            let _ = write!(text, "\n  {line}");
        }
    } else if outcome.result == "changed" {
        let [v4, v6] = outcome.counts.taken;
        let _ = write!(
            text,
            ", {v4} entries of IPv4, {v6} of IPv6\n  ranges: {} added, {} removed",
            outcome.added, outcome.removed
        );
        text += &left_out(&outcome.counts, outcome.cut);
    } else if outcome.result == "running" {
        text += ", it takes longer: floodwall feed list tells how it ends";
    }
    text + "\n"
}

fn left_out(counts: &crate::feed::Counts, cut: u64) -> String {
    let mut text = String::new();
    for (count, what, first) in [
        (counts.wide, "too wide, left out", counts.first_wide.as_deref()),
        (counts.bad, "make no sense, left out", counts.first_bad.as_deref()),
        (counts.odd, "read as the networks around them", None),
        (counts.other, "no bans of addresses, left out", None),
        (cut, "ranges cut: management, ban.never, own, gateways', or no public addresses", None),
    ] {
        if count > 0 {
            let first = first.map_or(String::new(), |first| format!(" (first: {})", short(first, 40)));
            let _ = write!(text, "\n  {count} {what}{first}");
        }
    }
    text
}

fn show(args: &ShowArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    // Whatever cannot be in a name needs no escape: it is not found.
    let name: String = args.name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let address = args.address.map_or(String::new(), |address| format!("&address={address}"));
    let one: One = client::call(socket, Method::GET, &format!("/v1/feeds/show?name={name}{address}"))?;
    out.print(&one, |one| one_text(one, args.address))?;
    Ok(ExitCode::from(u8::from(args.address.is_some() && one.holding.is_none())))
}

fn one_text(one: &One, address: Option<IpAddr>) -> String {
    let feed = &one.feed;
    let mut text = format!("{} ({}), {}\n", feed.name, feed.format, feed.source);
    let force = if feed.in_force { "in force" } else { "not in force" };
    let _ = writeln!(text, "state     {}, {force}", feed.state);
    let [v4, v6] = feed.counts.taken;
    let [ranges_v4, ranges_v6] = feed.ranges;
    let _ =
        writeln!(text, "entries   {v4} of IPv4, {v6} of IPv6; in force {ranges_v4} and {ranges_v6} ranges");
    let (fetched, checked) = (ago(feed.fetched_seconds), ago(feed.checked_seconds));
    let _ = writeln!(
        text,
        "age       fetched {fetched} ago, checked {checked} ago, next in {}",
        ago(feed.next_seconds)
    );
    let looks = feed.looks.by_label().map(|(label, count)| format!("{count} {label}"));
    let _ = write!(text, "looks     {}", looks.join(", "));
    text += &left_out(&feed.counts, feed.cut);
    for line in feed.error.iter().flat_map(|error| wrapped(error)) {
        let _ = write!(text, "\n  {line}");
    }
    match (address, one.holding) {
        (Some(address), None) => {
            let _ = write!(text, "\n{address} is not in it");
        }
        (Some(address), Some((first, last))) => {
            let what = if one.blocked { "blocked" } else { "spared or allowed, not blocked" };
            let _ = write!(text, "\n{address} is in it, in {}: {what}", prefixes(first, last));
        }
        (None, _) => {
            for (first, last) in &one.first {
                let _ = write!(text, "\n  {}", prefixes(*first, *last));
            }
        }
    }
    text
}

fn ago(seconds: Option<u64>) -> String {
    seconds.map_or("-".to_owned(), roughly)
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Lines of at most 76 characters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let length = lines[last].chars().count();
        if length > 0 && length + 1 + word.chars().count() > 76 {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                lines[last].push(' ');
            }
            lines[last] += word;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Counts;

    #[test]
    fn what_is_printed_fits_a_terminal() {
        let line = Line {
            name: "a-name-of-thirty-two-characters-x".to_owned(),
            state: "failing".to_owned(),
            ranges: [1_000_000, 250_000],
            error: Some("words ".repeat(40)),
            checked_seconds: Some(1_000_000),
            counts: Counts { wide: 3, first_wide: Some("0.0.0.0/0".to_owned()), ..Counts::default() },
            ..Line::default()
        };
        let text = table(&[line]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let outcome = Outcome {
            name: "drop".to_owned(),
            result: "changed".to_owned(),
            cut: 2,
            counts: Counts { taken: [1_000_000, 250_000], wide: 1, ..Counts::default() },
            ..Outcome::default()
        };
        let text = outcome_text(&outcome);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
