//! `floodwall panic`

use std::{ffi::OsString, fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use clap::Parser as _;
use serde::Serialize;

use super::{
    DryRunArg, PinsArg,
    failure::{self, Failure, Kind},
    output::{Color, Output},
};
use crate::{config::schema::RUNTIME, daemon::PANIC, dataplane};

const EXAMPLES: &str = "\
Examples:
  floodwall panic          no daemon, no configuration and no state is needed; twice does no harm
  floodwall panic -n       what it would take off
  floodwall panic --end    lets the daemon attach the filter again, at its next start or reload
  floodwall-panic          the same as a program of its own, which needs no library either

A note in the runtime folder, which is gone after a boot, keeps a running daemon and its restarts from
attaching the filter again.";

/// `floodwall panic`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pins: PinsArg,
    /// The daemon's runtime folder (daemon.runtime)
    #[arg(long, value_name = "DIR", default_value = RUNTIME)]
    runtime: PathBuf,
    /// Let the daemon attach the filter again
    #[arg(long, conflicts_with = "dry_run")]
    end: bool,
    #[command(flatten)]
    dry: DryRunArg,
}

/// Takes everything off, as floodwall panic does, without anything but the kernel
#[derive(Debug, clap::Parser)]
#[command(name = "floodwall-panic", version)]
struct Alone {
    #[command(flatten)]
    args: Args,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
}

/// `floodwall-panic`
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    failure::tell_panics();
    let args: Vec<_> = args.into_iter().collect();
    let alone = match Alone::try_parse_from(&args) {
        Ok(alone) => alone,
        Err(error) => return super::usage(&error, &args),
    };
    let out = Output::new(alone.json, false, 0, Color::Never);
    run(&alone.args, out).unwrap_or_else(|error| failure::report(&error, out.json, out.color_errors))
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    dry_run: bool,
    /// What was done, a line each.
    done: Vec<String>,
    /// What could not be done.
    failed: Vec<String>,
}

/// Takes everything off. Code 0 when nothing of ours is attached any more.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    let note = args.runtime.join(PANIC);
    if args.end {
        let removed = match fs::remove_file(&note) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(anyhow::Error::new(error).context(note.display().to_string())),
        };
        out.note(if removed { "the daemon may attach the filter again" } else { "there was no panic" });
        return Ok(ExitCode::from(u8::from(!removed)));
    }
    // First of all: nobody attaches again what is detached below.
    let dry = args.dry.dry_run;
    let leave = || fs::create_dir_all(&args.runtime).and_then(|()| fs::write(&note, ""));
    let noted = if dry { Ok(()) } else { leave() };
    let mut undone = dataplane::panic(&args.pins.pins, dry);
    if let Err(error) = noted {
        undone.failed.push(format!("{}: {error}: a daemon may attach it again", note.display()));
    }
    let report = Report { schema: 1, dry_run: dry, done: undone.done, failed: undone.failed };
    out.print(&report, |report| {
        let mut text = String::new();
        for line in &report.done {
            let _ = writeln!(text, "{line}");
        }
        if report.done.is_empty() {
            text.push_str("nothing of floodwall's was attached\n");
        }
        text
    })?;
    if report.failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let hint = "as root: ip link set dev IFACE xdp off; tc qdisc del dev IFACE clsact";
    Err(Failure::new(Kind::Partial, report.failed.join("\n  "), hint).into())
}
