//! TCP options of a SYN, and the timestamps of any segment (RFC 9293 3.1, RFC 7323, RFC 2018).

use crate::{cookie::NO_SCALE, cursor::Cursor};

/// What the options say. Read as Linux reads them: a bad length ends the list and keeps what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TcpOptions {
    /// Timestamp value, if `timestamps`.
    pub tsval: u32,
    /// Timestamp echo, if `timestamps`.
    pub tsecr: u32,
    /// Maximum segment size; [`DEFAULT_MSS`] without the option.
    pub mss: u16,
    /// Window scale shift, at most 14, or [`NO_SCALE`].
    pub scale: u8,
    /// SACK permitted.
    pub sack: bool,
    /// Timestamps present.
    pub timestamps: bool,
    /// Reserved, 0: no padding.
    pub reserved: u8,
    /// As above.
    pub reserved_too: u16,
}

/// "If an MSS Option is not received at connection setup, TCP implementations MUST assume a default send MSS of
/// 536" (RFC 9293 3.7.1); for IPv6 the cookie's smallest entry takes its place.
pub const DEFAULT_MSS: u16 = 536;

/// Options that are read, NOPs included; real SYNs have up to ten. Each costs the verifier a round.
const MAX_OPTIONS: u16 = 20;

/// Bytes of options at most.
pub const MAX_LENGTH: u16 = 40;

impl TcpOptions {
    /// No options at all.
    pub const NONE: Self = Self {
        tsval: 0,
        tsecr: 0,
        mss: DEFAULT_MSS,
        scale: NO_SCALE,
        sack: false,
        timestamps: false,
        reserved: 0,
        reserved_too: 0,
    };
}

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// Reads `length` bytes of options (at most [`MAX_LENGTH`]) at `cursor`.
#[must_use]
#[inline(always)]
pub fn parse(cursor: Cursor<'_>, length: u16) -> TcpOptions {
    let mut seen = Seen::nothing(length);
    let mut read = 0;
    for _ in 0..MAX_OPTIONS {
        if read >= length {
            break;
        }
        let mut at = cursor;
        at.skip(read);
        let Some(size) = one(at, length - read, &mut seen) else { break };
        read = forget(read + size, length);
    }
    TcpOptions {
        tsval: seen.tsval,
        tsecr: seen.tsecr,
        mss: seen.mss,
        scale: seen.scale,
        sack: seen.flags & Seen::SACK != 0,
        timestamps: seen.flags & Seen::TIMESTAMPS != 0,
        reserved: 0,
        reserved_too: 0,
    }
}

/// As [`parse`] for the options of nearly all segments, which have one layout; `None` for others.
///
/// SYNs of Linux: MSS, SACK permitted, timestamps, a NOP, window scale. Segments of anybody: two NOPs and timestamps
/// ("implementation suggestions: options layout", RFC 7323 A).
#[must_use]
#[inline(always)]
pub fn parse_usual(cursor: Cursor<'_>, length: u16) -> Option<TcpOptions> {
    const MSS: u16 = 0x0204;
    const SACK_AND_TIMESTAMPS: u32 = 0x0402_080a;
    const NOPS_AND_TIMESTAMPS: u32 = 0x0101_080a;
    const NOP_AND_SCALE: u32 = 0x0103_0300;
    if length == 12 {
        let [head, tsval, tsecr] = cursor.peek::<[u32; 3]>()?.map(u32::from_be);
        let is_usual = head == NOPS_AND_TIMESTAMPS;
        return is_usual.then_some(TcpOptions { tsval, tsecr, timestamps: true, ..TcpOptions::NONE });
    }
    if length != 20 {
        return None;
    }
    let [mss, head, tsval, tsecr, scale] = cursor.peek::<[u32; 5]>()?.map(u32::from_be);
    let is_usual = (mss >> 16) as u16 == MSS
        && mss as u16 != 0
        && head == SACK_AND_TIMESTAMPS
        && scale & !0xff == NOP_AND_SCALE;
    is_usual.then_some(TcpOptions {
        tsval,
        tsecr,
        mss: mss as u16,
        scale: (scale as u8).min(14),
        sack: true,
        timestamps: true,
        ..TcpOptions::NONE
    })
}

/// What was read so far. The verifier follows constants: every field starts as a number that it doesn't know.
struct Seen {
    tsval: u32,
    tsecr: u32,
    mss: u16,
    scale: u8,
    flags: u8,
}

impl Seen {
    const SACK: u8 = 1;
    const TIMESTAMPS: u8 = 2;

    #[inline(always)]
    fn nothing(unknown: u16) -> Self {
        let zero = forget(0, unknown);
        Self {
            tsval: zero as u32,
            tsecr: zero as u32,
            mss: DEFAULT_MSS + zero,
            scale: forget(NO_SCALE as u16, unknown) as u8,
            flags: zero as u8,
        }
    }
}

/// `value`, at most 63, of which the verifier knows only that: the paths through one round meet again before
/// the next, or there are too many to check. `unknown` is any number that the verifier can't know.
#[inline(always)]
pub(crate) fn forget(value: u16, unknown: u16) -> u16 {
    forget_but::<63>(value, unknown)
}

/// The same for any value.
#[inline(always)]
pub(crate) fn forget_wide(value: u16, unknown: u16) -> u16 {
    forget_but::<0xffff>(value, unknown)
}

#[inline(always)]
fn forget_but<const MASK: u16>(value: u16, unknown: u16) -> u16 {
    #[cfg(target_arch = "bpf")]
    {
        let mut sum = value as u64;
        #[expect(unsafe_code, reason = "arithmetic on registers that LLVM would fold")]
        // SAFETY: touches nothing but its registers.
        unsafe {
            core::arch::asm!("{0} += {1}", "{0} -= {1}", "{0} &= {2}",
                inout(reg) sum, in(reg) unknown as u64, const MASK, options(pure, nomem, nostack));
        }
        sum as u16
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = unknown;
        value & MASK
    }
}

/// Reads one option; its size, or `None` where the list ends.
#[inline(always)]
fn one(mut cursor: Cursor<'_>, left: u16, seen: &mut Seen) -> Option<u16> {
    let number = match cursor.read::<u8>()? {
        kind::END => return None,
        kind::NOP => return Some(1),
        number => number,
    };
    let size = cursor.read::<u8>()? as u16;
    if size < 2 || size > left {
        return None;
    }
    match (number, size) {
        (kind::MSS, 4) => {
            let mss = u16::from_be(cursor.read()?);
            if mss != 0 {
                seen.mss = mss;
            }
        }
        // "If a Window Scale option is received with a shift.cnt value larger than 14, the TCP SHOULD log the
        // error but MUST use 14" (RFC 7323 2.3).
        (kind::WINDOW_SCALE, 3) => seen.scale = cursor.read::<u8>()?.min(14),
        (kind::SACK_PERMITTED, 2) => seen.flags |= Seen::SACK,
        (kind::TIMESTAMPS, 10) => {
            seen.tsval = u32::from_be(cursor.read()?);
            seen.tsecr = u32::from_be(cursor.read()?);
            seen.flags |= Seen::TIMESTAMPS;
        }
        _ => {}
    }
    Some(size)
}

const _: () = assert!(size_of::<TcpOptions>() == 16);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> TcpOptions {
        parse(Cursor::new(bytes), bytes.len() as u16)
    }

    #[test]
    fn a_linux_syn() {
        let options = read(&[2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 7]);
        let expected = TcpOptions {
            tsval: 7,
            tsecr: 9,
            mss: 1460,
            scale: 7,
            sack: true,
            timestamps: true,
            ..TcpOptions::NONE
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn the_usual_layouts_read_as_any_others() {
        let linux = |mss: [u8; 2], scale| {
            vec![2, 4, mss[0], mss[1], 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, scale]
        };
        for bytes in [linux([5, 180], 7), linux([5, 180], 200), vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]] {
            assert_eq!(parse_usual(Cursor::new(&bytes), bytes.len() as u16), Some(read(&bytes)));
        }
        for bytes in [linux([0, 0], 7), vec![2, 4, 5, 180], vec![1; 12], vec![1; 20]] {
            assert_eq!(parse_usual(Cursor::new(&bytes), bytes.len() as u16), None);
        }
    }

    #[test]
    fn odd_lists() {
        assert_eq!(read(&[]), TcpOptions::NONE);
        assert_eq!(read(&[0, 2, 4, 5, 180]), TcpOptions::NONE, "nothing counts behind the end");
        assert_eq!(read(&[2, 4, 0, 0]).mss, DEFAULT_MSS, "MSS 0 is ignored");
        assert_eq!(read(&[3, 3, 200]).scale, 14);
        assert_eq!(read(&[4, 2, 9, 1, 3, 3, 7]).scale, NO_SCALE, "a length below 2 ends the list");
        assert_eq!(read(&[2, 4, 5]), TcpOptions::NONE, "cut short");
        assert_eq!(read(&[1; 40]), TcpOptions::NONE);
    }

    proptest! {
        #[test]
        fn what_is_usual_is_read_alike(
            mut bytes in prop::collection::vec(any::<u8>(), 20), ends in 0_usize..3, bit in 0_usize..160,
        ) {
            bytes[..2].copy_from_slice(&[2, 4]);
            bytes[4..8].copy_from_slice(&[4, 2, 8, 10]);
            bytes[16..19].copy_from_slice(&[1, 3, 3]);
            if ends == 0 {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            if let Some(usual) = parse_usual(Cursor::new(&bytes), 20) {
                prop_assert_eq!(usual, read(&bytes));
            }
        }

        #[test]
        fn any_bytes_are_read_inside(bytes in prop::collection::vec(any::<u8>(), 0..=40)) {
            let options = read(&bytes);
            prop_assert!(options.scale <= 15 && options.mss > 0);
        }
    }
}
