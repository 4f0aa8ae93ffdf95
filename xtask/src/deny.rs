//! `cargo xtask deny`: licences, bans and sources of every dependency, by the rules in `deny.toml`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::process;
use crate::progress::Steps;

const VERSION: &str = "0.20.2";
/// Advisories are not among them: they need a database from the network, and change without a change here.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

/// Runs the named checks, or those that depend on this checkout alone.
pub(crate) fn run(checks: &[OsString]) -> Result<()> {
    let program = find_or_install(&Cache::open()?)?;
    let mut deny = process::cargo();
    let path = std::env::join_paths(program.parent().into_iter().map(Path::to_path_buf).chain(path_dirs()))?;
    deny.env("PATH", path).args(["deny", "--all-features", "check"]);
    if checks.is_empty() {
        deny.args(CHECKS);
    }
    let status = deny.args(checks).status()?;
    if !status.success() {
        bail!("cargo deny failed ({status})");
    }
    Ok(())
}

fn path_dirs() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

fn find_or_install(cache: &Cache) -> Result<PathBuf> {
    let work = cache.root().join("cargo-deny");
    let own = work.join("bin/cargo-deny");
    if own.is_file() {
        return Ok(own);
    }
    if let Some(installed) = process::find("cargo-deny") {
        return Ok(installed);
    }
    let _lock = cache.lock()?;
    Steps::new(1, cache.log())?.step(&format!("build cargo-deny {VERSION}, once"), |step| {
        let mut install = process::cargo_install("cargo-deny", VERSION, &work);
        step.run(&mut install, || step.last_log_line())
    })?;
    crate::cache::remove_dir(&work.join("target"))?;
    Ok(own)
}
