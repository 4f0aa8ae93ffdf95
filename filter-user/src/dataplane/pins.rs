//! The folder under bpffs that holds what outlives the daemon.
//!
//! ```text
//! /sys/fs/bpf/floodwall/        0700, owner root
//!   links/<ifindex>-xdp, -tc    the attachments; they survive a change of layout
//!   v1-1f3a90c2/<MAP>           state maps, named by ABI number and layout
//!   v1-1f3a90c2/staging/<MAP>   maps of an apply that has not been committed
//! ```
//! bpffs refuses dots in names, hence interface indices instead of names.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Which attachment of an interface a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Xdp,
    Tc,
    Egress,
}

impl Hook {
    /// Every hook, in the order in which it is attached.
    pub(super) const ALL: [Self; 3] = [Self::Tc, Self::Egress, Self::Xdp];

    /// How the pin's name ends.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Egress => "out",
        }
    }

    /// The words that operators know it by.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Xdp => "XDP",
            Self::Tc => "tc ingress",
            Self::Egress => "tc egress",
        }
    }
}

/// Paths below a checked pin folder.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    /// What the operator configured.
    pub(super) root: PathBuf,
    /// The maps of this layout.
    pub(super) maps: PathBuf,
    /// The attachments.
    pub(super) links: PathBuf,
    /// Maps of an unfinished apply.
    pub(super) staging: PathBuf,
}

impl Pins {
    /// The folder for maps of `layout`, checked if it is there.
    pub(super) fn at(root: &Path, layout: &str) -> Result<Self> {
        ensure!(root.is_absolute(), "{} is not an absolute path", root.display());
        let maps = root.join(layout);
        let pins =
            Self { root: root.to_owned(), links: root.join("links"), staging: maps.join("staging"), maps };
        check_ancestors(root)?;
        for folder in [&pins.root, &pins.maps, &pins.links, &pins.staging] {
            check_private(folder)?;
        }
        Ok(pins)
    }

    /// Makes what is missing, with an empty staging folder; the lock is held as long as the file.
    pub(super) fn create(&self) -> Result<File> {
        make_private(&self.root)?;
        let lock = self.lock()?;
        for folder in [&self.links, &self.maps] {
            make_private(folder)?;
        }
        self.stage()?;
        Ok(lock)
    }

    /// Makes an empty staging folder.
    pub(super) fn stage(&self) -> Result<()> {
        remove_folder(&self.staging)?;
        make_private(&self.staging)
    }

    /// Forgets an apply that failed: what was staged, and folders that hold nothing.
    pub(super) fn abandon(&self) {
        let _ = remove_folder(&self.staging);
        for folder in [&self.maps, &self.links, &self.root] {
            // Fails, as it should, while anything is pinned there.
            let _ = fs::remove_dir(folder);
        }
    }

    /// Held while one process changes what is pinned; others wait.
    pub(super) fn lock(&self) -> Result<File> {
        let folder = File::open(&self.root).with_context(|| format!("open {}", self.root.display()))?;
        folder.lock().with_context(|| format!("lock {}", self.root.display()))?;
        Ok(folder)
    }

    /// Where a state map is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.maps.join(name)
    }

    /// Where a map waits for the commit.
    pub(super) fn staged(&self, name: &str) -> PathBuf {
        self.staging.join(name)
    }

    /// Where the link of an interface is pinned.
    pub(super) fn link(&self, ifindex: u32, hook: Hook) -> PathBuf {
        self.links.join(format!("{ifindex}-{}", hook.suffix()))
    }

    /// Every pinned link with its interface index.
    pub(super) fn all_links(&self) -> Result<Vec<(u32, PathBuf)>> {
        let paths = entries(&self.links)?;
        Ok(paths.into_iter().filter_map(|path| Some((link_index(&path)?, path))).collect())
    }

    /// Moves every staged map to its place; a map that was there before lives on in the programs that use it.
    pub(super) fn publish(&self) -> Result<()> {
        for path in entries(&self.staging)? {
            let name = path.file_name().context("a staged map without a name")?;
            let target = self.maps.join(name);
            fs::rename(&path, &target).with_context(|| format!("pin {}", target.display()))?;
        }
        remove_folder(&self.staging)
    }

    /// Folders of maps, of this layout and of others.
    pub(super) fn layouts(&self) -> Result<Vec<PathBuf>> {
        let is_layout = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().first() == Some(&b'v'))
        };
        Ok(entries(&self.root)?.into_iter().filter(is_layout).collect())
    }
}

fn link_index(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

/// Only the owner may touch a pinned object, whatever umask made it.
pub(super) fn make_owner_only(path: &Path) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("chmod 0600 {}", path.display()))
}

/// Whether something is pinned there.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Removes a pin; one that is gone already is fine.
pub(super) fn unpin(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a folder of pins with everything in it, not following symbolic links.
pub(super) fn remove_folder(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        if path.symlink_metadata()?.is_dir() {
            remove_folder(&path)?;
        } else {
            unpin(&path)?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What a folder holds, sorted; nothing if it is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.with_context(|| format!("list {}", folder.display()))?,
    };
    let paths: std::io::Result<Vec<_>> = listing.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.with_context(|| format!("list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// Every folder above `root` can only be changed by root: what is checked stays true.
pub(super) fn check_ancestors(root: &Path) -> Result<()> {
    for folder in root.ancestors().skip(1) {
        let Some(found) = look(folder)? else { continue };
        ensure!(found.uid() == 0, "{} is not owned by root", folder.display());
        let open_to_all = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
        ensure!(!open_to_all, "others may rename what is in {}: chmod go-w it", folder.display());
    }
    let parent = root.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let file_system = statfs(parent).with_context(|| format!("statfs {}", parent.display()))?;
    if file_system.filesystem_type() != BPF_FS_MAGIC {
        bail!("{} is not on a BPF file system: mount -t bpf bpf /sys/fs/bpf", parent.display());
    }
    Ok(())
}

/// A folder of ours, if it is there, belongs to root alone.
fn check_private(folder: &Path) -> Result<()> {
    let Some(found) = look(folder)? else { return Ok(()) };
    let mode = found.mode() & 0o7777;
    ensure!(found.uid() == 0, "{} is not owned by root: remove it", folder.display());
    ensure!(mode == 0o700, "{} has mode {mode:04o} instead of 0700: chmod 0700 it", folder.display());
    Ok(())
}

/// What is there: a folder, or nothing; anything else is an error.
fn look(folder: &Path) -> Result<Option<fs::Metadata>> {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("stat {}", folder.display())),
        Ok(found) if found.is_symlink() => bail!("{} is a symbolic link: remove it", folder.display()),
        Ok(found) if !found.is_dir() => bail!("{} is not a folder: remove it", folder.display()),
        Ok(found) => Ok(Some(found)),
    }
}

/// Makes a folder for root alone, or checks that it is one.
pub(super) fn make_private(folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("create {}", folder.display()))
        }
        _ => check_private(folder),
    }
}

#[cfg(test)]
mod tests;
