//! `cargo xtask dashboards`: the files of `floodwall support dashboards`, in their place in this tree.

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::{process, test, toolchain};

/// Writes them. That they are current is tested on the host.
pub(crate) fn run() -> Result<()> {
    toolchain::ensure(&Cache::open()?)?;
    let mut write = process::cargo();
    write.args(["run", "--profile", test::PROFILE, "--package", "filter-user", "--bin", "floodwall", "--"]);
    let status =
        write.args(["support", "dashboards", "--force", "--out"]).arg(process::workspace()).status()?;
    if !status.success() {
        bail!("floodwall support dashboards ended with {status}");
    }
    Ok(())
}
