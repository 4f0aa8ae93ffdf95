//! `floodwall detach`

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;

use super::{DryRunArg, PinsArg, output::Output};
use crate::dataplane;

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall detach --dry-run
  floodwall detach";

/// `floodwall detach`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pins: PinsArg,
    #[command(flatten)]
    dry: DryRunArg,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    /// What was done, a line each.
    done: Vec<String>,
}

/// Removes the filter. Code 1 when there was none.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    let report = Report { schema: 1, done: dataplane::detach(&args.pins.pins, args.dry.dry_run)? };
    out.print(&report, |report| {
        if report.done.is_empty() {
            return format!("nothing to remove in {}", args.pins.pins.display());
        }
        report.done.iter().fold(String::new(), |mut text, what| {
            let _ = writeln!(text, "{what}");
            text
        })
    })?;
    Ok(ExitCode::from(u8::from(report.done.is_empty())))
}
