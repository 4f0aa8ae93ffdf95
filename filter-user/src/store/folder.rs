//! A folder of state files: each is whole or as it was before, and what is damaged is put aside.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{OFlag, openat, renameat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::error;

use super::frame::{self, Damage, HEAD};

/// How the name of a file ends that was put aside: this and a number.
const ASIDE: &str = ".quarantined-";
/// Files of one name that are kept aside, the latest.
const KEPT_ASIDE: u64 = 8;

/// A folder that only its owner can change.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: File,
    quarantined: u64,
}

impl Folder {
    /// Makes the folder (mode 0700) or checks that it is ours alone.
    pub fn open(path: &Path) -> Result<Self> {
        make_private(path).with_context(|| format!("state folder {}", path.display()))?;
        Self::existing(path)
    }

    /// The folder if it is there and ours alone; makes nothing.
    pub fn existing(path: &Path) -> Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::open(path, flags, Mode::empty());
        let handle = File::from(handle.with_context(|| format!("open state folder {}", path.display()))?);
        let found = handle.metadata()?;
        let name = path.display();
        ensure!(found.uid() == own_user(), "state folder {name} belongs to user {}: chown it", found.uid());
        let open = found.mode() & 0o077;
        ensure!(open == 0, "state folder {name} is open to others: chmod 0700 {name}");
        Ok(Self { path: path.to_owned(), handle, quarantined: 0 })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Files that were put aside since it was opened.
    #[must_use]
    pub const fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// What a file holds; `None` when it is not there, or was damaged and is put aside now.
    ///
    /// An error is the system's: the file may be fine.
    pub fn read<T: DeserializeOwned>(&mut self, name: &str, largest: u64) -> Result<Option<T>> {
        self.read_with(name, largest, |content| {
            serde_json::from_slice(content).map_err(|error| error.to_string())
        })
    }

    /// The same for what is no JSON; `parse` makes sense of the content or says why it makes none.
    pub fn read_with<T, E: Into<String>>(
        &mut self,
        name: &str,
        largest: u64,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>> {
        let damage = match self.load(name, largest) {
            Ok(Ok(bytes)) => match frame::decode(name, &bytes).map(parse) {
                Ok(Ok(value)) => return Ok(Some(value)),
                Ok(Err(why)) => Damage::Content(why.into()),
                Err(damage) => damage,
            },
            Ok(Err(damage)) => damage,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("read {}", self.shown(name))),
        };
        self.put_aside(name, &damage)?;
        Ok(None)
    }

    /// The same without putting anything aside: what is wrong is the answer.
    pub fn inspect<T: DeserializeOwned>(&self, name: &str, largest: u64) -> Result<Result<T, Damage>> {
        let loaded = self.load(name, largest).with_context(|| format!("read {}", self.shown(name)))?;
        Ok(loaded.and_then(|bytes| content(name, &bytes)))
    }

    /// Writes a file: after a crash at any moment it holds this or what it held before.
    pub fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        self.write_bytes(name, &serde_json::to_vec(value)?)
    }

    /// The same for what is no JSON.
    pub fn write_bytes(&self, name: &str, content: &[u8]) -> Result<()> {
        let bytes = frame::encode(name, content);
        self.replace(name, &bytes).with_context(|| format!("write {}", self.shown(name)))
    }

    /// Removes a file; one that is gone already is fine.
    pub fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(self.handle.as_fd(), name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("remove {}", self.shown(name))),
        }
    }

    /// Names of all that is in it, sorted; those that are no UTF-8 left out.
    pub fn names(&self) -> Result<Vec<String>> {
        let listing = nix::dir::Dir::openat(self.handle.as_fd(), ".", OFlag::O_DIRECTORY, Mode::empty());
        let mut listing = listing.with_context(|| format!("list {}", self.path.display()))?;
        let names =
            listing.iter().filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        let mut names: Vec<_> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        Ok(names)
    }

    /// Files that lie aside, of this run and of earlier ones.
    pub fn aside(&self) -> Result<Vec<String>> {
        Ok(self.names()?.into_iter().filter(|name| name.contains(ASIDE)).collect())
    }

    fn shown(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// A file's bytes, or why they are none of ours.
    fn load(&self, name: &str, largest: u64) -> nix::Result<Result<Vec<u8>, Damage>> {
        // Not blocking: a FIFO without a writer would hold us for ever.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(self.handle.as_fd(), name, flags, Mode::empty()) {
            Err(Errno::ELOOP) => return Ok(Err(Damage::Odd("a symbolic link"))),
            Err(Errno::ENXIO) => return Ok(Err(Damage::Odd("a socket"))),
            file => File::from(file?),
        };
        let found = file.metadata().map_err(|error| errno(&error))?;
        if !found.is_file() {
            return Ok(Err(Damage::Odd("not a regular file")));
        }
        if found.uid() != own_user() {
            return Ok(Err(Damage::Odd("another user's")));
        }
        let largest = largest + HEAD as u64;
        let mut bytes = Vec::new();
        file.take(largest + 1).read_to_end(&mut bytes).map_err(|error| errno(&error))?;
        if bytes.len() as u64 > largest {
            return Ok(Err(Damage::TooLarge(largest)));
        }
        Ok(Ok(bytes))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!(".{name}.new");
        let _ = unlinkat(self.handle.as_fd(), temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(self.handle.as_fd(), temporary.as_str(), flags, Mode::from_bits_truncate(0o600))?;
        let mut file = File::from(file);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| Ok(self.rename(&temporary, name)?));
        if moved.is_err() {
            let _ = unlinkat(self.handle.as_fd(), temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        moved?;
        self.handle.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> nix::Result<()> {
        renameat(self.handle.as_fd(), from, self.handle.as_fd(), to)
    }

    fn put_aside(&mut self, name: &str, damage: &Damage) -> Result<()> {
        let prefix = format!("{name}{ASIDE}");
        let numbers = self.names()?.into_iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        let number = numbers.last().map_or(1, |last| last.saturating_add(1));
        let aside = format!("{prefix}{number}");
        self.quarantined += 1;
        error!("{} is damaged ({damage}): put aside as {aside}, its default is used", self.shown(name));
        self.rename(name, &aside).with_context(|| format!("put {} aside", self.shown(name)))?;
        for old in numbers.iter().filter(|old| **old <= number.saturating_sub(KEPT_ASIDE)) {
            self.remove(&format!("{prefix}{old}"))?;
        }
        Ok(())
    }
}

fn content<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Damage> {
    let content = frame::decode(name, bytes)?;
    serde_json::from_slice(content).map_err(|error| Damage::Content(error.to_string()))
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Makes the folder; nobody else may be able to put another in its place.
fn make_private(folder: &Path) -> Result<()> {
    ensure!(folder.is_absolute(), "not an absolute path");
    if let Some(parent) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        check_parent(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let found = folder.symlink_metadata()?;
    if !found.is_dir() {
        bail!("it is no folder: remove it");
    }
    // systemd's StateDirectory= makes it 0755 unless told otherwise.
    if found.uid() == own_user() && found.mode() & 0o7777 != 0o700 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn check_parent(parent: &Path) -> Result<()> {
    let found = parent.metadata()?;
    let trusted = found.uid() == 0 || found.uid() == own_user();
    let open = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
    ensure!(trusted && !open, "others may rename what is in {}", parent.display());
    Ok(())
}
