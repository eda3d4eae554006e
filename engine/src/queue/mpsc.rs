//! Several producers, one consumer: a lane for each producer.
//!
//! A common array of cells would make every producer win an atomic exchange for each item, and let
//! one that is interrupted between reserving a cell and filling it hold up all items behind it.
//! Here each producer has a queue of its own to the consumer, which visits them in turn: no
//! producer ever waits for another or takes its room, and the cost of an item is that of
//! [`super::spsc()`]. What it costs instead: `capacity` cells *per producer*, and a look at each lane
//! when all are empty.
//!
//! Items of one producer keep their order; between producers there is none, not even when one told
//! the other to push. A lane comes when a producer is cloned, which allocates and takes a lock,
//! meant for the start, and goes when its producer is gone and it is empty.

use super::{Ends, spsc};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use std::fmt;

/// What the producers and the consumer have in common besides the lanes.
struct Shared<T> {
    /// Lanes that the consumer has not fetched yet.
    new_lanes: Mutex<Vec<spsc::Consumer<T>>>,
    /// How many lanes there have ever been.
    lanes: AtomicUsize,
    ends: Ends,
    capacity: usize,
}

impl<T> Shared<T> {
    /// Opens a lane, and returns its entrance.
    fn open(&self) -> spsc::Producer<T> {
        let (producer, consumer) = spsc::new(self.capacity);
        if let Ok(mut lanes) = self.new_lanes.lock() {
            lanes.push(consumer);
        }
        self.lanes.fetch_add(1, Ordering::Release);
        producer
    }
}

/// Makes a queue for so many items of each producer, at least 1.
pub(super) fn new<T>(capacity: usize) -> (SharedProducer<T>, Consumer<T>) {
    let shared = Arc::new(Shared {
        new_lanes: Mutex::new(Vec::new()),
        lanes: AtomicUsize::new(0),
        ends: Ends::new(),
        capacity,
    });
    let lane = shared.open();
    let producer = SharedProducer { lane, shared: Arc::clone(&shared) };
    (producer, Consumer { shared, lanes: Vec::new(), seen: 0, turn: 0 })
}

/// An entrance of a queue; clone it for each producer.
pub struct SharedProducer<T> {
    lane: spsc::Producer<T>,
    shared: Arc<Shared<T>>,
}

impl<T> SharedProducer<T> {
    /// Appends an item. Items of one producer keep their order.
    ///
    /// # Errors
    /// Gives the item back when this producer has `capacity` items in the queue. What was staged
    /// before is published all the same, so that the consumer can make room.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        self.lane.push(item)
    }

    /// Appends an item that the consumer cannot see before [`Self::publish`].
    ///
    /// # Errors
    /// Gives the item back when this producer has `capacity` items in the queue, staged ones
    /// included; the queue is unchanged.
    #[inline]
    pub fn stage(&mut self, item: T) -> Result<(), T> {
        self.lane.stage(item)
    }

    /// Shows the consumer everything that has been staged.
    #[inline]
    pub fn publish(&mut self) {
        self.lane.publish();
    }

    /// Moves items from the front of `items` into the queue, as many as fit, and publishes them at
    /// once; returns how many. The rest stays in `items`, in order.
    pub fn push_batch(&mut self, items: &mut Vec<T>) -> usize {
        self.lane.push_batch(items)
    }

    /// Appends what `items` yields, asking it for no more than fits, and publishes it at once;
    /// returns how many. This is the fastest way in: items are made where they will lie.
    #[inline]
    pub fn push_from(&mut self, items: &mut impl Iterator<Item = T>) -> usize {
        self.lane.push_from(items)
    }

    /// How many items of each producer the queue holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.lane.capacity()
    }

    /// Whether the consumer is gone, so that nobody will ever take what is pushed.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.shared.ends.is_abandoned()
    }
}

impl<T> Clone for SharedProducer<T> {
    /// Another producer, with room for `capacity` items of its own. Allocates.
    fn clone(&self) -> Self {
        self.shared.ends.add_producer();
        Self { lane: self.shared.open(), shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for SharedProducer<T> {
    fn drop(&mut self) {
        // Whoever finds the queue closed finds everything that was pushed, this included.
        self.lane.publish();
        self.shared.ends.remove_producer();
    }
}

impl<T> fmt::Debug for SharedProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared {:?}", self.lane)
    }
}

/// The exit of a queue.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    lanes: Vec<spsc::Consumer<T>>,
    /// How many lanes have been fetched, those that are gone included.
    seen: usize,
    /// The lane that is looked at next, so that none waits for ever for a busy one.
    turn: usize,
}

impl<T> Consumer<T> {
    /// Takes an item, of another producer each time if it can: the oldest of that producer.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let mut item = None;
        self.visit(1, |lane, _| {
            item = lane.pop();
            usize::from(item.is_some())
        });
        item
    }

    /// Takes items, `max` at most, and hands each to `handle`; returns how many. Those of one
    /// producer come oldest first and in a row, and their room is given back when the last of them
    /// has been handled.
    #[inline]
    pub fn drain(&mut self, max: usize, mut handle: impl FnMut(T)) -> usize {
        self.visit(max, |lane, wanted| lane.drain(wanted, &mut handle))
    }

    /// How many items wait: a snapshot that may be stale at once. Takes a lock while a new lane
    /// has not been fetched.
    #[must_use]
    pub fn len(&self) -> usize {
        let fetched = self.lanes.iter().map(spsc::Consumer::len).sum::<usize>();
        if self.shared.lanes.load(Ordering::Acquire) == self.seen {
            return fetched;
        }
        let new = self.shared.new_lanes.lock();
        fetched + new.map_or(0, |new| new.iter().map(spsc::Consumer::len).sum())
    }

    /// Whether nothing waits: a snapshot that may be stale at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every producer is gone: what waits now is all that will ever come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.ends.is_closed()
    }

    /// Visits the lanes in turn, each once at most, until `take` has taken `wanted` items; returns
    /// how many it took. `take` is told how many are still wanted, and says how many it took.
    #[inline]
    fn visit(
        &mut self,
        wanted: usize,
        mut take: impl FnMut(&mut spsc::Consumer<T>, usize) -> usize,
    ) -> usize {
        if self.shared.lanes.load(Ordering::Acquire) != self.seen {
            self.fetch();
        }
        let (mut taken, mut left) = (0, self.lanes.len());
        while taken < wanted && left > 0 {
            left -= 1;
            if self.turn >= self.lanes.len() {
                self.turn = 0;
            }
            let Some(lane) = self.lanes.get_mut(self.turn) else { break };
            let closed = lane.is_closed();
            let count = take(lane, wanted - taken);
            taken += count;
            if closed && count == 0 {
                self.lanes.swap_remove(self.turn);
            } else {
                self.turn += 1;
            }
        }
        taken
    }

    /// Fetches new lanes, unless one is being added right now: then next time.
    #[cold]
    fn fetch(&mut self) {
        if let Ok(mut new) = self.shared.new_lanes.try_lock() {
            self.seen += new.len();
            self.lanes.append(&mut new);
        }
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.ends.remove_consumer();
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consumer of {} lanes of {} items each", self.lanes.len(), self.shared.capacity)
    }
}
