//! `floodwall apply`

mod mode;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hyper::Method;

use self::mode::Edit;
use super::{
    DryRunArg, client,
    failure::{Body, Failure, Kind},
    output::Output,
    ssh,
    times::time,
};
use crate::{
    config::{self, Mode},
    daemon::commit::{Applied, Apply, Standing},
    observe::status::Status,
};

const EXAMPLES: &str = "\
Examples:
  floodwall apply --dry-run             what would happen
  floodwall apply --confirm 5m          and then, from a NEW login: floodwall confirm
  floodwall apply --mode enforce --confirm 5m
  floodwall apply --config /etc/floodwall/try.toml --confirm

Code 6: a guard rail refuses, 7 (with --wait): it was taken back.";

/// `floodwall apply`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration [default: the one that the daemon was started with]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set daemon.mode in the file first; nothing else of it changes, and nothing at all if it is refused
    #[arg(long, value_name = "MODE", value_parser = mode_of)]
    mode: Option<Mode>,
    /// Go back unless floodwall confirm comes in time, even if the daemon or the host restarts; without TIME
    /// commit.confirm (5m)
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "usual", value_parser = patience)]
    confirm: Option<Patience>,
    /// With --confirm: stay until it is confirmed or taken back
    #[arg(long, requires = "confirm")]
    wait: bool,
    #[command(flatten)]
    dry: DryRunArg,
    /// Apply it although it would cut somebody off
    #[arg(long)]
    force: bool,
    /// Why, for floodwall history
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    comment: String,
}

/// For so long --wait waits for a daemon that is started anew.
const RESTART: Duration = Duration::from_secs(30);

/// How long an apply waits.
#[derive(Clone, Copy, Debug)]
enum Patience {
    /// As configured.
    Usual,
    For(Duration),
}

fn patience(text: &str) -> Result<Patience, String> {
    if text == "usual" { Ok(Patience::Usual) } else { time(text).map(Patience::For) }
}

fn mode_of(text: &str) -> Result<Mode, String> {
    let known = [Mode::Observe, Mode::Enforce];
    known.into_iter().find(|mode| mode.label() == text).ok_or_else(|| "observe or enforce".to_owned())
}

/// Does it.
pub fn run(args: &Args, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let config = args.config.as_ref().map(std::path::absolute).transpose()?;
    let Some(mode) = args.mode else { return apply(args, config, socket, out) };
    let main = match &config {
        Some(path) => path.clone(),
        None => file_of_daemon(socket)?,
    };
    let edit = Edit::new(&main, mode)?;
    if args.dry.dry_run {
        let (_folder, copy) = edit.aside()?;
        return apply(args, Some(copy), socket, out);
    }
    let written = edit.write()?;
    let code = apply(args, config, socket, out)?;
    out.note(&format!("{} says daemon.mode = {:?} now", written.keep().display(), mode.label()));
    Ok(code)
}

fn file_of_daemon(socket: &Path) -> anyhow::Result<PathBuf> {
    let status: Status = client::call(socket, Method::GET, "/v1/status")?;
    Ok(status.daemon.context("the daemon does not tell where its file is")?.config.into())
}

fn apply(args: &Args, config: Option<PathBuf>, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    // Read here, too: what is wrong is shown with its place.
    if let Some(path) = &config {
        config::load(path)?;
    }
    let confirm_seconds = match args.confirm {
        Some(Patience::For(time)) => Some(time.as_secs()),
        _ => None,
    };
    let request = Apply {
        config,
        confirm: args.confirm.is_some(),
        confirm_seconds,
        dry_run: args.dry.dry_run,
        force: args.force,
        comment: args.comment.clone(),
        ssh: ssh::connection(),
    };
    let applied: Applied = client::send(socket, Method::POST, "/v1/apply", &request)?;
    out.print(&applied, text)?;
    match applied.confirm_seconds {
        Some(_) if args.wait && !args.dry.dry_run => wait(&applied, socket, out),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What became of it.
pub(super) fn text(applied: &Applied) -> String {
    let mut text = String::new();
    for line in &applied.warnings {
        let _ = writeln!(text, "warning: {line}");
    }
    for line in &applied.guard {
        let _ = writeln!(text, "guard: {line}");
    }
    let number = applied.revision;
    let _ = match (applied.changed, applied.dry_run) {
        (false, _) => writeln!(text, "revision {number} says the same: its lists are read again"),
        (true, true) => writeln!(text, "dry run: it would be revision {number}"),
        (true, false) => writeln!(text, "revision {number} is in force"),
    };
    if let Some(seconds) = applied.confirm_seconds {
        let _ =
            writeln!(text, "it goes back unless it is confirmed within {seconds} s, best from a new login:");
        let _ = writeln!(text, "  floodwall confirm");
    }
    if applied.differs_from_file {
        let _ =
            writeln!(text, "the daemon's own file says something else, and is passed over until it changes");
    }
    text
}

fn wait(applied: &Applied, socket: &Path, out: Output) -> anyhow::Result<ExitCode> {
    let mut gone = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(500));
        let now: Standing = match client::call(socket, Method::GET, "/v1/commit") {
            // A daemon that is started anew goes on waiting.
            Err(error) if Body::of(&error).kind == Kind::DaemonUnreachable && gone.elapsed() < RESTART => {
                continue;
            }
            answer => answer?,
        };
        gone = Instant::now();
        let taken_back = now.reverted.as_ref().filter(|reverted| reverted.revision == applied.revision);
        if let Some(reverted) = taken_back {
            let message = format!("revision {} was taken back: {}", reverted.revision, reverted.why);
            return Err(Failure::new(Kind::RolledBack, message, "floodwall history").into());
        }
        if now.confirm_seconds.is_none() {
            let kept = now.confirmed == applied.revision;
            out.note(if kept { "confirmed" } else { "something else was applied meanwhile" });
            return Ok(ExitCode::from(if kept { 0 } else { Kind::RolledBack.code() }));
        }
    }
}
