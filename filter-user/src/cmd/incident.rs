//! `floodwall incident ..`

use std::{path::Path, process::ExitCode};

use hyper::Method;
use serde::Serialize;
use serde_json::Value;

use super::{
    client,
    failure::{Failure, Kind},
    output::Output,
};
use crate::daemon::incidents::{
    Incident, Incidents, Standing, Summary,
    report::markdown,
    xarf::{self, Reporter},
};

/// `floodwall incident ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List attacks that are kept, the last one first
    #[command(after_help = "Examples:\n  floodwall incident list\n  floodwall incident list --active")]
    List(List),
    /// Show one of them
    #[command(after_help = "Examples:\n  floodwall incident show            the last one\n  \
                           floodwall incident show 20261122T191500Z-3 --json")]
    Show(Show),
    /// Print one of them as a report, or as reports for those whose hosts took part
    #[command(after_help = EXPORT)]
    Export(Export),
}

const EXPORT: &str = "\
xarf prints a JSON array of XARF 4 reports, one for each prefix with a source that completed more than detect.heavy handshakes a second; \
others are never named: anybody can forge them, and visitors complete handshakes, too. Code 1: there is nobody to name.

Examples:
  floodwall incident export > incident.md
  floodwall incident export 20261122T191500Z-3 --format json
  floodwall incident export --format xarf --org 'Example Inc.' --contact abuse@example.net";

/// `floodwall incident list`
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only attacks that go on
    #[arg(long)]
    active: bool,
}

/// `floodwall incident show`
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Which
    #[arg(value_name = "ID", default_value = "latest")]
    id: String,
}

/// `floodwall incident export`
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Which
    #[arg(value_name = "ID", default_value = "latest")]
    id: String,
    /// How
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Organization that reports
    #[arg(long, value_name = "NAME", required_if_eq("format", "xarf"))]
    org: Option<String>,
    /// Its mail address
    #[arg(long, value_name = "ADDRESS", required_if_eq("format", "xarf"))]
    contact: Option<String>,
    /// Its domain [default: that of the mail address]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    #[default]
    Markdown,
    /// All of it
    Json,
    /// XARF 4
    Xarf,
}

/// What `--json` prints of a report.
#[derive(Serialize)]
struct Exported {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reports: Option<Vec<Value>>,
}

/// Does it. Code 1 where there is none to tell of.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(args, socket, out),
        Command::Show(args) => {
            out.print(&get(socket, &args.id)?, Incident::text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Export(args) => export(args, socket, out),
    }
}

fn list(args: &List, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let mut all: Incidents = client::call(socket, Method::GET, "/v1/incidents")?;
    all.incidents.retain(|incident| !args.active || incident.state == Standing::Active);
    out.print(&all, |all| {
        if all.incidents.is_empty() {
            return "no incident".to_owned();
        }
        let lines: Vec<_> = all.incidents.iter().map(Summary::text).collect();
        Summary::HEAD.to_owned() + &lines.join("\n")
    })?;
    Ok(ExitCode::from(u8::from(all.incidents.is_empty())))
}

fn get(socket: &Path, id: &str) -> anyhow::Result<Incident> {
    let is_fine = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let wrong =
        || Failure::new(Kind::Usage, format!("{id:?} is no id"), "floodwall incident list shows them");
    anyhow::ensure!(is_fine && !id.is_empty(), wrong());
    client::call(socket, Method::GET, &format!("/v1/incidents/{id}"))
}

fn export(args: &Export, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let incident = get(socket, &args.id)?;
    let whole = Output { json: true, ..out };
    match args.format {
        Format::Json => whole.print(&incident, |_| String::new())?,
        Format::Markdown => {
            let exported = Exported { schema: 1, markdown: Some(markdown(&incident)), reports: None };
            out.print(&exported, |exported| exported.markdown.clone().unwrap_or_default())?;
        }
        Format::Xarf => {
            let reports = xarf::reports(&incident, &reporter(args)?);
            let is_empty = reports.is_empty();
            if is_empty {
                out.note("no source of this attack is proven and heavy (detect.heavy), or only pseudonyms are kept: there is nobody to report");
            }
            if out.json {
                out.print(&Exported { schema: 1, markdown: None, reports: Some(reports) }, |_| {
                    String::new()
                })?;
            } else {
                whole.print(&reports, |_| String::new())?;
            }
            return Ok(ExitCode::from(u8::from(is_empty)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn reporter(args: &Export) -> anyhow::Result<Reporter> {
    let contact = args.contact.clone().unwrap_or_default();
    let domain = args.domain.clone().or_else(|| Some(contact.rsplit_once('@')?.1.to_owned()));
    let domain = domain.filter(|domain| !domain.is_empty());
    let failure =
        || Failure::new(Kind::Usage, format!("{contact:?} is no mail address"), "write abuse@example.net");
    Ok(Reporter { org: args.org.clone().unwrap_or_default(), domain: domain.ok_or_else(failure)?, contact })
}
