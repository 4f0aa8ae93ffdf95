//! `floodwall config ..`

mod plan;
mod show;

use std::{path::Path, process::ExitCode};

use serde::Serialize;

use super::{ConfigArg, output::Output};
use crate::config::{self, Host, Record};

/// `floodwall config ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check the file, and that it fits this host; changes nothing
    Check(Check),
    /// Tell what would change if the configuration were applied now; changes nothing
    Plan(plan::Args),
    /// Show the configuration with everything that is not written in it
    Show(show::Show),
    /// Print the JSON Schema of the file, for editors
    #[command(after_help = "Examples:
  floodwall config schema > /etc/floodwall/floodwall.schema.json
  #:schema ./floodwall.schema.json         the file's first line, for editors that know Taplo")]
    Schema,
}

/// `floodwall config check`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  floodwall config check
  floodwall config check --no-host -c edge7.toml   another host's, and its conf.d")]
pub struct Check {
    #[command(flatten)]
    config: ConfigArg,
    /// Check the file alone, as for another host
    #[arg(long)]
    no_host: bool,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    valid: bool,
    file: String,
    /// Those of `conf.d`, in the order in which they are read.
    more_files: Vec<String>,
    warnings: Vec<Record>,
}

/// Does it.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(args) => check(args, out),
        Command::Plan(args) => plan::run(args, socket, out),
        Command::Show(args) => show::run(args, socket, out),
        Command::Schema => {
            let text = |schema: &_| serde_json::to_string_pretty(schema).unwrap_or_default();
            out.print(&config::json_schema::document(), text)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(args: &Check, out: Output) -> anyhow::Result<ExitCode> {
    let mut loaded = config::load(&args.config.config)?;
    if !args.no_host {
        (_, loaded.report) = config::fit(&loaded, &Host::read()?)?;
    }
    if !loaded.report.diagnostics.is_empty() && !out.json {
        out.note(&loaded.report.render(out.color_errors));
    }
    let warnings = loaded.report.records();
    let mut files = loaded.sources().iter().map(|source| source.path.clone());
    let file = files.next().unwrap_or_default();
    let report = Report { schema: 1, valid: true, file, more_files: files.collect(), warnings };
    out.print(&report, valid)?;
    Ok(ExitCode::SUCCESS)
}

fn valid(report: &Report) -> String {
    match report.more_files.len() {
        0 => format!("{} is valid", report.file),
        1 => format!("{} and {} are valid", report.file, report.more_files[0]),
        more => format!("{} and {more} files in conf.d are valid", report.file),
    }
}
