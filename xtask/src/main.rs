//! The project's tasks, run as `cargo xtask <task>`; one file per task.
//!
//! [`setup`] finds or builds the eBPF toolchain, [`demo`], [`mod@bench`] and [`mod@test`] need root, [`ci`] is CI exactly,
//! [`deny`] checks licences and sources, and [`dist`] makes the package. The other modules are what these share.

mod apt;
mod bench;
mod cache;
mod ci;
mod dashboards;
mod demo;
mod deny;
mod dist;
mod kernel;
mod package;
mod packages;
mod process;
mod progress;
mod releases;
mod setup;
mod static_panic;
mod test;
mod toolchain;
mod tools;
mod unpack;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask <task>

  setup          find or build the eBPF toolchain, and the tools that demo and test need
  demo [args]    set up, then run the demonstration (root); the arguments are the demo's own
  bench [args]   set up, build a release, then measure the filter (root); the arguments are those of floodwall bench
  test [-- ..]   set up, then run the tests of every crate (root); what follows -- goes to the test binaries
  test --kernel VERSION [-- ..]
                 the verdicts and a handshake on another Linux (6.1, 6.12), in qemu; may be repeated
  test --sandboxed [-- ..]
                 those that need root, with their daemons in the sandbox of the systemd unit
  test --package [--profile release]
                 the Debian package under systemd: installed, upgraded, removed, purged (root; fetches a Debian once)
  ci             fmt, clippy and rustdoc without warnings, everything that `test` runs (root), other kernels
  dist [--arch amd64|arm64] [--profile release|checked] [--revision N]
                 the Debian package, into target/dist
  dashboards     write grafana/ and prometheus/: dashboards, alert rules, from the metrics that the source declares
  deny [checks]  licences, bans and sources of every dependency, by cargo-deny

Everything built or downloaded is kept in $FLOODWALL_CACHE, else $XDG_CACHE_HOME/floodwall, else
~/.cache/floodwall. Exit codes: 0 done, 1 failed, 2 something is left for you to do (it says what).";

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<Handover>() { 2 } else { 1 })
        }
    }
}

fn run(args: &[OsString]) -> Result<()> {
    let (task, rest) = args.split_first().map_or((None, args), |(task, rest)| (task.to_str(), rest));
    match task {
        Some("setup") if rest.is_empty() => setup::run(),
        Some("demo") => demo::run(rest),
        Some("bench") => bench::run(after_dashes(rest)),
        Some("test") if let Some(rest) = package::wanted(rest) => package::run(rest),
        Some("test") if let Some(rest) = test::sandboxed(rest) => test::run_sandboxed(after_dashes(rest)),
        Some("test") => match kernel::wanted(rest)? {
            (series, rest) if series.is_empty() => test::run(after_dashes(rest)),
            (series, rest) => kernel::run(&series, after_dashes(rest)),
        },
        Some("ci") if rest.is_empty() => ci::run(),
        Some("dashboards") if rest.is_empty() => dashboards::run(),
        Some("deny") => deny::run(rest),
        Some("dist") => dist::run(rest),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Handover(USAGE.to_owned()).into()),
    }
}

/// `cargo xtask test -- NAME` and `cargo xtask test NAME` mean the same.
fn after_dashes(args: &[OsString]) -> &[OsString] {
    match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    }
}

/// The task cannot go on by itself: the text holds the exact commands to run. Exit code 2.
#[derive(Debug)]
struct Handover(String);

impl std::fmt::Display for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Handover {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_are_optional_and_only_the_first_ones_are_eaten() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(after_dashes(&args(&["--", "a"])), args(&["a"]));
        assert_eq!(after_dashes(&args(&["a", "--"])), args(&["a", "--"]));
        assert!(after_dashes(&[]).is_empty());
    }

    #[test]
    fn an_unknown_task_is_handed_back_with_the_usage() {
        let error = run(&[OsString::from("sertup")]).unwrap_err();
        assert!(error.is::<Handover>());
        assert!(error.to_string().starts_with("usage:"));
    }
}
