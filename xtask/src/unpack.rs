//! Private unpacking: the only way in which packages get onto the machine here. Nothing is registered, replaced or
//! removed, no package script runs.

use std::path::Path;

use anyhow::Result;

use crate::process::isolated;
use crate::progress::Step;

/// Unpacks the files of a package that `selection` names: member names, or `--exclude=` options; both may hold
/// wildcards, which never match a slash.
pub(crate) fn unpack(deb: &Path, selection: &[&str], into: &Path, step: &Step<'_>) -> Result<()> {
    let mut archive = isolated("dpkg-deb");
    archive.arg("--fsys-tarfile").arg(deb);
    let mut tar = isolated("tar");
    tar.args(["-x", "--no-same-owner", "--anchored", "--wildcards", "--no-wildcards-match-slash", "-C"]);
    tar.arg(into).args(selection);
    step.pipe(&mut archive, &mut tar)
}
