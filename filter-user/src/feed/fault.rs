//! Why a feed's content is not taken.

use std::io;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing was got.
    #[error("{0}")]
    Source(String),
    /// It did not end in time.
    #[error("it did not end within {0} s")]
    Slow(u64),
    /// More bytes than are taken.
    #[error("larger than {0} bytes (max_bytes)")]
    TooLarge(u64),
    /// More entries than are taken.
    #[error("more than {0} entries (max_entries)")]
    TooMany(usize),
    /// Changed by somebody while it was read.
    #[error("it changed while it was read")]
    Changed,
    /// UTF-16, compressed, or no text at all.
    #[error("{0}")]
    Encoding(&'static str),
    /// Not of the format that it is said to be.
    #[error("{0}")]
    Form(String),
    /// Ends before its end.
    #[error("it is cut off: {0}")]
    Cut(String),
    /// Too much of it makes no sense.
    #[error("{bad} of {all} entries make no sense; {first}")]
    Garbage {
        /// So many.
        bad: u64,
        /// Of so many.
        all: u64,
        /// The first of them.
        first: String,
    },
    /// Nothing in it.
    #[error("there is no entry in it")]
    Empty,
    /// A large part is gone.
    #[error("{now} entries instead of {before}: it may lose {most} % at once (max_shrink)")]
    Shrunk {
        /// Entries of the copy in force.
        before: u64,
        /// Entries now.
        now: u64,
        /// Percent.
        most: u32,
    },
    /// It would block too much.
    #[error("it holds {percent} % of the public {family} addresses, more than {most} % (max_cover)")]
    Cover {
        /// IPv4 or IPv6.
        family: &'static str,
        /// So much.
        percent: u64,
        /// Percent.
        most: u32,
    },
}

impl Fault {
    /// Whether something was got and refused; else nothing was got.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Source(_) | Self::Slow(_))
    }
}

/// Errors of readers carry faults: limits are kept where bytes are counted.
impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let carried = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>());
        carried.cloned().unwrap_or_else(|| match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut(error.to_string()),
            _ => Self::Source(error.to_string()),
        })
    }
}
