//! One mapping of anonymous memory.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Zeroed memory that starts at a page and is unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process; no thread is tied to it, and this is its only owner.
unsafe impl Send for Region {}

impl Region {
    /// A mapping of `len` bytes, at least one. Ends the process when there is no such memory, as
    /// every allocation does.
    pub(crate) fn new(len: usize) -> Self {
        let len = len.max(1);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        match NonNull::new(base.cast()).filter(|_| base != libc::MAP_FAILED) {
            Some(base) => Self { base, len },
            None => handle_alloc_error(Layout::array::<u8>(len).unwrap_or(Layout::new::<u8>())),
        }
    }

    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping, which nobody else unmaps; with its
        // owner goes the last that could reach it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
