use super::*;

#[test]
fn a_slot_comes_back_when_its_last_part_is_dropped() {
    let arena = Arena::new(1, 8);
    let mut slot = arena.take().unwrap();
    assert!(arena.take().is_none());
    slot.bytes_mut(0..8).unwrap().copy_from_slice(b"abcdefgh");
    let (head, tail) = (slot.share(0..3).unwrap(), slot.share(3..8).unwrap());
    drop(slot);
    assert_eq!((&head[..], &tail[..], arena.free()), (&b"abc"[..], &b"defgh"[..], 0));
    drop(head);
    assert_eq!(arena.free(), 0);
    std::thread::spawn(move || drop(tail)).join().unwrap();
    assert_eq!(arena.free(), 1);
}

#[test]
fn a_shared_range_cannot_be_written_until_it_is_dropped() {
    let arena = Arena::new(1, 8);
    let mut slot = arena.take().unwrap();
    let part = slot.share(2..4).unwrap();
    assert!(slot.bytes_mut(0..3).is_none() && slot.bytes_mut(3..8).is_none());
    assert!(slot.bytes_mut(0..2).is_some() && slot.bytes_mut(4..8).is_some());
    assert!(!slot.reclaim());
    drop(part);
    assert!(slot.reclaim() && slot.bytes_mut(0..8).is_some());
}

#[test]
fn a_slot_that_was_reclaimed_comes_back_once() {
    let arena = Arena::new(2, 8);
    let mut slot = arena.take().unwrap();
    drop(slot.share(0..4).unwrap());
    assert!(slot.reclaim());
    drop(slot);
    let (first, second) = (arena.take().unwrap(), arena.take().unwrap());
    assert_ne!(first.index(), second.index());
    assert!(arena.take().is_none());
}

#[test]
fn ranges_outside_the_slot_are_refused() {
    let arena = Arena::new(2, 8);
    let mut slot = arena.take().unwrap();
    assert!(slot.bytes(0..9).is_none() && slot.bytes_mut(0..9).is_none());
    assert!(slot.share(8..9).is_none() && slot.bytes(8..8).is_some());
}

#[test]
fn slots_lie_side_by_side_from_the_start_of_a_page() {
    let arena = Arena::new(3, 100);
    assert_eq!(arena.base().as_ptr().align_offset(4096), 0);
    for _ in 0..arena.count() {
        let slot = arena.take().unwrap();
        let start = slot.bytes(0..100).unwrap().as_ptr() as usize;
        assert_eq!(start, arena.base().as_ptr() as usize + slot.index() as usize * 100);
        std::mem::forget(slot);
    }
}

#[test]
fn a_device_gets_whole_slots_of_its_own_pool_and_gives_each_back_once() {
    let (mut pool, mut other) = (Pool::new(2, 8), Pool::new(1, 8));
    let mut slot = pool.take().unwrap();
    let part = slot.share(0..1).unwrap();
    slot = pool.to_device(slot).unwrap_err();
    slot = other.to_device(slot).unwrap_err();
    drop(part);
    let index = pool.to_device(slot).unwrap();
    assert!(pool.take().is_some_and(|slot| slot.index() != index));
    assert_eq!(pool.from_device(index).unwrap().index(), index);
    assert!(pool.from_device(index).is_none() && pool.from_device(99).is_none());
}

#[test]
fn a_pool_gets_its_slots_back_from_whoever_holds_them() {
    let (mut pool, mut other) = (Pool::new(3, 8), Pool::new(1, 8));
    let (given, dropped) = (pool.take().unwrap(), pool.take().unwrap());
    let mut kept = pool.take().unwrap();
    let part = kept.share(0..8).unwrap();
    pool.give(given);
    drop(dropped);
    pool.give(kept);
    pool.give(other.take().unwrap());
    let taken: Vec<Slot> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(taken.len(), 2);
    drop(part);
    let last = pool.take();
    assert!(last.is_some() && pool.take().is_none());
    assert!(other.take().is_some(), "a stray slot goes home");
}
