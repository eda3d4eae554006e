//! The ring of buffers that the kernel takes from when a datagram comes.

use crate::slots::Region;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// Memory shared with the kernel: addresses of buffers, and how many there ever were.
#[derive(Debug)]
pub(super) struct Buffers {
    region: Region,
    entries: u16,
    tail: u16,
}

impl Buffers {
    /// A ring for `entries` buffers, a power of two of at most 2^15, known to the kernel as
    /// [`GROUP`] of `uring`.
    ///
    /// # Errors
    /// When the kernel has no such thing, or no memory for it.
    pub(super) fn register(uring: &IoUring, entries: u16) -> io::Result<Self> {
        let region = Region::new(usize::from(entries) * size_of::<BufRingEntry>());
        let base = region.base().as_ptr() as u64;
        // SAFETY: the region starts at a page, has room for so many entries, is zeroed, which is
        // an empty ring, and the kernel pins its pages, so that it may be unmapped before the ring
        // is gone. Nobody else knows of it.
        unsafe { uring.submitter().register_buf_ring_with_flags(base, entries, GROUP, 0)? };
        Ok(Self { region, entries, tail: 0 })
    }

    /// Offers a buffer of `len` bytes, to be named by `id`. The kernel sees it after
    /// [`Self::publish`].
    ///
    /// # Safety
    /// The kernel may write to the buffer until a completion names it or the ring is gone. There
    /// must not be more than the ring has entries for.
    pub(super) unsafe fn push(&mut self, base: *mut u8, len: u32, id: u16) {
        let at = usize::from(self.tail & (self.entries - 1));
        // SAFETY: `at` is below the number of entries, which the region has room for, and entries
        // are integers, valid for any bytes; the region is aligned to a page. The kernel does not
        // read this entry before it is published, as it has consumed what was there before.
        let entry = unsafe { &mut *self.region.base().cast::<BufRingEntry>().add(at).as_ptr() };
        entry.set_addr(base as u64);
        entry.set_len(len);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was pushed.
    pub(super) fn publish(&self) {
        // SAFETY: the region starts with an entry, whose reserved field is where the kernel reads
        // the tail; it is aligned for a u16, and all access to it is atomic.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.region.base().cast::<BufRingEntry>().as_ptr());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}
