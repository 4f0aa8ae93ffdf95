//! Feeds: block lists that somebody else keeps.
//!
//! The major components are:
//! - [`mod@format`]: the formats that lists come in, read as a stream, with limits.
//! - [`entries`]: what was read: ranges, and what was left out; [`packed`]: the same in few bytes.
//! - [`check`]: whether that may take the place of what is in force.
//! - [`spared`]: what no feed blocks; [`combine`]: lists and feeds together.
//! - [`fetch`] and [`mod@file`]: where the bytes come from; the only things here that touch the world.
//! - [`shelf`]: the last good copy of each, in `daemon.state`.
//!
//! A feed is never believed further than it can do no harm: what is too wide, or somebody's who has to get through, is left out; what looks
//! cut, emptied or like another file altogether is refused, and the last good copy stays in force.

pub mod check;
pub mod combine;
pub mod entries;
pub mod fault;
pub mod fetch;
pub mod file;
pub mod format;
pub mod packed;
pub mod shelf;
pub mod spared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{combine::Feeds, entries::Counts, fault::Fault, format::Format, packed::Packed};

/// What is asked of a feed's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes.
    pub bytes: u64,
    /// Most entries.
    pub entries: usize,
    /// Shortest prefixes: IPv4, IPv6.
    pub shortest: [u8; 2],
    /// Percent of its entries that it may lose at once.
    pub shrink: u32,
    /// Percent of the public addresses of a family that it may hold.
    pub cover: u32,
}

/// How a source tells that it has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Validators {
    /// `ETag`; a file's size and times.
    pub etag: Option<String>,
    /// `Last-Modified`
    pub modified: Option<String>,
}

/// What is known of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct About {
    /// Hash of where it is from.
    pub origin: String,
    /// The format's name.
    pub format: String,
    /// For the next request.
    pub validators: Validators,
    /// When it was fetched, seconds since 1970.
    pub fetched: u64,
    /// When the source was last heard to have nothing newer.
    pub checked: u64,
    /// Entries, and what was left out of them.
    pub counts: Counts,
}

/// A good copy of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Good {
    /// What is known of it.
    pub about: About,
    /// What it blocks.
    pub packed: Arc<Packed>,
}

/// What became of a look at the source.
#[derive(Debug)]
pub enum Looked {
    /// It has nothing newer.
    Same,
    /// Its content.
    New(Box<entries::Entries>, Validators, Format),
}
