//! Packages for the machine: chosen, downloaded and unpacked into a folder of the cache.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::Handover;
use crate::apt::{Apt, megabytes};
use crate::cache::{Cache, remove_dir};
use crate::progress::Step;
use crate::unpack::unpack;

/// Makes the folder and keeps other runs out of it.
pub(super) fn prepare(cache: &Cache) -> Result<File> {
    if !Apt::is_here() {
        let why = "other kernels come as packages: this system has no apt-get and dpkg-deb";
        return Err(Handover(why.to_owned()).into());
    }
    fs::create_dir_all(cache.kernels())?;
    cache.lock()
}

/// Removes everything that only the fetching needed.
pub(super) fn tidy(cache: &Cache) -> Result<()> {
    [cache.debs(), cache.apt(), folder(cache)].iter().try_for_each(|dir| remove_dir(dir))
}

fn folder(cache: &Cache) -> PathBuf {
    cache.kernels().join("unpacked")
}

/// The release of Debian that has all the kernels.
const RELEASE: &str = "bookworm";

/// Unpacks what `choose` names: by the system's package lists, else by fresh private ones.
pub(super) fn fetch(
    cache: &Cache,
    step: &Step<'_>,
    choose: impl Fn(&Apt) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    let by = |apt: Apt| unpack_by(&apt, &choose(&apt)?, cache, step);
    Apt::system(cache).and_then(by).or_else(|_| by(Apt::refreshed(cache, step)?))
}

/// The same, for what runs without any of the system's libraries: else by lists of the release that has it.
pub(super) fn fetch_from_anywhere(
    cache: &Cache,
    step: &Step<'_>,
    choose: impl Fn(&Apt) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    fetch(cache, step, &choose).or_else(|error| {
        step.say(&format!("note: {error:#}"));
        let apt = Apt::of_release(cache, step, RELEASE)?;
        unpack_by(&apt, &choose(&apt)?, cache, step)
    })
}

fn unpack_by(apt: &Apt, names: &[String], cache: &Cache, step: &Step<'_>) -> Result<PathBuf> {
    let debs = apt.debs(names)?;
    ensure!(debs.len() == names.len(), "apt offers {} of the packages {}", debs.len(), names.join(" "));
    let total = debs.iter().map(|deb| deb.size).sum();
    step.say(&format!("{} and {} more, {}", debs[0].file, debs.len() - 1, megabytes(total)));
    apt.download(names, total, &cache.debs(), step)?;
    let work = folder(cache);
    remove_dir(&work)?;
    fs::create_dir_all(&work)?;
    for deb in debs {
        unpack(&cache.debs().join(deb.file), &["--exclude=./usr/share/doc"], &work, step)?;
    }
    Ok(work)
}
