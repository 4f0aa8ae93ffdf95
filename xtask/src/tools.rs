//! Tools of the system that the demo and the tests use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::Handover;
use crate::apt::{Apt, megabytes};
use crate::cache::{Cache, remove_dir};
use crate::packages::Deb;
use crate::process::{self, isolated};
use crate::progress::{Step, Steps};
use crate::unpack::unpack;

/// Programs and the packages that hold them.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
    ("curl", "curl"),
    ("tshark", "tshark"),
    ("tmux", "tmux"),
];

/// Installs what is missing as root, and hands the command over to everybody else.
pub(crate) fn ensure_installed() -> Result<()> {
    ensure(&TOOLS)
}

/// The same for these programs.
pub(crate) fn ensure(tools: &[(&str, &'static str)]) -> Result<()> {
    let packages = missing(tools, |program| process::find(program).is_some());
    if packages.is_empty() {
        return Ok(());
    }
    let commands =
        format!("apt-get update && apt-get install --no-install-recommends {}", packages.join(" "));
    if !process::is_root() || !Apt::is_here() {
        return Err(Handover(format!("missing tools: {}\n    {commands}", packages.join(", "))).into());
    }
    eprintln!("installing {}", packages.join(", "));
    let installed = install(&packages).or_else(|_| {
        run(apt_get().arg("update"))?;
        install(&packages)
    });
    installed.with_context(|| format!("try it by hand:\n    {commands}"))
}

/// The packages to install, each once.
fn missing(tools: &[(&str, &'static str)], is_here: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        tools.iter().filter(|(tool, _)| !is_here(tool)).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Adds packages; what is installed stays as it is.
fn install(packages: &[&str]) -> Result<()> {
    run(apt_get()
        .args(["install", "-y", "--no-install-recommends", "--no-remove", "--no-upgrade"])
        .args(packages))
}

fn apt_get() -> Command {
    let mut command = isolated("apt-get");
    command.arg("-q").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn run(command: &mut Command) -> Result<()> {
    process::capture(command).map(drop)
}

/// Prometheus, which scrapes a daemon in the tests, and promtool, which checks metrics and rules.
pub(crate) const PROMETHEUS: [&str; 2] = ["prometheus", "promtool"];

/// Paths of [`PROMETHEUS`]; unpacked from their package since installing that would start a service. `None`, with a note, where they cannot
/// be had.
pub(crate) fn prometheus(cache: &Cache) -> Option<[PathBuf; 2]> {
    let both = || -> Result<_> {
        let [server, tool] = PROMETHEUS.map(|program| find_prometheus(cache, program));
        Ok([server?, tool?])
    };
    let note = |error| eprintln!("note: no Prometheus, what needs it is not tested: {error:#}");
    both().map_err(note).ok()
}

fn find_prometheus(cache: &Cache, program: &str) -> Result<PathBuf> {
    let own = cache.root().join(program);
    if own.is_file() {
        return Ok(own);
    }
    if let Some(installed) = process::find(program) {
        return Ok(installed);
    }
    fetch_prometheus(cache, &own).map(|()| own)
}

fn fetch_prometheus(cache: &Cache, own: &Path) -> Result<()> {
    if !Apt::is_here() {
        return Err(Handover("install prometheus and its promtool into PATH".to_owned()).into());
    }
    let _lock = cache.lock()?;
    if own.is_file() {
        // Another run has fetched it meanwhile.
        return Ok(());
    }
    let work = cache.root().join("prometheus.partial");
    Steps::new(1, cache.log())?.step("fetch Prometheus (nothing gets installed)", |step| {
        let deb = download("prometheus", cache, &work, step)?;
        let files = PROMETHEUS.map(|program| format!("./usr/bin/{program}"));
        unpack(&work.join(deb.file), &files.each_ref().map(String::as_str), &work, step)?;
        for program in PROMETHEUS {
            fs::rename(work.join("usr/bin").join(program), cache.root().join(program))?;
        }
        remove_dir(&cache.apt())?;
        remove_dir(&work)
    })
}

fn download(package: &str, cache: &Cache, into: &Path, step: &Step<'_>) -> Result<Deb> {
    let names = [package.to_owned()];
    let by = |apt: Apt| -> Result<Deb> {
        let deb = apt.debs(&names)?.pop().with_context(|| format!("apt does not offer {package}"))?;
        step.say(&format!("{}, {}", deb.file, megabytes(deb.size)));
        apt.download(&names, deb.size, into, step)?;
        Ok(deb)
    };
    Apt::system(cache).and_then(by).or_else(|_| by(Apt::refreshed(cache, step)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_installed_once_for_all_its_tools() {
        assert_eq!(missing(&TOOLS, |_| false), ["iproute2", "curl", "tshark", "tmux"]);
        assert_eq!(missing(&TOOLS, |tool| tool != "tc"), ["iproute2"]);
        assert!(missing(&TOOLS, |_| true).is_empty());
    }
}
