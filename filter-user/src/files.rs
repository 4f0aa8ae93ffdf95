//! Files that others wrote.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// A regular file, open to be read, and what it is.
///
/// # Errors
/// What the system says; `InvalidInput` for what is no file.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Not blocking: a FIFO without a writer would hold us for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file, found))
}

/// The bytes of a regular file, of at most `largest`.
///
/// # Errors
/// As [`open`]; `FileTooLarge`.
pub fn regular(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let (file, found) = open(path)?;
    let length = usize::try_from(found.len().min(largest)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length + 1);
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {largest} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn only_files_and_no_longer_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        std::fs::write(&file, b"four").unwrap();
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        assert_eq!(regular(&file, 4).unwrap(), b"four");
        let kind = |path: &Path, largest| regular(path, largest).unwrap_err().kind();
        assert_eq!(kind(&file, 3), io::ErrorKind::FileTooLarge);
        for path in [folder.path(), &pipe, Path::new("/dev/zero")] {
            assert_eq!(kind(path, 9), io::ErrorKind::InvalidInput, "{}", path.display());
        }
        assert_eq!(kind(&folder.path().join("none"), 9), io::ErrorKind::NotFound);
    }
}
