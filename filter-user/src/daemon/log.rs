//! The daemon's log: stderr, in journald's taste where that listens.

use std::io;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging; the command line's flags go before the file's `log`.
pub fn init(filter: &str, verbose: u8, quiet: bool, color: bool) {
    let filter = match (quiet, verbose) {
        (true, _) => "warn",
        (_, 0) => filter,
        (_, 1) => "debug",
        (_, _) => "trace",
    };
    let filter = EnvFilter::builder().parse_lossy(filter);
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(color).with_target(false);
    // A terminal that hung up must not end the daemon: what tells of the failure would panic.
    let log = log.log_internal_errors(false);
    // journald stamps lines itself. A second start in one process keeps the first log.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().try_init()
    } else {
        log.try_init()
    };
}
