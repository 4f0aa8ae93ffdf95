//! Telling the flood's packets from everybody else's.

/// What a TCP segment of the flood, or an answer to it, is.
pub(crate) enum Kind {
    /// SYN without ACK.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// RST.
    Rst,
    /// Anything else.
    Other,
}

const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86dd_u16.to_be();

/// The 16 bits at `start + offset`, if the frame has them.
#[inline(always)]
fn half(start: usize, end: usize, offset: usize) -> Option<u16> {
    if start + offset + 2 > end {
        return None;
    }
    // SAFETY: the frame's bytes reach beyond these two, and packets are only ever 2-aligned.
    Some(unsafe { *((start + offset) as *const u16) })
}

/// The kind of the TCP segment whose flags are at `offset`.
#[inline(always)]
fn kind(start: usize, end: usize, offset: usize) -> Kind {
    let Some(word) = half(start, end, offset) else { return Kind::Other };
    match (word >> 8) & 0x16 {
        0x02 => Kind::Syn,
        0x12 => Kind::SynAck,
        flags if flags & 0x04 != 0 => Kind::Rst,
        _ => Kind::Other,
    }
}

/// Looks at the address at `v4` or `v6` and tells the kind if `generate` makes such sources.
#[inline(always)]
fn forged(start: usize, end: usize, v4: usize, v6: usize) -> Option<Kind> {
    match half(start, end, 12)? {
        // 32.0.0.0/3, which has the fixed set at 45.0.0.0 in it.
        IPV4 if half(start, end, v4)? & 0xe0 == 0x20 => Some(kind(start, end, 14 + 20 + 12)),
        IPV6 if half(start, end, v6)? == 0x2600_u16.to_be() => Some(kind(start, end, 14 + 40 + 12)),
        _ => None,
    }
}

/// `Some` if the destination is one of the flood's sources.
#[inline(always)]
pub(crate) fn forged_destination(start: usize, end: usize) -> Option<Kind> {
    forged(start, end, 14 + 16, 14 + 24)
}

/// `Some` if the source is one of the flood's.
#[inline(always)]
pub(crate) fn forged_source(start: usize, end: usize) -> Option<Kind> {
    forged(start, end, 14 + 12, 14 + 8)
}
