//! The last good copies on the disk: a restart without network brings them back.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{About, Good, Packed};
use crate::store::Folder;

/// Name of the folder in `daemon.state`.
const FOLDER: &str = "feeds";
/// Largest copy: as many IPv6 ranges as fit, each with the longest numbers, and as many of IPv4.
const LARGEST: u64 = 32 << 20;
/// Bytes before the two parts: the lengths of what is known of it and of IPv4's part.
const HEAD: usize = 16;

/// The folder.
#[derive(Debug)]
pub struct Shelf(Folder);

impl Shelf {
    /// Makes it or checks that it is ours alone.
    pub fn open(state: &Path) -> Result<Self> {
        Folder::open(&state.join(FOLDER)).map(Self)
    }

    /// The copy of that name; `None` when there is none, or it was damaged and is put aside now.
    pub fn read(&mut self, name: &str) -> Result<Option<Good>> {
        self.0.read_with(name, LARGEST, decode)
    }

    /// Keeps a copy.
    pub fn write(&self, name: &str, good: &Good) -> Result<()> {
        self.0.write_bytes(name, &encode(good)?)
    }

    /// Forgets copies of feeds that are not among these.
    pub fn retain(&self, names: &[&str]) -> Result<()> {
        for name in self.0.names()? {
            if !names.contains(&name.as_str()) && !name.contains('.') {
                self.0.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// `len(about) len(v4) about v4 v6`, the lengths as little-endian u64.
fn encode(good: &Good) -> Result<Vec<u8>> {
    let about = serde_json::to_vec(&good.about)?;
    let [v4, v6] = good.packed.parts();
    let mut bytes = Vec::with_capacity(HEAD + about.len() + v4.len() + v6.len());
    bytes.extend((about.len() as u64).to_le_bytes());
    bytes.extend((v4.len() as u64).to_le_bytes());
    bytes.extend(about);
    bytes.extend(v4);
    bytes.extend(v6);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<Good, String> {
    let parts = || {
        let (about, rest) = bytes.split_first_chunk::<8>()?;
        let (v4, rest) = rest.split_first_chunk::<8>()?;
        let length = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).ok();
        let (about, rest) = rest.split_at_checked(length(about)?)?;
        let (v4, v6) = rest.split_at_checked(length(v4)?)?;
        Some((about, v4, v6))
    };
    let (about, v4, v6) = parts().context("too short").map_err(|error| error.to_string())?;
    let about: About = serde_json::from_slice(about).map_err(|error| error.to_string())?;
    Ok(Good { about, packed: Packed::of_parts(v4, v6).into() })
}
