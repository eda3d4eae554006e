//! One producer, one consumer.
//!
//! Each side owns a position and publishes it on a line of its own: the producer where it will put
//! the next item, the consumer where it will take the next. Each also keeps a private copy of the
//! other's position as last seen, which can only be too pessimistic: the queue then has at least
//! the room, or at least the items, that the copy says. Only when the copy says full, or empty, is
//! the shared position read again, so that in steady state a line changes hands once per batch.

use super::{Cell, Ends, Padded, cells_for};
use crate::sync::{Arc, AtomicUsize, Ordering};
use std::fmt;

/// What both sides see.
struct Shared<T> {
    /// Where the consumer takes next: every cell before it is free.
    head: Padded<AtomicUsize>,
    /// Where the producer puts next: every cell from `head` up to it holds an item.
    tail: Padded<AtomicUsize>,
    ends: Padded<Ends>,
    cells: Box<[Cell<T>]>,
    capacity: usize,
}

// SAFETY: the cells are all that is not `Sync` by itself. A cell is reached by the producer only
// while its position lies in `tail..head + capacity`, by the consumer only in `head..tail`; these
// are disjoint, and each side moves its own bound with release after its last access, which the
// other reads with acquire before its first. Items only move between threads and are never shared,
// so `T: Send` suffices.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; whoever drops the queue drops the items left in it, which may be done by
// another thread than the one that made them because `T: Send`.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    #[inline]
    fn cell(&self, position: usize) -> &Cell<T> {
        // The number of cells is a power of two, so this is the remainder, and in bounds.
        &self.cells[position & (self.cells.len() - 1)]
    }

    /// The cells of `count` positions from `first` on, in two parts when they wrap around. `count`
    /// is at most the capacity.
    #[inline]
    fn cells_from(&self, first: usize, count: usize) -> (&[Cell<T>], &[Cell<T>]) {
        let (before, after) = self.cells.split_at(first & (self.cells.len() - 1));
        let straight = count.min(after.len());
        (&after[..straight], &before[..count - straight])
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: both ends are gone and the last of them came here through the reference
            // count, so all they did happened before. Both published their positions when they
            // went: exactly the cells in `head..tail` hold an item that nobody took.
            drop(unsafe { self.cell(head).take() });
            head = head.wrapping_add(1);
        }
    }
}

/// A position on the move: in a register as long as it moves, and put down even when a panic of the
/// user's code ends the loop.
struct Moving<'a> {
    position: &'a mut usize,
    by: usize,
}

impl Drop for Moving<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.position = self.position.wrapping_add(self.by);
    }
}

/// Makes a queue for so many items, at least 1.
pub(super) fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        ends: Padded(Ends::new()),
        cells: (0..cells_for(capacity)).map(|_| Cell::empty()).collect(),
        capacity: capacity.max(1),
    });
    let producer = Producer { shared: Arc::clone(&shared), tail: 0, published: 0, head_seen: 0 };
    (producer, Consumer { shared, head: 0, published: 0, tail_seen: 0 })
}

/// The only entrance of a queue. Alone on its cache lines, wherever it is kept.
#[repr(align(128))]
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Where the next item goes.
    tail: usize,
    /// The shared `tail`: what lies between is staged.
    published: usize,
    /// The shared `head` as last read.
    head_seen: usize,
}

impl<T> Producer<T> {
    /// Appends an item and publishes it, with everything staged before it.
    ///
    /// # Errors
    /// Gives the item back when the queue is full. What was staged before is published all the
    /// same, so that the consumer can make room.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        let result = self.stage(item);
        self.publish();
        result
    }

    /// Appends an item that the consumer cannot see before [`Self::publish`].
    ///
    /// # Errors
    /// Gives the item back when the queue is full, staged items included; the queue is unchanged.
    #[inline]
    pub fn stage(&mut self, item: T) -> Result<(), T> {
        if self.room_for(1) == 0 {
            return Err(item);
        }
        // SAFETY: there is room, so the position `tail` is below `head + capacity` and the consumer
        // does not touch its cell before `publish`; reading `head` with acquire came after the
        // consumer's last use of that cell. `&mut self` excludes another producer.
        unsafe { self.shared.cell(self.tail).put(item) };
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Shows the consumer everything that has been staged.
    #[inline]
    pub fn publish(&mut self) {
        if self.published != self.tail {
            self.published = self.tail;
            self.shared.tail.store(self.tail, Ordering::Release);
        }
    }

    /// Moves items from the front of `items` into the queue, as many as fit, and publishes them at
    /// once; returns how many. The rest stays in `items`, in order.
    pub fn push_batch(&mut self, items: &mut Vec<T>) -> usize {
        let count = self.room_for(items.len()).min(items.len());
        self.push_from(&mut items.drain(..count))
    }

    /// Appends what `items` yields, asking it for no more than fits, and publishes it at once;
    /// returns how many. This is the fastest way in: items are made where they will lie.
    #[inline]
    pub fn push_from(&mut self, items: &mut impl Iterator<Item = T>) -> usize {
        let room = self.room_for(items.size_hint().0.max(1));
        let (part, wrapped) = self.shared.cells_from(self.tail, room);
        let mut tail = Moving { position: &mut self.tail, by: 0 };
        for cell in part {
            let Some(item) = items.next() else { break };
            // SAFETY: as in `stage`: these are the cells of the first `room` positions from `tail`
            // on, and each is filled once.
            unsafe { cell.put(item) };
            tail.by += 1;
        }
        if tail.by == part.len() {
            for cell in wrapped {
                let Some(item) = items.next() else { break };
                // SAFETY: as above.
                unsafe { cell.put(item) };
                tail.by += 1;
            }
        }
        let count = tail.by;
        drop(tail);
        self.publish();
        count
    }

    /// How many items the queue holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Whether the consumer is gone, so that nobody will ever take what is pushed.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.shared.ends.is_abandoned()
    }

    /// How many items fit. Looks at the consumer's position only when `wanted` did not fit as last
    /// seen, so the answer may be too small otherwise, but never too large.
    #[inline]
    fn room_for(&mut self, wanted: usize) -> usize {
        let room = self.shared.capacity - self.tail.wrapping_sub(self.head_seen);
        if room >= wanted {
            return room;
        }
        self.head_seen = self.shared.head.load(Ordering::Acquire);
        self.shared.capacity - self.tail.wrapping_sub(self.head_seen)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
        self.shared.ends.remove_producer();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "producer at {} of a queue of {}", self.tail, self.shared.capacity)
    }
}

/// The exit of a queue. Alone on its cache lines, wherever it is kept.
#[repr(align(128))]
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Where the next item is.
    head: usize,
    /// The shared `head`: what lies between has been taken, but its room not yet given back.
    published: usize,
    /// The shared `tail` as last read.
    tail_seen: usize,
}

impl<T> Consumer<T> {
    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.waiting_for(1) == 0 {
            return None;
        }
        // SAFETY: the position lies below `tail_seen`, so the producer published its item before,
        // and reading `tail` with acquire came after that. The producer does not touch the cell
        // before `give_back`. `head` moves on, and `&mut self` excludes another consumer, so the
        // item is taken once.
        let item = unsafe { self.shared.cell(self.head).take() };
        self.head = self.head.wrapping_add(1);
        self.give_back();
        Some(item)
    }

    /// Takes items, oldest first, `max` at most, and hands each to `handle`; returns how many. Their
    /// room is given back all at once, when the last has been handled.
    #[inline]
    pub fn drain(&mut self, max: usize, mut handle: impl FnMut(T)) -> usize {
        let count = self.waiting_for(max).min(max);
        let (part, wrapped) = self.shared.cells_from(self.head, count);
        let mut head = Moving { position: &mut self.head, by: 0 };
        part.iter().chain(wrapped).for_each(|cell| {
            // SAFETY: these are the cells of the first `count` positions from `head` on, all below
            // `tail_seen`, as in `pop`. `head` moves past each before `handle` may panic, so that
            // each is taken once.
            let item = unsafe { cell.take() };
            head.by += 1;
            handle(item);
        });
        drop(head);
        self.give_back();
        count
    }

    /// How many items wait: a snapshot that may be stale at once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether nothing waits: a snapshot that may be stale at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the producer is gone: what waits now is all that will ever come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.ends.is_closed()
    }

    /// How many items wait. Looks at the producer's position only when fewer than `wanted` waited
    /// as last seen, so the answer may be too small otherwise, but never too large.
    #[inline]
    fn waiting_for(&mut self, wanted: usize) -> usize {
        let waiting = self.tail_seen.wrapping_sub(self.head);
        if waiting >= wanted {
            return waiting;
        }
        self.tail_seen = self.shared.tail.load(Ordering::Acquire);
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Shows the producer the room that has become free.
    #[inline]
    fn give_back(&mut self) {
        if self.published != self.head {
            self.published = self.head;
            self.shared.head.store(self.head, Ordering::Release);
        }
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // After a handler that panicked, taken items are not given back yet: nobody may drop them
        // a second time.
        self.give_back();
        self.shared.ends.remove_consumer();
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consumer at {} of a queue of {}", self.head, self.shared.capacity)
    }
}
