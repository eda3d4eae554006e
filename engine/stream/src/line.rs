//! A stretch of a stream's line of bytes, held contiguously.
//!
//! The stretch slides: bytes are added at its end and released at its front. It lives in one
//! allocation that grows on demand and is then reused: at most about three times as long as the
//! longest stretch. It is moved to the front of the allocation only when more than half of that was
//! released since the last move, so every byte is moved at most once on average; in exchange a
//! fragment or a message is always one slice.

use alloc::vec::Vec;

/// Bytes from position `base` up to position `end`.
#[derive(Debug, Default)]
pub(crate) struct Line {
    bytes: Vec<u8>,
    start: usize,
    base: u64,
    end: u64,
}

impl Line {
    const LEAST: usize = 4096;

    /// Oldest position that is held.
    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// Position behind the newest byte.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that are held.
    pub(crate) fn len(&self) -> usize {
        distance(self.base, self.end)
    }

    /// Bytes of memory in use.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds `count` bytes of any content at the end and lends them.
    pub(crate) fn append(&mut self, count: usize) -> &mut [u8] {
        let at = self.len();
        self.reach(at + count);
        let from = self.start + at;
        self.bytes.get_mut(from..from + count).unwrap_or_default()
    }

    /// Copies `bytes` to `position`, which is not below the base. What lies between the end and
    /// `position` is held too, with any content.
    pub(crate) fn write(&mut self, position: u64, bytes: &[u8]) {
        let at = distance(self.base, position);
        self.reach(self.len().max(at + bytes.len()));
        let from = self.start + at;
        if let Some(room) = self.bytes.get_mut(from..from + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    /// Up to `count` bytes from `position` on: fewer when fewer are held.
    pub(crate) fn get(&self, position: u64, count: usize) -> &[u8] {
        let from = distance(self.base, position).min(self.len());
        let to = from.saturating_add(count).min(self.len());
        self.bytes.get(self.start + from..self.start + to).unwrap_or_default()
    }

    /// Lets go of everything below `position`.
    pub(crate) fn release(&mut self, position: u64) {
        let position = position.clamp(self.base, self.end);
        self.start += distance(self.base, position);
        self.base = position;
        if self.base == self.end {
            self.start = 0;
        }
    }

    /// Lets go of everything from `position` on.
    pub(crate) fn truncate(&mut self, position: u64) {
        self.end = position.clamp(self.base, self.end);
    }

    /// Begins again at position 0; the memory stays.
    pub(crate) const fn restart(&mut self) {
        (self.start, self.base, self.end) = (0, 0, 0);
    }

    /// Makes the stretch `len` bytes long, not shorter than it is.
    fn reach(&mut self, len: usize) {
        if self.start + len > self.bytes.len() {
            let held = self.start..self.start + self.len();
            self.bytes.copy_within(held, 0);
            self.start = 0;
            if len > self.bytes.len() / 2 {
                self.bytes.resize((3 * len).next_multiple_of(Self::LEAST), 0);
            }
        }
        self.end = self.base + len as u64;
    }
}

/// Bytes from one position to a later one; 0 when it is not later.
pub(crate) fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use syncom_seam::Rng;

    #[test]
    fn a_sliding_line_agrees_with_a_queue_and_stays_small() {
        let mut rng = Rng::new(3);
        let (mut line, mut queue) = (Line::default(), VecDeque::new());
        for _ in 0..20_000 {
            let count = usize::try_from(rng.below(700)).unwrap();
            if queue.len() + count <= 10_000 && rng.chance(1, 2) {
                let byte = rng.next_u64().to_le_bytes()[0];
                line.append(count).fill(byte);
                queue.extend(core::iter::repeat_n(byte, count));
            } else {
                let count = count.min(queue.len());
                line.release(line.base() + count as u64);
                queue.drain(..count);
            }
            assert_eq!(line.len(), queue.len());
            assert!(line.get(line.base(), usize::MAX).iter().eq(queue.iter()));
        }
        assert!(line.allocated() <= 3 * 10_000 + 2 * Line::LEAST);
    }

    #[test]
    fn bytes_may_be_written_ahead_of_the_end() {
        let mut line = Line::default();
        line.write(5, b"world");
        line.write(0, b"hello");
        line.release(3);
        assert_eq!(line.get(3, 4), b"lowo");
        assert_eq!((line.base(), line.end()), (3, 10));
    }
}
