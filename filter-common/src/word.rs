//! A 64-bit word that several CPUs read and write.
//!
//! The BPF target has no atomic read-modify-write in `core` (`atomic_cas: false`), so the two operations
//! that need one are spelled out here (BPF ISA, RFC 9669 section 5.3).
#![cfg_attr(
    target_arch = "bpf",
    expect(unsafe_code, reason = "atomic instructions of the BPF target; see the module's text")
)]

use core::sync::atomic::AtomicU64;
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::Ordering::Relaxed;

/// A shared word; every access is one instruction.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU64);

impl Word {
    /// A word with this value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The value now.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        // LLVM has no relaxed atomic load or store for this target; an aligned one is a single instruction.
        // SAFETY: the word is valid, and tearing is impossible.
        #[cfg(target_arch = "bpf")]
        return unsafe { self.0.as_ptr().read_volatile() };
        #[cfg(not(target_arch = "bpf"))]
        self.0.load(Relaxed)
    }

    /// Writes the value.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: as above.
        #[cfg(target_arch = "bpf")]
        unsafe {
            self.0.as_ptr().write_volatile(value);
        }
        #[cfg(not(target_arch = "bpf"))]
        self.0.store(value, Relaxed);
    }

    /// Adds, wrapping; returns the value before.
    #[inline(always)]
    pub fn fetch_add(&self, value: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut old = value;
            // SAFETY: the operand is a valid aligned word; the instruction touches nothing else.
            unsafe {
                core::arch::asm!("{0} = atomic_fetch_add((u64 *)({1} + 0), {0})",
                    inout(reg) old, in(reg) self.0.as_ptr(), options(nostack));
            }
            old
        }
        #[cfg(not(target_arch = "bpf"))]
        self.0.fetch_add(value, Relaxed)
    }

    /// Writes `new` if the value is still `old`; returns the value before.
    #[inline(always)]
    pub fn compare_exchange(&self, old: u64, new: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let mut seen = old;
            // SAFETY: as above; r0 is the instruction's fixed operand.
            unsafe {
                core::arch::asm!("r0 = cmpxchg_64({0} + 0, r0, {1})",
                    in(reg) self.0.as_ptr(), in(reg) new, inout("r0") seen, options(nostack));
            }
            seen
        }
        #[cfg(not(target_arch = "bpf"))]
        match self.0.compare_exchange(old, new, Relaxed, Relaxed) {
            Ok(seen) | Err(seen) => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_return_the_value_before() {
        let word = Word::new(5);
        assert_eq!(word.fetch_add(3), 5);
        assert_eq!(word.compare_exchange(8, 1), 8);
        assert_eq!(word.compare_exchange(8, 2), 1);
        assert_eq!(word.load(), 1);
    }
}
