//! Which C library a binary needs.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process::{capture, isolated};

/// The package's dependencies: the C library that has all symbol versions that the binary names, and libgcc for unwinding.
pub(super) fn depends(binary: &Path) -> Result<String> {
    let versions = capture(isolated("readelf").args(["--wide", "--version-info"]).arg(binary))?;
    let (major, minor) = newest_glibc(&versions).context("the binary names no version of glibc")?;
    let needed = capture(isolated("readelf").args(["--wide", "--dynamic"]).arg(binary))?;
    let gcc = if needed.contains("[libgcc_s.so.1]") { ", libgcc-s1 (>= 4.2)" } else { "" };
    Ok(format!("libc6 (>= {major}.{minor}){gcc}"))
}

/// The newest `GLIBC_x.y` in what readelf says.
fn newest_glibc(text: &str) -> Option<(u32, u32)> {
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let mut parts = rest[..end].split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_as_a_number() {
        let text = "0x0010: Name: GLIBC_2.2.5 Flags: none Version: 9\n 0x0020: Name: GLIBC_2.34  Flags: none\n Name: GLIBC_2.9";
        assert_eq!(newest_glibc(text), Some((2, 34)));
        assert_eq!(newest_glibc("Name: GCC_3.0"), None);
    }
}
