//! Bounded queues between shards.
//!
//! One consumer, and either one producer ([`spsc()`]) or several ([`mpsc()`]). Full is
//! back-pressure: the item comes back to whoever produced it, never a silent drop. Nobody blocks,
//! nothing is allocated after the start.
//!
//! What a queue costs is not the copying but the cache lines that two cores pull from each other,
//! 50 ns a time. So everything here is about touching the other side's lines seldom: each side
//! writes lines of its own only, remembers what it last saw of the other side and looks again only
//! when that no longer suffices, and tells the other side once per batch. Who can should therefore
//! hand over in batches: [`Producer::push_from`], [`Producer::push_batch`], or [`Producer::stage`]
//! and [`Producer::publish`]; and [`Consumer::drain`].
//!
//! Positions count all items since the start and wrap around; the cell of a position is its
//! remainder by the number of cells, a power of two that is at least the capacity. The capacity
//! itself is kept exactly, whatever it is.
//!
//! `models.rs` holds both queues to every interleaving that loom can find.

pub mod mpsc;
pub mod spsc;

#[cfg(all(loom, test))]
mod models;
#[cfg(all(not(loom), test))]
mod tests;

pub use mpsc::SharedProducer;
pub use spsc::{Consumer, Producer};

use crate::sync::{AtomicBool, AtomicUsize, Ordering, UnsafeCell};
use std::mem::MaybeUninit;
use std::ops::Deref;

/// A queue with one producer and one consumer. `capacity` in items, at least 1.
#[must_use]
pub fn spsc<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    spsc::new(capacity)
}

/// A queue with any number of producers and one consumer. `capacity` in items of each producer, at
/// least 1.
#[must_use]
pub fn mpsc<T>(capacity: usize) -> (SharedProducer<T>, mpsc::Consumer<T>) {
    mpsc::new(capacity)
}

/// Alone on its cache lines: two of them, since processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T> Deref for Padded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Room for one item. Whether one is in it, only the positions of its queue tell.
#[derive(Debug)]
struct Cell<T>(UnsafeCell<MaybeUninit<T>>);

impl<T> Cell<T> {
    fn empty() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Puts an item in. One that is in there already is forgotten.
    ///
    /// # Safety
    /// Nobody else reads or writes this cell until the caller has made the item known, or ever.
    #[inline]
    unsafe fn put(&self, item: T) {
        // SAFETY: the pointer is that of a live cell, hence valid and aligned; the caller vouches
        // that nobody else uses it. Writing `MaybeUninit` drops nothing.
        self.0.with_mut(|cell| unsafe { cell.write(MaybeUninit::new(item)) });
    }

    /// Takes the item out.
    ///
    /// # Safety
    /// An item is in the cell, the write that put it there happened before, nobody writes the cell
    /// meanwhile, and nobody ever takes this item again.
    #[inline]
    unsafe fn take(&self) -> T {
        // SAFETY: the pointer is that of a live cell, hence valid and aligned; the caller vouches
        // that an initialised item is in it, that reading it does not race with a write, and that
        // this copy becomes its only owner.
        self.0.with(|cell| unsafe { cell.read().assume_init() })
    }
}

/// Who still holds an end of a queue.
#[derive(Debug)]
struct Ends {
    producers: AtomicUsize,
    consumer_gone: AtomicBool,
}

impl Ends {
    /// One producer, one consumer.
    fn new() -> Self {
        Self { producers: AtomicUsize::new(1), consumer_gone: AtomicBool::new(false) }
    }

    /// One producer more. The caller is one, so their number does not rise from 0.
    fn add_producer(&self) {
        self.producers.fetch_add(1, Ordering::Relaxed);
    }

    /// One producer less. What it pushed is visible to whoever finds the queue closed.
    fn remove_producer(&self) {
        self.producers.fetch_sub(1, Ordering::Release);
    }

    fn remove_consumer(&self) {
        self.consumer_gone.store(true, Ordering::Relaxed);
    }

    /// Whether every producer is gone.
    fn is_closed(&self) -> bool {
        self.producers.load(Ordering::Acquire) == 0
    }

    /// Whether the consumer is gone.
    fn is_abandoned(&self) -> bool {
        self.consumer_gone.load(Ordering::Relaxed)
    }
}

/// How many cells a queue of so many items has. The remainder of a position is then one `and`.
fn cells_for(capacity: usize) -> usize {
    capacity.max(1).next_power_of_two()
}
