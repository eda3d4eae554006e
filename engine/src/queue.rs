//! Bounded queues between shards.
//!
//! One consumer, and either one producer ([`spsc`]) or several ([`mpsc`]). Full is back-pressure:
//! the item comes back to whoever produced it, never a silent drop. Nobody blocks, nothing is
//! allocated after the start.

use crossbeam::queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// A queue with one producer and one consumer. `capacity` is at least 1.
#[must_use]
pub fn spsc<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let queue = Arc::new(ArrayQueue::new(capacity.max(1)));
    (Producer { queue: Arc::clone(&queue) }, Consumer { queue })
}

/// A queue with any number of producers and one consumer. `capacity` is at least 1.
#[must_use]
pub fn mpsc<T>(capacity: usize) -> (SharedProducer<T>, Consumer<T>) {
    let (producer, consumer) = spsc(capacity);
    (SharedProducer { queue: producer.queue }, consumer)
}

/// The only entrance of a [`spsc`] queue.
#[derive(Debug)]
pub struct Producer<T> {
    queue: Arc<ArrayQueue<T>>,
}

/// An entrance of a [`mpsc`] queue; clone it for each producer.
#[derive(Debug)]
pub struct SharedProducer<T> {
    queue: Arc<ArrayQueue<T>>,
}

/// The exit of a queue.
#[derive(Debug)]
pub struct Consumer<T> {
    queue: Arc<ArrayQueue<T>>,
}

impl<T> Producer<T> {
    /// Appends an item.
    ///
    /// # Errors
    /// Gives the item back when the queue is full; the queue is unchanged.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        self.queue.push(item)
    }

    /// Whether the consumer is gone, so that nobody will ever take what is pushed.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.queue) == 1
    }
}

impl<T> SharedProducer<T> {
    /// Appends an item. Items of one producer keep their order.
    ///
    /// # Errors
    /// Gives the item back when the queue is full; the queue is unchanged.
    pub fn push(&self, item: T) -> Result<(), T> {
        self.queue.push(item)
    }
}

impl<T> Clone for SharedProducer<T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.queue.pop()
    }

    /// How many items wait: a snapshot that may be stale at once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits: a snapshot that may be stale at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether every producer is gone: what waits now is all that will ever come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let closed = Arc::strong_count(&self.queue) == 1;
        // Pairs with the release of the last producer's handle: what it pushed is visible now.
        fence(Ordering::Acquire);
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_the_item_back() {
        let (mut producer, mut consumer) = spsc(2);
        assert_eq!([1, 2, 3].map(|n| producer.push(n)), [Ok(()), Ok(()), Err(3)]);
        assert_eq!((consumer.pop(), consumer.len()), (Some(1), 1));
        assert_eq!(producer.push(3), Ok(()));
    }

    #[test]
    fn each_end_notices_that_the_other_is_gone() {
        let (producer, mut consumer) = mpsc(2);
        let other = producer.clone();
        producer.push(7).unwrap();
        drop(producer);
        assert!(!consumer.is_closed());
        drop(other);
        assert!(consumer.is_closed() && consumer.pop() == Some(7));
        let (producer, consumer) = spsc::<u8>(1);
        drop(consumer);
        assert!(producer.is_abandoned());
    }

    #[test]
    fn many_producers_lose_nothing_and_each_keeps_its_order() {
        const EACH: u32 = 2000;
        let (producer, mut consumer) = mpsc(16);
        let threads: Vec<_> = (0_usize..3)
            .map(|who| {
                let producer = producer.clone();
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        while producer.push((who, n)).is_err() {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        drop(producer);
        let mut next = [0; 3];
        while next != [EACH; 3] {
            match consumer.pop() {
                Some((who, n)) => {
                    assert_eq!(n, next[who]);
                    next[who] += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(consumer.is_closed() && consumer.is_empty());
    }
}
