//! `floodwall status`

use std::{path::Path, process::ExitCode};

use hyper::Method;
use nix::unistd::geteuid;

use super::{
    PinsArg, client,
    failure::{Failure, Kind},
    output::Output,
};
use crate::{
    dataplane::{self, Dataplane, NotLoaded},
    observe::{Sample, status::Status},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall status
  floodwall status --json | jq .reasons";

/// `floodwall status`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pins: PinsArg,
}

/// Reads the pinned maps, so that it works without a daemon. Code 1 when nothing is attached.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let daemon = client::call::<Status>(socket, Method::GET, "/v1/status");
    let dataplane = match (open(&args.pins.pins), daemon.as_ref()) {
        // Pins are root's alone: members of `daemon.group` hear it from the daemon.
        (Err(_), Ok(status)) if !geteuid().is_root() => {
            out.print(status, Status::text)?;
            return Ok(ExitCode::SUCCESS);
        }
        (dataplane, _) => dataplane?,
    };
    let sample = Sample::read(&dataplane)?;
    let daemon = daemon.ok();
    let (daemon, rules) = daemon.map_or_else(Default::default, |status| (status.daemon, status.rules));
    let status = Status { rules, ..Status::new(&sample, daemon) };
    out.print(&status, Status::text)?;
    Ok(ExitCode::SUCCESS)
}

/// The pinned state, or a failure that says what to do.
pub(super) fn open(pins: &Path) -> anyhow::Result<Dataplane> {
    dataplane::open(pins).map_err(|error| not_loaded(error, pins))
}

/// What to do where nothing is pinned; any other error stays as it is.
pub(super) fn not_loaded(error: anyhow::Error, pins: &Path) -> anyhow::Error {
    if error.downcast_ref::<NotLoaded>().is_none() {
        return error;
    }
    let hint = "start it with: floodwall run --config FILE, or name its --pins";
    Failure::new(Kind::Failed, format!("no filter in {}", pins.display()), hint).into()
}
