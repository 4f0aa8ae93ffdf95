//! The folder that keeps everything the tasks download or build.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::Handover;

/// The cache folder; it exists.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the folder by the environment and creates it.
    pub(crate) fn open() -> Result<Self> {
        let root = std::path::absolute(location(|name| env::var_os(name))?)?;
        // PATH and LD_LIBRARY_PATH have no way of quoting a colon.
        if root.as_os_str().as_encoded_bytes().contains(&b':') {
            let text = format!("the cache folder {} holds a colon; set FLOODWALL_CACHE", root.display());
            return Err(Handover(text).into());
        }
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        Ok(Self { root: root.canonicalize()? })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The finished eBPF toolchain. It gets this name in one rename, so it is complete if it exists.
    pub(crate) fn toolchain(&self) -> PathBuf {
        self.root.join("ebpf")
    }

    /// The eBPF toolchain in the making; an interrupted run leaves it for the next one.
    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("ebpf.partial")
    }

    /// Packages on their way from the distribution to the toolchain.
    pub(crate) fn debs(&self) -> PathBuf {
        self.root.join("debs")
    }

    /// Other kernels, and what boots them.
    pub(crate) fn kernels(&self) -> PathBuf {
        self.root.join("kernels")
    }

    /// Package lists and apt's index of them.
    pub(crate) fn apt(&self) -> PathBuf {
        self.root.join("apt")
    }

    /// What the child processes of the running task said.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("setup.log")
    }

    /// Waits until no other run works in the folder. The lock ends with the file, so also when the process dies.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            eprintln!("another setup is at work in {}: waiting for it", self.root.display());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

/// `FLOODWALL_CACHE`, else `XDG_CACHE_HOME/floodwall`, else `HOME/.cache/floodwall`. Empty counts as unset, and a
/// relative `XDG_CACHE_HOME` is ignored as the XDG base directory specification wants it.
fn location(var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let path = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("FLOODWALL_CACHE")
        .or_else(|| Some(path("XDG_CACHE_HOME").filter(|dir| dir.is_absolute())?.join("floodwall")))
        .or_else(|| Some(path("HOME")?.join(".cache/floodwall")))
        .ok_or_else(|| Handover("no HOME: set FLOODWALL_CACHE to a folder that may be written".into()).into())
}

/// Removes a folder and all in it; one that is not there is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(vars: &[(&str, &str)]) -> Option<String> {
        let found = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        location(found).ok().map(|path| path.display().to_string())
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let (own, xdg, home) = (("FLOODWALL_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h"));
        assert_eq!(locate(&[own, xdg, home]).unwrap(), "/c");
        assert_eq!(locate(&[xdg, home]).unwrap(), "/x/floodwall");
        assert_eq!(locate(&[home]).unwrap(), "/h/.cache/floodwall");
        assert_eq!(locate(&[]), None);
    }

    #[test]
    fn empty_and_relative_values_do_not_count() {
        let home = ("HOME", "/h");
        assert_eq!(locate(&[("FLOODWALL_CACHE", ""), home]).unwrap(), "/h/.cache/floodwall");
        assert_eq!(locate(&[("XDG_CACHE_HOME", "x"), home]).unwrap(), "/h/.cache/floodwall");
    }
}
