//! Bounds-checked access to the bytes of a packet: the only place that turns addresses into references.
//!
//! One cursor serves the kernel (packet pointers that the verifier follows) and the host (slices). Every access
//! is preceded by the comparison `position + size > end` in the form that the verifier understands.
#![expect(unsafe_code, reason = "packet memory is reached through raw addresses; see the module's text")]

use core::marker::PhantomData;

/// Types that any bytes are a valid value of.
///
/// # Safety
/// `repr(C)`, no padding, no invalid bit patterns.
pub unsafe trait Wire: Copy {}

// SAFETY: plain integers and arrays of them.
unsafe impl Wire for u8 {}
// SAFETY: as above.
unsafe impl Wire for u16 {}
// SAFETY: as above.
unsafe impl Wire for u32 {}
// SAFETY: as above.
unsafe impl<T: Wire, const N: usize> Wire for [T; N] {}

/// A position in a packet that is read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    start: usize,
    position: usize,
    end: usize,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let start = bytes.as_ptr().expose_provenance();
        Self { start, position: start, end: start + bytes.len(), bytes: PhantomData }
    }

    /// A cursor over `[start, end)`.
    ///
    /// # Safety
    /// The range is readable for `'a` and nobody else writes to it.
    #[must_use]
    #[inline(always)]
    pub const unsafe fn from_range(start: usize, end: usize) -> Self {
        Self { start, position: start, end, bytes: PhantomData }
    }

    /// Bytes in the whole packet.
    #[must_use]
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Bytes from here on; wraps if this lies behind the end.
    #[must_use]
    #[inline(always)]
    pub const fn left(&self) -> usize {
        self.end.wrapping_sub(self.position)
    }

    /// Whether the packet has no bytes at all.
    #[must_use]
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// The same packet from byte `offset` on; `offset` may lie behind the end (every access then fails).
    #[must_use]
    #[inline(always)]
    pub fn at(&self, offset: u16) -> Self {
        Self { position: add(self.start, offset as usize & MAX_OFFSET), ..*self }
    }

    /// Goes on by `n` bytes, which may lead behind the end (every access then fails).
    #[inline(always)]
    pub fn skip(&mut self, n: u16) {
        self.position = add(self.position, n as usize & MAX_OFFSET);
    }

    /// The value here, without going on.
    #[must_use]
    #[inline(always)]
    pub fn peek<T: Wire>(&self) -> Option<T> {
        if self.position + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the range was checked and any bytes make a T.
        Some(unsafe { load(self.position) })
    }

    /// The value here; goes on behind it.
    #[inline(always)]
    pub fn read<T: Wire>(&mut self) -> Option<T> {
        let value = self.peek();
        self.position += size_of::<T>();
        value
    }
}

/// A position in a packet that is written.
#[derive(Debug)]
pub struct Writer<'a> {
    at: Cursor<'a>,
    bytes: PhantomData<&'a mut [u8]>,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        let start = bytes.as_mut_ptr().expose_provenance();
        let at = Cursor { start, position: start, end: start + bytes.len(), bytes: PhantomData };
        Self { at, bytes: PhantomData }
    }

    /// A writer over `[start, end)`.
    ///
    /// # Safety
    /// The range is readable and writable for `'a` and nobody else holds references into it.
    #[must_use]
    #[inline(always)]
    pub const unsafe fn from_range(start: usize, end: usize) -> Self {
        // SAFETY: the caller's.
        Self { at: unsafe { Cursor::from_range(start, end) }, bytes: PhantomData }
    }

    /// The same packet from byte `offset` on; `offset` may lie behind the end (every write then fails).
    #[must_use]
    #[inline(always)]
    pub fn at(self, offset: u16) -> Self {
        Self { at: self.at.at(offset), ..self }
    }

    /// Writes a value and goes on behind it; false if there is no room.
    #[must_use]
    #[inline(always)]
    pub fn write<T: Wire>(&mut self, value: T) -> bool {
        if self.at.position + size_of::<T>() > self.at.end {
            return false;
        }
        // SAFETY: the range was checked.
        unsafe { store(self.at.position, value) };
        self.at.position += size_of::<T>();
        true
    }
}

/// Offsets into a packet that the verifier can bound; a frame in one XDP buffer is shorter than a page.
const MAX_OFFSET: usize = 0x3fff;

/// A number from the packet as an index of which the compiler doesn't know that it is small, so that it leaves the check
/// against the table's length: up to Linux 6.12 the verifier knows no bounds of what a byte swap has made.
#[must_use]
#[inline(always)]
pub fn index(number: u16) -> usize {
    add(0, number as usize)
}

/// 0, which the compiler doesn't know to be 0.
#[must_use]
#[inline(always)]
pub fn opaque_zero() -> u32 {
    add(0, 0) as u32
}

/// `position + n` as one instruction that LLVM can't take apart again: the verifier has to see the bounds
/// check and the access on the same sum.
#[inline(always)]
fn add(position: usize, n: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut sum = position;
        // SAFETY: arithmetic on registers.
        unsafe {
            core::arch::asm!("{0} += {1}", inout(reg) sum, in(reg) n, options(pure, nomem, nostack));
        }
        sum
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        position + n
    }
}

/// # Safety
/// `[address, address + size_of::<T>())` is readable.
#[inline(always)]
unsafe fn load<T: Wire>(address: usize) -> T {
    let pointer = core::ptr::with_exposed_provenance::<T>(address);
    // BPF has no alignment traps, and LLVM would turn an unaligned load into single bytes.
    // SAFETY: the caller's.
    #[cfg(target_arch = "bpf")]
    return unsafe { *pointer };
    // SAFETY: the caller's.
    #[cfg(not(target_arch = "bpf"))]
    return unsafe { pointer.read_unaligned() };
}

/// # Safety
/// `[address, address + size_of::<T>())` is writable.
#[inline(always)]
unsafe fn store<T: Wire>(address: usize, value: T) {
    let pointer = core::ptr::with_exposed_provenance_mut::<T>(address);
    // SAFETY: the caller's.
    #[cfg(target_arch = "bpf")]
    unsafe {
        *pointer = value;
    }
    // SAFETY: the caller's.
    #[cfg(not(target_arch = "bpf"))]
    unsafe {
        pointer.write_unaligned(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_stay_inside() {
        let mut bytes = [1_u8, 2, 3, 4, 5];
        let mut writer = Writer::new(&mut bytes).at(4);
        assert!(!writer.write(7_u16));
        assert!(writer.write(7_u8));
        assert!(!writer.write(7_u8));
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.read::<u32>(), Some(u32::from_ne_bytes([1, 2, 3, 4])));
        assert_eq!(cursor.peek::<u16>(), None);
        assert_eq!(cursor.read::<u8>(), Some(7));
        assert_eq!(cursor.read::<u8>(), None);
        assert_eq!(cursor.at(4).peek::<u8>(), Some(7));
        assert_eq!(cursor.at(u16::MAX).peek::<u8>(), None);
    }
}
