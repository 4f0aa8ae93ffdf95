//! `floodwall ban ..`

mod show;

use std::{
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use hyper::Method;
use ipnet::IpNet;

use self::show::Report;
use super::{
    DryRunArg, PinsArg, client,
    failure::{Failure, Kind},
    output::Output,
    ssh,
};
use crate::{
    config::lists::file,
    daemon::bans::{Add, Added, CHUNK, Delete, Deleted, Refusal},
};

/// `floodwall ban ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Drop all packets of these sources for a while; who is banned already stays so until the new end
    #[command(after_long_help = "Examples:\n  floodwall ban add 192.31.196.9 --ttl 1h --reason scanner\n  \
                                 floodwall ban add --dry-run --file bad.txt --ttl 7d")]
    Add(AddArgs),
    /// End bans before their time
    #[command(
        after_long_help = "Examples:\n  floodwall ban del 192.31.196.9\n  floodwall ban del --file bad.txt"
    )]
    Del(DelArgs),
    /// Show the bans in force
    #[command(
        after_long_help = "Examples:\n  floodwall ban list\n  floodwall ban list --json | jq -r .bans[].prefix"
    )]
    List(ListArgs),
    /// Tell whether an address is banned, by what, for how long; code 1 when it is not
    #[command(after_long_help = "Examples:\n  floodwall ban test 192.31.196.9")]
    Test(TestArgs),
}

/// `floodwall ban add`
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    whom: Whom,
    /// How long, as 90s, 5m, 1h, 7d; or forever
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: Ttl,
    /// Why, for whoever looks at the list; 32 bytes are kept
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
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

/// How long a ban lasts; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ttl(Option<Duration>);

fn ttl(text: &str) -> Result<Ttl, String> {
    if text == "forever" {
        return Ok(Ttl(None));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err("write 90s, 5m, 1h, 7d or forever".to_owned()),
    };
    let seconds = text[..digits].parse::<u64>().ok().and_then(|value| value.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..) => Ok(Ttl(Some(Duration::from_secs(seconds)))),
        _ => Err("at least 1s".to_owned()),
    }
}

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add(args) => add(args, socket, out),
        Command::Del(args) => del(args, socket, out),
        Command::List(args) => list(args, out),
        Command::Test(args) => test(args, out),
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
    let mut all = Added { schema: 1, ..Added::default() };
    let (ttl_seconds, ssh) = (args.ttl.0.map(|ttl| ttl.as_secs()), ssh::connection());
    let dry_run = args.dry.dry_run;
    let whom = args.whom.read(out)?;
    let progress = out.progress(whom.len());
    for entries in whom.chunks(CHUNK) {
        let (reason, ssh) = (args.reason.clone(), ssh.clone());
        let request = Add { entries: entries.to_vec(), ttl_seconds, reason, dry_run, ssh };
        let added: Added = client::send(socket, Method::POST, "/v1/bans", &request)?;
        all.made += added.made;
        all.replaced += added.replaced;
        all.refused += added.refused;
        all.refusals.extend(added.refusals);
        progress.inc(entries.len() as u64);
    }
    progress.finish_and_clear();
    if let (Some(first), 0) = (all.refusals.first(), all.made + all.replaced) {
        return Err(failure(first, all.refused).into());
    }
    out.print(&all, |all| {
        let would = if dry_run { "would be " } else { "" };
        let mut text = format!("{} {would}banned, {} of them anew", all.made + all.replaced, all.made);
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

fn list(args: &ListArgs, out: Output) -> anyhow::Result<ExitCode> {
    let dataplane = super::status::open(&args.pins.pins)?;
    let mut bans = Vec::new();
    dataplane.each_ban(|banned| {
        bans.push(banned);
        true
    })?;
    bans.sort_unstable_by_key(|banned| banned.prefix);
    out.print(&Report::new(&bans)?, |report| report.text("nobody is banned"))?;
    Ok(ExitCode::SUCCESS)
}

fn test(args: &TestArgs, out: Output) -> anyhow::Result<ExitCode> {
    let bans = super::status::open(&args.pins.pins)?.bans_holding(args.address)?;
    let none = format!("{} is not banned", args.address);
    out.print(&Report::new(&bans)?, |report| report.text(&none))?;
    Ok(ExitCode::from(u8::from(bans.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let seconds = |text| ttl(text).map(|ttl| ttl.0.map(|ttl| ttl.as_secs()));
        assert_eq!(seconds("90s"), Ok(Some(90)));
        assert_eq!(seconds("7d"), Ok(Some(604_800)));
        assert_eq!(seconds("forever"), Ok(None));
        for wrong in
            ["", "1", "s", "0s", "+1s", "1.5h", "99999999999999999999s", "999999999999999999d", "1 h"]
        {
            assert!(ttl(wrong).is_err(), "{wrong}");
        }
    }
}
