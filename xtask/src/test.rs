//! `cargo xtask test`: the tests of every crate, those that need root included.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::{Handover, process, static_panic, toolchain, tools};

/// One profile for everything that CI builds, so that dependencies and the filter are built once.
pub(crate) const PROFILE: &str = "checked";

/// Sets up, runs the host's tests and then the privileged ones; `args` go to the test binaries.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let began = Instant::now();
    let cache = Cache::open()?;
    toolchain::ensure(&cache)?;
    let mut total = Tally::default();
    let mut host = process::cargo();
    host.args(["test", "--profile", PROFILE, "--no-fail-fast", "--"]).args(args);
    with_monitoring(&mut host, &cache);
    total += cargo_test(&mut host)?;
    require_root("test")?;
    build_daemon()?;
    total += cargo_test(&mut privileged(&cache, args)?)?;
    total.report("xtask test", began)
}

/// Whether the arguments of `test` ask for the shipped unit's sandbox, and the rest of them.
pub(crate) fn sandboxed(args: &[OsString]) -> Option<&[OsString]> {
    args.split_first().filter(|(first, _)| *first == "--sandboxed").map(|(_, rest)| rest)
}

/// The privileged tests, with their daemons in the sandbox that the shipped unit has them in.
pub(crate) fn run_sandboxed(args: &[OsString]) -> Result<()> {
    let began = Instant::now();
    let cache = Cache::open()?;
    toolchain::ensure(&cache)?;
    require_root("test --sandboxed")?;
    if process::find("systemd-analyze").is_none() {
        let why = "the groups of system calls in the unit are expanded by systemd-analyze; install systemd";
        return Err(Handover(why.to_owned()).into());
    }
    build_daemon()?;
    let mut tests = privileged(&cache, args)?;
    tests.env("FLOODWALL_SANDBOX", process::workspace().join("packaging/floodwall.service"));
    cargo_test(&mut tests)?.report("xtask test --sandboxed", began)
}

/// Hands the task over if the caller is not root.
pub(crate) fn require_root(task: &str) -> Result<()> {
    if process::is_root() {
        return Ok(());
    }
    let why = "network namespaces and loading the filter need root";
    let command = format!("sudo --preserve-env=HOME env \"PATH=$PATH\" cargo xtask {task}");
    Err(Handover(format!("{why}; run\n    {command}")).into())
}

/// The end-to-end tests start the daemon's own binary, which testing their package alone would not build.
fn build_daemon() -> Result<()> {
    let mut build = process::cargo();
    let status = build
        .args(["build", "--profile", PROFILE, "--package", "filter-user", "--bin", "floodwall"])
        .status()?;
    if !status.success() {
        bail!("the daemon's build ended with {status}");
    }
    static_panic::build(PROFILE, None).map(drop)
}

/// The tests of package filter-tests. They share the machine's network, so they run one after the other unless the
/// caller says otherwise.
fn privileged(cache: &Cache, args: &[OsString]) -> Result<Command> {
    tools::ensure_installed()?;
    let mut command = process::cargo();
    command.args(["test", "--profile", PROFILE, "--no-fail-fast", "--package", "filter-tests", "--"]);
    if !args.iter().any(|arg| arg.to_string_lossy().starts_with("--test-threads")) {
        command.arg("--test-threads=1");
    }
    command.args(args);
    with_monitoring(&mut command, cache);
    Ok(command)
}

/// Tells tests where the programs of Prometheus are.
fn with_monitoring(command: &mut Command, cache: &Cache) {
    command.envs(tools::monitoring(cache));
}

/// What `test result:` lines add up to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Whether all of it ran and reported success: a crate that does not compile fails no test.
    pub(crate) complete: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self { passed: 0, failed: 0, ignored: 0, complete: true }
    }
}

impl Tally {
    /// Reads a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ..`; others count nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            match count.trim().split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse::<u64>().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse::<u64>().unwrap_or(0),
                Some((n, "ignored")) => self.ignored += n.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Prints the sums; fails if a test did, or something before it.
    pub(crate) fn report(&self, what: &str, began: Instant) -> Result<()> {
        let seconds = began.elapsed().as_secs();
        println!(
            "{what}: {} passed, {} failed, {} ignored in {seconds} s",
            self.passed, self.failed, self.ignored
        );
        if self.failed > 0 || !self.complete {
            bail!("tests failed");
        }
        Ok(())
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.complete &= other.complete;
    }
}

/// Runs `cargo test`, shows its output as it comes and adds its results up.
fn cargo_test(command: &mut Command) -> Result<Tally> {
    let name = process::name(command);
    eprintln!("==> {name}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?;
    let mut tally = Tally::default();
    let mut output = BufReader::new(child.stdout.take().context("the child has no stdout")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        tally.read(&text);
        line.clear();
    }
    tally.complete = child.wait()?.success();
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up_and_others_do_not() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: odd",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 4, failed: 2, ignored: 1, complete: true });
    }

    #[test]
    fn a_cargo_that_fails_is_not_complete() {
        let tally = cargo_test(process::isolated("sh").args(["-c", "exit 101"])).unwrap();
        assert!(!tally.complete);
    }
}
