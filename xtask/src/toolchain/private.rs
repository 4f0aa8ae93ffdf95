//! A toolchain of our own: the distribution's compiler unpacked beside the system, and bpf-linker built against the
//! very LLVM that this compiler uses.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::wrappers::Origin;
use super::{LINKER_VERSION, Sources, llvm_major, program, wrappers};
use crate::Handover;
use crate::apt::{self, Apt, megabytes};
use crate::cache::{Cache, remove_dir};
use crate::packages::{self, Compiler, Deb, LLVM};
use crate::process::{self, capture};
use crate::progress::{Step, Steps};
use crate::unpack::unpack;

/// The oldest compiler that the workspace takes.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");
/// How many steps [`build`] takes.
pub(super) const STEPS: usize = 4;

/// Everything but the compiler, its libraries and the source of the standard library.
const LEFT_OUT: [&str; 6] = [
    "--exclude=./usr/share",
    "--exclude=./usr/src/*/compiler",
    "--exclude=./usr/src/*/src",
    "--exclude=./usr/src/*/tests",
    "--exclude=./usr/src/*/vendor",
    "--exclude=./usr/lib/debug",
];

/// What is going to be unpacked.
struct Plan {
    apt: Apt,
    packages: Vec<String>,
    debs: Vec<Deb>,
}

impl Plan {
    fn size(&self) -> u64 {
        self.debs.iter().map(|deb| deb.size).sum()
    }

    /// Tells this unpacked tree from any other.
    fn manifest(&self) -> String {
        self.debs.iter().flat_map(|deb| [deb.file.as_str(), "\n"]).collect()
    }
}

/// Fills the staging folder with `root` (the compiler) and `libexec` (the linker), going on from what an interrupted
/// run has left.
pub(super) fn build(cache: &Cache, steps: &mut Steps) -> Result<Sources> {
    if !Apt::is_here() {
        return Err(Handover(by_hand("this system has no apt-get and dpkg-deb")).into());
    }
    let staging = cache.staging();
    let mut plan = steps.step("choose the compiler's packages", |step| plan(cache, step))?;
    if fs::read_to_string(staging.join("packages")).is_ok_and(|done| done == plan.manifest()) {
        steps.step("download: done before", |_| Ok(()))?;
        steps.step("unpack: done before", |_| Ok(()))?;
    } else {
        remove_dir(&staging)?;
        let title = format!("download {} packages, {}", plan.debs.len(), megabytes(plan.size()));
        plan = steps.step(&title, |step| download(plan, cache, step))?;
        steps.step("unpack them into the cache (nothing gets installed)", |step| {
            unpack_all(&plan, &cache.debs(), &staging, step)
        })?;
    }
    let triplet = library_triplet(&staging)?;
    let origin = Origin::Private { triplet: triplet.clone(), cargo: process::cargo_path() };
    wrappers::write(&staging, &origin)?;
    steps.step(&format!("build bpf-linker {LINKER_VERSION}"), |step| build_linker(cache, &triplet, step))?;
    remove_dir(&cache.debs())?;
    remove_dir(&cache.apt())?;
    Ok(Sources { origin, what: "the private compiler".to_owned() })
}

/// Chooses packages by the system's lists, or by fresh private ones if these know no compiler that fits.
fn plan(cache: &Cache, step: &Step<'_>) -> Result<Plan> {
    match Apt::system(cache).and_then(plan_by) {
        Ok(Some(plan)) => Ok(plan),
        _ => fresh_plan(cache, step),
    }
}

fn fresh_plan(cache: &Cache, step: &Step<'_>) -> Result<Plan> {
    plan_by(Apt::refreshed(cache, step)?)?.ok_or_else(|| {
        let (first, last) = (LLVM.start(), LLVM.end());
        let why = format!("no package has rustc {OLDEST} or newer with LLVM {first} to {last}");
        Handover(by_hand(&why)).into()
    })
}

fn plan_by(apt: Apt) -> Result<Option<Plan>> {
    let oldest = packages::minor(OLDEST).context("the workspace's rust-version is not 1.Y")?;
    let compiler = apt.compiler(oldest)?;
    compiler.map(|compiler| plan_for(apt, &compiler)).transpose()
}

fn plan_for(apt: Apt, compiler: &Compiler) -> Result<Plan> {
    let packages = compiler.to_unpack(&apt::installed()?);
    let debs = apt.debs(&packages)?;
    if debs.len() != packages.len() {
        bail!("apt offers {} of the packages {}", debs.len(), packages.join(" "));
    }
    Ok(Plan { apt, packages, debs })
}

/// Downloads what is planned; old lists may name files that are gone, then plans anew by fresh ones.
fn download(plan: Plan, cache: &Cache, step: &Step<'_>) -> Result<Plan> {
    let fetch = |plan: Plan| -> Result<Plan> {
        plan.apt.download(&plan.packages, plan.size(), &cache.debs(), step)?;
        Ok(plan)
    };
    fetch(plan).or_else(|error| {
        step.say(&format!("note: {error:#}"));
        fetch(fresh_plan(cache, step)?)
    })
}

fn unpack_all(plan: &Plan, debs: &Path, staging: &Path, step: &Step<'_>) -> Result<()> {
    let root = staging.join("root");
    fs::create_dir_all(&root)?;
    for deb in &plan.debs {
        unpack(&debs.join(&deb.file), &LEFT_OUT, &root, step)?;
    }
    // Written last: a tree without it starts anew.
    fs::write(staging.join("packages"), plan.manifest())?;
    Ok(())
}

/// The name of the architecture's folder in `root/usr/lib`: the one that holds the compiler's library.
fn library_triplet(staging: &Path) -> Result<String> {
    let lib = staging.join("root/usr/lib");
    let holds_compiler = |dir: &Path| {
        let mut names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.any(|name| name.as_encoded_bytes().starts_with(b"librustc_driver"))
    };
    let dirs = fs::read_dir(&lib)?.flatten().map(|entry| entry.path());
    let dir = dirs.into_iter().find(|dir| dir.is_dir() && holds_compiler(dir));
    let dir = dir.with_context(|| format!("no librustc_driver below {}", lib.display()))?;
    Ok(dir.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// Compiles bpf-linker with the caller's stable compiler against the unpacked LLVM.
fn build_linker(cache: &Cache, triplet: &str, step: &Step<'_>) -> Result<()> {
    let staging = cache.staging();
    let finished = staging.join("libexec/bpf-linker");
    if finished.is_file() {
        return Ok(());
    }
    let version = capture(program(&staging, "rustc").arg("-vV"))?;
    let llvm = llvm_major(&version).context("the unpacked rustc names no LLVM version")?;
    let work = cache.root().join("build");
    let mut install = process::cargo_install("bpf-linker", LINKER_VERSION, &work);
    install.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    let libraries = ["usr/lib", "lib"].map(|lib| staging.join("root").join(lib).join(triplet));
    install.env("LLVM_PREFIX", llvm_prefix(&work, &libraries[0])?);
    install.env("CARGO_ENCODED_RUSTFLAGS", rpath_links(&libraries));
    step.run(&mut install, || step.last_log_line())?;
    fs::create_dir_all(staging.join("libexec"))?;
    fs::rename(work.join("bin/bpf-linker"), finished)?;
    remove_dir(&work)
}

/// A prefix in the shape that bpf-linker's build looks for: `lib/libLLVM.so`. The headers are not needed.
fn llvm_prefix(work: &Path, libraries: &Path) -> Result<PathBuf> {
    let is_llvm = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(b"libLLVM") && file.is_file()
    };
    let mut files = fs::read_dir(libraries)?.flatten().map(|entry| entry.path());
    let library = files.find(is_llvm).with_context(|| format!("no libLLVM in {}", libraries.display()))?;
    let prefix = work.join("llvm");
    remove_dir(&prefix)?;
    fs::create_dir_all(prefix.join("lib"))?;
    symlink(library, prefix.join("lib/libLLVM.so"))?;
    Ok(prefix)
}

/// Flags that let the linker find the libraries which LLVM itself needs.
fn rpath_links(libraries: &[PathBuf]) -> OsString {
    let mut flags = OsString::new();
    for dir in libraries {
        flags.push(if flags.is_empty() { "" } else { "\x1f" });
        flags.push("-Clink-arg=-Wl,-rpath-link,");
        flags.push(dir);
    }
    flags
}

/// What to do where no package helps.
fn by_hand(why: &str) -> String {
    format!(
        "\
the eBPF toolchain cannot be set up by itself: {why}. Have a nightly with the source of core, and a bpf-linker whose
LLVM is not older than the nightly's (NN below; `rustc +nightly -vV` tells it, {first} to {last} will do):
    rustup toolchain install nightly --profile minimal --component rust-src
    cargo install bpf-linker --version {LINKER_VERSION} --locked --no-default-features --features llvm-NN
    cargo xtask setup
or build without any toolchain from a compiled filter: FLOODWALL_EBPF_OBJECT=/path/of/floodwall cargo build",
        first = LLVM.start(),
        last = LLVM.end(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_folder_becomes_one_flag() {
        let flags = rpath_links(&["/a b".into(), "/c".into()]);
        assert_eq!(flags, "-Clink-arg=-Wl,-rpath-link,/a b\x1f-Clink-arg=-Wl,-rpath-link,/c");
    }

    #[test]
    fn the_way_by_hand_names_the_commands_and_the_reason() {
        let text = by_hand("no apt");
        assert!(
            text.contains("no apt") && text.contains("--component rust-src") && text.contains(LINKER_VERSION)
        );
    }
}
