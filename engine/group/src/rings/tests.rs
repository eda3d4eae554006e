use super::*;
use syncom_seam::Rng;
use syncom_seam::limits::SUBJECTS_MAX;

/// How a test cluster is spread over failure domains.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Site {
    Unknown,
    OneRack,
    TwoRooms,
    Lopsided,
    TenRacks,
}

const SITES: [Site; 5] =
    [Site::Unknown, Site::OneRack, Site::TwoRooms, Site::Lopsided, Site::TenRacks];

impl Site {
    fn domain(self, slot: u32) -> u16 {
        let draw = mix(u64::from(slot) ^ 0x5117);
        let below = |bound: u64| u16::try_from(draw % bound).unwrap();
        match self {
            Self::Unknown => 0,
            Self::OneRack => 1,
            Self::TwoRooms => 1 + below(2),
            Self::Lopsided => 1 + u16::from(below(20) != 0),
            Self::TenRacks => 1 + below(10),
        }
    }
}

fn uuid(seed: u64, slot: u32) -> Uuid {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&slot.to_le_bytes());
    Uuid(bytes)
}

fn build(seed: u64, site: Site, slots: impl Iterator<Item = u32>) -> Rings {
    let mut rings = Rings::new();
    slots.for_each(|slot| rings.insert(Slot(slot), uuid(seed, slot), site.domain(slot)));
    rings.settle(&mut SlotSet::new());
    rings
}

/// (subject, observer), ascending.
fn edges(rings: &Rings) -> BTreeSet<(Slot, Slot)> {
    let slots = rings.rings[0].iter().map(|(_, slot)| *slot);
    slots.flat_map(|slot| rings.observers(slot).iter().map(move |other| (slot, *other))).collect()
}

fn check(rings: &Rings) {
    let count = rings.len();
    let wanted = quorum::observers(count);
    let edges = edges(rings);
    assert_eq!(edges.len(), count * wanted, "K distinct observers each");
    let mut inverse = BTreeSet::new();
    for (_, slot) in &rings.rings[0] {
        assert!(!rings.observers(*slot).contains(slot), "nobody observes itself");
        assert!(rings.observers(*slot).iter().all(|other| rings.contains(*other)));
        assert!(rings.subjects(*slot).len() <= SUBJECTS_MAX, "{}", rings.subjects(*slot).len());
        inverse.extend(rings.subjects(*slot).iter().map(|subject| (*subject, *slot)));
    }
    assert_eq!(inverse, edges, "subjects are the inverse of observers");
}

#[test]
fn every_node_has_k_distinct_observers_whatever_the_size() {
    for site in SITES {
        for count in (1..=64).chain([99, 100, 257, 500, 1000]) {
            check(&build(u64::from(count), site, 0..count));
        }
    }
}

#[test]
fn without_domains_nobody_observes_more_than_twice_k() {
    for count in (2..=64).chain([100, 200, 500, 1000]) {
        for seed in 0..20 {
            let rings = build(seed, Site::OneRack, 0..count);
            let load = (0..count).map(|slot| rings.subjects(Slot(slot)).len()).max().unwrap();
            assert!(load <= 2 * OBSERVERS_MAX, "{count} nodes, seed {seed}: {load}");
        }
    }
}

#[test]
fn any_history_leads_to_the_same_edges() {
    for site in SITES {
        for seed in 0..12 {
            let mut rng = Rng::new(seed);
            let mut rings = Rings::new();
            let mut present = BTreeSet::new();
            let span = [12, 40, 200][usize::try_from(seed % 3).unwrap()];
            for _ in 0..60 {
                for _ in 0..=rng.below(4) {
                    let slot = u32::try_from(rng.below(span)).unwrap();
                    if present.remove(&slot) {
                        rings.remove(Slot(slot));
                    }
                    if rng.chance(2, 3) {
                        present.insert(slot);
                        rings.insert(Slot(slot), uuid(seed, slot), site.domain(slot));
                    }
                }
                rings.settle(&mut SlotSet::new());
            }
            check(&rings);
            let fresh = build(seed, site, present.into_iter());
            assert!((0..200).map(Slot).all(|slot| {
                rings.observers(slot) == fresh.observers(slot)
                    && rings.subjects(slot) == fresh.subjects(slot)
            }));
        }
    }
}

/// Edges that are new after `slot` joined `before`, and the load that it took over.
fn moved_by_join(before: &Rings, seed: u64, site: Site, slot: u32) -> (usize, usize) {
    let mut after = before.clone();
    after.insert(Slot(slot), uuid(seed, slot), site.domain(slot));
    let mut changed = SlotSet::new();
    after.settle(&mut changed);
    let (old, new) = (edges(before), edges(&after));
    let differs = |slot: &Slot| {
        before.observers(*slot) != after.observers(*slot)
            || before.subjects(*slot) != after.subjects(*slot)
    };
    assert!(changed.iter().eq((0..=slot).map(Slot).filter(differs)), "changed is exact");
    let mut back = after.clone();
    back.remove(Slot(slot));
    let mut changed_back = SlotSet::new();
    back.settle(&mut changed_back);
    assert_eq!(edges(&back), old, "a leave undoes the join");
    assert_eq!(changed_back, changed);
    (new.difference(&old).count(), after.subjects(Slot(slot)).len())
}

#[test]
fn one_change_moves_k_edges_and_one_for_each_subject_taken_over() {
    let (mut total, mut samples) = (0, 0);
    for count in (2..=40).chain([100, 300, 999]) {
        for seed in 0..5 {
            let before = build(seed, Site::Unknown, 0..count);
            let (moved, load) = moved_by_join(&before, seed, Site::Unknown, count);
            let own = quorum::observers(before.len() + 1);
            if count > 8 {
                assert_eq!(moved, own + load);
            }
            assert!(moved <= 3 * OBSERVERS_MAX);
            (total, samples) = (total + moved, samples + 1);
        }
    }
    assert!(total <= samples * 2 * OBSERVERS_MAX + samples / 2, "2K on average: {total}/{samples}");
}

#[test]
fn with_domains_one_change_still_moves_few_edges() {
    for site in [Site::TwoRooms, Site::Lopsided, Site::TenRacks] {
        let (mut total, mut most, mut samples) = (0, 0, 0);
        for count in [20, 50, 200, 700] {
            for seed in 0..10 {
                let before = build(seed, site, 0..count);
                let (moved, _) = moved_by_join(&before, seed, site, count);
                (total, most, samples) = (total + moved, most.max(moved), samples + 1);
            }
        }
        assert!(total <= samples * 5 / 2 * OBSERVERS_MAX, "{site:?}: {total}/{samples}");
        assert!(most <= 5 * OBSERVERS_MAX, "{site:?}: {most}");
    }
}

#[test]
fn observers_are_spread_over_racks_where_there_are_racks() {
    let rings = build(3, Site::TenRacks, 0..1000);
    let crowded = |slot: &Slot| {
        let mut sharing = [0; 11];
        for other in rings.observers(*slot) {
            sharing[usize::from(Site::TenRacks.domain(other.0))] += 1;
        }
        sharing.iter().any(|count| *count > OBSERVERS_MAX / 4)
    };
    assert!((0..1000).map(Slot).filter(crowded).count() < 50, "a quarter per rack, but for a few");
    let rings = build(3, Site::TwoRooms, 0..1000);
    let inbred = |slot: &Slot| {
        let own = Site::TwoRooms.domain(slot.0);
        let sharing = rings.observers(*slot).iter().filter(|o| Site::TwoRooms.domain(o.0) == own);
        sharing.count() > OBSERVERS_MAX / 2
    };
    assert!((0..1000).map(Slot).filter(inbred).count() < 150, "half from elsewhere, but for a few");
}

#[test]
fn a_touched_node_concerns_all_its_neighbours() {
    let mut rings = build(1, Site::Unknown, 0..50);
    let mut changed = SlotSet::new();
    rings.touch(Slot(4));
    rings.settle(&mut changed);
    let mut expected: SlotSet = [Slot(4)].into_iter().collect();
    expected.extend(rings.observers(Slot(4)).iter().copied());
    expected.extend(rings.subjects(Slot(4)).iter().copied());
    assert_eq!(changed, expected);
}

#[test]
fn what_is_there_already_or_cannot_be_there_changes_nothing() {
    let mut rings = build(1, Site::Unknown, 0..20);
    let mut changed = SlotSet::new();
    rings.insert(Slot(3), uuid(1, 3), 0);
    rings.insert(Slot::NONE, uuid(1, 99), 0);
    rings.remove(Slot(77));
    rings.settle(&mut changed);
    assert!(changed.is_empty());
    assert_eq!(rings.len(), 20);
    assert!(rings.observers(Slot(77)).is_empty() && rings.subjects(Slot(77)).is_empty());
}
