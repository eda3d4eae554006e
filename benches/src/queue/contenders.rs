//! Queues, each used in the ways that it offers.

use crate::host::version_of;
use crossbeam::queue::ArrayQueue;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use syncom_engine::queue;

/// Items of a batch, where a queue takes batches.
const BATCH: usize = 32;

/// What goes through a queue: a number, repeated to the size.
pub(super) trait Item: Copy + Send + 'static {
    fn of(number: u64) -> Self;
    fn number(self) -> u64;
}

impl<const WORDS: usize> Item for [u64; WORDS] {
    fn of(number: u64) -> Self {
        [number; WORDS]
    }

    /// The first word and the last, so that an item that arrived in part is noticed.
    fn number(self) -> u64 {
        self[0] & self[WORDS - 1]
    }
}

/// A queue and one way of using it.
pub(super) trait Contender: 'static {
    const SYSTEM: &'static str;
    const CONFIG: &'static str;
    type Entrance: Send;
    type Exit: Send;

    fn version() -> &'static str;

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit);

    /// Sends items with the first of `numbers`, as many as one call takes, and removes these.
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>);

    /// Receives as many items as one call gives and hands their numbers over; returns how many.
    fn receive(exit: &mut Self::Exit, each: impl FnMut(u64)) -> usize;
}

/// One item, if `push` takes it.
#[inline]
fn one<T: Item>(numbers: &mut Range<u64>, push: impl FnOnce(T) -> bool) {
    if push(T::of(numbers.start)) {
        numbers.start += 1;
    }
}

/// One item, if `pop` has it.
#[inline]
fn first<T: Item>(item: Option<T>, mut each: impl FnMut(u64)) -> usize {
    item.map(|item| each(item.number())).is_some().into()
}

/// Our queue of one producer, item by item.
pub(super) struct Spsc<T>(PhantomData<T>);

impl<T: Item> Contender for Spsc<T> {
    const SYSTEM: &'static str = "syncom spsc";
    const CONFIG: &'static str = "single";
    type Entrance = queue::Producer<T>;
    type Exit = queue::Consumer<T>;

    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        queue::spsc(capacity)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        one(numbers, |item: T| entrance.push(item).is_ok());
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, each: impl FnMut(u64)) -> usize {
        first(exit.pop(), each)
    }
}

/// Our queue of one producer, published per batch.
pub(super) struct SpscBatch<T>(PhantomData<T>);

impl<T: Item> Contender for SpscBatch<T> {
    const SYSTEM: &'static str = "syncom spsc";
    const CONFIG: &'static str = "batch of 32";
    type Entrance = queue::Producer<T>;
    type Exit = queue::Consumer<T>;

    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        queue::spsc(capacity)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        let mut batch = numbers.clone().take(BATCH).map(T::of);
        numbers.start += entrance.push_from(&mut batch) as u64;
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, mut each: impl FnMut(u64)) -> usize {
        exit.drain(BATCH, |item| each(item.number()))
    }
}

/// Our queue of many producers, item by item.
pub(super) struct Mpsc<T>(PhantomData<T>);

impl<T: Item> Contender for Mpsc<T> {
    const SYSTEM: &'static str = "syncom mpsc";
    const CONFIG: &'static str = "single";
    type Entrance = queue::SharedProducer<T>;
    type Exit = queue::mpsc::Consumer<T>;

    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        queue::mpsc(capacity)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        one(numbers, |item: T| entrance.push(item).is_ok());
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, each: impl FnMut(u64)) -> usize {
        first(exit.pop(), each)
    }
}

/// Our queue of many producers, published per batch.
pub(super) struct MpscBatch<T>(PhantomData<T>);

impl<T: Item> Contender for MpscBatch<T> {
    const SYSTEM: &'static str = "syncom mpsc";
    const CONFIG: &'static str = "batch of 32";
    type Entrance = queue::SharedProducer<T>;
    type Exit = queue::mpsc::Consumer<T>;

    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        queue::mpsc(capacity)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        let mut batch = numbers.clone().take(BATCH).map(T::of);
        numbers.start += entrance.push_from(&mut batch) as u64;
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, mut each: impl FnMut(u64)) -> usize {
        exit.drain(BATCH, |item| each(item.number()))
    }
}

/// Crossbeam's bounded queue, which takes and gives single items only.
pub(super) struct Crossbeam<T>(PhantomData<T>);

impl<T: Item> Contender for Crossbeam<T> {
    const SYSTEM: &'static str = "crossbeam ArrayQueue";
    const CONFIG: &'static str = "single";
    type Entrance = Arc<ArrayQueue<T>>;
    type Exit = Arc<ArrayQueue<T>>;

    fn version() -> &'static str {
        version_of("crossbeam-queue")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        let queue = Arc::new(ArrayQueue::new(capacity));
        (Arc::clone(&queue), queue)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        one(numbers, |item: T| entrance.push(item).is_ok());
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, each: impl FnMut(u64)) -> usize {
        first(exit.pop(), each)
    }
}

/// The kept library for one producer, item by item.
pub(super) struct Rtrb<T>(PhantomData<T>);

impl<T: Item> Contender for Rtrb<T> {
    const SYSTEM: &'static str = "rtrb";
    const CONFIG: &'static str = "single";
    type Entrance = rtrb::Producer<T>;
    type Exit = rtrb::Consumer<T>;

    fn version() -> &'static str {
        version_of("rtrb")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        rtrb::RingBuffer::new(capacity)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        one(numbers, |item: T| entrance.push(item).is_ok());
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, each: impl FnMut(u64)) -> usize {
        first(exit.pop().ok(), each)
    }
}

/// The same in its chunks.
pub(super) struct RtrbBatch<T>(PhantomData<T>);

impl<T: Item> Contender for RtrbBatch<T> {
    const SYSTEM: &'static str = "rtrb";
    const CONFIG: &'static str = "batch of 32";
    type Entrance = rtrb::Producer<T>;
    type Exit = rtrb::Consumer<T>;

    fn version() -> &'static str {
        version_of("rtrb")
    }

    fn open(capacity: usize) -> (Self::Entrance, Self::Exit) {
        rtrb::RingBuffer::new(capacity)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>) {
        let mut count = numbers.clone().take(BATCH).count();
        if entrance.cached_slots() < count {
            count = count.min(entrance.slots());
        }
        if let Ok(chunk) = entrance.write_chunk_uninit(count) {
            numbers.start += chunk.fill_from_iter(numbers.clone().map(T::of)) as u64;
        }
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, mut each: impl FnMut(u64)) -> usize {
        let mut count = BATCH;
        if exit.cached_slots() < count {
            count = count.min(exit.slots());
        }
        exit.read_chunk(count).map_or(0, |chunk| {
            chunk.into_iter().for_each(|item| each(item.number()));
            count
        })
    }
}
