use super::*;
use std::collections::BTreeMap;
use std::vec::Vec;

fn satellites(weights: &[u16]) -> Vec<Candidate> {
    let peer = |at: usize| PeerId::satellite(u16::try_from(at + 1).unwrap());
    let candidate =
        |(at, weight): (usize, &u16)| Candidate { peer: peer(at), weight: *weight, leaving: false };
    weights.iter().enumerate().map(candidate).collect()
}

fn rendezvous(satellites: &[Candidate]) -> Rendezvous {
    let mut rendezvous = Rendezvous::new();
    rendezvous.set(satellites.iter().copied());
    rendezvous
}

fn load(rendezvous: &Rendezvous, slots: u32) -> BTreeMap<PeerId, u32> {
    let mut load = BTreeMap::new();
    for slot in 0..slots {
        for home in rendezvous.homes(Slot(slot)).as_slice() {
            *load.entry(*home).or_insert(0) += 1;
        }
    }
    load
}

#[test]
fn a_hundred_satellites_share_a_hundred_thousand_nodes_evenly() {
    let rendezvous = rendezvous(&satellites(&[1; 100]));
    let mut first = BTreeMap::new();
    for slot in 0..100_000 {
        *first.entry(rendezvous.homes(Slot(slot)).first().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(first.len(), 100);
    assert!(*first.values().max().unwrap() <= 1150, "{first:?}");
}

#[test]
fn a_lost_satellite_moves_only_its_own_nodes() {
    let all = satellites(&[1; 20]);
    let lost = all[7].peer;
    let before = rendezvous(&all);
    let mut leaving = all.clone();
    leaving[7].leaving = true;
    let after = rendezvous(&leaving);
    for slot in (0..3000).map(Slot) {
        let (old, new) = (before.homes(slot), after.homes(slot));
        if old.contains(lost) {
            let kept = old.as_slice().iter().find(|peer| **peer != lost).unwrap();
            assert!(new.contains(*kept) && !new.contains(lost));
            assert_eq!(new.as_slice().len(), HOMES);
        } else {
            assert_eq!(old, new);
        }
        let rest: Vec<_> = before.preference(slot).filter(|peer| *peer != lost).collect();
        assert!(after.preference(slot).eq(rest), "the order of the others stays");
    }
}

#[test]
fn the_order_of_preference_names_each_satellite_once_homes_first() {
    let rendezvous = rendezvous(&satellites(&[1, 5, 5, 2, 9, 0]));
    for slot in (0..100).map(Slot) {
        let order: Vec<_> = rendezvous.preference(slot).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 6);
        assert_eq!(&order[..HOMES], rendezvous.homes(slot).as_slice());
        assert_eq!(order[5], PeerId::satellite(6), "no weight comes last");
    }
}

#[test]
fn first_homes_follow_the_weights() {
    let weights = [1, 2, 3, 4];
    let rendezvous = rendezvous(&satellites(&weights));
    let mut first = [0_u32; 4];
    for slot in 0..20_000 {
        let home = rendezvous.homes(Slot(slot)).first().unwrap();
        first[home.number() as usize - 1] += 1;
    }
    for (count, weight) in first.iter().zip([1, 2, 3, 4]) {
        assert!(count.abs_diff(weight * 2000) < 200, "{first:?}");
    }
}

#[test]
fn weights_that_are_all_the_same_change_nothing() {
    let one = rendezvous(&satellites(&[1; 10]));
    let mut seven = rendezvous(&satellites(&[7; 10]));
    seven.uniform = false;
    for slot in (0..2000).map(Slot) {
        assert!(one.preference(slot).eq(seven.preference(slot)));
    }
}

#[test]
fn with_few_satellites_there_are_few_homes() {
    assert!(rendezvous(&[]).homes(Slot(1)).as_slice().is_empty());
    let single = rendezvous(&satellites(&[1]));
    assert_eq!(single.homes(Slot(1)).as_slice(), [PeerId::satellite(1)]);
    assert_eq!(
        load(&rendezvous(&satellites(&[1, 1])), 500).into_values().collect::<Vec<_>>(),
        [500, 500]
    );
}

#[test]
fn the_integer_logarithm_is_right_and_never_turns_back() {
    assert_eq!(minus_log2(1 << 63), 1 << 25);
    assert_eq!(minus_log2(1), 64 << 25);
    let exact = |draw: u64| (64.0 - (draw as f64).log2()) * f64::from(1 << 25);
    let mut draw = u64::MAX;
    let mut last = 0;
    while draw > 1 {
        let got = minus_log2(draw);
        assert!(got >= last);
        assert!((f64::from(got) - exact(draw)).abs() < 2.0, "{draw}: {got}");
        last = got;
        draw -= draw / 97 + 1;
    }
    assert!(minus_log2(0) >= last);
}
