//! `floodwall rollback`

use std::{path::Path, process::ExitCode};

use hyper::Method;

use super::{DryRunArg, apply, client, output::Output, ssh};
use crate::daemon::commit::{Applied, Rollback};

const EXAMPLES: &str = "\
Examples:
  floodwall rollback               the one before; or, while an apply waits, the last confirmed one
  floodwall rollback 38 -m 'web was slow'

The configuration file stays as it is. Until it changes, SIGHUP and restarts of the daemon stay with the
revision that was rolled back to; floodwall apply takes the file.";

/// `floodwall rollback`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The revision whose content comes into force again [default: the one before]
    #[arg(value_name = "REV")]
    revision: Option<u64>,
    #[command(flatten)]
    dry: DryRunArg,
    /// Although it would cut somebody off
    #[arg(long)]
    force: bool,
    /// Why, for floodwall history
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    comment: String,
}

/// Does it.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let request = Rollback {
        revision: args.revision,
        dry_run: args.dry.dry_run,
        force: args.force,
        comment: args.comment.clone(),
        ssh: ssh::connection(),
    };
    let applied: Applied = client::send(socket, Method::POST, "/v1/rollback", &request)?;
    out.print(&applied, apply::text)?;
    Ok(ExitCode::SUCCESS)
}
