//! The master secret and what is derived from it.

use std::{
    fs::OpenOptions,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Sizes of a key file, bytes.
const MIN_BYTES: u64 = 32;
const MAX_BYTES: u64 = 4096;

/// Erased when dropped; neither printed nor cloned.
pub struct Master(Zeroizing<Vec<u8>>);

/// A `SipHash` key that is erased when dropped.
pub(super) type DerivedKey = Zeroizing<[u64; 2]>;

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Master(..)")
    }
}

impl PartialEq for Master {
    fn eq(&self, other: &Self) -> bool {
        // Both are ours: nobody can time this comparison.
        self.0 == other.0
    }
}

impl Master {
    /// 256 bits from the kernel.
    pub fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        getrandom::fill(&mut bytes).context("the kernel's random source")?;
        Ok(Self::new(bytes))
    }

    /// The bytes of a key file: 32 to 4096 of them, readable by root alone, no symbolic link.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_owned_by(path, 0)
    }

    fn read_owned_by(path: &Path, owner: u32) -> Result<Self> {
        let name = path.display();
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
        let file = match file {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                bail!("key file {name} is a symbolic link: name the file itself")
            }
            file => file.with_context(|| format!("open key file {name}"))?,
        };
        let found = file.metadata().with_context(|| format!("stat key file {name}"))?;
        ensure!(found.is_file(), "key file {name} is not a regular file");
        ensure!(found.uid() == owner, "key file {name} is not owned by root: chown root {name}");
        let mode = found.mode() & 0o7777;
        ensure!(mode.trailing_zeros() >= 6, "key file {name} has mode {mode:04o}: chmod 0600 {name}");
        let size = found.len();
        ensure!(
            (MIN_BYTES..=MAX_BYTES).contains(&size),
            "key file {name} has {size} bytes instead of {MIN_BYTES} to {MAX_BYTES}: \
             head -c 32 /dev/urandom >{name}"
        );
        // The capacity is there at once: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("read key file {name}"))?;
        ensure!(bytes.len() as u64 == size, "key file {name} changed while it was read");
        Ok(Self::new(bytes))
    }

    fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        keep_out_of_swap(&bytes);
        Self(bytes)
    }

    /// Key of the MAC in cookies of `epoch`.
    pub(super) fn epoch_key(&self, epoch: u64) -> DerivedKey {
        self.derive(&[b"floodwall cookie v1 epoch", &epoch.to_le_bytes()])
    }

    /// HKDF-SHA256 (RFC 5869) without salt.
    fn derive(&self, info: &[&[u8]]) -> DerivedKey {
        let mut bytes = Zeroizing::new([0; 16]);
        let derived = Hkdf::<Sha256>::new(None, &self.0).expand_multi_info(info, &mut *bytes);
        debug_assert!(derived.is_ok(), "16 bytes are within HKDF's limit");
        let word =
            |at: usize| bytes[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Zeroizing::new([word(0), word(8)])
    }
}

/// Best effort: `RLIMIT_MEMLOCK` may forbid it. Nothing unlocks the page before the process ends.
#[expect(unsafe_code, reason = "mlock takes a pointer")]
fn keep_out_of_swap(bytes: &[u8]) {
    let start = std::ptr::NonNull::from(bytes).cast();
    // SAFETY: the range is a live allocation; mlock changes nothing about its contents.
    let _ = unsafe { nix::sys::mman::mlock(start, bytes.len()) };
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    /// A file of this user: tests need not be root.
    fn read(path: &Path) -> Result<Master> {
        Master::read_owned_by(path, nix::unistd::geteuid().as_raw())
    }

    fn file(size: usize, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        fs::write(&path, vec![7; size]).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode");
        (folder, path)
    }

    #[test]
    fn sizes_and_modes() {
        for (size, mode, fine) in [
            (32, 0o600, true),
            (4096, 0o400, true),
            (31, 0o600, false),
            (4097, 0o600, false),
            (0, 0o600, false),
            (32, 0o640, false),
            (32, 0o604, false),
            (32, 0o610, false),
        ] {
            let (_folder, path) = file(size, mode);
            assert_eq!(read(&path).is_ok(), fine, "{size} bytes, mode {mode:o}");
        }
    }

    #[test]
    fn links_folders_and_strangers_files_are_refused() {
        let (folder, path) = file(32, 0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).expect("link");
        let error = read(&link).expect_err("a link");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert!(read(folder.path()).is_err());
        let stranger = nix::unistd::geteuid().as_raw() + 1;
        assert!(Master::read_owned_by(&path, stranger).is_err());
    }

    #[test]
    fn keys_differ_by_epoch_and_master_and_agree_between_hosts() {
        let one = Master::new(Zeroizing::new(vec![1; 32]));
        let same = Master::new(Zeroizing::new(vec![1; 32]));
        let two = Master::new(Zeroizing::new(vec![2; 32]));
        assert_eq!(one.epoch_key(5), same.epoch_key(5));
        assert_ne!(one.epoch_key(5), one.epoch_key(6));
        assert_ne!(one.epoch_key(5), two.epoch_key(5));
        assert!(one == same && one != two);
    }

    #[test]
    fn nothing_prints_it() {
        let master = Master::new(Zeroizing::new(vec![0xab; 32]));
        assert_eq!(format!("{master:?}"), "Master(..)");
    }
}
