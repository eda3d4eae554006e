//! Packet memory: one arena, allocated at start, cut into slots of equal size.
//!
//! A [`Slot`] is the only writer of its bytes. What must outlive a burst is *shared*: the range
//! becomes a [`Bytes`] that keeps the slot alive, nothing is copied, and the slot goes back to the
//! arena when the last of its parts is dropped, on whatever thread that happens. A shared range
//! can no longer be written, which [`Slot::bytes_mut`] enforces.
//!
//! A link whose device writes into slots keeps them in a [`Pool`]. There a slot goes round (pool,
//! device, burst, pool) as a plain value: no allocation, no atomic operation.

mod pool;
mod region;
#[cfg(test)]
mod tests;

pub use pool::Pool;
pub(crate) use region::Region;

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fixed number of slots of a fixed size. Cloning gives another handle to the same memory.
///
/// The memory is one mapping that starts at a page; the operating system zeroes it lazily, so pages
/// never written are never resident.
#[derive(Clone, Debug)]
pub struct Arena {
    memory: Arc<Memory>,
}

struct Memory {
    region: Region,
    /// Per slot: its [`Slot`] handle, if any, and the shared parts.
    references: Box<[AtomicU32]>,
    free: ArrayQueue<u32>,
    slot_size: usize,
}

// SAFETY: `region` is the only member that is not `Sync`. Its bytes are reached through `Slot` and
// `Part` alone: a `Slot` exists once per index, writes only under `&mut self` and only outside the ranges
// it has shared; a `Part` only reads its own shared range. So no byte is ever written while
// another thread can read or write it. Hand-over between threads is ordered by `references`
// (AcqRel) and by the queue of free slots.
unsafe impl Sync for Memory {}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots of {} bytes", self.references.len(), self.slot_size)
    }
}

impl Arena {
    /// An arena of `count` slots of `slot_size` bytes each; both at least 1.
    #[must_use]
    pub fn new(count: u32, slot_size: usize) -> Self {
        let count = count.max(1);
        let slot_size = slot_size.max(1);
        let region = Region::new((count as usize).saturating_mul(slot_size));
        let free = ArrayQueue::new(count as usize);
        for index in 0..count {
            let _ = free.push(index);
        }
        let references = (0..count).map(|_| AtomicU32::new(0)).collect();
        Self { memory: Arc::new(Memory { region, references, free, slot_size }) }
    }

    /// Takes a free slot; `None` when all are in use.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        let index = self.memory.free.pop()?;
        self.memory.references[index as usize].store(1, Ordering::Relaxed);
        let (memory, start) = (Arc::clone(&self.memory), self.memory.start(index));
        Some(Slot { size: memory.slot_size, memory, start, index, shared: None })
    }

    /// How many slots are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.memory.free.len()
    }

    /// How many slots there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.memory.references.len()
    }

    /// Bytes of one slot.
    #[must_use]
    pub fn slot_size(&self) -> usize {
        self.memory.slot_size
    }

    /// Where the memory starts, to be told to a device: the slot of index `i` lies at
    /// `i * slot_size`, [`Self::count`] of them. It stays there as long as any handle, slot or
    /// shared part of this arena lives.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.memory.region.base()
    }

    /// Whether `slot` is one of this arena's.
    #[must_use]
    pub fn owns(&self, slot: &Slot) -> bool {
        Arc::ptr_eq(&self.memory, &slot.memory)
    }
}

impl Memory {
    /// Where the slot starts. Offsets below `slot_size` stay inside the arena.
    fn start(&self, index: u32) -> NonNull<u8> {
        // SAFETY: every index is below the count, so the offset lies within the mapping, whose
        // size is the product of both.
        unsafe { self.region.base().add(index as usize * self.slot_size) }
    }

    fn release(&self, index: u32) {
        // Release what this holder did with the bytes; acquire what all others did.
        if self.references[index as usize].fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.free.push(index);
        }
    }
}

/// Sole writer of one slot.
pub struct Slot {
    memory: Arc<Memory>,
    /// Where it starts and how long it is, as the memory says too: kept here, since they are asked
    /// for with every datagram.
    start: NonNull<u8>,
    size: usize,
    index: u32,
    /// Boxed, for slots are moved more often than shared.
    shared: Option<Box<Shared>>,
}

// SAFETY: `start` is the only member that is not `Send`. It points into `memory`, which goes with
// the slot and whose bytes may be reached from any thread, as said there.
unsafe impl Send for Slot {}
// SAFETY: a shared slot only reads its bytes, see `bytes`; the rest is `Sync`.
unsafe impl Sync for Slot {}

/// What has been shared of a slot.
#[derive(Default)]
struct Shared {
    ranges: Vec<Range<usize>>,
    /// No range reaches beyond.
    end: usize,
}

impl Shared {
    fn meets(&self, range: &Range<usize>) -> bool {
        let meets = |part: &Range<usize>| part.start < range.end && range.start < part.end;
        range.start < self.end && self.ranges.iter().any(meets)
    }
}

impl Slot {
    /// Its place in the arena, from 0: what a device knows it by.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Where it starts. Whoever reads or writes there does what [`Self::bytes`] and
    /// [`Self::bytes_mut`] do.
    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How far behind its start `at` lies, which is in this slot.
    pub(crate) fn offset_of(&self, at: NonNull<u8>) -> usize {
        at.addr().get().saturating_sub(self.start.addr().get())
    }

    /// The bytes of `range`, to read.
    #[inline]
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        self.check(&range)?;
        // SAFETY: `check` keeps the range inside this slot, which lives as long as `self.memory`.
        // Writing needs `&mut self`, so nothing writes while the borrow of `self` lasts.
        Some(unsafe {
            let start = self.start.as_ptr().add(range.start);
            std::slice::from_raw_parts(start, range.end - range.start)
        })
    }

    /// The bytes of `range`, to change; `None` when any of them has been shared.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        self.check(&range)?;
        if self.shared.as_ref().is_some_and(|shared| shared.meets(&range)) {
            return None;
        }
        // SAFETY: `check` keeps the range inside this slot, which lives as long as `self.memory`.
        // `&mut self` excludes every other access through the one `Slot` of this index, and no
        // `Part` overlaps the range, as just checked.
        Some(unsafe {
            let start = self.start.as_ptr().add(range.start);
            std::slice::from_raw_parts_mut(start, range.end - range.start)
        })
    }

    /// Gives `range` away as owned bytes, without a copy. From now on it is read-only here.
    #[must_use]
    pub fn share(&mut self, range: Range<usize>) -> Option<Bytes> {
        self.check(&range)?;
        self.memory.references[self.index as usize].fetch_add(1, Ordering::Relaxed);
        let shared = self.shared.get_or_insert_default();
        shared.ranges.push(range.clone());
        shared.end = shared.end.max(range.end);
        Some(Bytes::from_owner(Part { memory: Arc::clone(&self.memory), index: self.index, range }))
    }

    /// Whether nothing has been shared since the last successful [`Self::reclaim`].
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.ranges.is_empty())
    }

    /// Makes the whole slot writable again if every shared part has been dropped.
    pub fn reclaim(&mut self) -> bool {
        if self.is_whole() {
            return true;
        }
        // Only `share` adds references, and it needs `&mut self`: once 1, it stays 1.
        let whole = self.memory.references[self.index as usize].load(Ordering::Acquire) == 1;
        if whole && let Some(shared) = &mut self.shared {
            shared.ranges.clear();
            shared.end = 0;
        }
        whole
    }

    /// Bytes of the slot.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    fn check(&self, range: &Range<usize>) -> Option<()> {
        (range.start <= range.end && range.end <= self.size).then_some(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_whole() {
            // This was the only reference, as `reclaim` says.
            let _ = self.memory.free.push(self.index);
        } else {
            self.memory.release(self.index);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.shared.as_ref().map_or(0, |shared| shared.ranges.len());
        write!(f, "slot {} ({parts} parts shared)", self.index)
    }
}

/// A shared range of a slot: what a [`Bytes`] owns.
struct Part {
    memory: Arc<Memory>,
    index: u32,
    range: Range<usize>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `share` checked the range. The slot is not reused while this part counts as a
        // reference, and its `Slot` never writes a range that it has shared.
        unsafe {
            std::slice::from_raw_parts(
                self.memory.start(self.index).as_ptr().add(self.range.start),
                self.range.end - self.range.start,
            )
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.memory.release(self.index);
    }
}
