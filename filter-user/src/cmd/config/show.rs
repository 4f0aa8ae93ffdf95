//! `floodwall config show`

use std::{path::Path, process::ExitCode};

use hyper::Method;
use serde::Serialize;

use crate::{
    cmd::{ConfigArg, client, output::Output},
    config::{self, Effective},
    daemon::config::Running,
};

/// `floodwall config show`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  floodwall config show                    the file and conf.d, with all defaults
  floodwall config show --origin           the same; each value with file and line
  floodwall config show --running --json   what the daemon goes by, for programs")]
pub struct Show {
    #[command(flatten)]
    config: ConfigArg,
    /// Tell where each value is from: a file and its line, a profile, or the default
    #[arg(long)]
    origin: bool,
    /// Ask the daemon for what it goes by, instead of reading the file
    #[arg(long, conflicts_with = "config")]
    running: bool,
}

#[derive(Serialize)]
struct Shown {
    schema: u32,
    running: bool,
    #[serde(flatten)]
    effective: Effective,
}

/// Does it.
pub(super) fn run(args: &Show, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let mut effective = if args.running {
        client::call::<Running>(socket, Method::GET, "/v1/config")?.effective
    } else {
        Effective::of(config::load(&args.config.config)?.sources())
    };
    if !args.origin {
        effective.origins.clear();
    }
    let shown = Shown { schema: 1, running: args.running, effective };
    out.print(&shown, |shown| shown.effective.to_toml())?;
    Ok(ExitCode::SUCCESS)
}
