//! The verbs: one file each. They print and end; what they do is done elsewhere.

pub mod allow;
pub mod apply;
pub mod attack;
pub mod ban;
pub mod bench;
pub mod bypass;
pub mod capture;
pub mod client;
pub mod completion;
pub mod config;
pub mod confirm;
pub mod cookie;
pub mod detach;
#[cfg(test)]
mod docs;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod failure;
pub mod feed;
pub mod forget;
pub mod history;
pub mod incident;
pub mod init;
mod interrupt;
pub mod man;
pub mod notify;
pub mod output;
pub mod panic;
pub mod replay;
pub mod rollback;
pub mod run;
pub mod ssh;
pub mod status;
pub mod support;
mod times;
pub mod top;
pub mod watch;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};

use self::{
    failure::{Failure, Kind},
    output::{Color, Output},
};
use crate::config::schema::{PINS, RUNTIME};

/// Where the configuration is unless told otherwise.
pub const CONFIG: &str = "/etc/floodwall/floodwall.toml";

/// Keeps this host reachable through SYN floods and other packet floods.
#[derive(Debug, Parser)]
#[command(name = "floodwall", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
struct Global {
    /// Print JSON instead of text: one object, or one a line where there is no end; errors too, on stderr
    #[arg(short, long, global = true)]
    json: bool,
    /// Print only what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", default_value_os_t = default_socket())]
    socket: PathBuf,
}

fn default_socket() -> PathBuf {
    PathBuf::from(RUNTIME).join(crate::daemon::SOCKET)
}

/// `--config`
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

/// `--pins`
#[derive(Debug, Args)]
pub struct PinsArg {
    /// Folder of the pinned links and maps (`daemon.pins`)
    #[arg(long, value_name = "DIR", default_value = PINS)]
    pub pins: PathBuf,
}

/// `--dry-run`
#[derive(Clone, Copy, Debug, Args)]
pub struct DryRunArg {
    /// Tell what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground; the filter stays when it ends
    #[command(after_help = run::EXAMPLES)]
    Run(run::Args),
    /// Write a first configuration for this host: its interface, its services, where you log in from
    Init(init::Args),
    /// Take everything off at once, whatever is running, configured or damaged
    Panic(panic::Args),
    /// Remove the filter from all interfaces, with its tables
    #[command(after_help = detach::EXAMPLES)]
    Detach(detach::Args),
    /// Show what is attached and what it did
    #[command(after_help = status::EXAMPLES)]
    Status(status::Args),
    /// Tell which modes work on this host, why others don't, and what to do
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    /// Tell what would become of a packet, and why; nothing is spent, nothing counted
    Explain(explain::Args),
    /// Tell what would become of the packets of a capture, or which of them a candidate would treat otherwise
    Replay(replay::Args),
    /// Take a configuration into force; with --confirm only if somebody confirms it in time
    Apply(apply::Args),
    /// Keep the configuration that was applied with --confirm
    Confirm(confirm::Args),
    /// Take an earlier configuration into force again
    Rollback(rollback::Args),
    /// List the configurations that were in force
    History(history::Args),
    /// Show what changed between two of them
    Diff(history::DiffArgs),
    /// Let every packet pass for a while
    Bypass(bypass::Args),
    /// Sources that pass for a while
    #[command(subcommand)]
    Allow(allow::Command),
    /// Sources that are dropped for a while
    #[command(subcommand)]
    Ban(ban::Command),
    /// Watch the filter at work: rates by reason, services, attacks, who sends most
    #[command(after_help = top::EXAMPLES)]
    Top(top::Args),
    /// Show sampled packets and what became of them, as they come
    #[command(after_help = watch::EXAMPLES)]
    Watch(watch::Args),
    /// Write sampled packets to a pcapng file, with what became of them
    #[command(after_help = capture::EXAMPLES)]
    Capture(capture::Args),
    /// Attacks that the detector has found
    #[command(subcommand)]
    Attack(attack::Command),
    /// Attacks as they are kept: what happened, what was done, whom it cost
    #[command(subcommand)]
    Incident(incident::Command),
    /// Who is told of attacks
    #[command(subcommand)]
    Notify(notify::Command),
    /// Forget what is remembered of an address or a prefix; bans in force stay
    Forget(forget::Args),
    /// Block lists that somebody else keeps
    #[command(subcommand)]
    Feed(feed::Command),
    /// Measure what the filter takes per packet on this host, on a private copy of it
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Args),
    /// SYN cookies' keys
    #[command(subcommand)]
    Cookie(cookie::Command),
    /// The configuration
    #[command(subcommand)]
    Config(config::Command),
    /// For whoever helps you
    #[command(subcommand)]
    Support(support::Command),
    /// Print a shell's completion script
    #[command(after_help = completion::EXAMPLES)]
    Completion(completion::Args),
    /// Print the manual page, or write those of all verbs
    #[command(after_help = man::EXAMPLES)]
    Man(man::Args),
}

/// Parses `args`, does what they say, tells how it ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    failure::tell_panics();
    let args: Vec<_> = args.into_iter().collect();
    let mut definition = definition();
    let matches = definition.try_get_matches_from_mut(&args);
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli.map_err(|error| error.format(&mut definition)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    let Global { json, quiet, verbose, color, socket } = cli.global;
    let out = Output::new(json, quiet, verbose, color);
    let result = match cli.command {
        Command::Run(args) => run::run(&args, out),
        Command::Init(args) => init::run(&args, out),
        Command::Panic(args) => panic::run(&args, out),
        Command::Detach(args) => detach::run(&args, out),
        Command::Status(args) => status::run(&args, &socket, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Explain(args) => explain::run(&args, &socket, out),
        Command::Replay(args) => replay::run(&args, &socket, out),
        Command::Apply(args) => apply::run(&args, &socket, out),
        Command::Confirm(args) => confirm::run(&args, &socket, out),
        Command::Rollback(args) => rollback::run(&args, &socket, out),
        Command::History(args) => history::run(&args, &socket, out),
        Command::Diff(args) => history::diff(&args, &socket, out),
        Command::Bypass(args) => bypass::run(&args, &socket, out),
        Command::Allow(command) => allow::run(&command, &socket, out),
        Command::Ban(command) => ban::run(&command, &socket, out),
        Command::Top(args) => top::run(&args, &socket, out),
        Command::Watch(args) => watch::run(&args, &socket, out),
        Command::Capture(args) => capture::run(&args, &socket, out),
        Command::Attack(command) => attack::run(&command, &socket, out),
        Command::Incident(command) => incident::run(&command, &socket, out),
        Command::Notify(command) => notify::run(&command, &socket, out),
        Command::Forget(args) => forget::run(&args, &socket, out),
        Command::Feed(command) => feed::run(&command, &socket, out),
        Command::Bench(args) => bench::run(&args, out),
        Command::Cookie(command) => cookie::run(&command, &socket, out),
        Command::Config(command) => config::run(&command, &socket, out),
        Command::Support(command) => support::run(&command, &socket, out),
        Command::Completion(args) => completion::run(&args, out),
        Command::Man(args) => man::run(&args, out),
    };
    result.unwrap_or_else(|error| failure::report(&error, out.json, out.color_errors))
}

/// Help and version are no errors; the rest is, in JSON where that was asked for.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let json = args.iter().any(|arg| arg == "--json" || arg == "-j");
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        let failure = Failure::new(Kind::Usage, message, "floodwall --help");
        return failure::report(&failure.into(), true, false);
    }
    // A reader that went away is no error.
    let _ = error.print();
    ExitCode::from(if asked { 0 } else { Kind::Usage.code() })
}

/// The command line's definition.
#[must_use]
pub fn definition() -> clap::Command {
    flowing(Cli::command())
}

/// With paragraphs for clap to wrap: the source's own line breaks mean nothing.
fn flowing(command: clap::Command) -> clap::Command {
    let help = command.get_after_help().map(|help| paragraphs(&help.to_string()));
    let command = if let Some(help) = help { command.after_help(help) } else { command };
    command.mut_subcommands(flowing)
}

/// Joins lines; those that are indented stay by themselves.
fn paragraphs(text: &str) -> String {
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
    let mut joined = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let is_prose = is_prose(line);
        if !joined.is_empty() {
            joined.push(if goes_on && is_prose { ' ' } else { '\n' });
        }
        joined += line;
        goes_on = is_prose;
    }
    joined
}

#[cfg(test)]
mod tests {
    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        let text = "One\ntwo.\n\nExamples:\n  a\n  b\n\nThree\nfour";
        assert_eq!(super::paragraphs(text), "One two.\n\nExamples:\n  a\n  b\n\nThree four");
    }
}
