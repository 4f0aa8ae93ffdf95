//! The eBPF toolchain: a rustup toolchain named [`NAME`] whose `bin` holds `rustc`, `cargo` and `bpf-linker`.
//!
//! [`ensure()`] takes the first that works: one that is linked already, a nightly with its core source and a
//! bpf-linker (`nightly`), or one unpacked and built privately (`private`). The three programs are small scripts
//! (`wrappers`), so that neither filter-user's build script nor a person has to set anything.

mod nightly;
mod private;
mod wrappers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::Handover;
use crate::cache::{Cache, remove_dir};
use crate::process::{self, capture, isolated};
use crate::progress::{Step, Steps};

/// The name under which rustup knows it; filter-user's build script asks for it.
const NAME: &str = "floodwall-ebpf";
/// The release of bpf-linker that is built; see [`crate::packages::LLVM`] for what it can be built against.
const LINKER_VERSION: &str = "0.13.0";
/// Changes whenever the files around the compiler change, so that older toolchains are built again.
const LAYOUT: &str = "floodwall eBPF toolchain, layout 1";
const STAMP: &str = "stamp";

/// What is wrapped: where compiler, cargo and linker come from.
struct Sources {
    /// How the scripts find the compiler and the linker.
    origin: wrappers::Origin,
    /// One line for the user.
    what: String,
}

/// Makes the toolchain available; well under a second if it is already.
pub(crate) fn ensure(cache: &Cache) -> Result<()> {
    if process::find("rustup").is_none() {
        return Err(Handover(
            "rustup is needed: install it (see rustup.rs), then run `cargo xtask setup`".into(),
        )
        .into());
    }
    if let Some((dir, version)) = linked(cache) {
        eprintln!("eBPF toolchain: {version} ({})", dir.display());
        return Ok(());
    }
    let _lock = cache.lock()?;
    let dir = cache.toolchain();
    if !is_finished(&dir) {
        build(cache)?;
    }
    link(&dir)?;
    let (dir, version) = linked(cache).context("the toolchain was built and linked but does not run")?;
    eprintln!("eBPF toolchain: {version} ({}), rustup knows it as {NAME}", dir.display());
    Ok(())
}

/// Builds the toolchain in the staging folder and moves it to its place when all of it works.
fn build(cache: &Cache) -> Result<()> {
    let staging = cache.staging();
    let mut steps;
    let sources = if let Some(sources) = nightly::find() {
        remove_dir(&staging)?;
        fs::create_dir_all(&staging)?;
        steps = Steps::new(1, cache.log())?;
        sources
    } else {
        steps = Steps::new(private::STEPS + 1, cache.log())?;
        private::build(cache, &mut steps)?
    };
    steps.step(&format!("check that {} compiles and links", sources.what), |step| {
        wrappers::write(&staging, &sources.origin)?;
        smoke_test(&staging, step)?;
        fs::write(staging.join(STAMP), identity(&staging)?)?;
        remove_dir(&cache.toolchain())?;
        fs::rename(&staging, cache.toolchain())?;
        Ok(())
    })
}

/// The toolchain that rustup knows, if it works, and its compiler's version.
fn linked(cache: &Cache) -> Option<(PathBuf, String)> {
    let rustc = capture(isolated("rustup").args(["which", "--toolchain", NAME, "rustc"])).ok()?;
    let dir = Path::new(rustc.trim_end()).parent()?.parent()?.canonicalize().ok()?;
    // Somebody's own toolchain of this name needs no stamp.
    let theirs = dir != cache.toolchain() && !dir.join(STAMP).exists();
    let identity = identity(&dir).ok()?;
    let version = identity.lines().nth(1)?.to_owned();
    (theirs || is_stamped(&dir, &identity)).then_some((dir, version))
}

/// Whether the folder holds a complete toolchain that still is what it was when it was made.
fn is_finished(dir: &Path) -> bool {
    identity(dir).is_ok_and(|identity| is_stamped(dir, &identity))
}

fn is_stamped(dir: &Path, identity: &str) -> bool {
    fs::read_to_string(dir.join(STAMP)).is_ok_and(|stamp| stamp == identity)
}

/// What compiler and linker say they are; fails if one of them does not run.
fn identity(dir: &Path) -> Result<String> {
    let rustc = capture(program(dir, "rustc").arg("-vV"))?;
    let linker = capture(program(dir, "bpf-linker").arg("--version"))?;
    Ok(format!("{LAYOUT}\n{rustc}{linker}"))
}

fn program(dir: &Path, name: &str) -> Command {
    isolated(dir.join("bin").join(name))
}

fn link(dir: &Path) -> Result<()> {
    let mut command = isolated("rustup");
    capture(command.args(["toolchain", "link", NAME]).arg(dir)).map(drop)
}

/// Compiles and links an empty program: the linker must read the bitcode that the compiler writes.
fn smoke_test(dir: &Path, step: &Step<'_>) -> Result<()> {
    let (source, object) = (dir.join("smoke.rs"), dir.join("smoke.o"));
    fs::write(&source, "#![feature(no_core)]\n#![no_core]\n#![no_main]\n")?;
    let mut compile = program(dir, "rustc");
    compile.args(["--target", "bpfel-unknown-none", "-Copt-level=3", "-o"]).arg(&object).arg(&source);
    step.run(&mut compile, String::new)?;
    ensure!(fs::read(&object)?.starts_with(b"\x7fELF"), "{} is not an ELF object", object.display());
    let sysroot = capture(program(dir, "rustc").args(["--print", "sysroot"]))?;
    ensure!(
        has_core_source(Path::new(sysroot.trim_end())),
        "{} lacks the source of core",
        sysroot.trim_end()
    );
    fs::remove_file(source)?;
    fs::remove_file(object)?;
    Ok(())
}

fn has_core_source(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
}

/// The LLVM's major version, by `rustc -vV`.
fn llvm_major(version: &str) -> Option<u32> {
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_names_its_llvm() {
        let version = "rustc 1.96.0\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(version), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
