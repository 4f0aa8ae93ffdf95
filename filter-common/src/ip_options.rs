//! IPv4 options (RFC 791 3.1): which kinds a header has. Nobody needs their contents.
//!
//! The kernel shell reads them in a function that the verifier checks once, by itself, so the result is a number.

use crate::{cursor::Cursor, options::forget, packet::mark};

/// What [`read`] returns for a list that contradicts itself; no bit of [`mark`].
pub const MALFORMED: u32 = 0x20;

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub(super) const STRICT_SOURCE_ROUTE: u8 = 137;
}

/// Bytes of options at most: as many rounds.
const MAX_LENGTH: u16 = 40;

/// Bits of [`mark`] for the `length` bytes of options at `cursor`, with [`MALFORMED`] if one is longer than what is left, as
/// Linux judges (`__ip_options_compile`).
#[must_use]
#[inline(always)]
pub fn read(cursor: Cursor<'_>, length: u16) -> u32 {
    let (mut at, mut seen) = (forget(0, length), forget(0, length));
    for _ in 0..MAX_LENGTH {
        if at >= length {
            break;
        }
        let mut option = cursor;
        option.skip(at);
        let Some(number) = option.read::<u8>() else { return MALFORMED };
        if number == kind::END {
            break;
        }
        let size = if number == kind::NOP {
            1
        } else {
            seen |= mark_of(number);
            match option.read::<u8>() {
                Some(size) if size >= 2 && size as u16 <= length - at => size as u16,
                _ => return MALFORMED,
            }
        };
        at = forget(at + size, length);
        seen = forget(seen, length);
    }
    seen as u32
}

#[inline(always)]
const fn mark_of(number: u8) -> u16 {
    match number {
        kind::LOOSE_SOURCE_ROUTE | kind::STRICT_SOURCE_ROUTE => mark::SOURCE_ROUTE as u16,
        _ => mark::OPTIONS as u16,
    }
}

const _: () = assert!((mark::SOURCE_ROUTE | mark::OPTIONS) as u32 & MALFORMED == 0);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> u32 {
        read(Cursor::new(bytes), bytes.len() as u16)
    }

    #[test]
    fn each_kind_by_itself() {
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[1; 40]), 0, "padding is no option");
        assert_eq!(of(&[0, 131, 3, 4]), 0, "nothing counts behind the end");
        for number in 2..=255 {
            let expected = match number {
                131 | 137 => mark::SOURCE_ROUTE,
                _ => mark::OPTIONS,
            };
            assert_eq!(of(&[number, 4, 0, 0]), expected.into(), "{number}");
            assert_eq!(of(&[1, number, 3, 0]), expected.into(), "{number}");
        }
        assert_eq!(of(&[7, 3, 4, 131, 3, 4, 0, 0]), u32::from(mark::OPTIONS | mark::SOURCE_ROUTE));
        let mut last = [1; 40];
        last[38..].copy_from_slice(&[137, 2]);
        assert_eq!(of(&last), mark::SOURCE_ROUTE.into(), "in the last two bytes");
    }

    #[test]
    fn lengths_that_lie() {
        for bad in [&[7, 0, 0, 0][..], &[7, 1, 0, 0], &[7, 5, 0, 0], &[1, 1, 1, 7], &[131, 255, 4, 0]] {
            assert_eq!(of(bad), MALFORMED, "{bad:?}");
        }
        assert_eq!(read(Cursor::new(&[1, 1]), 8), MALFORMED, "beyond the frame");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_inside(bytes in prop::collection::vec(any::<u8>(), 0..=40)) {
            let found = of(&bytes);
            prop_assert!(found == MALFORMED || found & !u32::from(mark::OPTIONS | mark::SOURCE_ROUTE) == 0);
        }
    }
}
