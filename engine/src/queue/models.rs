//! Every interleaving of a few operations, and every value that the memory model lets a load see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p syncom-models --lib`, a step of `cargo x ci`. Loom also fails when
//! two threads use a cell at once without an order between them, or when anything leaks.

use super::{mpsc, spsc};
use loom::sync::Arc;
use loom::thread;

/// Explores a model. Three threads have too many interleavings for all of them, so there a thread
/// is interrupted at most three times at points where it could go on; bugs need few.
fn explore(threads: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = (threads > 2).then_some(3);
    builder.check(model);
}

#[test]
fn spsc_keeps_order_around_the_wrap() {
    explore(2, || {
        let (mut producer, mut consumer) = spsc(2);
        let thread = thread::spawn(move || {
            for item in 0..3 {
                while producer.push(item).is_err() {
                    thread::yield_now();
                }
            }
        });
        for expected in 0..3 {
            let item = loop {
                match consumer.pop() {
                    Some(item) => break item,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(item, expected);
        }
        thread.join().unwrap();
        assert!(consumer.is_empty() && consumer.is_closed());
    });
}

#[test]
fn spsc_gives_back_what_does_not_fit_and_loses_nothing_else() {
    explore(2, || {
        let (mut producer, mut consumer) = spsc(1);
        let thread = thread::spawn(move || {
            let refused = (0..3).filter(|item| producer.push(*item) == Err(*item));
            refused.collect::<Vec<_>>()
        });
        let mut seen: Vec<i32> = (0..2).filter_map(|_| consumer.pop()).collect();
        let refused = thread.join().unwrap();
        seen.extend(consumer.pop());
        assert_eq!(seen.first(), Some(&0));
        assert!(seen.is_sorted() && consumer.pop().is_none());
        seen.extend(refused);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
    });
}

#[test]
fn spsc_batches_arrive_whole_and_in_order() {
    explore(2, || {
        let (mut producer, mut consumer) = spsc(3);
        let thread = thread::spawn(move || {
            producer.stage(0).unwrap();
            producer.stage(1).unwrap();
            producer.publish();
            let mut batch = vec![2, 3, 4];
            while !batch.is_empty() {
                if producer.push_batch(&mut batch) == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let waited = seen.is_empty();
            if consumer.drain(4, |item| seen.push(item)) == 0 {
                thread::yield_now();
            } else {
                assert!(!waited || seen.len() > 1, "staged items came one by one");
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        thread.join().unwrap();
    });
}

#[test]
fn spsc_closed_means_that_everything_is_there() {
    explore(2, || {
        let (mut producer, mut consumer) = spsc(2);
        let thread = thread::spawn(move || {
            producer.push(1).unwrap();
            producer.stage(2).unwrap();
        });
        while !consumer.is_closed() {
            thread::yield_now();
        }
        assert_eq!((consumer.pop(), consumer.pop(), consumer.pop()), (Some(1), Some(2), None));
        thread.join().unwrap();
    });
}

#[test]
fn spsc_drops_what_nobody_took_once() {
    explore(2, || {
        let token = Arc::new(());
        let (mut producer, mut consumer) = spsc(2);
        let items = [token.clone(), token.clone(), token.clone()];
        let thread = thread::spawn(move || {
            for item in items {
                drop(producer.push(item));
            }
            producer.is_abandoned()
        });
        drop(consumer.pop());
        drop(consumer);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

#[test]
fn mpsc_keeps_the_order_of_each_producer_around_the_wrap() {
    explore(3, || {
        let (producer, mut consumer) = mpsc(2);
        // What a producer cannot push it keeps, and pushes nothing after it.
        let push_two = |mut producer: super::SharedProducer<(usize, usize)>, who| {
            thread::spawn(move || (0..2).take_while(|n| producer.push((who, *n)).is_ok()).count())
        };
        let threads = [push_two(producer.clone(), 0), push_two(producer, 1)];
        let mut next = [0, 0];
        let mut check = |(who, n): (usize, usize)| {
            assert_eq!(n, next[who]);
            next[who] += 1;
        };
        (0..3).for_each(|_| consumer.pop().into_iter().for_each(&mut check));
        let pushed = threads.map(|thread| thread.join().unwrap());
        consumer.drain(4, check);
        assert_eq!(next, pushed);
        assert!(pushed.iter().sum::<usize>() >= 2 && consumer.is_empty() && consumer.is_closed());
    });
}

#[test]
fn mpsc_gives_back_what_does_not_fit_and_loses_nothing_else() {
    explore(3, || {
        let (producer, mut consumer) = mpsc(1);
        let push_two = |mut producer: super::SharedProducer<u8>, items: [u8; 2]| {
            thread::spawn(move || items.map(|item| producer.push(item).err()))
        };
        let threads = [push_two(producer.clone(), [1, 2]), push_two(producer, [3, 4])];
        let mut seen = Vec::new();
        seen.extend(consumer.pop());
        let refused = threads.map(|thread| thread.join().unwrap());
        assert!(refused.iter().all(|[first, _]| first.is_none()), "the other took its room");
        consumer.drain(4, |item| seen.push(item));
        seen.extend(refused.into_iter().flatten().flatten());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
    });
}

#[test]
fn mpsc_batches_stay_together() {
    explore(3, || {
        let (mut producer, mut consumer) = mpsc(4);
        let mut other = producer.clone();
        let batch = thread::spawn(move || assert_eq!(producer.push_batch(&mut vec![1, 2]), 2));
        let single = thread::spawn(move || other.push(9).unwrap());
        let mut seen = Vec::new();
        while seen.len() < 3 {
            if consumer.drain(4, |item| seen.push(item)) == 0 {
                thread::yield_now();
            }
        }
        assert!([[9, 1, 2], [1, 2, 9]].iter().any(|order| seen == order), "{seen:?}");
        batch.join().unwrap();
        single.join().unwrap();
    });
}

#[test]
fn mpsc_drops_what_nobody_took_once() {
    explore(3, || {
        let token = Arc::new(());
        let (mut producer, mut consumer) = mpsc(2);
        let mut other = producer.clone();
        let batch = vec![token.clone(), token.clone()];
        let first = thread::spawn(move || {
            let mut batch = batch;
            producer.push_batch(&mut batch);
        });
        let item = token.clone();
        let second = thread::spawn(move || drop(other.push(item)));
        drop(consumer.pop());
        drop(consumer);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

#[test]
fn mpsc_finds_the_lane_of_a_late_producer() {
    explore(2, || {
        let (mut producer, mut consumer) = mpsc(1);
        let thread = thread::spawn(move || {
            producer.push(1).unwrap();
            let mut late = producer.clone();
            drop(producer);
            late.push(2).unwrap();
        });
        let mut seen: Vec<i32> = (0..2).filter_map(|_| consumer.pop()).collect();
        thread.join().unwrap();
        assert!(consumer.is_closed());
        consumer.drain(2, |item| seen.push(item));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        assert!(consumer.is_empty());
    });
}
