//! Fetches what a machine is made of: qemu, busybox and kernels, unpacked privately from the distribution's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::fetch::{fetch, fetch_from_anywhere, prepare, tidy};
use super::modules;
use crate::Handover;
use crate::cache::{Cache, remove_dir};
use crate::process::{self, isolated};
use crate::progress::Steps;

const QEMU: &str = "qemu-system-x86_64";
const BUSYBOX: &str = "busybox-static";

/// What runs every kernel.
pub(super) struct Machine {
    /// A folder with qemu's files, in which `usr` is; `None` if the system has qemu.
    qemu: Option<PathBuf>,
    /// A busybox that needs no libraries.
    pub(super) busybox: PathBuf,
}

/// A kernel, ready to boot.
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// Its image.
    pub(super) vmlinuz: PathBuf,
    /// Its modules, named in the order in which they are loaded.
    pub(super) modules: PathBuf,
}

impl Machine {
    /// qemu, with its own libraries if they are private.
    pub(super) fn qemu(&self) -> Command {
        let Some(root) = &self.qemu else { return isolated(QEMU) };
        let mut command = isolated(root.join("usr/bin").join(QEMU));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries(root)).unwrap_or_default());
        command.arg("-L").arg(root.join("usr/share/qemu"));
        command
    }
}

/// The folders of libraries of the one architecture that a private tree holds.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["usr/lib", "lib"].map(|lib| root.join(lib).join(&triplet)).into()
}

/// qemu and busybox, fetched if need be.
pub(super) fn machine(cache: &Cache) -> Result<Machine> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Handover("other kernels are booted on x86-64 hosts only".to_owned()).into());
    }
    let (qemu, busybox) = (cache.kernels().join("qemu"), cache.kernels().join("busybox"));
    let qemu = if process::find(QEMU).is_some() { None } else { Some(qemu) };
    let needs_qemu = || qemu.as_ref().is_some_and(|root| !root.is_dir());
    if needs_qemu() || !busybox.is_file() {
        let _lock = prepare(cache)?;
        Steps::new(1, cache.log())?.step("fetch qemu and busybox (nothing gets installed)", |step| {
            let work = fetch(cache, step, |apt| apt.with_needs(BUSYBOX))?;
            fs::rename(work.join("bin/busybox"), &busybox).or_else(|_| {
                // Where /bin is a part of /usr.
                fs::rename(work.join("usr/bin/busybox"), &busybox)
            })?;
            if let Some(root) = qemu.as_ref().filter(|_| needs_qemu()) {
                let work = fetch(cache, step, |apt| apt.with_needs("qemu-system-x86"))?;
                fs::rename(work, root)?;
            }
            tidy(cache)
        })?;
    }
    Ok(Machine { qemu, busybox })
}

/// The newest kernel of a series; one that was fetched before stays until its folder is removed.
pub(super) fn kernel(cache: &Cache, machine: &Machine, series: &str) -> Result<Kernel> {
    let folder = cache.kernels().join(series);
    if let Some(kernel) = finished(&folder) {
        return Ok(kernel);
    }
    let _lock = prepare(cache)?;
    let title = format!("fetch Linux {series} (nothing gets installed)");
    Steps::new(1, cache.log())?.step(&title, |step| {
        let work = fetch_from_anywhere(cache, step, |apt| {
            let name = apt.kernel(series)?.with_context(|| format!("apt offers no Linux {series}"))?;
            Ok(vec![name])
        })?;
        let staging = cache.kernels().join(format!("{series}.partial"));
        remove_dir(&staging)?;
        collect(machine, &work, &staging)?;
        remove_dir(&folder)?;
        fs::rename(staging, &folder)?;
        tidy(cache)
    })?;
    finished(&folder).with_context(|| format!("{} is not complete", folder.display()))
}

/// A folder gets its name when it is complete; one with other modules than are wanted now is made anew.
fn finished(folder: &Path) -> Option<Kernel> {
    let stamp = fs::read_to_string(folder.join("stamp")).ok()?;
    let release = stamp.strip_suffix(&modules::WANTED.join(" "))?.trim_end().to_owned();
    Some(Kernel { release, vmlinuz: folder.join("vmlinuz"), modules: folder.join("modules") })
}

/// Picks the image and the wanted modules, decompressed, out of a kernel's package.
fn collect(machine: &Machine, work: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.join("modules"))?;
    let entries = fs::read_dir(work.join("boot"))?.flatten().map(|entry| entry.file_name());
    let mut releases = entries.filter_map(|name| Some(name.to_str()?.strip_prefix("vmlinuz-")?.to_owned()));
    let release = releases.next().context("the package holds no kernel")?;
    fs::rename(work.join("boot").join(format!("vmlinuz-{release}")), to.join("vmlinuz"))?;
    let folders = ["lib/modules", "usr/lib/modules"].map(|folder| work.join(folder).join(&release));
    let folder = folders.iter().find(|folder| folder.is_dir()).context("the package holds no modules")?;
    let files = modules::files(folder)?;
    let ordered = modules::ordered(&modules::WANTED, |name| {
        files.get(name).map(|file| bytes(machine, file)).transpose()
    })?;
    for (number, (name, bytes)) in ordered.into_iter().enumerate() {
        fs::write(to.join("modules").join(format!("{number:02}-{name}.ko")), bytes)?;
    }
    Ok(fs::write(to.join("stamp"), format!("{release}\n{}", modules::WANTED.join(" ")))?)
}

fn bytes(machine: &Machine, file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return Ok(fs::read(file)?);
    }
    let output = isolated(&machine.busybox).args(["unxz", "-c"]).arg(file).output()?;
    anyhow::ensure!(output.status.success(), "cannot decompress {}", file.display());
    Ok(output.stdout)
}
