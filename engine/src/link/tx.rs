//! Datagrams queued for sending: bytes from the front of one buffer, and a list of who gets what.

use super::Link;
use std::io;
use std::ops::Range;
use syncom_wire::Addr;
use syncom_wire::limits::MTU;

/// Datagrams in one message (`UDP_MAX_SEGMENTS` of all kernels that know it).
pub(super) const SEGMENTS_MAX: usize = 64;
/// Bytes in one message: an IP packet's 65,535 without the largest headers.
pub(super) const MESSAGE_BYTES_MAX: usize = 65_000;

/// The queue behind a link's `tx_` methods, for links whose device does not dictate the memory.
///
/// Bytes lie one after another, so datagrams of equal size to one destination are one piece of
/// memory: what segmentation offload wants. They are kept as one run from the start.
#[derive(Debug)]
pub struct TxBatch {
    /// Grows to what was ever used, within its capacity: memory never used is never touched.
    bytes: Vec<u8>,
    bytes_max: usize,
    /// First byte not in use.
    end: usize,
    /// Bytes claimed for the datagram to come, and to whom that goes.
    claimed: Option<usize>,
    to: Addr,
    /// Bytes of the datagram committed last, which ends at `end`.
    last: Option<u32>,
    runs: Vec<Run>,
    /// First run not sent.
    head: usize,
    /// How many more datagrams fit into the last run.
    left: u32,
    /// Datagrams queued since the batch was empty, and how many of them were sent.
    queued: usize,
    sent: usize,
    queued_max: usize,
    /// Longer datagrams go alone: the path refuses runs of them.
    segment_max: usize,
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

/// Datagrams that lie one after another, go to the same destination, and are all as long as the
/// first, the last one perhaps shorter: what one segmented message can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they go.
    pub to: Addr,
    start: u32,
    /// Bytes of all.
    len: u32,
    /// Bytes of each but perhaps the last.
    segment: u32,
    count: u32,
}

impl Run {
    /// Where its bytes lie in [`TxBatch::bytes`].
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }

    /// How many datagrams it has.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of each datagram, but perhaps of the last.
    #[must_use]
    pub const fn segment(&self) -> usize {
        self.segment as usize
    }

    /// Its first `count` datagrams, and the others.
    fn split(&self, count: usize) -> (Self, Self) {
        let count = narrow(count.min(self.count()));
        let len = self.len.min(self.segment.saturating_mul(count));
        let first = Self { len, count, ..*self };
        let start = self.start + len;
        (first, Self { start, len: self.len - len, count: self.count - count, ..*self })
    }

    fn datagrams(self) -> impl Iterator<Item = Queued> {
        (0..self.count()).map(move |at| {
            let (one, _) = self.split(at).1.split(1);
            Queued { to: one.to, start: one.start, len: one.len }
        })
    }
}

impl TxBatch {
    /// Room for `datagrams` datagrams of together `bytes` bytes, at least one of each.
    #[must_use]
    pub fn new(bytes: usize, datagrams: usize) -> Self {
        let (bytes_max, queued_max) = (bytes.clamp(1, 1 << 31), datagrams.max(1));
        Self {
            bytes: Vec::with_capacity(bytes_max),
            bytes_max,
            end: 0,
            claimed: None,
            to: Addr::NONE,
            last: None,
            runs: Vec::with_capacity(queued_max),
            head: 0,
            left: 0,
            queued: 0,
            sent: 0,
            queued_max,
            segment_max: MESSAGE_BYTES_MAX,
        }
    }

    /// A run of datagrams this long was refused: from now on only those that fit any path go as
    /// runs.
    pub fn limit_segments(&mut self, refused: usize) {
        if refused > MTU {
            self.segment_max = MTU;
        }
    }

    /// See [`super::Link::tx_claim`].
    pub fn claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        self.claimed = None;
        let end = self.end.saturating_add(len);
        if self.is_full() || end > self.bytes_max {
            return None;
        }
        if self.bytes.len() < end {
            self.grow(end);
        }
        self.claimed = Some(len);
        self.to = to;
        self.bytes.get_mut(self.end..end)
    }

    /// Uses memory for the first time. Kept out of the way of what is done for every datagram.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, end: usize) {
        self.bytes.resize(end, 0);
    }

    /// See [`super::Link::tx_commit`].
    ///
    /// # Panics
    /// Without a claim, or when `len` exceeds it.
    #[inline]
    pub fn commit(&mut self, len: usize) {
        let claimed = self.claimed.take();
        assert!(claimed.is_some_and(|claimed| len <= claimed), "committed more than was claimed");
        let (start, len) = (narrow(self.end), narrow(len));
        self.end += len as usize;
        self.last = Some(len);
        self.queued += 1;
        match self.runs.last_mut() {
            Some(run) if self.left > 0 && (1..=run.segment).contains(&len) && run.to == self.to => {
                // A shorter one is the last of its run.
                self.left = if len == run.segment { self.left - 1 } else { 0 };
                run.len += len;
                run.count += 1;
            }
            Some(_) | None => self.begin(start, len),
        }
    }

    /// See [`super::Link::tx_again`].
    pub fn again(&mut self, to: Addr) -> bool {
        self.claimed = None;
        match self.last {
            Some(len) if !self.is_full() => {
                self.to = to;
                self.queued += 1;
                self.begin(narrow(self.end) - len, len);
                // What is committed next does not lie behind the run before.
                self.left = 0;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Begins a run. There is room for as many runs as datagrams.
    #[inline(never)]
    fn begin(&mut self, start: u32, len: u32) {
        self.runs.push(Run { to: self.to, start, len, segment: len, count: 1 });
        self.left = match len as usize {
            0 => 0,
            len if len > self.segment_max => 0,
            len => narrow(SEGMENTS_MAX.min(MESSAGE_BYTES_MAX / len)) - 1,
        };
    }

    /// How many datagrams are not sent.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.queued - self.sent
    }

    /// The first datagram not sent.
    #[must_use]
    pub fn first(&self) -> Option<Queued> {
        self.iter().next()
    }

    /// Datagrams not sent, in order.
    pub fn iter(&self) -> impl Iterator<Item = Queued> {
        self.runs[self.head..].iter().copied().flat_map(Run::datagrams)
    }

    /// The first of [`Self::messages`].
    #[must_use]
    pub fn first_message(&self, singles: usize) -> Option<Run> {
        self.messages(singles).next()
    }

    /// The same as messages: runs, of which the first `singles` datagrams are cut off one by one.
    pub fn messages(&self, singles: usize) -> impl Iterator<Item = Run> {
        let (mut runs, mut singles) = (self.runs[self.head..].iter().copied(), singles);
        let mut rest: Option<Run> = None;
        std::iter::from_fn(move || {
            let run = rest.take().or_else(|| runs.next())?;
            if singles == 0 || run.count == 1 {
                singles = singles.saturating_sub(1);
                return Some(run);
            }
            singles -= 1;
            let (first, others) = run.split(1);
            rest = Some(others);
            Some(first)
        })
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
        let mut count = count.min(self.pending());
        self.sent += count;
        while count > 0
            && let Some(run) = self.runs.get_mut(self.head)
        {
            if run.count() > count {
                *run = run.split(count).1;
                break;
            }
            count -= run.count();
            self.head += 1;
        }
        self.reset_if_empty();
    }

    /// Forgets a message of `count` datagrams, `at` datagrams behind the head, that was sent before
    /// those in front of it.
    pub(super) fn sent_early(&mut self, at: usize, count: usize) {
        let (mut index, mut at) = (self.head, at);
        while let Some(run) = self.runs.get(index)
            && run.count() <= at
        {
            at -= run.count();
            index += 1;
        }
        let Some(run) = self.runs.get(index) else { return };
        let (before, rest) = run.split(at);
        let (gone, after) = rest.split(count);
        self.sent += gone.count();
        match (before.count, after.count) {
            (0, 0) => drop(self.runs.remove(index)),
            (0, _) => self.runs[index] = after,
            (_, 0) => self.runs[index] = before,
            (_, _) => {
                // There were at least three datagrams in one run, so there is room for two runs.
                self.runs[index] = before;
                self.runs.insert(index + 1, after);
            }
        }
        self.reset_if_empty();
    }

    fn reset_if_empty(&mut self) {
        self.left = 0;
        if self.pending() == 0 {
            self.runs.clear();
            self.head = 0;
            self.queued = 0;
            self.sent = 0;
            self.end = 0;
            self.last = None;
        }
    }

    /// Copies a datagram of this batch into the queue of `link`, which may flush to make room;
    /// false when there is none still.
    pub(super) fn copy_to<L: Link>(&self, queued: &Queued, link: &mut L) -> io::Result<bool> {
        copy(queued.to, self.of(queued), link)
    }

    const fn is_full(&self) -> bool {
        self.queued >= self.queued_max
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
        assert!(batch.iter().all(|queued| batch.of(&queued) == b"once"));
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
    #[should_panic(expected = "more than was claimed")]
    fn committing_more_than_was_claimed_is_a_bug() {
        let mut batch = TxBatch::new(4, 2);
        let _ = batch.claim(A, 2);
        batch.commit(3);
    }

    /// How many datagrams each message has.
    fn counts(datagrams: &[(Addr, usize)]) -> Vec<usize> {
        let mut batch = TxBatch::new(1 << 20, 1000);
        datagrams.iter().for_each(|(to, len)| assert!(put(&mut batch, *to, &vec![7; *len])));
        batch.messages(0).map(|run| run.count()).collect()
    }

    #[test]
    fn a_run_ends_at_another_destination_a_longer_datagram_or_after_a_shorter_one() {
        assert_eq!(counts(&[(A, 9), (A, 9), (B, 9)]), [2, 1]);
        assert_eq!(counts(&[(A, 9), (A, 10)]), [1, 1]);
        assert_eq!(counts(&[(A, 9), (A, 9), (A, 5), (A, 5), (A, 9)]), [3, 1, 1]);
        assert_eq!(counts(&[(A, 9), (A, 0), (A, 9)]), [1, 1, 1]);
        assert_eq!(counts(&[(A, 0), (A, 0)]), [1, 1]);
        assert_eq!(counts(&[]), []);
    }

    #[test]
    fn a_run_stays_within_what_one_message_can_carry() {
        assert_eq!(counts(&[(A, 1); 100]), [SEGMENTS_MAX, 36]);
        assert_eq!(counts(&[(A, MTU); 100])[0], MESSAGE_BYTES_MAX / MTU);
        assert_eq!(counts(&[(A, MTU + 1); 2]), [2]);
        assert_eq!(counts(&[(A, 40_000); 2]), [1, 1]);
    }

    #[test]
    fn the_same_bytes_to_the_same_destination_are_no_run() {
        let mut batch = TxBatch::new(100, 10);
        assert!(put(&mut batch, A, b"nine byte") && batch.again(A));
        assert!(put(&mut batch, A, b"nine more"));
        assert!(batch.messages(0).all(|run| run.count() == 1));
        assert_eq!(batch.iter().last().map(|queued| batch.of(&queued)), Some(&b"nine more"[..]));
    }

    #[test]
    fn datagrams_leave_from_the_head_and_from_the_middle() {
        for singles in [0, 3, 100] {
            let mut batch = TxBatch::new(100, 20);
            for text in [b"a1", b"a2", b"a3", b"a4", b"a5"] {
                assert!(put(&mut batch, A, text));
            }
            assert!(put(&mut batch, B, b"b1") && put(&mut batch, B, b"b"));
            batch.sent(1);
            batch.sent_early(1, 1);
            batch.sent_early(3, 2);
            let left: Vec<_> = batch.iter().map(|queued| batch.of(&queued).to_vec()).collect();
            assert_eq!(
                (left, batch.pending()),
                (vec![b"a2".into(), b"a4".into(), b"a5".into()], 3)
            );
            let messages: Vec<_> = batch.messages(singles).map(|run| run.count()).collect();
            assert_eq!(messages, if singles == 0 { vec![1, 2] } else { vec![1, 1, 1] });
            batch.sent_early(2, 1);
            batch.sent_early(0, 1);
            batch.sent(1);
            assert!(batch.pending() == 0 && batch.bytes().is_empty() && !batch.again(A));
        }
    }
}
