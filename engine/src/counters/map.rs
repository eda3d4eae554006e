//! A file's words, mapped into memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A shared mapping of the front of a file, seen as a header and a table of words.
#[derive(Debug)]
pub(super) struct Map {
    base: NonNull<libc::c_void>,
    len: usize,
    header: usize,
    count: usize,
}

// SAFETY: the mapping is owned by this value and reached through shared references to atomics only,
// which any thread may use.
unsafe impl Send for Map {}
// SAFETY: as above; no method changes the struct itself.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `header` bytes, a multiple of 8, and `count` words behind them. The file must be as
    /// long.
    ///
    /// # Errors
    /// What `mmap` says.
    pub(super) fn new(
        file: &File,
        header: usize,
        count: usize,
        writable: bool,
    ) -> io::Result<Self> {
        assert!(header.is_multiple_of(8), "words are aligned");
        let len = header + count * 8;
        let protection =
            if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: the address is the kernel's choice, so no memory of ours is replaced; the
        // descriptor is open for the length of the call; the result is checked.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, len, header, count })
    }

    /// The words. Of a mapping that is not writable they must only be loaded, which is all that
    /// [`super::CountersReader`] does.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is `header + 8 * count` bytes long, page-aligned, `header` is a
        // multiple of 8, and it lives as long as `self`. An `AtomicU64` has the layout of a `u64`
        // and is valid for every bit pattern. The file is never shortened: writers replace it.
        unsafe {
            let first = self.base.as_ptr().byte_add(self.header).cast::<AtomicU64>();
            std::slice::from_raw_parts(first, self.count)
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: base and length are those of our own mapping, and no reference outlives `self`.
        unsafe {
            libc::munmap(self.base.as_ptr(), self.len);
        }
    }
}
