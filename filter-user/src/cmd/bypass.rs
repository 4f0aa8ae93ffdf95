//! `floodwall bypass`

use std::{path::Path, process::ExitCode, time::Duration};

use hyper::Method;

use super::{DryRunArg, client, output::Output, times::time};
use crate::daemon::commit::{Bypass, Standing};

const EXAMPLES: &str = "\
Examples:
  floodwall bypass --for 10m       is it the filter? everything passes, and is counted as it would have been
  floodwall bypass --off

The timer is the daemon's, and goes on across its restarts. If there is no daemon: floodwall panic.";

/// `floodwall bypass`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Let every packet pass for so long, at most 24h
    #[arg(long = "for", value_name = "TIME", value_parser = time, required_unless_present = "off")]
    length: Option<Duration>,
    /// Filter again
    #[arg(long, conflicts_with = "length")]
    off: bool,
    #[command(flatten)]
    dry: DryRunArg,
}

/// Does it.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let seconds = args.length.filter(|_| !args.off).map_or(0, |length| length.as_secs());
    if args.dry.dry_run {
        let mut now: Standing = client::call(socket, Method::GET, "/v1/commit")?;
        now.bypass_seconds = args.length.map(|length| length.as_secs());
        out.note("dry run, nothing is done; it would say:");
        return tell(&now, out);
    }
    tell(&client::send(socket, Method::POST, "/v1/bypass", &Bypass { seconds })?, out)
}

fn tell(now: &Standing, out: Output) -> anyhow::Result<ExitCode> {
    out.print(now, |now| match now.bypass_seconds {
        Some(seconds) => format!("every packet passes for {seconds} s; floodwall bypass --off ends it"),
        None => "the filter is on, as its configuration says".to_owned(),
    })?;
    Ok(ExitCode::SUCCESS)
}
