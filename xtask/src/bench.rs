//! `cargo xtask bench`: what the filter takes per packet, of a release build.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::{process, test, toolchain};

/// Builds and measures; `args` are those of `floodwall bench`.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    test::require_root("bench")?;
    toolchain::ensure(&Cache::open()?)?;
    let mut bench = process::cargo();
    bench.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "filter-user",
        "--bin",
        "floodwall",
        "--",
        "bench",
    ]);
    let status = bench.args(args).status()?;
    if !status.success() {
        bail!("floodwall bench ended with {status}");
    }
    Ok(())
}
