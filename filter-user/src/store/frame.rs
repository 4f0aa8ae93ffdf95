//! The bytes of a state file.
//!
//! ```text
//! 0   8  magic, "FLOODWST"
//! 8   4  version of this form, little-endian
//! 12  8  length of the content, little-endian
//! 20 32  SHA-256 over bytes 0..20, the file's name, a zero byte, the content
//! 52     the content
//! ```
//! The name is part of the sum: a file in the place of another is a damaged one.

use sha2::{Digest as _, Sha256};

const MAGIC: [u8; 8] = *b"FLOODWST";
/// The form that is written, and the last that is read.
pub const VERSION: u32 = 1;
/// Bytes before the content.
pub const HEAD: usize = 52;
const SUMMED: usize = 20;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Shorter than its own head, or none of ours.
    #[error("not a state file of floodwall's")]
    Foreign,
    /// Of a version that is not known here.
    #[error("version {0} of its form is not known here (this is version {VERSION})")]
    Version(u32),
    /// Cut, or with something behind its end.
    #[error("{found} bytes of content instead of {said}")]
    Length {
        /// As its head says.
        said: u64,
        /// As there are.
        found: u64,
    },
    /// Other bytes than were written, or another file's.
    #[error("its checksum is wrong")]
    Checksum,
    /// More bytes than such a file can have.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// Whole, but not what is expected in it.
    #[error("its content makes no sense: {0}")]
    Content(String),
    /// No file of ours at all.
    #[error("{0}")]
    Odd(&'static str),
}

/// A file's bytes.
#[must_use]
pub fn encode(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + content.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(sum(name, &bytes, content));
    bytes.extend(content);
    bytes
}

/// The content of a whole file.
pub fn decode<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    let (head, content) = bytes.split_at_checked(HEAD).ok_or(Damage::Foreign)?;
    let (summed, digest) = head.split_at(SUMMED);
    let (magic, rest) = summed.split_first_chunk::<8>().ok_or(Damage::Foreign)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(Damage::Foreign)?;
    let (length, _) = rest.split_first_chunk::<8>().ok_or(Damage::Foreign)?;
    if *magic != MAGIC {
        return Err(Damage::Foreign);
    }
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let (said, found) = (u64::from_le_bytes(*length), content.len() as u64);
    if said != found {
        return Err(Damage::Length { said, found });
    }
    if digest != sum(name, summed, content) {
        return Err(Damage::Checksum);
    }
    Ok(content)
}

fn sum(name: &str, head: &[u8], content: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(head).chain_update(name).chain_update([0]);
    hash.chain_update(content).finalize().into()
}
