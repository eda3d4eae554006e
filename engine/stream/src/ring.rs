//! A stretch of a stream's line in a ring of fixed size: what channels keep their bytes in.
//!
//! Position `p` lies at `p` modulo the capacity, a power of two. Behind the end of the ring there
//! is an overhang, so that whatever is at most that long can be written or read as one slice even
//! when it crosses the end; the part beyond is then copied to where it belongs, once per lap.

use alloc::boxed::Box;
use alloc::vec;

/// The bytes, by position. Which of them mean something is up to the owner.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    capacity: usize,
}

impl Ring {
    /// The longest piece that is one slice wherever it lies: any UDP payload.
    pub(crate) const PIECE_MAX: usize = 1 << 16;

    /// A ring for at least `capacity` bytes, and at least two pieces.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2 * Self::PIECE_MAX).next_power_of_two();
        Self { bytes: vec![0; capacity + Self::PIECE_MAX].into_boxed_slice(), capacity }
    }

    /// Bytes that it holds.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to below the capacity")]
    const fn at(&self, position: u64) -> usize {
        (position & (self.capacity as u64 - 1)) as usize
    }

    /// Room for `len` bytes from `position` on, at most [`Self::PIECE_MAX`]. Once they are written
    /// call [`Self::written`].
    #[inline]
    pub(crate) fn room(&mut self, position: u64, len: usize) -> &mut [u8] {
        let at = self.at(position);
        self.bytes.get_mut(at..at + len).unwrap_or_default()
    }

    /// The `N` bytes from `position` on, of which those beyond the end are not the line's.
    #[inline]
    pub(crate) fn chunk<const N: usize>(&mut self, position: u64) -> Option<&mut [u8; N]> {
        let at = self.at(position);
        self.bytes.get_mut(at..)?.first_chunk_mut()
    }

    /// Position at which the ring's end comes.
    pub(crate) const fn lap_end(&self, position: u64) -> u64 {
        (position | (self.capacity as u64 - 1)) + 1
    }

    /// Puts what was written beyond the end where it belongs.
    #[inline]
    pub(crate) fn written(&mut self, position: u64, len: usize) {
        let end = self.at(position) + len;
        if end > self.capacity {
            self.bytes.copy_within(self.capacity..end, 0);
        }
    }

    /// Copies `bytes` to `position`; no more than the capacity.
    pub(crate) fn put(&mut self, position: u64, bytes: &[u8]) {
        let at = self.at(position);
        let (head, tail) = bytes.split_at(bytes.len().min(self.capacity - at));
        if let Some(room) = self.bytes.get_mut(at..at + head.len()) {
            room.copy_from_slice(head);
        }
        if let Some(room) = self.bytes.get_mut(..tail.len()) {
            room.copy_from_slice(tail);
        }
    }

    /// The `len` bytes from `position` on as one slice, at most [`Self::PIECE_MAX`].
    #[inline]
    pub(crate) fn piece(&mut self, position: u64, len: usize) -> &[u8] {
        let at = self.at(position);
        if at + len > self.capacity {
            self.bytes.copy_within(..at + len - self.capacity, self.capacity);
        }
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    /// The `len` bytes that were just written through [`Self::room`].
    pub(crate) fn flat(&self, position: u64, len: usize) -> &[u8] {
        let at = self.at(position);
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    /// The bytes from `position` up to `end` or to the end of the ring.
    pub(crate) fn run(&self, position: u64, end: u64) -> &[u8] {
        let at = self.at(position);
        let len = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
        self.bytes.get(at..at + len.min(self.capacity - at)).unwrap_or_default()
    }

    /// Makes the ring larger; what it holds `from..to` stays at its positions.
    pub(crate) fn grow(&mut self, capacity: usize, from: u64, to: u64) {
        let mut larger = Self::new(capacity.max(self.capacity));
        let mut at = from;
        while at < to {
            let run = self.run(at, to);
            larger.put(at, run);
            at += run.len() as u64;
        }
        *self = larger;
    }
}

/// Copies `from` to `to`, which are equally long: short ones by overlapping moves of fixed size
/// instead of a call.
///
/// The first and the last word go by themselves where there are others: a number, a time or a sum is
/// often just written, and a load that is wider than the store before it waits for that store.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        33..=128 => {
            ends::<8>(to, from);
            middle(to, from);
        }
        17..=32 => ends::<16>(to, from),
        8..=16 => ends::<8>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// All but the first and the last eight bytes.
#[inline]
fn middle(to: &mut [u8], from: &[u8]) {
    let within = 8..from.len() - 8;
    let (Some(to), Some(from)) = (to.get_mut(within.clone()), from.get(within)) else { return };
    match from.len() {
        64.. => ends::<64>(to, from),
        32..64 => ends::<32>(to, from),
        _ => ends::<16>(to, from),
    }
}

/// The first and the last `N` bytes, which overlap when there are fewer than twice as many.
#[inline]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;
    use syncom_seam::Rng;

    #[test]
    fn pieces_written_and_read_anywhere_agree_with_the_line_they_stand_for() {
        let mut rng = Rng::new(1);
        let mut ring = Ring::new(1);
        let line: Vec<u8> =
            (0..4 * ring.capacity()).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        let mut end = 0;
        while end < line.len() {
            let len = usize::try_from(rng.below(Ring::PIECE_MAX as u64)).unwrap();
            let bytes = &line[end..line.len().min(end + len)];
            if rng.chance(1, 2) {
                ring.room(end as u64, bytes.len()).copy_from_slice(bytes);
                ring.written(end as u64, bytes.len());
            } else {
                ring.put(end as u64, bytes);
            }
            end += bytes.len();
            if end == ring.capacity() + 1000 {
                ring.grow(2 * ring.capacity(), end as u64 - 70_000, end as u64);
            }
            let from = end.saturating_sub(usize::try_from(rng.below(60_000)).unwrap());
            assert_eq!(ring.piece(from as u64, end - from), &line[from..end]);
            let run = ring.run(from as u64, end as u64);
            assert_eq!(run, &line[from..from + run.len()]);
        }
    }

    #[test]
    fn copies_of_every_length_are_whole() {
        let from: Vec<u8> = (0..200).collect();
        for len in 0..from.len() {
            let mut to = std::vec![255; len];
            copy(&mut to, &from[..len]);
            assert_eq!(to, from[..len]);
        }
    }

    #[test]
    fn a_larger_ring_holds_the_same_bytes() {
        let mut ring = Ring::new(1);
        let from = ring.capacity() as u64 - 3;
        ring.put(from, b"abcdef");
        ring.grow(4 * ring.capacity(), from, from + 6);
        assert_eq!(ring.piece(from, 6), b"abcdef");
    }
}
