//! Datagrams queued for sending: bytes from the front of one buffer, and a list of who gets what.

#[cfg(test)]
mod tests;

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
    /// Bytes claimed for the datagram to come, and one more; 0 without a claim.
    claimed: usize,
    /// To whom that goes, and the last run, as long as more fits into it.
    to: Addr,
    /// Bytes of the datagram committed last, which ends at `end`.
    last: Option<u32>,
    runs: Vec<Run>,
    /// First run not sent.
    head: usize,
    /// How many more datagrams fit into the last run, of so many bytes. Each counts down only; how
    /// many did is `counted - left`, and is added to the run when that is looked at.
    left: u32,
    counted: u32,
    segment: u32,
    /// Datagrams counted since the batch was empty, and how many of them were sent.
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
            claimed: 0,
            to: Addr::NONE,
            last: None,
            runs: Vec::with_capacity(queued_max),
            head: 0,
            left: 0,
            counted: 0,
            segment: 0,
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
    #[inline]
    pub fn claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        self.claimed = 0;
        let end = self.end.saturating_add(len);
        // Mostly it goes on as before: then there is room, and memory that was used before.
        let goes_on = self.left > 0 && self.to == to && end <= self.bytes.len();
        if !goes_on && !self.make_room(to, end) {
            return None;
        }
        self.claimed = len + 1;
        self.bytes.get_mut(self.end..end)
    }

    /// Room for one datagram more, to `to`, that ends at `end`; false when there is none.
    #[inline(never)]
    fn make_room(&mut self, to: Addr, end: usize) -> bool {
        self.count();
        if self.is_full() || end > self.bytes_max {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if self.to != to {
            self.to = to;
            self.close();
        }
        true
    }

    /// See [`super::Link::tx_commit`].
    ///
    /// # Panics
    /// Without a claim, or when `len` exceeds it.
    #[inline]
    pub fn commit(&mut self, len: usize) {
        assert!(len < self.claimed, "committed more than was claimed");
        self.claimed = 0;
        self.end += len;
        if self.left > 0 && narrow(len) == self.segment {
            self.left -= 1;
        } else {
            self.commit_another(narrow(len));
        }
    }

    /// A datagram of another length than those of the last run, or with no room in that.
    #[inline(never)]
    fn commit_another(&mut self, len: u32) {
        self.count();
        self.last = Some(len);
        self.queued += 1;
        match self.runs.last_mut() {
            // A shorter one is the last of its run.
            Some(run) if self.left > 0 && (1..run.segment).contains(&len) => {
                run.len += len;
                run.count += 1;
                self.close();
            }
            Some(_) | None => self.begin(narrow(self.end) - len, len),
        }
    }

    /// See [`super::Link::tx_again`].
    pub fn again(&mut self, to: Addr) -> bool {
        self.claimed = 0;
        self.count();
        match self.last {
            Some(len) if !self.is_full() => {
                self.to = to;
                self.queued += 1;
                self.begin(narrow(self.end) - len, len);
                // What is committed next does not lie behind the run before.
                self.close();
                true
            }
            Some(_) | None => false,
        }
    }

    /// Begins a run with a datagram that was counted. There is room for as many runs as datagrams.
    fn begin(&mut self, start: u32, len: u32) {
        self.runs.push(Run { to: self.to, start, len, segment: len, count: 1 });
        let room = match len as usize {
            0 => 0,
            len if len > self.segment_max => 0,
            len => SEGMENTS_MAX.min(MESSAGE_BYTES_MAX / len) - 1,
        };
        self.left = narrow(room.min(self.queued_max - self.queued));
        self.counted = self.left;
        self.segment = len;
    }

    /// Datagrams of the last run that were not counted.
    const fn uncounted(&self) -> u32 {
        self.counted - self.left
    }

    /// Adds to the last run, and to all that are queued, what is not counted yet.
    fn count(&mut self) {
        let count = self.uncounted();
        if let Some(run) = self.runs.last_mut() {
            run.count += count;
            run.len += count * self.segment;
        }
        self.queued += count as usize;
        self.counted = self.left;
    }

    /// Lets nothing more into the last run, which was counted.
    const fn close(&mut self) {
        self.left = 0;
        self.counted = 0;
    }

    /// Runs that are not sent, as they would be counted now.
    fn runs(&self) -> impl Iterator<Item = Run> {
        let (last, count) = (self.runs.len() - self.head, self.uncounted());
        self.runs[self.head..].iter().enumerate().map(move |(at, run)| {
            let count = if at + 1 == last { count } else { 0 };
            Run { len: run.len + count * self.segment, count: run.count + count, ..*run }
        })
    }

    /// How many datagrams are not sent.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.queued + self.uncounted() as usize - self.sent
    }

    /// The first datagram not sent.
    #[must_use]
    pub fn first(&self) -> Option<Queued> {
        self.iter().next()
    }

    /// Datagrams not sent, in order.
    pub fn iter(&self) -> impl Iterator<Item = Queued> {
        self.runs().flat_map(Run::datagrams)
    }

    /// The first of [`Self::messages`].
    #[must_use]
    pub fn first_message(&self, singles: usize) -> Option<Run> {
        self.messages(singles).next()
    }

    /// The same as messages: runs, of which the first `singles` datagrams are cut off one by one.
    pub fn messages(&self, singles: usize) -> impl Iterator<Item = Run> {
        let (mut runs, mut singles) = (self.runs(), singles);
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

    /// The bytes of the only datagram that was queued since the batch was empty, if it goes to `to`.
    #[inline]
    pub fn lone(&self, to: Addr) -> Option<&[u8]> {
        match self.runs.as_slice() {
            [run] if run.count == 1 && self.uncounted() == 0 && run.to == to => {
                self.bytes.get(run.range())
            }
            _ => None,
        }
    }

    /// Forgets the first `count` pending datagrams. With the last one, the buffer is empty again.
    pub fn sent(&mut self, count: usize) {
        self.claimed = 0;
        self.count();
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
        self.count();
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
        self.close();
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
