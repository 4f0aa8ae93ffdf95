//! `floodwall cookie ..`

use std::{path::Path, process::ExitCode};

use hyper::Method;
use serde::Serialize;

use super::{PinsArg, client, output::Output};
use crate::{
    daemon::api::Rotated,
    observe::{Sample, status::Cookie},
};

/// `floodwall cookie ..`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the keys' state; never the keys
    Status(Status),
    /// Take a new secret into use; cookies already sent stay valid for their time
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
        Command::Rotate(Rotate { force }) => rotate(*force, socket, out),
    }
}

fn status(args: &Status, out: Output) -> anyhow::Result<ExitCode> {
    let sample = Sample::read(&super::status::open(&args.pins.pins)?)?;
    let report = Report { schema: 1, cookie: Cookie::new(&sample) };
    out.print(&report, |report| report.cookie.text())?;
    Ok(ExitCode::from(u8::from(!report.cookie.armed)))
}

fn rotate(force: bool, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let path = if force { "/v1/cookie/rotate?force=true" } else { "/v1/cookie/rotate" };
    let rotated: Rotated = client::call(socket, Method::POST, path)?;
    out.print(&rotated, |rotated| match rotated.after_seconds {
        0 => format!("epoch {} issues now", rotated.epoch),
        after => format!("the new key file is used from the next epoch on, in {after} s"),
    })?;
    Ok(ExitCode::SUCCESS)
}
