//! `floodwall-panic`, linked statically: it has to run on a host whose libraries are gone.
//!
//! Only the program itself is compiled for that (`crt-static`), so dependencies are built once; libc's archive comes with every C compiler.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};

use crate::dist::Architecture;
use crate::{kernel, process};

/// Its name.
pub(crate) const PANIC: &str = "floodwall-panic";

/// Builds it in the workspace's usual place, for this machine unless another is named.
pub(crate) fn build(profile: &str, architecture: Option<Architecture>) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["rustc", "--package", "filter-user", "--bin", PANIC, "--profile", profile]);
    if let Some(architecture) = architecture {
        architecture.aim(&mut cargo)?;
    }
    cargo.args(["--message-format=json-render-diagnostics", "--", "-C", "target-feature=+crt-static"]);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{} ended with {}", process::name(&cargo), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = kernel::executable(&messages, PANIC).with_context(|| format!("cargo built no {PANIC}"))?;
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    ensure!(
        !has_loader(&bytes)?,
        "{} is not static: is libc.a there (libc6-dev, glibc-static)?",
        path.display()
    );
    Ok(path)
}

/// Whether an ELF64 program asks for a dynamic loader (`PT_INTERP`).
fn has_loader(elf: &[u8]) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| elf.get(at..)?.first_chunk().map(|bytes| usize::from(u16::from_le_bytes(*bytes)));
    let start = elf.get(32..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
    let (Some(start), Some(size), Some(count)) = (start, half(54), half(56)) else {
        bail!("not an ELF file")
    };
    let start = usize::try_from(start)?;
    let kind =
        |index: usize| elf.get(start + index * size..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    Ok((0..count).any(|index| kind(index) == Some(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_has_a_loader_and_an_empty_file_is_none() {
        let ours = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(has_loader(&ours).unwrap());
        assert!(has_loader(b"").is_err());
        let mut none = vec![0; 64];
        none[..4].copy_from_slice(b"\x7fELF");
        assert!(!has_loader(&none).unwrap());
    }
}
