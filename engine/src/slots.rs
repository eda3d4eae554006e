//! Packet memory: one arena, allocated at start, cut into slots of equal size.
//!
//! A [`Slot`] is the only writer of its bytes. What must outlive a burst is *shared*: the range
//! becomes a [`Bytes`] that keeps the slot alive, nothing is copied, and the slot goes back to the
//! arena when the last of its parts is dropped, on whatever thread that happens. A shared range
//! can no longer be written, which [`Slot::bytes_mut`] enforces.

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fixed number of slots of a fixed size. Cloning gives another handle to the same memory.
///
/// Memory is zeroed lazily by the operating system: pages never written are never resident.
#[derive(Clone, Debug)]
pub struct Arena {
    memory: Arc<Memory>,
}

struct Memory {
    bytes: Box<[UnsafeCell<u8>]>,
    /// Per slot: its [`Slot`] handle, if any, and the shared parts.
    references: Box<[AtomicU32]>,
    free: ArrayQueue<u32>,
    slot_size: usize,
}

// SAFETY: `bytes` is the only member that is not `Sync`. It is reached through `Slot` and `Part`
// alone: a `Slot` exists once per index, writes only under `&mut self` and only outside the ranges
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
        let zeroed = vec![0_u8; count as usize * slot_size].into_boxed_slice();
        // SAFETY: `UnsafeCell<u8>` is `repr(transparent)` over `u8`: same size, alignment and
        // validity. The pointer comes from `Box::into_raw` and is owned by nobody else.
        let bytes = unsafe { Box::from_raw(Box::into_raw(zeroed) as *mut [UnsafeCell<u8>]) };
        let free = ArrayQueue::new(count as usize);
        for index in 0..count {
            let _ = free.push(index);
        }
        let references = (0..count).map(|_| AtomicU32::new(0)).collect();
        Self { memory: Arc::new(Memory { bytes, references, free, slot_size }) }
    }

    /// Takes a free slot; `None` when all are in use.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        let index = self.memory.free.pop()?;
        self.memory.references[index as usize].store(1, Ordering::Relaxed);
        Some(Slot { memory: Arc::clone(&self.memory), index, shared: Vec::new() })
    }

    /// How many slots are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.memory.free.len()
    }

    /// Bytes of one slot.
    #[must_use]
    pub fn slot_size(&self) -> usize {
        self.memory.slot_size
    }
}

impl Memory {
    /// Where the slot starts. Offsets below `slot_size` stay inside the arena.
    fn start(&self, index: u32) -> *mut u8 {
        UnsafeCell::raw_get(self.bytes[index as usize * self.slot_size..].as_ptr())
    }

    fn release(&self, index: u32) {
        if self.references[index as usize].fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.free.push(index);
        }
    }
}

/// Sole writer of one slot.
pub struct Slot {
    memory: Arc<Memory>,
    index: u32,
    shared: Vec<Range<usize>>,
}

impl Slot {
    /// The bytes of `range`, to read.
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        self.check(&range)?;
        // SAFETY: `check` keeps the range inside this slot, which lives as long as `self.memory`.
        // Writing needs `&mut self`, so nothing writes while the borrow of `self` lasts.
        Some(unsafe {
            std::slice::from_raw_parts(
                self.memory.start(self.index).add(range.start),
                range.end - range.start,
            )
        })
    }

    /// The bytes of `range`, to change; `None` when any of them has been shared.
    #[must_use]
    pub fn bytes_mut(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        self.check(&range)?;
        if self.shared.iter().any(|part| part.start < range.end && range.start < part.end) {
            return None;
        }
        // SAFETY: `check` keeps the range inside this slot, which lives as long as `self.memory`.
        // `&mut self` excludes every other access through the one `Slot` of this index, and no
        // `Part` overlaps the range, as just checked.
        Some(unsafe {
            std::slice::from_raw_parts_mut(
                self.memory.start(self.index).add(range.start),
                range.end - range.start,
            )
        })
    }

    /// Gives `range` away as owned bytes, without a copy. From now on it is read-only here.
    #[must_use]
    pub fn share(&mut self, range: Range<usize>) -> Option<Bytes> {
        self.check(&range)?;
        self.memory.references[self.index as usize].fetch_add(1, Ordering::Relaxed);
        self.shared.push(range.clone());
        Some(Bytes::from_owner(Part { memory: Arc::clone(&self.memory), index: self.index, range }))
    }

    /// Whether nothing has been shared since the last successful [`Self::reclaim`].
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.shared.is_empty()
    }

    /// Makes the whole slot writable again if every shared part has been dropped.
    pub fn reclaim(&mut self) -> bool {
        // Only `share` adds references, and it needs `&mut self`: once 1, it stays 1.
        let whole = self.memory.references[self.index as usize].load(Ordering::Acquire) == 1;
        if whole {
            self.shared.clear();
        }
        whole
    }

    /// Bytes of the slot.
    #[must_use]
    pub fn size(&self) -> usize {
        self.memory.slot_size
    }

    fn check(&self, range: &Range<usize>) -> Option<()> {
        (range.start <= range.end && range.end <= self.memory.slot_size).then_some(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.memory.release(self.index);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} ({} parts shared)", self.index, self.shared.len())
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
                self.memory.start(self.index).add(self.range.start),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_back_when_its_last_part_is_dropped() {
        let arena = Arena::new(1, 8);
        let mut slot = arena.take().unwrap();
        assert!(arena.take().is_none());
        slot.bytes_mut(0..8).unwrap().copy_from_slice(b"abcdefgh");
        let (head, tail) = (slot.share(0..3).unwrap(), slot.share(3..8).unwrap());
        drop(slot);
        assert_eq!((&head[..], &tail[..], arena.free()), (&b"abc"[..], &b"defgh"[..], 0));
        drop(head);
        assert_eq!(arena.free(), 0);
        std::thread::spawn(move || drop(tail)).join().unwrap();
        assert_eq!(arena.free(), 1);
    }

    #[test]
    fn a_shared_range_cannot_be_written_until_it_is_dropped() {
        let arena = Arena::new(1, 8);
        let mut slot = arena.take().unwrap();
        let part = slot.share(2..4).unwrap();
        assert!(slot.bytes_mut(0..3).is_none() && slot.bytes_mut(3..8).is_none());
        assert!(slot.bytes_mut(0..2).is_some() && slot.bytes_mut(4..8).is_some());
        assert!(!slot.reclaim());
        drop(part);
        assert!(slot.reclaim() && slot.bytes_mut(0..8).is_some());
    }

    #[test]
    fn ranges_outside_the_slot_are_refused() {
        let arena = Arena::new(2, 8);
        let mut slot = arena.take().unwrap();
        assert!(slot.bytes(0..9).is_none() && slot.bytes_mut(0..9).is_none());
        assert!(slot.share(8..9).is_none() && slot.bytes(8..8).is_some());
    }
}
