//! `cargo xtask setup`: everything that building, the demo and the tests need.

use anyhow::Result;

use crate::cache::Cache;
use crate::{process, toolchain, tools};

/// Sets up all of it. Without root the system's own tools are only asked for: building needs none of them.
pub(crate) fn run() -> Result<()> {
    let cache = Cache::open()?;
    toolchain::ensure(&cache)?;
    tools::monitoring(&cache);
    match tools::ensure_installed() {
        Err(missing) if !process::is_root() => {
            eprintln!("note: demo and test will need root, and: {missing}");
            Ok(())
        }
        result => result,
    }
}
