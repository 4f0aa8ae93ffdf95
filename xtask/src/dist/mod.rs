//! `cargo xtask dist`: the Debian package.
//!
//! `dpkg-deb` packs a folder that is laid out here; what goes where is the list in [`tree`]. cargo-deb would be 200 crates more
//! for the same archive, and could not run the binary for its manual pages and completions in between.

mod elf;
mod options;
mod tree;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

pub(crate) use self::options::{Architecture, Options};
use crate::cache::{Cache, remove_dir};
use crate::{process, static_panic, toolchain};

/// Builds a release and packs it.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let (options, began) = (Options::read(args)?, Instant::now());
    let deb = build(&options)?;
    let size = deb.metadata()?.len().div_ceil(1000);
    println!("{}: {size} kB, in {} s", deb.display(), began.elapsed().as_secs());
    Ok(())
}

/// The package's path.
pub(crate) fn build(options: &Options) -> Result<PathBuf> {
    toolchain::ensure(&Cache::open()?)?;
    let binary = compile(options, options.architecture)?;
    let panic = static_panic::build(&options.profile, Some(options.architecture))?;
    // What runs here writes its own pages and completions; those of another machine's binary are the same.
    let native = match Architecture::host() {
        Some(host) if host != options.architecture => compile(options, host)?,
        _ => binary.clone(),
    };
    pack(options, &[binary, panic], &native)
}

/// Builds `floodwall` and returns its path.
fn compile(options: &Options, architecture: Architecture) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--profile", &options.profile, "--package", "filter-user", "--bin", "floodwall"]);
    architecture.aim(&mut cargo)?;
    let mut folder = process::target();
    if Architecture::host() != Some(architecture) {
        folder.push(architecture.triple());
    }
    let status = cargo.status()?;
    if !status.success() {
        bail!("the build ended with {status}");
    }
    Ok(folder.join(&options.profile).join("floodwall"))
}

/// Lays the folder out and packs it.
fn pack(options: &Options, programs: &[PathBuf], native: &Path) -> Result<PathBuf> {
    let out = process::target().join("dist");
    let name = format!("floodwall_{}_{}", options.version(), options.architecture.name());
    let root = out.join(&name);
    remove_dir(&root)?;
    tree::lay_out(options, programs, native, &root)?;
    let deb = out.join(format!("{name}.deb"));
    let mut dpkg = process::isolated("dpkg-deb");
    dpkg.args(["--root-owner-group", "-Zxz", "--build"]).args([&root, &deb]);
    process::capture(dpkg.env("SOURCE_DATE_EPOCH", epoch()?.to_string()))?;
    remove_dir(&root)?;
    Ok(deb)
}

/// Seconds since 1970 that the package's files get: of `SOURCE_DATE_EPOCH`, else of the last commit, so that the same sources make
/// the same package.
fn epoch() -> Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given.parse().with_context(|| format!("SOURCE_DATE_EPOCH={given}"));
    }
    let mut git = process::isolated("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(process::workspace());
    let committed = process::capture(&mut git).ok().and_then(|text| text.trim().parse().ok());
    let now = || std::time::UNIX_EPOCH.elapsed().map(|now| now.as_secs());
    committed.map_or_else(|| Ok(now()?), Ok)
}

/// Writes a file and the folders above it.
fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
