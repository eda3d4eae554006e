use super::*;

const FROM: Addr = Addr::v4([127, 0, 0, 1], 9);

fn plain() -> Received {
    Received { from: FROM, stamp: None, truncated: false }
}

#[test]
fn a_coalesced_slot_is_split_into_its_datagrams() {
    let mut burst = RxBurst::new(2);
    burst.unused_mut().next().unwrap()[..10].copy_from_slice(b"aaaabbbbcc");
    burst.received(0, 10, 4, plain());
    let parts: Vec<_> = (0..burst.len()).map(|i| burst.bytes(i).unwrap()).collect();
    assert_eq!(parts, [&b"aaaa"[..], b"bbbb", b"cc"]);
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    let mut burst = RxBurst::new(1);
    burst.received(0, 0, 0, plain());
    assert_eq!((burst.len(), burst.bytes(0)), (1, Some(&[][..])));
}

#[test]
fn only_the_last_datagram_of_a_slot_can_be_cut_short() {
    let mut burst = RxBurst::with_slot_size(1, 8);
    burst.received(0, 8, 4, Received { truncated: true, ..plain() });
    let cut: Vec<_> = (0..2).map(|i| burst.datagram(i).unwrap().truncated).collect();
    assert_eq!(cut, [false, true]);
}

#[test]
fn a_shared_datagram_outlives_the_burst_and_its_neighbours_stay_writable() {
    let mut burst = RxBurst::new(1);
    for round in 0_u8..5 {
        burst.clear();
        assert!(burst.put(FROM, None, [&[round; 4], &[]]));
        assert!(burst.put(FROM, None, [&[9; 2], &[9]]));
        let kept = burst.share(0, 1..4).unwrap();
        assert!(burst.datagram(0).unwrap().bytes.is_empty());
        assert_eq!(burst.datagram(1).unwrap().bytes, [9; 3]);
        burst.clear();
        assert!(burst.put(FROM, None, [&[0xEE; 100], &[]]));
        assert_eq!(&kept[..], [round; 3]);
    }
}

#[test]
fn without_a_spare_slot_sharing_copies_and_receiving_goes_on() {
    let mut burst = RxBurst::new(1);
    let mut kept = Vec::new();
    for round in 0_u8..10 {
        burst.clear();
        assert!(burst.put(FROM, None, [&[round; 4], &[]]));
        kept.push(burst.share(0, 0..4).unwrap());
    }
    for (round, bytes) in (0_u8..).zip(&kept) {
        assert_eq!(&bytes[..], [round; 4]);
    }
}

/// A filled slot of a link.
fn filled(pool: &mut Pool, bytes: &[u8]) -> Slot {
    let mut slot = pool.take().unwrap();
    slot.bytes_mut(16..16 + bytes.len()).unwrap().copy_from_slice(bytes);
    slot
}

fn lend(burst: &mut RxBurst, pool: &mut Pool, bytes: &[u8], segment: usize) -> bool {
    let slot = filled(pool, bytes);
    let refused = burst.lend(slot, 16..16 + bytes.len(), segment, plain());
    refused.map_err(|slot| pool.give(slot)).is_ok()
}

/// How many slots a pool can give.
fn left(pool: &mut Pool) -> usize {
    let all: Vec<Slot> = std::iter::from_fn(|| pool.take()).collect();
    let count = all.len();
    all.into_iter().for_each(|slot| pool.give(slot));
    count
}

#[test]
fn a_lent_slot_is_split_in_place_and_goes_home_once() {
    let (mut burst, mut pool) = (RxBurst::new(4), Pool::new(3, 64));
    for _ in 0..10 {
        burst.clear_into(&mut pool);
        assert!(lend(&mut burst, &mut pool, b"aaaabbbbcc", 4));
        assert!(lend(&mut burst, &mut pool, b"", 0));
        let parts: Vec<_> = (0..burst.len()).map(|at| burst.bytes(at).unwrap()).collect();
        assert_eq!(parts, [&b"aaaa"[..], b"bbbb", b"cc", b""]);
        burst.datagram(1).unwrap().bytes.fill(b'B');
        assert_eq!((burst.bytes(0), burst.bytes(1)), (Some(&b"aaaa"[..]), Some(&b"BBBB"[..])));
        assert_eq!(left(&mut pool), 1);
    }
    burst.clear();
    assert_eq!(left(&mut pool), 3);
    burst.clear_into(&mut pool);
    assert_eq!(left(&mut pool), 3);
}

#[test]
fn what_is_shared_of_a_lent_slot_outlives_burst_and_pool() {
    let (mut burst, mut pool) = (RxBurst::new(2), Pool::new(2, 64));
    assert!(lend(&mut burst, &mut pool, b"keepgone", 4));
    let kept = burst.share(0, 1..4).unwrap();
    assert!(burst.datagram(0).unwrap().bytes.is_empty());
    assert_eq!(burst.datagram(1).unwrap().bytes, b"gone");
    burst.clear_into(&mut pool);
    assert_eq!(left(&mut pool), 1);
    let mut other = pool.take().unwrap();
    other.bytes_mut(0..64).unwrap().fill(0xEE);
    let arena = pool.arena().clone();
    assert_eq!(arena.free(), 0);
    drop((burst, pool, other));
    assert_eq!(&kept[..], b"eep");
    assert_eq!(arena.free(), 1);
    drop(kept);
    assert_eq!(arena.free(), 2);
}

#[test]
fn own_and_lent_slots_stand_side_by_side() {
    let (mut burst, mut pool) = (RxBurst::new(3), Pool::new(3, 64));
    for round in 0_u8..4 {
        burst.clear_into(&mut pool);
        assert!(burst.put(FROM, None, [&[round; 4], &[]]));
        assert!(lend(&mut burst, &mut pool, &[round + 1; 6], 3));
        assert!(burst.put(FROM, None, [&[round + 2; 4], &[]]));
        let kept = [burst.share(0, 0..4).unwrap(), burst.share(2, 1..3).unwrap()];
        assert_eq!(burst.datagram(1).unwrap().bytes, [round + 1; 3]);
        assert_eq!(burst.datagram(3).unwrap().bytes, [round + 2; 4]);
        burst.clear_into(&mut pool);
        assert!(burst.put(FROM, None, [&[0xEE; 60], &[]]));
        assert!(lend(&mut burst, &mut pool, &[0xEE; 40], 0));
        assert_eq!((&kept[0][..], &kept[1][..]), (&[round; 4][..], &[round + 1; 2][..]));
    }
    burst.clear_into(&mut pool);
    assert_eq!(left(&mut pool), 3);
}

#[test]
fn a_burst_takes_no_more_slots_on_loan_than_it_has_of_its_own() {
    let (mut burst, mut pool) = (RxBurst::new(2), Pool::new(8, 64));
    assert!(burst.put(FROM, None, [b"own", &[]]));
    assert!(!burst.is_full() && lend(&mut burst, &mut pool, b"lent", 0));
    assert!(burst.is_full() && !lend(&mut burst, &mut pool, b"lent", 0));
    assert_eq!((burst.len(), burst.take_lost(), left(&mut pool)), (2, 0, 7));
}

#[test]
fn a_slot_that_does_not_fit_whole_comes_back_and_the_burst_is_full() {
    let (mut burst, mut pool) = (RxBurst::new(2), Pool::new(2, 256));
    while burst.len() <= SEGMENTS_MAX {
        assert!(burst.put(FROM, None, [&[], &[]]));
    }
    assert!(!burst.is_full() && !lend(&mut burst, &mut pool, &[1; SEGMENTS_MAX], 1));
    assert!(burst.is_full());
    burst.clear_into(&mut pool);
    assert!(!burst.is_full() && lend(&mut burst, &mut pool, &[1; SEGMENTS_MAX], 1));
    assert_eq!((burst.len(), burst.take_lost()), (SEGMENTS_MAX, 0));
}
