//! One daemon at a time, in a folder of its own.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::{Gid, chown, getegid},
};

use crate::cmd::failure::{Failure, Kind};

/// Name of the lock file in the runtime folder.
pub const NAME: &str = "floodwall.pid";

/// Held while the daemon runs; the kernel lets go of it however that ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Lock {
    /// Makes the runtime folder and takes the lock in it.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        make_private(folder).with_context(|| format!("runtime folder {}", folder.display()))?;
        let path = folder.join(NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                note_pid(&mut lock).with_context(|| format!("write {}", path.display()))?;
                Ok(Self(lock))
            }
            Err((file, Errno::EWOULDBLOCK)) => Err(held(file, folder).into()),
            Err((_, errno)) => Err(errno).with_context(|| format!("lock {}", path.display())),
        }
    }
}

/// Lets the members of a group (else only our own) into the runtime folder.
pub fn share(folder: &Path, group: Option<Gid>) -> anyhow::Result<()> {
    let group = group.unwrap_or_else(getegid);
    if folder.symlink_metadata()?.gid() == group.as_raw() {
        return Ok(());
    }
    chown(folder, None, Some(group)).with_context(|| {
        let unit = "under systemd, Group= has to name that group (systemctl edit floodwall)";
        format!("chgrp {group} {}; {unit}", folder.display())
    })
}

fn note_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn held(file: File, folder: &Path) -> Failure {
    let mut text = String::new();
    let read = file.take(16).read_to_string(&mut text).is_ok();
    let pid = text.trim().parse::<u32>().ok().filter(|_| read);
    let who = pid.map_or("another floodwall".to_owned(), |pid| format!("another floodwall, pid {pid},"));
    let hint = match pid {
        Some(pid) => format!("stop it first: kill {pid} (the filter stays), or kill -HUP {pid} to reload"),
        None => "stop it first; the filter stays".to_owned(),
    };
    Failure::new(Kind::GuardRail, format!("{who} runs already with {}", folder.display()), hint)
}

/// Makes the folder, or checks that nobody else can put things into it.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o750).create(folder)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error.into());
    }
    let found = folder.symlink_metadata()?;
    if !found.is_dir() {
        bail!("it is no folder: remove it");
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        bail!("it belongs to user {}: chown or remove it", found.uid());
    }
    // systemd's RuntimeDirectory= makes it 0755 unless told otherwise.
    if found.mode() & 0o7777 != 0o750 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o750))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_names_the_first() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run/floodwall");
        let first = Lock::take(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o750);
        let error = Lock::take(&folder).unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.kind.code(), 6);
        assert!(failure.message.contains(&format!("pid {},", std::process::id())), "{failure}");
        drop(first);
        Lock::take(&folder).unwrap();
    }

    #[test]
    fn a_symlink_is_no_runtime_folder() {
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(Lock::take(&link).is_err());
    }
}
