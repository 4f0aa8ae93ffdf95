//! `floodwall run`

use std::{process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{ConfigArg, output::Output};
use crate::{
    config,
    daemon::{
        self,
        signals::{Hangups, stop_on_signal},
    },
};

pub(super) const EXAMPLES: &str = "\
Examples:
  floodwall run
  floodwall run --config ./floodwall.toml -v
  floodwall run --replace                      in the place of another XDP program";

/// `floodwall run`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Take the place of XDP programs of others that are on the interfaces now
    #[arg(long)]
    replace: bool,
}

/// How long threads are waited for that wait for others.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// Runs the daemon until a signal ends it.
pub fn run(args: &Args, out: Output) -> anyhow::Result<ExitCode> {
    let path = args.config.config.as_path();
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => daemon::ledger::while_one_waits(&error).ok_or(error)?,
    };
    daemon::log::init(loaded.settings.daemon.log.as_ref(), out.verbose, out.quiet, out.color_errors);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        daemon::run(path, loaded, args.replace, stop, Hangups::new()?).await
    });
    // Feeds and notifications may wait for others: nothing of theirs is lost.
    runtime.shutdown_timeout(LEFT_OVER);
    ended.map(|()| ExitCode::SUCCESS)
}
