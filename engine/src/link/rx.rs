//! Received datagrams of one burst, and the memory they lie in.
//!
//! A link either receives into the slots of the burst, or lends it slots of its own that a device
//! has filled. Whoever reads the burst sees no difference.

#[cfg(test)]
mod tests;

use crate::slots::{Arena, Pool, Slot};
use bytes::Bytes;
use std::ops::Range;
use std::ptr::NonNull;
use syncom_seam::WallTime;
use syncom_wire::Addr;

/// Bytes of a receive slot: any UDP payload fits, and so does what the kernel coalesced into one.
pub const SLOT_SIZE: usize = 1 << 16;

/// Datagrams that the kernel may coalesce into one slot (`UDP_MAX_SEGMENTS`, 64 before Linux 6.9).
pub const SEGMENTS_MAX: usize = 128;

/// A batch of received datagrams, owned by the loop and offered to one link after another.
///
/// Several datagrams may lie in one slot. A datagram that must outlive the burst is taken out with
/// [`Self::share`]; the slot is then replaced by a spare one.
#[derive(Debug)]
pub struct RxBurst {
    slots: Vec<Slot>,
    /// Slots of a link, which go back to it. At most as many as there are slots of its own.
    lent: Vec<Slot>,
    /// Replacements for slots with shared parts, reserved when the first part is shared.
    spares: Vec<Slot>,
    arena: Arena,
    runs: Vec<Run>,
    datagrams: Vec<Entry>,
    /// Slots used by this burst.
    used: usize,
    /// Where [`Self::put`] goes on within the last used slot.
    fill: usize,
    /// Whether a link may have more, whatever room there is.
    refused: bool,
    /// Datagrams for which there was no entry left.
    lost: u64,
}

/// What datagrams that came as one have in common.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: Addr,
    stamp: Option<WallTime>,
    /// Index into `slots`, or beyond them into `lent`.
    slot: u32,
}

/// One datagram.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it lies, in a slot of the burst: worked out once, for it is asked for several times.
    start: NonNull<u8>,
    run: u32,
    /// How long it is, and marks.
    len: u32,
}

// SAFETY: `start` points into a slot of the burst that the entry is in, which goes with it; all
// access to its bytes is through the burst, and slots can be reached from any thread.
unsafe impl Send for Entry {}

impl Entry {
    /// Its end is missing.
    const TRUNCATED: u32 = 1 << 31;
    /// Parts of it were shared.
    const SHARED: u32 = 1 << 30;

    const fn len(self) -> usize {
        (self.len & !(Self::TRUNCATED | Self::SHARED)) as usize
    }

    const fn is(self, mark: u32) -> bool {
        self.len & mark != 0
    }
}

/// One received datagram, in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub from: Addr,
    /// When the kernel received it, on the wall clock; `None` when the link cannot tell.
    pub stamp: Option<WallTime>,
    /// Whether its end is missing because it exceeded the slot. Of no use but to be counted.
    pub truncated: bool,
    /// Its bytes, to be opened in place. Empty once shared.
    pub bytes: &'a mut [u8],
}

impl RxBurst {
    /// Room for `slots` receives of up to 64 KB each and as many spare slots. Pages are resident
    /// only once they were written; 64 slots of small datagrams take 256 KB.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self::with_slot_size(slots, SLOT_SIZE)
    }

    /// As [`Self::new`], with smaller slots: longer datagrams arrive truncated.
    #[must_use]
    pub fn with_slot_size(slots: u32, slot_size: usize) -> Self {
        let count = slots.max(1);
        let arena = Arena::new(count.saturating_mul(2), slot_size.clamp(1, SLOT_SIZE));
        let slots: Vec<Slot> = (0..count).map_while(|_| arena.take()).collect();
        Self {
            lent: Vec::with_capacity(slots.len()),
            spares: Vec::with_capacity(slots.len()),
            runs: Vec::with_capacity(slots.len() * SEGMENTS_MAX),
            datagrams: Vec::with_capacity(slots.len() * SEGMENTS_MAX),
            slots,
            arena,
            used: 0,
            fill: 0,
            refused: false,
            lost: 0,
        }
    }

    /// How many datagrams there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Whether the link may have more: there is no room left, or it stopped before it was drained.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.used + self.lent.len() >= self.slots.len()
            || self.datagrams.len() == self.datagrams.capacity()
            || self.refused
    }

    /// The datagram at `index`, to be opened in place.
    #[inline]
    #[must_use]
    pub fn datagram(&mut self, index: usize) -> Option<Datagram<'_>> {
        let entry = *self.datagrams.get(index)?;
        let run = self.runs.get(entry.run as usize)?;
        // What was shared is no longer ours to change.
        let len = if entry.is(Entry::SHARED) { 0 } else { entry.len() };
        // SAFETY: an entry lies within a slot that the burst holds as long as it holds the entry,
        // and no other entry overlaps it. Writing to slots of a burst needs `&mut` of it, and
        // nothing of this datagram was shared.
        let bytes = unsafe { std::slice::from_raw_parts_mut(entry.start.as_ptr(), len) };
        let truncated = entry.is(Entry::TRUNCATED);
        Some(Datagram { from: run.from, stamp: run.stamp, truncated, bytes })
    }

    /// The bytes of the datagram at `index`, as they are now, to read.
    #[inline]
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let entry = *self.datagrams.get(index)?;
        // SAFETY: as in `datagram`; this only reads, as do those who share it.
        Some(unsafe { std::slice::from_raw_parts(entry.start.as_ptr(), entry.len()) })
    }

    /// Takes `range` of the datagram at `index` out of the burst, to outlive it: without a copy as
    /// long as there is a spare slot or the slot is a link's, else copied. The datagram is read-only
    /// from now on.
    #[must_use]
    pub fn share(&mut self, index: usize, range: Range<usize>) -> Option<Bytes> {
        let entry = *self.datagrams.get(index)?;
        if range.start > range.end || range.end > entry.len() {
            return None;
        }
        let at = self.runs.get(entry.run as usize)?.slot as usize;
        let start = self.slot_mut(at)?.offset_of(entry.start);
        let within = start + range.start..start + range.end;
        let own = self.slots.get(at);
        if let Some(slot) = own.filter(|slot| slot.is_whole()) {
            match self.arena.take() {
                Some(spare) => self.spares.push(spare),
                None => return slot.bytes(within).map(Bytes::copy_from_slice),
            }
        }
        let shared = self.slot_mut(at)?.share(within)?;
        self.datagrams.get_mut(index)?.len |= Entry::SHARED;
        Some(shared)
    }

    /// Forgets all datagrams; every slot can be written again, and those of links go home.
    pub fn clear(&mut self) {
        self.lent.clear();
        self.runs.clear();
        self.datagrams.clear();
        for slot in &mut self.slots[..self.used] {
            if slot.is_whole() {
                continue;
            }
            // One spare was reserved for each slot that is not whole.
            if let Some(spare) = self.spares.pop()
                && !slot.reclaim()
            {
                *slot = spare;
            }
        }
        self.used = 0;
        self.fill = 0;
        self.refused = false;
    }

    /// As [`Self::clear`], giving the slots that were lent straight back to `pool`.
    #[inline]
    pub(crate) fn clear_into(&mut self, pool: &mut Pool) {
        if self.datagrams.is_empty() && self.lent.is_empty() && self.used == 0 {
            // As a loop that waits finds it, time and again.
            self.refused = false;
            return;
        }
        self.lent.drain(..).for_each(|slot| pool.give(slot));
        self.clear();
    }

    /// Datagrams lost since the last call because the kernel coalesced more than it says it can.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Bytes of a slot of its own: longer datagrams are cut short.
    pub(crate) fn slot_size(&self) -> usize {
        self.arena.slot_size()
    }

    /// How many slots this burst has used.
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// The slots that are not used, whole, for a link to receive into.
    pub(crate) fn unused_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.slots[self.used..].iter_mut().filter_map(|slot| slot.bytes_mut(0..slot.size()))
    }

    /// Announces that a link received `len` bytes into the slot at `slot`: datagrams of `segment`
    /// bytes each (0: there is but one), the last of which may be shorter, or be cut short if `truncated`.
    pub(crate) fn received(&mut self, slot: usize, len: usize, segment: usize, what: Received) {
        let size = self.arena.slot_size();
        self.used = self.used.max(slot + 1);
        let len = len.min(size);
        if segment == 0 {
            let run = self.run(slot, what.from, what.stamp);
            let Some(start) = self.slots.get(slot).map(Slot::start) else { return };
            let truncated = if what.truncated { Entry::TRUNCATED } else { 0 };
            return self.add(Entry { start, run, len: narrow(len) | truncated });
        }
        self.split(slot, 0..len, segment, what);
    }

    /// Takes in a slot of a link's own that holds datagrams in `range`, each of `segment` bytes
    /// (0: there is but one), the last of which may be shorter, or be cut short if `truncated`.
    /// They are opened in place and shared like others; the slot goes home with the next
    /// [`Self::clear`], or after it with the last of its shared parts.
    ///
    /// # Errors
    /// The slot comes back when there is no room for all of it: the burst is full then, and the
    /// link offers it to the next one.
    #[inline]
    pub(crate) fn lend(
        &mut self,
        slot: Slot,
        range: Range<usize>,
        segment: usize,
        what: Received,
    ) -> Result<(), Slot> {
        let range = range.start.min(slot.size())..range.end.min(slot.size());
        if segment == 0 {
            return self.lend_one(slot, range, what);
        }
        let segments = range.len().div_ceil(segment);
        let room = self.datagrams.capacity() - self.datagrams.len();
        self.refused |= room < segments.clamp(1, SEGMENTS_MAX);
        if self.is_full() {
            return Err(slot);
        }
        let at = self.slots.len() + self.lent.len();
        self.lent.push(slot);
        self.split(at, range, segment, what);
        Ok(())
    }

    /// As [`Self::lend`], for a slot that holds one datagram.
    #[inline]
    fn lend_one(&mut self, slot: Slot, range: Range<usize>, what: Received) -> Result<(), Slot> {
        if self.is_full() {
            return Err(slot);
        }
        let at = self.slots.len() + self.lent.len();
        let run = self.run(at, what.from, what.stamp);
        let truncated = if what.truncated { Entry::TRUNCATED } else { 0 };
        // SAFETY: the range lies within the slot, as the caller saw to; an empty one may begin at
        // its end.
        let start = unsafe { slot.start().add(range.start) };
        self.lent.push(slot);
        self.datagrams.push(Entry { start, run, len: narrow(range.len()) | truncated });
        Ok(())
    }

    /// Makes the burst full: the link may have more.
    pub(crate) const fn stop(&mut self) {
        self.refused = true;
    }

    /// Makes the burst full if it has slots on loan, for a link that has no more of them.
    pub(crate) const fn stop_if_lent(&mut self) {
        self.refused |= !self.lent.is_empty();
    }

    /// Lists the datagrams that lie in `range` of the slot at `slot`.
    #[inline]
    fn split(&mut self, slot: usize, range: Range<usize>, segment: usize, what: Received) {
        let run = self.run(slot, what.from, what.stamp);
        let Some(base) = self.slot_mut(slot).map(|slot| slot.start()) else { return };
        let count = range.len().div_ceil(segment).max(1);
        let listed = count.min(self.datagrams.capacity() - self.datagrams.len());
        // Each begins within the range, but for an empty one, which begins at its end.
        let (mut at, len) = (range.start, narrow(segment));
        self.datagrams.extend((0..listed).map(|_| {
            // SAFETY: the range lies within the slot, as callers see to, and `at` within the range.
            let start = unsafe { base.add(at) };
            at = at.wrapping_add(segment);
            Entry { start, run, len }
        }));
        self.lost += (count - listed) as u64;
        if listed == count
            && let Some(last) = self.datagrams.last_mut()
        {
            let truncated = if what.truncated { Entry::TRUNCATED } else { 0 };
            last.len = narrow(range.len() - (count - 1) * segment) | truncated;
        }
    }

    /// Copies a datagram in; false when the burst is full.
    pub(crate) fn put(&mut self, from: Addr, stamp: Option<WallTime>, parts: [&[u8]; 2]) -> bool {
        let size = self.arena.slot_size();
        let whole = parts[0].len() + parts[1].len();
        let len = whole.min(size);
        if self.datagrams.len() == self.datagrams.capacity() {
            return false;
        }
        if self.used == 0 || self.fill + len > size {
            if self.is_full() {
                return false;
            }
            self.used += 1;
            self.fill = 0;
        }
        let (slot, start) = (self.used - 1, self.fill);
        let base = self.slots[slot].start();
        let Some(room) = self.slots[slot].bytes_mut(start..start + len) else { return false };
        let (front, rest) = room.split_at_mut(parts[0].len().min(len));
        front.copy_from_slice(&parts[0][..front.len()]);
        rest.copy_from_slice(&parts[1][..rest.len()]);
        self.fill += len;
        let truncated = if len < whole { Entry::TRUNCATED } else { 0 };
        let run = self.run(slot, from, stamp);
        // SAFETY: as was just written to, it lies within the slot.
        let start = unsafe { base.add(start) };
        self.add(Entry { start, run, len: narrow(len) | truncated });
        true
    }

    /// Begins a run of datagrams in the slot at `slot` and returns its number. There is room for
    /// as many runs as datagrams; one without a datagram counts as lost there.
    #[inline]
    fn run(&mut self, slot: usize, from: Addr, stamp: Option<WallTime>) -> u32 {
        let number = narrow(self.runs.len());
        if self.runs.len() < self.runs.capacity() {
            self.runs.push(Run { from, stamp, slot: narrow(slot) });
        }
        number
    }

    fn slot_mut(&mut self, at: usize) -> Option<&mut Slot> {
        let own = self.slots.len();
        if at < own { self.slots.get_mut(at) } else { self.lent.get_mut(at - own) }
    }

    fn add(&mut self, entry: Entry) {
        if self.datagrams.len() == self.datagrams.capacity() {
            self.lost += 1;
        } else {
            self.datagrams.push(entry);
        }
    }
}

/// What came with a received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) from: Addr,
    pub(crate) stamp: Option<WallTime>,
    pub(crate) truncated: bool,
}

/// Offsets and counts of a burst: slots are small and counted by `u32`.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the size or the count of slots")]
const fn narrow(n: usize) -> u32 {
    n as u32
}
