use super::{mpsc, spsc};
use std::sync::Arc;
use std::thread;

/// An item that counts its life: as many handles as items that were not dropped.
type Token = Arc<()>;

#[test]
fn a_full_queue_gives_the_item_back() {
    for capacity in [1, 2, 3, 5, 8] {
        let (mut producer, mut consumer) = spsc(capacity);
        let (mut shared, mut gathered) = mpsc(capacity);
        assert_eq!((producer.capacity(), shared.capacity()), (capacity, capacity));
        for n in 0..capacity {
            assert_eq!((producer.push(n), shared.push(n)), (Ok(()), Ok(())));
        }
        assert_eq!((producer.push(99), shared.push(99)), (Err(99), Err(99)));
        assert_eq!((consumer.len(), gathered.len()), (capacity, capacity));
        assert_eq!((consumer.pop(), gathered.pop()), (Some(0), Some(0)));
        assert_eq!((producer.push(99), shared.push(99)), (Ok(()), Ok(())));
        assert_eq!((producer.push(1), shared.push(1)), (Err(1), Err(1)));
    }
}

#[test]
fn a_capacity_of_nothing_means_one() {
    let (mut producer, _consumer) = spsc(0);
    let (mut shared, _gathered) = mpsc(0);
    assert_eq!((producer.push(1), producer.push(2)), (Ok(()), Err(2)));
    assert_eq!((shared.push(1), shared.push(2)), (Ok(()), Err(2)));
}

#[test]
fn items_come_out_in_order_however_often_the_queue_wraps() {
    let (mut producer, mut consumer) = spsc(3);
    let (mut shared, mut gathered) = mpsc(3);
    for n in 0..40_u32 {
        let pair = [2 * n, 2 * n + 1];
        for item in pair {
            assert_eq!((producer.push(item), shared.push(item)), (Ok(()), Ok(())));
        }
        assert_eq!(pair.map(|_| consumer.pop().unwrap()), pair);
        assert_eq!(pair.map(|_| gathered.pop().unwrap()), pair);
    }
    assert!(consumer.pop().is_none() && consumer.is_empty());
    assert!(gathered.pop().is_none() && gathered.is_empty());
}

#[test]
fn a_batch_goes_in_as_far_as_it_fits() {
    let (mut producer, mut consumer) = spsc(4);
    let (mut shared, mut gathered) = mpsc(4);
    producer.push(0).unwrap();
    shared.push(0).unwrap();
    let (mut one, mut other) = (vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5]);
    assert_eq!((producer.push_batch(&mut one), shared.push_batch(&mut other)), (3, 3));
    assert_eq!((one.as_slice(), other.as_slice()), (&[4, 5][..], &[4, 5][..]));
    assert_eq!((producer.push_batch(&mut one), shared.push_batch(&mut other)), (0, 0));
    let (mut taken, mut gathered_items) = (Vec::new(), Vec::new());
    assert_eq!(consumer.drain(3, |item| taken.push(item)), 3);
    assert_eq!(gathered.drain(usize::MAX, |item| gathered_items.push(item)), 4);
    assert_eq!((taken, gathered_items), (vec![0, 1, 2], vec![0, 1, 2, 3]));
    assert_eq!((producer.push_batch(&mut one), shared.push_batch(&mut other)), (2, 2));
    assert_eq!(shared.push_batch(&mut other), 0, "nothing is left to push");
    assert_eq!((consumer.len(), gathered.len()), (3, 2));
}

#[test]
fn what_is_staged_is_seen_when_it_is_published() {
    let (mut producer, mut consumer) = spsc(4);
    assert_eq!([1, 2].map(|item| producer.stage(item)), [Ok(()); 2]);
    assert!(consumer.pop().is_none() && consumer.is_empty());
    producer.publish();
    assert_eq!((consumer.len(), consumer.pop()), (2, Some(1)));
    producer.stage(3).unwrap();
    producer.push(4).unwrap();
    producer.stage(5).unwrap();
    assert_eq!((producer.stage(6), consumer.len()), (Err(6), 3), "staged items take room");
    assert_eq!(producer.push(6), Err(6));
    assert_eq!(consumer.len(), 4, "a push that fails publishes what was staged");
    consumer.drain(4, drop);
    producer.stage(7).unwrap();
    drop(producer);
    assert!(consumer.is_closed());
    assert_eq!((consumer.pop(), consumer.pop()), (Some(7), None));
}

#[test]
fn each_end_notices_that_the_other_is_gone() {
    let (mut producer, mut consumer) = mpsc(2);
    let other = producer.clone();
    producer.push(7).unwrap();
    drop(producer);
    assert!(!consumer.is_closed() && !other.is_abandoned());
    drop(other);
    assert!(consumer.is_closed() && consumer.pop() == Some(7));
    let (producer, consumer) = spsc::<u8>(1);
    assert!(!producer.is_abandoned() && !consumer.is_closed());
    drop(consumer);
    assert!(producer.is_abandoned());
    let (producer, consumer) = mpsc::<u8>(1);
    drop(consumer);
    assert!(producer.is_abandoned());
}

#[test]
fn items_that_nobody_took_are_dropped_once() {
    let token = Token::default();
    for consumer_first in [true, false] {
        let (mut producer, mut consumer) = spsc(3);
        let (mut shared, mut gathered) = mpsc(3);
        for _ in 0..5 {
            producer.push(Token::clone(&token)).unwrap();
            shared.push(Token::clone(&token)).unwrap();
            drop((consumer.pop(), gathered.pop()));
        }
        producer.push_batch(&mut vec![Token::clone(&token); 2]);
        shared.push_batch(&mut vec![Token::clone(&token); 2]);
        producer.stage(Token::clone(&token)).unwrap();
        assert_eq!(Token::strong_count(&token), 6);
        if consumer_first {
            drop((consumer, gathered));
            drop((producer, shared));
        } else {
            drop((producer, shared));
            drop((consumer, gathered));
        }
        assert_eq!(Token::strong_count(&token), 1);
    }
}

#[test]
fn a_handler_that_panics_loses_only_the_item_it_had() {
    let token = Token::default();
    let (mut producer, mut consumer) = spsc(4);
    let (mut shared, mut gathered) = mpsc(4);
    producer.push_batch(&mut vec![Token::clone(&token); 3]);
    shared.push_batch(&mut vec![Token::clone(&token); 3]);
    let give_up = |item: Token| {
        drop(item);
        std::panic::resume_unwind(Box::new(()));
    };
    let mut spoil = || consumer.drain(3, give_up);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut spoil)).is_err());
    let mut spoil = || gathered.drain(3, give_up);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut spoil)).is_err());
    assert_eq!((Token::strong_count(&token), consumer.len(), gathered.len()), (5, 2, 2));
    drop((consumer, gathered, producer, shared));
    assert_eq!(Token::strong_count(&token), 1);
}

/// Items of each test that runs on threads; Miri is slow.
const MANY: u32 = if cfg!(miri) { 60 } else { 20_000 };

#[test]
fn one_producer_loses_nothing_however_it_pushes() {
    let (mut producer, mut consumer) = spsc(7);
    let thread = thread::spawn(move || {
        let (mut next, mut batch) = (0, Vec::new());
        while next < MANY || !batch.is_empty() {
            if next < MANY && next % 3 == 0 && batch.is_empty() {
                next += u32::from(producer.push(next).is_ok());
            } else {
                while next < MANY && batch.len() < 4 {
                    batch.push(next);
                    next += 1;
                }
                producer.push_batch(&mut batch);
            }
            thread::yield_now();
        }
    });
    let mut expected = 0;
    while expected < MANY {
        consumer.drain(1 + expected as usize % 9, |item| {
            assert_eq!(item, expected);
            expected += 1;
        });
        thread::yield_now();
    }
    thread.join().unwrap();
    assert!(consumer.is_closed() && consumer.is_empty());
}

#[test]
fn many_producers_lose_nothing_and_each_keeps_its_order() {
    let (producer, mut consumer) = mpsc(13);
    let threads: Vec<_> = (0_usize..3)
        .map(|who| {
            let mut producer = producer.clone();
            thread::spawn(move || {
                let mut batch: Vec<_> = (0..MANY).map(|n| (who, n)).collect();
                let singles = batch.split_off(batch.len() / 2);
                while !batch.is_empty() {
                    let mut some = batch.drain(..batch.len().min(5)).collect();
                    while producer.push_batch(&mut some) == 0 || !some.is_empty() {
                        thread::yield_now();
                    }
                }
                for item in singles {
                    while producer.push(item).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(producer);
    let mut next = [0; 3];
    while next != [MANY; 3] {
        if let Some((who, n)) = consumer.pop() {
            assert_eq!(n, next[who]);
            next[who] += 1;
        }
        consumer.drain(4, |(who, n)| {
            assert_eq!(n, next[who]);
            next[who] += 1;
        });
        thread::yield_now();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(consumer.is_closed() && consumer.is_empty());
}
