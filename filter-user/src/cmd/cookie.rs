//! `floodwall cookie ..`

use std::{path::Path, process::ExitCode};

use hyper::Method;
use serde::Serialize;

use super::{DryRunArg, PinsArg, client, output::Output};
use crate::{
    daemon::api::Rotated,
    observe::{Sample, status::Cookie},
};

/// `floodwall cookie ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the keys' state; never the keys
    #[command(after_help = "Examples:\n  floodwall cookie status\n  floodwall cookie status --json")]
    Status(Status),
    /// Take a new secret into use; cookies already sent stay valid for their time
    #[command(after_help = "Examples:\n  floodwall cookie rotate --dry-run\n  floodwall cookie rotate")]
    Rotate(Rotate),
}

/// `floodwall cookie status`
#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pins: PinsArg,
}

/// `floodwall cookie rotate`
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// Rotate even within a period of the last time, which ends handshakes in flight
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry: DryRunArg,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    cookie: Cookie,
}

/// Does it. Code 1 when no key is in its time.
pub fn run(command: &Command, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(args) => status(args, out),
        Command::Rotate(args) => rotate(args, socket, out),
    }
}

fn status(args: &Status, out: Output) -> anyhow::Result<ExitCode> {
    let sample = Sample::read(&super::status::open(&args.pins.pins)?)?;
    let report = Report { schema: 1, cookie: Cookie::new(&sample) };
    out.print(&report, |report| report.cookie.text())?;
    Ok(ExitCode::from(u8::from(!report.cookie.armed)))
}

fn rotate(args: &Rotate, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let dry = args.dry.dry_run;
    let path = format!("/v1/cookie/rotate?force={}&dry_run={dry}", args.force);
    let rotated: Rotated = client::call(socket, Method::POST, &path)?;
    out.print(&rotated, |rotated| match rotated.after_seconds {
        0 if dry => format!("epoch {} would issue", rotated.epoch),
        after if dry => format!("the new key file would be used from the next epoch on, in {after} s"),
        0 => format!("epoch {} issues now", rotated.epoch),
        after => format!("the new key file is used from the next epoch on, in {after} s"),
    })?;
    Ok(ExitCode::SUCCESS)
}
