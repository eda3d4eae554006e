//! The slots of one arena in the hands of a link, and those that its device has.

use super::{Arena, Slot};
use std::ops::Range;
#[cfg(target_arch = "x86_64")]
use std::ptr;

/// Bytes that processors fetch at a time.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// An arena whose slots go round between a link, its device and the bursts it fills.
///
/// What the link holds lies ready here; what the device holds is kept here under its index, so that
/// a descriptor of the device becomes the slot again; what a burst holds comes back through
/// [`Self::give`], or else, dropped or shared, through the arena.
#[derive(Debug)]
pub struct Pool {
    arena: Arena,
    /// Whole slots, the one that was given last on top: it is the warmest.
    ready: Vec<Slot>,
    /// By index: the slots that the device has.
    away: Box<[Option<Slot>]>,
}

impl Pool {
    /// A pool of `count` slots of `slot_size` bytes each, none of them with the device.
    #[must_use]
    pub fn new(count: u32, slot_size: usize) -> Self {
        let arena = Arena::new(count, slot_size);
        let away = (0..arena.count()).map(|_| None).collect();
        Self { ready: Vec::with_capacity(arena.count()), away, arena }
    }

    /// The memory that the slots lie in.
    #[must_use]
    pub const fn arena(&self) -> &Arena {
        &self.arena
    }

    /// A whole slot; `None` when all are with the device, in bursts, or shared.
    #[must_use]
    #[inline]
    pub fn take(&mut self) -> Option<Slot> {
        self.ready.pop().or_else(|| self.arena.take())
    }

    /// Whether [`Self::take`] has something to give.
    #[must_use]
    pub fn has_some(&self) -> bool {
        !self.ready.is_empty() || self.arena.free() > 0
    }

    /// How many slots [`Self::take`] can give.
    #[must_use]
    pub fn free(&self) -> usize {
        self.ready.len() + self.arena.free()
    }

    /// Takes a slot back. One with shared parts goes on to the arena when the last of them is
    /// dropped, one of another arena goes home to that.
    #[inline]
    pub fn give(&mut self, mut slot: Slot) {
        if self.arena.owns(&slot) && slot.reclaim() {
            // There are never more slots than there is room for.
            self.ready.push(slot);
        }
    }

    /// Hands a whole slot to the device and returns the index that it shall be known by; the device
    /// may write all of it until [`Self::from_device`].
    ///
    /// # Errors
    /// The slot comes back when it has shared parts, which a device must not write, or belongs to
    /// another arena.
    #[inline]
    pub fn to_device(&mut self, mut slot: Slot) -> Result<u32, Slot> {
        if !self.arena.owns(&slot) || !slot.reclaim() {
            return Err(slot);
        }
        let index = slot.index();
        self.away[index as usize] = Some(slot);
        Ok(index)
    }

    /// Has the processor fetch what it needs to take back the slot of `index` and to read the bytes of
    /// it in `range`: all at a time, where looking would wait for one line of memory after the other.
    #[inline]
    pub fn prefetch(&self, index: u32, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if let Some(away) = self.away.get(index as usize) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = index as usize * self.arena.slot_size();
            // SAFETY: prefetching reads nothing and cannot fail, whatever the address.
            let fetch = |at: *const u8| unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
            fetch(ptr::from_ref(away).cast());
            for at in range.step_by(LINE) {
                fetch(self.arena.base().as_ptr().wrapping_add(start + at));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (index, range);
    }

    /// Takes back from the device the slot of `index`; `None` when the device did not have it.
    #[inline]
    pub fn from_device(&mut self, index: u32) -> Option<Slot> {
        self.away.get_mut(usize::try_from(index).ok()?)?.take()
    }
}
