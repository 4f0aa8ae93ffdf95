//! `cargo xtask ci`: what CI checks, in the order in which it is cheapest to fail.

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::{kernel, process, test, toolchain};

const FORMAT: &[&str] = &["fmt", "--all", "--check"];

/// What looks at filter-user and so needs its build script to have built the filter; a warning is a failure.
const LINTS: [&[&str]; 3] = [
    &["clippy", "--profile", test::PROFILE, "--all-targets", "--", "-D", "warnings"],
    &[
        "clippy",
        "--profile",
        test::PROFILE,
        "--package",
        "filter-tests",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    &["doc", "--profile", test::PROFILE, "--no-deps"],
];

/// Runs all of it.
pub(crate) fn run() -> Result<()> {
    cargo(FORMAT)?;
    toolchain::ensure(&Cache::open()?)?;
    for lint in LINTS {
        cargo(lint)?;
    }
    test::run(&[])?;
    kernel::run(&kernel::SERIES, &[])
}

fn cargo(args: &[&str]) -> Result<()> {
    eprintln!("==> cargo {}", args.join(" "));
    let status = process::cargo().args(args).env("RUSTDOCFLAGS", "-D warnings").status()?;
    if !status.success() {
        bail!("cargo {} failed ({status})", args.join(" "));
    }
    Ok(())
}
