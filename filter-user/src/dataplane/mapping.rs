//! A map's memory, shared with the kernel programs.
#![expect(unsafe_code, reason = "mmap of a BPF_F_MMAPABLE array")]

use std::{
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapData, MapType};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The values of an array map (`BPF_F_MMAPABLE`, Linux 5.5), as words that others change meanwhile.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory stays mapped until drop, and every access to it is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the values for reading; storing to them would end the process.
    pub(super) fn read_only(map: &MapData) -> Result<Self> {
        Self::new(map, ProtFlags::PROT_READ)
    }

    /// Maps the values for reading and writing.
    pub(super) fn writable(map: &MapData) -> Result<Self> {
        Self::new(map, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    fn new(map: &MapData, protection: ProtFlags) -> Result<Self> {
        let info = map.info().context("map information")?;
        ensure!(info.map_type().is_ok_and(|kind| kind == MapType::Array), "not an array map");
        ensure!(info.value_size().is_multiple_of(8), "values are not whole words");
        let bytes = info.value_size() as usize * info.max_entries() as usize;
        let length = NonZeroUsize::new(bytes).context("an empty map")?;
        // SAFETY: a new mapping at an address that the kernel chooses; the array holds `bytes` bytes.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, map.fd().as_fd(), 0) };
        let start = start.context("mmap")?.cast();
        Ok(Self { start, words: bytes / 8 })
    }

    /// Every value, back to back.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is page-aligned and mapped for `words` words as long as `self` lives; the kernel
        // changes them with atomic instructions.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// Sets all of them to zero; the mapping must be writable.
    pub(super) fn clear(&self) {
        self.words().iter().for_each(|word| word.store(0, Relaxed));
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped; no reference outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.words * 8) };
    }
}
