//! Files with an address or a prefix a line, read as if their author wished us ill.

use std::{io, net::IpAddr, path::Path, str};

use ipnet::IpNet;

use crate::files;

/// Largest file that is read, in bytes.
pub const LARGEST: u64 = 256 << 20;

/// Longest entry, in bytes, without its comment: the longest IPv6 prefix has 49.
const LONGEST: usize = 64;

/// One entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its line, from 1.
    pub line: usize,
    /// As written, or why it is none.
    pub prefix: Result<IpNet, String>,
}

/// The bytes of a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    files::regular(path, LARGEST)
}

/// All entries; `#` and `;` begin comments, empty lines are none.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    (1..).zip(bytes.split(|byte| *byte == b'\n')).filter_map(|(line, text)| {
        let end = text.iter().position(|byte| matches!(byte, b'#' | b';')).unwrap_or(text.len());
        let text = text[..end].trim_ascii();
        (!text.is_empty()).then(|| Entry { line, prefix: entry(text) })
    })
}

fn entry(text: &[u8]) -> Result<IpNet, String> {
    let text = str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    if text.len() > LONGEST {
        return Err(format!("{} bytes are no address and no prefix", text.len()));
    }
    prefix(text)
}

/// An address or a prefix.
pub fn prefix(text: &str) -> Result<IpNet, String> {
    let parsed =
        if text.contains('/') { text.parse().ok() } else { text.parse::<IpAddr>().ok().map(IpNet::from) };
    match parsed {
        Some(IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{text} is an IPv4 address in IPv6 clothes"))
        }
        Some(net) => Ok(net),
        None => Err(format!("{text:?} is no address and no prefix")),
    }
}
