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

/// A program that is unpacked from its package, since installing that would start a service.
struct Unpacked {
    /// Names its path to the tests.
    variable: &'static str,
    program: &'static str,
    package: &'static str,
}

/// What scrapes a daemon in the tests, what checks metrics and rules, and who is told of attacks.
const UNPACKED: [Unpacked; 3] = [
    Unpacked { variable: "PROMETHEUS", program: "prometheus", package: "prometheus" },
    Unpacked { variable: "PROMTOOL", program: "promtool", package: "prometheus" },
    Unpacked {
        variable: "ALERTMANAGER",
        program: "prometheus-alertmanager",
        package: "prometheus-alertmanager",
    },
];

/// Variables for the tests, and the programs' paths; what cannot be had is left out, with a note.
pub(crate) fn monitoring(cache: &Cache) -> Vec<(&'static str, PathBuf)> {
    let found = UNPACKED.iter().filter_map(|wanted| match find_unpacked(cache, wanted) {
        Ok(path) => Some((wanted.variable, path)),
        Err(error) => {
            eprintln!("note: no {}, what needs it is not tested: {error:#}", wanted.program);
            None
        }
    });
    found.collect()
}

fn find_unpacked(cache: &Cache, wanted: &Unpacked) -> Result<PathBuf> {
    let own = cache.root().join(wanted.program);
    if own.is_file() {
        return Ok(own);
    }
    if let Some(installed) = process::find(wanted.program) {
        return Ok(installed);
    }
    fetch(cache, wanted, &own).map(|()| own)
}

/// Fetches the package, for all of its programs.
fn fetch(cache: &Cache, wanted: &Unpacked, own: &Path) -> Result<()> {
    let Unpacked { program, package, .. } = wanted;
    if !Apt::is_here() {
        return Err(Handover(format!("install {program} into PATH")).into());
    }
    let _lock = cache.lock()?;
    if own.is_file() {
        // Another run has fetched it meanwhile.
        return Ok(());
    }
    let work = cache.root().join(format!("{package}.partial"));
    Steps::new(1, cache.log())?.step(&format!("fetch {package} (nothing gets installed)"), |step| {
        let deb = download(package, cache, &work, step)?;
        let programs: Vec<_> =
            UNPACKED.iter().filter(|other| other.package == *package).map(|other| other.program).collect();
        let files: Vec<_> = programs.iter().map(|program| format!("./usr/bin/{program}")).collect();
        unpack(&work.join(deb.file), &files.iter().map(String::as_str).collect::<Vec<_>>(), &work, step)?;
        for program in programs {
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
