//! The eBPF objects that are built into this binary.

use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use super::kfunc;

/// The filter: XDP and tc programs with their maps.
pub static FILTER: &[u8] = aya::include_bytes_aligned!(env!("FLOODWALL_FILTER_OBJECT"));

/// Programs of the demo, the benchmarks and the tests.
pub static LAB: &[u8] = aya::include_bytes_aligned!(env!("FLOODWALL_LAB_OBJECT"));

/// [`FILTER`] with its kfunc calls resolved for the running kernel.
pub fn filter() -> Result<&'static [u8]> {
    static RESOLVED: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(bytes) = RESOLVED.get() {
        return Ok(bytes);
    }
    let bytes = kfunc::resolve(FILTER, kfunc::id).context("the built-in eBPF object")?;
    Ok(RESOLVED.get_or_init(|| bytes))
}
