//! Packets of a capture file ([`mod@write`] makes one): pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), of either byte order.
//!
//! Files are hostile: every length is bounded before memory is taken, and an error names the packet behind which it is.

mod format;
mod link;
mod private;
pub mod write;

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, Result};

use self::format::Format;
pub use self::link::Skipped;
use crate::dataplane::rehearsal::LONGEST;

/// A packet as an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Its number in the file, from 1 on, as Wireshark counts.
    pub number: u64,
    /// The frame; or why there is none.
    pub frame: Result<Vec<u8>, Skipped>,
    /// The capture holds only its beginning: the rest of the frame is zeros.
    pub cut: bool,
}

/// Where a file stops making sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the capture is damaged behind packet {behind}: {why}")]
pub struct Damaged {
    /// The last whole packet, 0 if there is none.
    pub behind: u64,
    /// What is wrong.
    pub why: String,
}

/// A file that is being read.
pub struct Capture<R> {
    reader: R,
    format: Format,
    number: u64,
    ended: bool,
}

impl Capture<BufReader<File>> {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Self::new(BufReader::with_capacity(1 << 18, file)).with_context(|| path.display().to_string())
    }
}

impl<R: Read> Capture<R> {
    /// Reads a file's head.
    pub fn new(mut reader: R) -> Result<Self, Damaged> {
        let format = Format::read(&mut reader).map_err(|why| Damaged { behind: 0, why })?;
        Ok(Self { reader, format, number: 0, ended: false })
    }

    fn read(&mut self) -> Result<Option<Captured>, String> {
        let Some(record) = self.format.next(&mut self.reader)? else { return Ok(None) };
        let number = self.number + 1;
        // What the capture left out is data: the filter reads headers.
        let whole = (record.length as usize).min(LONGEST);
        let cut = whole > record.bytes.len();
        let missing = whole.saturating_sub(record.bytes.len());
        let frame = if record.outgoing {
            Err(Skipped::Outgoing)
        } else {
            link::frame(record.link, record.bytes, missing)
        };
        Ok(Some(Captured { number, frame, cut }))
    }
}

impl<R: Read> Iterator for Capture<R> {
    type Item = Result<Captured, Damaged>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read() {
            Ok(Some(captured)) => {
                self.number = captured.number;
                Some(Ok(captured))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(why) => {
                self.ended = true;
                Some(Err(Damaged { behind: self.number, why }))
            }
        }
    }
}

impl<R> std::fmt::Debug for Capture<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
