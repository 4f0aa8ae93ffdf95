//! What the laboratory's programs and the tests that drive them agree on.

/// Longest frame that `generate` writes, in 64-bit words.
pub const TEMPLATE_WORDS: usize = 16;

/// The read-only global `GENERATE`.
///
/// The template has zeros where `generate` writes: source (the last 8 bytes of its first 16 in IPv6 keep
/// their first two), source port, sequence number, with [`RANDOM_ACK`] the acknowledgment number, and the
/// checksums that cover any of these.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Generate {
    /// Where the frames go: a veth device.
    pub ifindex: u32,
    /// Bits [`IPV6`], [`RANDOM_SOURCE`], [`RANDOM_ACK`], [`ONLY_SOURCE`], [`NUMBERED`].
    pub flags: u32,
    /// Bytes in a frame: even, and no more than the template has.
    pub len: u32,
    /// Number of sources minus one, all bits below the highest set; `u32::MAX` for any source.
    pub source_mask: u32,
    /// Nanoseconds between two frames, 0 for as fast as can be.
    pub interval: u64,
    /// Frames to send in total.
    pub limit: u64,
    /// Number of the first frame's source, with [`NUMBERED`].
    pub first: u64,
    /// Sum of the IPv4 header's 16-bit words, as they lie in memory.
    pub sum_network: u64,
    /// Sum of the 16-bit words of the pseudo header and of what follows it.
    pub sum_transport: u64,
    /// Where the transport's checksum goes, in bytes; 0 for one that doesn't cover the source, as ICMP's.
    pub checksum_at: u64,
    /// The frame.
    pub template: [u64; TEMPLATE_WORDS],
}

/// The template is an IPv6 frame.
pub const IPV6: u32 = 1;
/// A new source address in each frame: 32.0.0.0/3, or `2600::/16`.
pub const RANDOM_SOURCE: u32 = 2;
/// A new acknowledgment number in each frame.
pub const RANDOM_ACK: u32 = 4;
/// Nothing but the source is new: what is not TCP.
pub const ONLY_SOURCE: u32 = 8;
/// With [`RANDOM_SOURCE`]: sources are not drawn but counted, in scattered order, so that no two frames have the same.
pub const NUMBERED: u32 = 16;

/// Index into the per-CPU array `TALLY`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Tally {
    /// Frames that `generate` sent.
    Sent = 0,
    /// SYN-ACKs to forged sources that `sink` took away.
    SynAck = 1,
    /// RSTs to forged sources that `sink` took away.
    Rst = 2,
    /// Other packets to forged sources that `sink` took away.
    Other = 3,
    /// SYNs of forged sources that `witness` saw on their way to the stack.
    SeenSyn = 4,
    /// Other packets of forged sources that `witness` saw.
    SeenOther = 5,
    /// Frames that `onward` saw.
    Onward = 6,
    /// Those of them that came with metadata.
    OnwardMeta = 7,
}

/// Entries of `TALLY`.
pub const TALLY_LEN: usize = 8;
