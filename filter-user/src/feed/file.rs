//! Feeds from files.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use super::{Fault, Format, Limits, Looked, Validators, format};

/// Reads a file, unless it is the one that `known` tells of.
pub fn look(
    path: &Path,
    format: Format,
    limits: &Limits,
    timeout: Duration,
    known: &Validators,
) -> Result<Looked, Fault> {
    // Not blocking: a FIFO without a writer would hold us for ever.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|error| Fault::Source(error.to_string()))?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(Fault::Source("not a regular file".to_owned()));
    }
    let tag = Some(tag(&before));
    if tag == known.etag {
        return Ok(Looked::Same);
    }
    if before.len() > limits.bytes {
        return Err(Fault::TooLarge(limits.bytes));
    }
    let read = format::read(Timed::new(&file, timeout), format, limits);
    // Whatever was read: what somebody writes while we read is half of something.
    unchanged(&file, path, &before)?;
    let (entries, format) = read?;
    Ok(Looked::New(Box::new(entries), Validators { etag: tag, modified: None }, format))
}

fn tag(file: &Metadata) -> String {
    let times = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
    format!("{}:{}:{}:{times:?}", file.dev(), file.ino(), file.len())
}

fn unchanged(file: &File, path: &Path, before: &Metadata) -> Result<(), Fault> {
    let now = file.metadata()?;
    // Another may have been moved into its place meanwhile; what we have is whole all the same, if it was not written to.
    let moved = path.metadata().is_ok_and(|there| there.ino() != before.ino());
    let same = |a: &Metadata, b: &Metadata| {
        (a.len(), a.mtime(), a.mtime_nsec()) == (b.len(), b.mtime(), b.mtime_nsec())
    };
    if same(before, &now) && (moved || tag(before) == tag(&now)) { Ok(()) } else { Err(Fault::Changed) }
}

/// A reader with an end in time.
#[derive(Debug)]
pub(super) struct Timed<R> {
    inner: R,
    end: Instant,
    seconds: u64,
}

impl<R> Timed<R> {
    pub(super) fn new(inner: R, timeout: Duration) -> Self {
        Self { inner, end: Instant::now() + timeout, seconds: timeout.as_secs() }
    }
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.end {
            return Err(Fault::Slow(self.seconds).into());
        }
        self.inner.read(buffer)
    }
}
