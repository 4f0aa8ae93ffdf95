//! `floodwall allow ..`

use std::{path::Path, process::ExitCode};

use hyper::Method;
use ipnet::IpNet;

use super::{
    DryRunArg,
    ban::{
        exchange::{self, Format, Source},
        show,
    },
    client,
    output::Output,
    times::{Ttl, ttl},
};
use crate::{
    config::lists::file,
    daemon::{
        allow::{Allow, Allowing, By, Disallow},
        bans::{Deleted, Report, Shown},
    },
};

/// `floodwall allow ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Let all packets of these sources pass for a while, whatever lists, bans, feeds and limits say
    #[command(after_help = "Examples:\n  floodwall allow add 192.31.196.9 --ttl 1h --reason ticket-4711")]
    Add(AddArgs),
    /// Let them pass no longer
    #[command(after_help = "Examples:\n  floodwall allow del 192.31.196.9")]
    Del(DelArgs),
    /// Show who is let through
    #[command(after_help = "Examples:\n  floodwall allow list")]
    List,
    /// Tell whether an address passes before all checks, and by what; code 1 when it does not
    #[command(after_help = "Examples:\n  floodwall allow test 192.31.196.9")]
    Test(TestArgs),
    /// Let through what is in a file: as allow export writes it, or an address or prefix a line
    #[command(after_help = "Examples:\n  floodwall allow import partners.txt --ttl 7d")]
    Import(Source),
    /// Write them to stdout
    #[command(after_help = "Examples:\n  floodwall allow export > allowed.jsonl")]
    Export(ExportArgs),
}

/// `floodwall allow add`
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Addresses and prefixes
    #[arg(required = true, value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    entries: Vec<IpNet>,
    /// How long, as 90s, 5m, 1h, 7d; or forever
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: Ttl,
    /// Why, for whoever looks at the list
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// More about it, up to 200 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    #[command(flatten)]
    dry: DryRunArg,
}

/// `floodwall allow del`
#[derive(Debug, clap::Args)]
pub struct DelArgs {
    /// Addresses and prefixes, exactly as they were let through
    #[arg(required = true, value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    entries: Vec<IpNet>,
    #[command(flatten)]
    dry: DryRunArg,
}

/// `floodwall allow test`
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// An address or a prefix
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = file::prefix)]
    address: IpNet,
}

/// `floodwall allow export`
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Its form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add(args) => {
            let entry = |prefix: &IpNet| Shown {
                prefix: *prefix,
                since_seconds: 0,
                seconds_left: args.ttl.0.map(|ttl| ttl.as_secs()),
                origin: "operator".into(),
                reason: args.reason.clone(),
                comment: args.comment.clone(),
            };
            add(args.entries.iter().map(entry).collect(), args.dry, socket, out)
        }
        Command::Del(args) => del(args, socket, out),
        Command::List => {
            show(&all(socket)?, "nobody is let through: lists.allow is another list", out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Test(args) => test(args, socket, out),
        Command::Import(source) => add(source.read()?, source.dry, socket, out),
        Command::Export(args) => {
            exchange::write(&all(socket)?, if out.json { Format::Json } else { args.format })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn all(socket: &Path) -> anyhow::Result<Report> {
    client::call(socket, Method::GET, "/v1/allow")
}

fn add(entries: Vec<Shown>, dry: DryRunArg, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let DryRunArg { dry_run } = dry;
    let request = Allow { entries, dry_run };
    let done: Allowing = client::send(socket, Method::POST, "/v1/allow", &request)?;
    let would = if dry_run { "would be " } else { "" };
    out.print(&done, |done| {
        format!("{} {would}let through, {} of them anew", done.made + done.replaced, done.made)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn del(args: &DelArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let request = Disallow { entries: args.entries.clone(), dry_run: args.dry.dry_run };
    let done: Deleted = client::send(socket, Method::POST, "/v1/allow/delete", &request)?;
    out.print(&done, |done| {
        let ended = if request.dry_run { "would pass no longer" } else { "pass no longer" };
        format!("{} {ended}, {} were not let through", done.removed, done.absent)
    })?;
    Ok(ExitCode::from(u8::from(done.removed == 0)))
}

fn test(args: &TestArgs, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/allow/test?address={}", args.address);
    let found: By = client::call(socket, Method::GET, &path)?;
    out.print(&found, |found| match &found.by[..] {
        [] => format!("{} is judged like any other", args.address),
        by => format!("{} passes by {}", args.address, by.join(", ")),
    })?;
    Ok(ExitCode::from(u8::from(found.by.is_empty())))
}
