//! A writer of cpio archives in the "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{Result, Write};

/// What an entry is, with its permissions, as in `st_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Folder = 0o040_755,
    Program = 0o100_755,
}

/// An archive in the making.
pub(super) struct Archive<W> {
    sink: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { sink, entries: 0 }
    }

    /// Adds an entry; its name has no slash in front, and the folders above it come first.
    pub(super) fn add(&mut self, name: &str, kind: Kind, data: &[u8]) -> Result<()> {
        self.entry(name, kind as u32, data)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.sink.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(data.len()).map_err(std::io::Error::other)?;
        // Name and data are padded so that what follows starts at a multiple of four.
        let header = header(self.entries, mode, size, name.len() as u32 + 1);
        let head = [header.as_bytes(), name.as_bytes(), &[0]].concat();
        for bytes in [&head[..], data] {
            self.sink.write_all(bytes)?;
            self.sink.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])?;
        }
        Ok(())
    }
}

/// Magic and 13 numbers of eight hexadecimal digits; owner, time and devices are 0.
fn header(inode: u32, mode: u32, size: u32, name_size: u32) -> String {
    let numbers = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    numbers.iter().fold("070701".to_owned(), |text, number| text + &format!("{number:08x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_what_the_kernel_reads() {
        let header = header(7, Kind::Program as u32, 0x1234, 5);
        assert_eq!(header.len(), 110);
        assert_eq!(&header[..22], "07070100000007000081ed");
        assert_eq!((&header[54..62], &header[94..102]), ("00001234", "00000005"));
    }

    #[test]
    fn entries_are_padded_and_a_trailer_ends_them() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.add("bin", Kind::Folder, &[]).unwrap();
        archive.add("bin/x", Kind::Program, b"hello").unwrap();
        archive.finish().unwrap();
        // 110 bytes and "bin\0" make 114, two more to 116; "bin/x\0" makes 116, and the data 8.
        assert_eq!(&bytes[110..116], b"bin\0\0\0");
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(&bytes[226..240], b"bin/x\0hello\0\0\0");
        assert!(bytes.len().is_multiple_of(4));
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
