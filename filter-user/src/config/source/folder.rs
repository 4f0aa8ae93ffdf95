//! The folder beside the configuration whose files go on where it ends.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use super::{Found, open, shown, text_of};
use crate::config::Diagnostic;

/// Its name.
pub const FOLDER: &str = "conf.d";
/// Files that are read, the main one not counted.
pub const MOST: usize = 64;
/// Bytes that are read, all files together, the main one not counted.
const LARGEST_SUM: usize = 4 << 20;

/// Its files by name: those that end in `.toml` and begin with no dot. What can't be read is a file at fault: a part that
/// is silently missing would be another configuration.
pub(super) fn read(folder: &Path, warnings: &mut Vec<Diagnostic>) -> Vec<Found> {
    let paths = match paths(folder) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![unreadable(folder, &error)],
    };
    if !paths.is_empty()
        && let Err(error) = fs::metadata(folder).and_then(|folder| ours(&folder))
    {
        return vec![unreadable(folder, &error)];
    }
    if paths.len() > MOST {
        let message = format!("more than {MOST} files in {}", shown(folder));
        return vec![Found::unfit(shown(folder), message, "put what belongs together into one file")];
    }
    let (mut found, mut sum) = (Vec::with_capacity(paths.len()), 0);
    for path in paths {
        match file(&path) {
            Ok(Some(file)) => {
                sum += file.source.text.len();
                found.push(file);
            }
            Ok(None) => {
                let message = format!("{} is no regular file and not read", shown(&path));
                warnings.push(Diagnostic::warning(None, message).hint("remove it, or give it another name"));
            }
            Err(error) => found.push(unreadable(&path, &error)),
        }
        if sum > LARGEST_SUM {
            let message = format!("the files in {} have more than 4 MiB together", shown(folder));
            return vec![Found::unfit(shown(folder), message, "put long lists into [lists] block_files")];
        }
    }
    found
}

fn file(path: &Path) -> io::Result<Option<Found>> {
    let Some(file) = open(path)? else { return Ok(None) };
    ours(&file.metadata()?)?;
    text_of(file, shown(path)).map(Some)
}

/// Whoever can write here decides what is dropped: a `conf.d` beside a file in /tmp may be anybody's.
fn ours(found: &fs::Metadata) -> io::Result<()> {
    let own = [0, nix::unistd::geteuid().as_raw()].contains(&found.uid());
    if own && found.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user could have written it"))
}

fn unreadable(path: &Path, error: &io::Error) -> Found {
    let message = format!("cannot read {}: {error}", shown(path));
    Found::unfit(shown(path), message, "make it root's, readable and writable by nobody else, or remove it")
}

/// At most one more than are read.
fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.as_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") && paths.len() <= MOST {
            paths.push(folder.join(std::ffi::OsStr::from_bytes(name)));
        }
    }
    paths.sort();
    Ok(paths)
}
