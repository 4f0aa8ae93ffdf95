//! `cargo xtask demo`: the demonstration, with all that it needs.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::{process, test, toolchain, tools};

/// Runs the demonstration; `args` are its own.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    test::require_root("demo")?;
    toolchain::ensure(&Cache::open()?)?;
    tools::ensure_installed()?;
    // The demonstration starts the daemon's own binary, which `run` alone would not build.
    let both =
        ["--package", "filter-user", "--bin", "floodwall", "--package", "filter-tests", "--bin", "demo"];
    let built = process::cargo().args(["build", "--release"]).args(both).status()?;
    if !built.success() {
        bail!("the build ended with {built}");
    }
    let mut demo = process::cargo();
    demo.args(["run", "--release", "--quiet", "--package", "filter-tests", "--bin", "demo", "--"]).args(args);
    let status = demo.status()?;
    if !status.success() {
        bail!("the demo ended with {status}");
    }
    Ok(())
}
