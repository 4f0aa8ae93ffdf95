//! `floodwall confirm`

use std::{path::Path, process::ExitCode};

use hyper::Method;

use super::{DryRunArg, client, output::Output};
use crate::daemon::commit::Standing;

const EXAMPLES: &str = "\
Examples:
  floodwall confirm       from a login that was made after the apply
  floodwall confirm -n    what waits, and how long

Code 7: too late, it was taken back; 1: nothing waits.";

/// `floodwall confirm`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    dry: DryRunArg,
}

/// Keeps what waits.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    if args.dry.dry_run {
        let now: Standing = client::call(socket, Method::GET, "/v1/commit")?;
        out.print(&now, |now| match now.confirm_seconds {
            Some(seconds) => format!("revision {} waits for another {seconds} s", now.revision),
            None => "nothing waits to be confirmed".to_owned(),
        })?;
        return Ok(ExitCode::from(u8::from(now.confirm_seconds.is_none())));
    }
    let now: Standing = client::call(socket, Method::POST, "/v1/confirm")?;
    out.print(&now, |now| match &now.state_problem {
        None => format!("revision {} stays", now.revision),
        Some(problem) => {
            format!("revision {} stays, but after a boot only if this is put right: {problem}", now.revision)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
