//! What the measuring programs and user space agree on.

/// Bytes of a frame that are written back before each repetition.
pub const RESTORED: usize = 128;

/// Sources that one run can go through.
pub const SOURCES: u32 = 1 << 15;

/// The one value of the map `STATE`: what a run is to do, and what it has done.
///
/// Places in the frame are counted in 16-bit halves; 0 means there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct State {
    /// Repetitions so far.
    pub count: u64,
    /// The frame's length in bytes.
    pub length: u64,
    /// Where the frame began in the first repetition.
    pub start: u64,
    /// Where it began in this one.
    pub here: u64,
    /// Changes that were undone: of the frame's beginning, of its end, of the metadata.
    pub undone: [u64; 3],
    /// Number of sources less one, all bits below the highest set.
    pub mask: u64,
    /// The 32 bits of the source that change.
    pub source: u64,
    /// Checksums over them.
    pub sums: [u64; 2],
}
