//! `floodwall config ..`

use std::process::ExitCode;

use serde::Serialize;

use super::{ConfigArg, output::Output};
use crate::config::{self, Host, Record};

/// `floodwall config ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check the file, and that it fits this host; changes nothing
    Check(Check),
}

/// `floodwall config check`
#[derive(Debug, clap::Args)]
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
    warnings: Vec<Record>,
}

/// Does it.
pub fn run(command: &Command, out: Output) -> anyhow::Result<ExitCode> {
    let Command::Check(args) = command;
    let mut loaded = config::load(&args.config.config)?;
    if !args.no_host {
        (_, loaded.report) = config::fit(&loaded, &Host::read()?)?;
    }
    if !loaded.report.diagnostics.is_empty() && !out.json {
        out.note(&loaded.report.render(out.color_errors));
    }
    let warnings = loaded.report.records();
    let report = Report { schema: 1, valid: true, file: loaded.report.source.path.clone(), warnings };
    out.print(&report, |report| format!("{} is valid", report.file))?;
    Ok(ExitCode::SUCCESS)
}
