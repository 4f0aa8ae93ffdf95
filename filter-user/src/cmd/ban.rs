//! `floodwall ban ..`

pub(super) mod exchange;

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use hyper::Method;
use ipnet::IpNet;

use self::exchange::{Format, Source};
use super::{
    DryRunArg, PinsArg, client,
    failure::{Body, Failure, Kind},
    output::Output,
    ssh,
    times::{Ttl, ttl},
};
use crate::{
    config::lists::file,
    daemon::bans::{Add, Added, CHUNK, Delete, Deleted, Import, Note, Refusal, Report, Shown},
    dataplane::monotonic,
};

/// `floodwall ban ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Drop all packets of these sources for a while; who is banned already stays so until the new end
    #[command(after_help = "Examples:\n  floodwall ban add 192.31.196.9 --ttl 1h --reason scanner\n  \
                                 floodwall ban add --dry-run --file bad.txt --ttl 7d")]
    Add(AddArgs),
    /// End bans before their time
    #[command(after_help = "Examples:\n  floodwall ban del 192.31.196.9\n  floodwall ban del --file bad.txt")]
    Del(DelArgs),
    /// Show the bans in force
    #[command(
        after_help = "Examples:\n  floodwall ban list\n  floodwall ban list --json | jq -r .bans[].prefix"
    )]
    List(ListArgs),
    /// Tell whether an address is banned, by what, for how long; code 1 when it is not
    #[command(after_help = "Examples:\n  floodwall ban test 192.31.196.9")]
    Test(TestArgs),
    /// Ban what is in a file, each entry with its own time and reason
    #[command(
        after_help = "Examples:\n  floodwall ban import bans.jsonl\n  ipset save crowdsec | floodwall ban import - \\\n    --ttl 4h"
    )]
    Import(Source),
    /// Write the bans in force to stdout
    #[command(
        after_help = "Examples:\n  floodwall ban export > bans.jsonl\n  floodwall ban export --format ipset | ipset restore"
    )]
    Export(ExportArgs),
}

/// `floodwall ban add`
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    whom: Whom,
    /// How long, as 90s, 5m, 1h, 7d; or forever [default: ban.ttl (1h), longer for those who were banned before]
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    ttl: Option<Ttl>,
    /// Why, for whoever looks at the list; 32 bytes are kept
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// More about it, up to 200 bytes: a ticket, a name
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    #[command(flatten)]
    dry: DryRunArg,
}

/// `floodwall ban del`
#[derive(Debug, clap::Args)]
pub struct DelArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    dry: DryRunArg,
}

/// Addresses and prefixes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Whom {
    /// IPv4 addresses, IPv6 /64s (up to limits.bans), other prefixes and IPv6 addresses (up to limits.banned_prefixes)
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    entries: Vec<IpNet>,
    /// A file with one of them a line; # and ; begin comments
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// `floodwall ban list`
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only bans that overlap these addresses
    #[arg(long, value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    within: Option<IpNet>,
    #[command(flatten)]
    pins: PinsArg,
}

/// `floodwall ban export`
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Its form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    pins: PinsArg,
}

/// `floodwall ban test`
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// An address
    address: IpAddr,
    #[command(flatten)]
    pins: PinsArg,
}

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add(args) => add(args, socket, out),
        Command::Del(args) => del(args, socket, out),
        Command::List(args) => list(args, socket, out),
        Command::Test(args) => test(args, socket, out),
        Command::Import(args) => import(args, socket, out),
        Command::Export(args) => export(args, socket, out),
    }
}

impl Whom {
    /// All of them without host bits.
    fn read(&self, out: Output) -> anyhow::Result<Vec<IpNet>> {
        let mut all = self.entries.clone();
        if let Some(path) = &self.file {
            let wrong = |why: String| Failure::new(Kind::Usage, why, "one address or prefix a line");
            let bytes = file::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
            for entry in file::entries(&bytes) {
                let place = |why| wrong(format!("{}:{}: {why}", path.display(), entry.line));
                all.push(entry.prefix.map_err(place)?);
            }
        }
        let odd = all.iter().filter(|net| **net != net.trunc()).count();
        if odd > 0 {
            out.note(&format!("{odd} with bits beyond their length: read as the networks around them"));
        }
        Ok(all.iter().map(IpNet::trunc).collect())
    }
}

fn add(args: &AddArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let dry_run = args.dry.dry_run;
    let request = Add {
        ttl_seconds: args.ttl.and_then(|ttl| ttl.0).map(|ttl| ttl.as_secs()),
        forever: args.ttl == Some(Ttl(None)),
        reason: args.reason.clone(),
        comment: args.comment.clone(),
        dry_run,
        ssh: ssh::connection(),
        ..Add::default()
    };
    let all = in_chunks(&args.whom.read(out)?, out, |entries| {
        let request = Add { entries: entries.to_vec(), ..request.clone() };
        client::send(socket, Method::POST, "/v1/bans", &request)
    })?;
    tell(&all, dry_run, out)
}

/// One request after the other, and what they came to together.
fn in_chunks<T>(
    all: &[T],
    out: Output,
    send: impl Fn(&[T]) -> anyhow::Result<Added>,
) -> anyhow::Result<Added> {
    let mut sum = Added { schema: 1, ..Added::default() };
    let progress = out.progress(all.len());
    for part in all.chunks(CHUNK) {
        let added = send(part)?;
        sum.made += added.made;
        sum.replaced += added.replaced;
        sum.escalated += added.escalated;
        sum.refused += added.refused;
        sum.refusals.extend(added.refusals);
        progress.inc(part.len() as u64);
    }
    progress.finish_and_clear();
    Ok(sum)
}

fn tell(all: &Added, dry_run: bool, out: Output) -> anyhow::Result<ExitCode> {
    if let (Some(first), 0) = (all.refusals.first(), all.made + all.replaced) {
        return Err(failure(first, all.refused).into());
    }
    out.print(all, |all| {
        let would = if dry_run { "would be " } else { "" };
        let mut text = format!("{} {would}banned, {} of them anew", all.made + all.replaced, all.made);
        if all.escalated > 0 {
            let _ = write!(text, ", {} for longer: not for the first time", all.escalated);
        }
        for Refusal { message, .. } in all.refusals.iter().take(20) {
            let _ = write!(text, "\nrefused: {message}");
        }
        if all.refused > 0 {
            let _ = write!(text, "\n{} refused in all", all.refused);
        }
        text
    })?;
    Ok(ExitCode::from(if all.refused > 0 { Kind::Partial.code() } else { 0 }))
}

/// Nothing was done.
fn failure(first: &Refusal, refused: u64) -> Failure {
    let kind = if first.full { Kind::Failed } else { Kind::GuardRail };
    let more = if refused > 1 { format!(" (and {} more)", refused - 1) } else { String::new() };
    Failure::new(kind, format!("{}{more}", first.message), first.hint.clone())
}

fn del(args: &DelArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let mut all = Deleted { schema: 1, ..Deleted::default() };
    let dry_run = args.dry.dry_run;
    let whom = args.whom.read(out)?;
    let progress = out.progress(whom.len());
    for entries in whom.chunks(CHUNK) {
        let request = Delete { entries: entries.to_vec(), dry_run };
        let deleted: Deleted = client::send(socket, Method::POST, "/v1/bans/delete", &request)?;
        all.removed += deleted.removed;
        all.absent += deleted.absent;
        progress.inc(entries.len() as u64);
    }
    progress.finish_and_clear();
    let ended = if dry_run { "bans would end" } else { "bans ended" };
    out.print(&all, |all| match all.absent {
        0 => format!("{} {ended}", all.removed),
        absent => format!("{} {ended}, {absent} were none: floodwall ban list shows them", all.removed),
    })?;
    Ok(ExitCode::from(u8::from(all.removed == 0)))
}

fn import(source: &Source, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let (dry_run, ssh) = (source.dry.dry_run, ssh::connection());
    let all = in_chunks(&source.read()?, out, |bans| {
        let request = Import { schema: 1, bans: bans.to_vec(), dry_run, ssh: ssh.clone() };
        client::send(socket, Method::POST, "/v1/bans/import", &request)
    })?;
    tell(&all, dry_run, out)
}

fn export(args: &ExportArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let report = all(&args.pins.pins, socket, None, out)?;
    let format = if out.json { Format::Json } else { args.format };
    exchange::write(&report, format)?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    show(&all(&args.pins.pins, socket, args.within, out)?, "nobody is banned", out)?;
    Ok(ExitCode::SUCCESS)
}

fn test(args: &TestArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let whom = IpNet::from(args.address);
    let report = match super::status::open(&args.pins.pins) {
        Ok(dataplane) => {
            let (bans, now) = (dataplane.bans_holding(args.address)?, monotonic()?);
            let bans: Vec<_> = bans.iter().map(|banned| Shown::new(banned, now)).collect();
            commented(Report { schema: 1, total: bans.len() as u64, bans }, socket)
        }
        Err(error) => from_daemon(error, socket, Some(whom), out)?,
    };
    show(&report, &format!("{} is not banned", args.address), out)?;
    Ok(ExitCode::from(u8::from(report.bans.is_empty())))
}

pub(super) fn show(report: &Report, none: &str, out: Output) -> anyhow::Result<()> {
    out.print(report, |report| match &report.bans[..] {
        [] => none.to_owned(),
        bans => bans.iter().map(Shown::text).collect::<Vec<_>>().join("\n"),
    })
}

/// All bans, from the tables themselves: that works without a daemon.
fn all(pins: &Path, socket: &Path, within: Option<IpNet>, out: Output) -> anyhow::Result<Report> {
    let dataplane = match super::status::open(pins) {
        Ok(dataplane) => dataplane,
        Err(error) => return from_daemon(error, socket, within, out),
    };
    let (mut bans, now) = (Vec::new(), monotonic()?);
    dataplane.each_ban(|banned| {
        let prefix = banned.prefix;
        if within.is_none_or(|within| within.contains(&prefix) || prefix.contains(&within)) {
            bans.push(Shown::new(&banned, now));
        }
        true
    })?;
    bans.sort_unstable_by_key(|ban| ban.prefix);
    Ok(commented(Report { schema: 1, total: bans.len() as u64, bans }, socket))
}

/// For those who may ask the daemon, but not open its maps.
fn from_daemon(
    error: anyhow::Error,
    socket: &Path,
    within: Option<IpNet>,
    out: Output,
) -> anyhow::Result<Report> {
    if Body::of(&error).kind != Kind::Permission {
        return Err(error);
    }
    let within = within.map(|within| format!("&within={within}")).unwrap_or_default();
    let report: Report = client::call(socket, Method::GET, &format!("/v1/bans?limit={CHUNK}{within}"))?;
    if report.total > report.bans.len() as u64 {
        out.note(&format!("the first {} of {} bans; root sees all", report.bans.len(), report.total));
    }
    Ok(report)
}

/// Comments are the daemon's: without one there are none.
fn commented(report: Report, socket: &Path) -> Report {
    let Ok(notes) = client::call::<Vec<Note>>(socket, Method::GET, "/v1/bans/notes") else { return report };
    let mut notes: HashMap<_, _> = notes.into_iter().map(|note| (note.prefix, note.comment)).collect();
    let comment = |ban: Shown| Shown { comment: notes.remove(&ban.prefix).unwrap_or_default(), ..ban };
    Report { bans: report.bans.into_iter().map(comment).collect(), ..report }
}
