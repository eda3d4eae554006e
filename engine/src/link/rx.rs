//! Received datagrams of one burst, and the memory they lie in.

use crate::slots::{Arena, Slot};
use bytes::Bytes;
use std::ops::Range;
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
    /// Replacements for slots with shared parts, reserved when the first part is shared.
    spares: Vec<Slot>,
    arena: Arena,
    datagrams: Vec<Entry>,
    /// Slots used by this burst.
    used: usize,
    /// Where [`Self::put`] goes on within the last used slot.
    fill: usize,
    /// Datagrams for which there was no entry left.
    lost: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    from: Addr,
    stamp: Option<WallTime>,
    truncated: bool,
    slot: u32,
    start: u32,
    len: u32,
}

impl Entry {
    const fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
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
            spares: Vec::with_capacity(slots.len()),
            datagrams: Vec::with_capacity(slots.len() * SEGMENTS_MAX),
            slots,
            arena,
            used: 0,
            fill: 0,
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

    /// Whether there is no room left, so that the link may have more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.used == self.slots.len() || self.datagrams.len() == self.datagrams.capacity()
    }

    /// The datagram at `index`, to be opened in place.
    #[must_use]
    pub fn datagram(&mut self, index: usize) -> Option<Datagram<'_>> {
        let entry = self.datagrams.get(index)?;
        let bytes = self.slots.get_mut(entry.slot as usize)?.bytes_mut(entry.range());
        Some(Datagram {
            from: entry.from,
            stamp: entry.stamp,
            truncated: entry.truncated,
            bytes: bytes.unwrap_or_default(),
        })
    }

    /// The bytes of the datagram at `index`, as they are now, to read.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let entry = self.datagrams.get(index)?;
        self.slots.get(entry.slot as usize)?.bytes(entry.range())
    }

    /// Takes `range` of the datagram at `index` out of the burst, to outlive it: without a copy as
    /// long as the arena has a spare slot, else copied. The datagram is read-only from now on.
    #[must_use]
    pub fn share(&mut self, index: usize, range: Range<usize>) -> Option<Bytes> {
        let entry = self.datagrams.get(index)?;
        if range.start > range.end || range.end > entry.len as usize {
            return None;
        }
        let start = entry.start as usize;
        let within = start + range.start..start + range.end;
        let slot = self.slots.get_mut(entry.slot as usize)?;
        if slot.is_whole() {
            match self.arena.take() {
                Some(spare) => self.spares.push(spare),
                None => return slot.bytes(within).map(Bytes::copy_from_slice),
            }
        }
        slot.share(within)
    }

    /// Forgets all datagrams; every slot can be written again.
    pub fn clear(&mut self) {
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
    }

    /// Datagrams lost since the last call because the kernel coalesced more than it says it can.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
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
    /// bytes each, the last of which may be shorter, or be cut short if `truncated`.
    pub(crate) fn received(&mut self, slot: usize, len: usize, segment: usize, what: Received) {
        let size = self.arena.slot_size();
        let Ok(index) = u32::try_from(slot) else { return };
        let len = len.min(size);
        let segment = if segment == 0 { len } else { segment };
        self.used = self.used.max(slot + 1);
        let mut start = 0_usize;
        loop {
            let end = len.min(start.saturating_add(segment));
            let truncated = what.truncated && end == len;
            self.add(Entry {
                from: what.from,
                stamp: what.stamp,
                truncated,
                slot: index,
                start: narrow(start),
                len: narrow(end - start),
            });
            start = end;
            if start >= len {
                return;
            }
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
        let Some(room) = self.slots[slot].bytes_mut(start..start + len) else { return false };
        for (to, from) in room.iter_mut().zip(parts[0].iter().chain(parts[1])) {
            *to = *from;
        }
        self.fill += len;
        let truncated = len < whole;
        let (slot, start, len) = (narrow(slot), narrow(start), narrow(len));
        self.add(Entry { from, stamp, truncated, slot, start, len });
        true
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

/// Offsets and counts of a burst: slots are at most 64 KB and counted by `u32`.
#[expect(clippy::cast_possible_truncation, reason = "bounded by SLOT_SIZE or a u32 count")]
const fn narrow(n: usize) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Addr = Addr::v4([127, 0, 0, 1], 9);

    fn plain() -> Received {
        Received { from: FROM, stamp: None, truncated: false }
    }

    #[test]
    fn a_coalesced_slot_is_split_into_its_datagrams() {
        let mut burst = RxBurst::new(2);
        burst.unused_mut().next().unwrap()[..10].copy_from_slice(b"aaaabbbbcc");
        burst.received(0, 10, 4, plain());
        let parts: Vec<_> = (0..burst.len()).map(|i| burst.bytes(i).unwrap()).collect();
        assert_eq!(parts, [&b"aaaa"[..], b"bbbb", b"cc"]);
    }

    #[test]
    fn an_empty_datagram_is_a_datagram() {
        let mut burst = RxBurst::new(1);
        burst.received(0, 0, 0, plain());
        assert_eq!((burst.len(), burst.bytes(0)), (1, Some(&[][..])));
    }

    #[test]
    fn only_the_last_datagram_of_a_slot_can_be_cut_short() {
        let mut burst = RxBurst::with_slot_size(1, 8);
        burst.received(0, 8, 4, Received { truncated: true, ..plain() });
        let cut: Vec<_> = (0..2).map(|i| burst.datagram(i).unwrap().truncated).collect();
        assert_eq!(cut, [false, true]);
    }

    #[test]
    fn a_shared_datagram_outlives_the_burst_and_its_neighbours_stay_writable() {
        let mut burst = RxBurst::new(1);
        for round in 0_u8..5 {
            burst.clear();
            assert!(burst.put(FROM, None, [&[round; 4], &[]]));
            assert!(burst.put(FROM, None, [&[9; 2], &[9]]));
            let kept = burst.share(0, 1..4).unwrap();
            assert!(burst.datagram(0).unwrap().bytes.is_empty());
            assert_eq!(burst.datagram(1).unwrap().bytes, [9; 3]);
            burst.clear();
            assert!(burst.put(FROM, None, [&[0xEE; 100], &[]]));
            assert_eq!(&kept[..], [round; 3]);
        }
    }

    #[test]
    fn without_a_spare_slot_sharing_copies_and_receiving_goes_on() {
        let mut burst = RxBurst::new(1);
        let mut kept = Vec::new();
        for round in 0_u8..10 {
            burst.clear();
            assert!(burst.put(FROM, None, [&[round; 4], &[]]));
            kept.push(burst.share(0, 0..4).unwrap());
        }
        for (round, bytes) in (0_u8..).zip(&kept) {
            assert_eq!(&bytes[..], [round; 4]);
        }
    }
}
