//! Datagrams queued for sending: bytes from the front of one buffer, and a list of who gets what.

use super::Link;
use std::io;
use std::ops::Range;
use syncom_wire::Addr;

/// The queue behind a link's `tx_` methods, for links whose device does not dictate the memory.
///
/// Bytes lie one after another, so a run of datagrams of equal size to one destination is one
/// piece of memory: what segmentation offload wants.
#[derive(Debug)]
pub struct TxBatch {
    /// Grows to what was ever used, within its capacity: memory never used is never touched.
    bytes: Vec<u8>,
    bytes_max: usize,
    /// First byte not in use.
    end: usize,
    claimed: Option<(Addr, usize)>,
    last: Option<(u32, u32)>,
    queue: Vec<Queued>,
    /// First entry of `queue` not sent.
    head: usize,
}

/// A datagram that waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Where it goes.
    pub to: Addr,
    start: u32,
    len: u32,
}

impl Queued {
    /// Where its bytes lie in [`TxBatch::bytes`].
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

impl TxBatch {
    /// Room for `datagrams` datagrams of together `bytes` bytes, at least one of each.
    #[must_use]
    pub fn new(bytes: usize, datagrams: usize) -> Self {
        let bytes_max = bytes.clamp(1, 1 << 31);
        Self {
            bytes: Vec::with_capacity(bytes_max),
            bytes_max,
            end: 0,
            claimed: None,
            last: None,
            queue: Vec::with_capacity(datagrams.max(1)),
            head: 0,
        }
    }

    /// See [`super::Link::tx_claim`].
    pub fn claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        self.claimed = None;
        if self.is_full() {
            return None;
        }
        let end = self.end.checked_add(len).filter(|end| *end <= self.bytes_max)?;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let room = self.bytes.get_mut(self.end..end)?;
        self.claimed = Some((to, len));
        Some(room)
    }

    /// See [`super::Link::tx_commit`].
    ///
    /// # Panics
    /// Without a claim, or when `len` exceeds it.
    pub fn commit(&mut self, len: usize) {
        let claimed = self.claimed.take().filter(|(_, claimed)| len <= *claimed);
        let Some((to, _)) = claimed else { panic!("committed {len} bytes that were not claimed") };
        let (start, len) = (narrow(self.end), narrow(len));
        self.end += len as usize;
        self.last = Some((start, len));
        self.queue.push(Queued { to, start, len });
    }

    /// See [`super::Link::tx_again`].
    pub fn again(&mut self, to: Addr) -> bool {
        self.claimed = None;
        match self.last {
            Some((start, len)) if !self.is_full() => {
                self.queue.push(Queued { to, start, len });
                true
            }
            Some(_) | None => false,
        }
    }

    /// Datagrams not sent, in order.
    #[must_use]
    pub fn pending(&self) -> &[Queued] {
        &self.queue[self.head..]
    }

    /// All committed bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// The bytes of a pending datagram.
    #[must_use]
    pub fn of(&self, queued: &Queued) -> &[u8] {
        self.bytes.get(queued.range()).unwrap_or_default()
    }

    /// Forgets the first `count` pending datagrams. With the last one, the buffer is empty again.
    pub fn sent(&mut self, count: usize) {
        self.claimed = None;
        self.head = self.queue.len().min(self.head.saturating_add(count));
        if self.head == self.queue.len() {
            self.queue.clear();
            self.head = 0;
            self.end = 0;
            self.last = None;
        }
    }

    /// Forgets `count` pending datagrams from `at` on, which were sent before those at the head.
    pub(super) fn sent_early(&mut self, at: usize, count: usize) {
        let start = self.queue.len().min(self.head.saturating_add(at));
        let end = self.queue.len().min(start.saturating_add(count));
        self.queue.drain(start..end);
        self.sent(0);
    }

    /// Copies a datagram of this batch into the queue of `link`, which may flush to make room;
    /// false when there is none still.
    pub(super) fn copy_to<L: Link>(&self, queued: &Queued, link: &mut L) -> io::Result<bool> {
        copy(queued.to, self.of(queued), link)
    }

    const fn is_full(&self) -> bool {
        self.queue.len() == self.queue.capacity()
    }
}

/// Queues `bytes` at `link`, which may flush to make room; false when there is none still.
pub(super) fn copy<L: Link>(to: Addr, bytes: &[u8], link: &mut L) -> io::Result<bool> {
    if link.tx_claim(to, bytes.len()).is_none() {
        link.tx_flush()?;
    }
    let Some(room) = link.tx_claim(to, bytes.len()) else { return Ok(false) };
    room.copy_from_slice(bytes);
    link.tx_commit(bytes.len());
    Ok(true)
}

/// Offsets into a buffer of at most 2^31 bytes.
#[expect(clippy::cast_possible_truncation, reason = "the buffer has at most 2^31 bytes")]
const fn narrow(n: usize) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Addr = Addr::v4([10, 0, 0, 1], 1);
    const B: Addr = Addr::v4([10, 0, 0, 2], 2);

    fn put(batch: &mut TxBatch, to: Addr, bytes: &[u8]) -> bool {
        let Some(room) = batch.claim(to, bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        batch.commit(bytes.len());
        true
    }

    #[test]
    fn the_same_bytes_go_to_many_without_a_copy() {
        let mut batch = TxBatch::new(4, 8);
        assert!(put(&mut batch, A, b"once") && batch.again(B) && batch.again(A));
        assert!(batch.pending().iter().all(|queued| batch.of(queued) == b"once"));
        assert_eq!(batch.bytes(), b"once");
    }

    #[test]
    fn a_full_batch_refuses_until_everything_was_sent() {
        let mut batch = TxBatch::new(4, 2);
        assert!(put(&mut batch, A, b"ab") && !put(&mut batch, A, b"abc"));
        assert!(put(&mut batch, A, b"cd") && !batch.again(B) && !put(&mut batch, A, b""));
        batch.sent(1);
        assert!(!put(&mut batch, A, b"e"));
        batch.sent(1);
        assert!(!batch.again(B), "the bytes are gone");
        assert!(put(&mut batch, A, b"e"));
    }

    #[test]
    #[should_panic(expected = "not claimed")]
    fn committing_more_than_was_claimed_is_a_bug() {
        let mut batch = TxBatch::new(4, 2);
        let _ = batch.claim(A, 2);
        batch.commit(3);
    }
}
