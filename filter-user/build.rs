//! Builds `filter-ebpf` and hands the objects over to be embedded:
//! `include_bytes_aligned!(env!("FLOODWALL_FILTER_OBJECT"))`, and `FLOODWALL_BENCH_OBJECT` and `FLOODWALL_LAB_OBJECT`
//! likewise.
//!
//! The compiler is the rustup toolchain that `cargo xtask setup` provides. With `FLOODWALL_EBPF_OBJECT` (and
//! `FLOODWALL_EBPF_BENCH`, `FLOODWALL_EBPF_LAB`) naming compiled objects no such toolchain is needed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use aya_build::{Package, Toolchain};

const TOOLCHAIN: &str = "floodwall-ebpf";
const FILTER: &str = "FLOODWALL_EBPF_OBJECT";
/// What comes with the filter: variable that names a compiled one, variable with the object's path, name of filter-ebpf's
/// binary.
const OTHERS: [(&str, &str, &str); 2] = [
    ("FLOODWALL_EBPF_BENCH", "FLOODWALL_BENCH_OBJECT", "bench"),
    ("FLOODWALL_EBPF_LAB", "FLOODWALL_LAB_OBJECT", "lab"),
];

fn main() -> ExitCode {
    match provide() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn provide() -> Result<()> {
    for variable in OTHERS.iter().map(|(variable, ..)| *variable).chain([FILTER]) {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set: cargo runs this")?);
    let filter = out.join("floodwall");
    if let Some(compiled) = object(FILTER)? {
        copy(&compiled, &filter)?;
        for (variable, _, name) in OTHERS {
            match object(variable)? {
                Some(compiled) => copy(&compiled, &out.join(name))?,
                None => fs::write(out.join(name), [])?,
            }
        }
    } else {
        build()?;
    }
    println!("cargo::rustc-env=FLOODWALL_FILTER_OBJECT={}", filter.display());
    for (_, path, name) in OTHERS {
        println!("cargo::rustc-env={path}={}", out.join(name).display());
    }
    Ok(())
}

/// The object that the variable names.
fn object(variable: &str) -> Result<Option<PathBuf>> {
    let Some(path) = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    ensure!(path.is_absolute(), "{variable}={} must be an absolute path", path.display());
    Ok(Some(path))
}

fn copy(object: &Path, to: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    ensure!(bytes.starts_with(b"\x7fELF"), "{} is not an ELF object", object.display());
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

/// Compiles filter-ebpf; aya-build copies its binaries into `OUT_DIR` and watches its folder.
fn build() -> Result<()> {
    // What filter-ebpf is made of besides; the profile is in the workspace's manifest.
    for path in ["../filter-common/Cargo.toml", "../filter-common/src", "../Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    if !toolchain_runs() {
        bail!(
            "the eBPF toolchain ({TOOLCHAIN}, as rustup calls it) is missing: run `cargo xtask setup`\n\
             or set {FILTER} to the absolute path of a compiled filter"
        );
    }
    let package = Package { name: "filter-ebpf", root_dir: "../filter-ebpf", ..Package::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(TOOLCHAIN))
        .context("filter-ebpf does not build; its compiler's messages are the warnings above")
}

fn toolchain_runs() -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", TOOLCHAIN, "rustc", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    rustc.status().is_ok_and(|status| status.success())
}
