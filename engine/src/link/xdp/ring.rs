//! The four rings that a socket shares with the kernel.
//!
//! Each is a power of two of entries with one producer and one consumer, whose positions count up
//! for ever and wrap. We keep our own position to ourselves until a batch is complete, then publish
//! it with one store; we look at the kernel's only when the last look is used up. So a batch costs
//! two shared cache lines, however long it is.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// A ring's memory, mapped from the socket.
#[derive(Debug)]
struct Shared<T> {
    base: NonNull<u8>,
    bytes: usize,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
    _entry: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone and can be used from any thread; the kernel's
// side of it is synchronised by the atomic positions.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// Maps the ring of `entries` (a power of two) that the kernel keeps at `at`, laid out as it
    /// said in `offsets`.
    fn map(
        socket: &OwnedFd,
        entries: u32,
        at: libc::off_t,
        offsets: &libc::xdp_ring_offset,
    ) -> io::Result<Self> {
        let offset = |offset: u64| usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidData);
        let [producer, consumer, flags, first] =
            [offsets.producer, offsets.consumer, offsets.flags, offsets.desc];
        let bytes = offset(first)? + entries as usize * size_of::<T>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), bytes, protection, kind, socket.as_raw_fd(), at) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::InvalidData)?;
        for field in [producer, consumer, flags] {
            assert!(offset(field)? + 4 <= bytes, "the kernel's offsets exceed its ring");
        }
        // SAFETY: all offsets lie within the mapping, as just checked (`first` by construction).
        // The kernel aligns positions and entries for their types.
        let (producer, consumer, flags, entry) = unsafe {
            (
                base.add(offset(producer)?).cast(),
                base.add(offset(consumer)?).cast(),
                base.add(offset(flags)?).cast(),
                base.add(offset(first)?).cast(),
            )
        };
        let mask = entries - 1;
        let _entry = PhantomData;
        Ok(Self { base, bytes, producer, consumer, flags, entries: entry, mask, _entry })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: it lies within the mapping, aligned, and is only ever accessed atomically.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    fn flags(&self) -> u32 {
        // SAFETY: as for `producer`.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed)
    }

    /// Where the entry at a position lies.
    fn entry(&self, position: u32) -> NonNull<T> {
        // SAFETY: the masked position is below the number of entries, all of which are mapped.
        unsafe { self.entries.add((position & self.mask) as usize) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping, which nobody else unmaps.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Our end of a ring that the kernel consumes: fill, transmit.
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Shared<T>,
    /// The next entry to write; what lies before it and was not published is ours alone.
    next: u32,
    /// The kernel's position when it was last looked at.
    consumed: u32,
}

impl<T: Copy> Producer<T> {
    pub(super) fn map(
        socket: &OwnedFd,
        entries: u32,
        at: libc::off_t,
        offsets: &libc::xdp_ring_offset,
    ) -> io::Result<Self> {
        let ring = Shared::map(socket, entries, at, offsets)?;
        let (next, consumed) = (0, 0);
        Ok(Self { ring, next, consumed })
    }

    /// Writes an entry, which the kernel sees after [`Self::publish`]; false when there is no room.
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.next.wrapping_sub(self.consumed) > self.ring.mask {
            self.look();
            if self.next.wrapping_sub(self.consumed) > self.ring.mask {
                return false;
            }
        }
        // SAFETY: the kernel does not read this entry: it lies at least one round behind what the
        // kernel has consumed, and was not published.
        unsafe { self.ring.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Shows the kernel all that was pushed.
    pub(super) fn publish(&self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// How many entries the kernel has not consumed, published or not.
    pub(super) fn waiting(&self) -> u32 {
        self.next.wrapping_sub(self.ring.consumer().load(Ordering::Acquire))
    }

    /// The entry that was pushed at a position, or later in its place; only ever read again here.
    #[inline]
    pub(super) fn pushed(&self, position: u32) -> T {
        // SAFETY: the entry lies within the mapping; only we write it, through `&mut self`; every
        // entry is initialised, being plain numbers of zeroed memory at first.
        unsafe { self.ring.entry(position).read() }
    }

    /// How many entries were ever consumed; wraps.
    pub(super) fn consumed(&mut self) -> u32 {
        self.look();
        self.consumed
    }

    /// Whether the kernel wants to be told about what was published.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.flags() & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn look(&mut self) {
        self.consumed = self.ring.consumer().load(Ordering::Acquire);
    }
}

/// Our end of a ring that the kernel produces: receive, completion.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Shared<T>,
    /// The next entry to read.
    next: u32,
    /// The kernel's position when it was last looked at.
    produced: u32,
}

impl<T: Copy> Consumer<T> {
    pub(super) fn map(
        socket: &OwnedFd,
        entries: u32,
        at: libc::off_t,
        offsets: &libc::xdp_ring_offset,
    ) -> io::Result<Self> {
        let ring = Shared::map(socket, entries, at, offsets)?;
        let (next, produced) = (0, 0);
        Ok(Self { ring, next, produced })
    }

    /// Reads an entry, which the kernel may write again after [`Self::release`].
    pub(super) fn pop(&mut self) -> Option<T> {
        let entry = self.peek()?;
        self.advance();
        Some(entry)
    }

    /// The position of the entry that is read next; wraps.
    pub(super) const fn position(&self) -> u32 {
        self.next
    }

    /// Looks at the kernel's position; whether there is something to read.
    #[inline]
    pub(super) fn look(&mut self) -> bool {
        self.produced = self.ring.producer().load(Ordering::Acquire);
        self.produced != self.next
    }

    /// How many entries are known to be there and were not read.
    pub(super) const fn waiting(&self) -> u32 {
        self.produced.wrapping_sub(self.next)
    }

    /// Reads the entry that [`Self::advance`] steps over.
    pub(super) fn peek(&mut self) -> Option<T> {
        if self.next == self.produced && !self.look() {
            return None;
        }
        // SAFETY: the kernel has published this entry, as the acquiring load saw, and does not
        // write it before it was released; every entry is initialised, being plain numbers.
        Some(unsafe { self.ring.entry(self.next).read() })
    }

    /// Steps over the entry that was peeked at.
    pub(super) fn advance(&mut self) {
        assert!(self.next != self.produced, "advanced over an entry that is not there");
        self.next = self.next.wrapping_add(1);
    }

    /// Gives everything that was read back to the kernel.
    pub(super) fn release(&self) {
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}
