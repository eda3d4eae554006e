//! Who is called gray though its accusers hear it now and then, and who is not.

use super::fixture::Rig;
use std::vec::Vec;
use syncom_seam::{MS, SECOND};
use syncom_wire::report::{EventKind, Report};

/// How often node 3 is called gray when two of its observers, by their places, accuse it for 100 ms, and
/// after so many ms from then on the next two do.
fn named_in(waves: &[([usize; 2], u64)]) -> usize {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    for (seq, (places, next_ms)) in (1..).zip(waves) {
        let two = places.map(|at| observers[at]);
        two.iter().for_each(|one| rig.accuse_as(*one, 3, 850, seq, 0, 0));
        rig.run(100 * MS);
        two.iter().for_each(|one| rig.accuse_as(*one, 3, 0, seq, Report::RETRACT, 0));
        rig.run(next_ms * MS - 100 * MS);
    }
    assert!(rig.records(EventKind::DEAD).is_empty());
    rig.records(EventKind::GRAY).len()
}

#[test]
fn accusations_by_many_in_turn_are_one_spell_unless_patience_lies_between_them() {
    let named = |apart_ms| named_in(&[([0, 1], apart_ms), ([2, 3], SECOND / MS)]);
    assert_eq!([1_500, 2_000, 2_300, 2_800].map(named), [1, 1, 1, 0]);
}

#[test]
fn accusations_by_the_same_two_are_no_spell_when_they_hear_the_node_for_long_in_between() {
    let named = |apart_ms| named_in(&[([0, 1], apart_ms), ([0, 1], SECOND / MS)]);
    assert_eq!([1_500, 2_000, 2_300].map(named), [1, 0, 0]);
    // Nor do those count who accused in a spell that is over.
    assert_eq!(named_in(&[([2, 3], 2_800), ([0, 1], 2_000), ([0, 1], 1_000)]), 0);
}

#[test]
fn whoever_was_missed_by_many_for_long_though_it_lived_is_gray_and_not_whoever_stood_still() {
    for (accusers, answers, named) in [(3, true, 1), (2, true, 0), (3, false, 0)] {
        let mut rig = Rig::new(20, 4);
        let observers: Vec<u32> = rig.observers(3)[..accusers].to_vec();
        if !answers {
            rig.kill(3);
        }
        observers.iter().for_each(|one| rig.accuse(*one, 3, 900));
        rig.run(500 * MS);
        assert!(rig.records(EventKind::GRAY).is_empty(), "a moment of trouble");
        rig.run(500 * MS);
        rig.alive.insert(3);
        observers.iter().for_each(|one| rig.accuse_as(*one, 3, 0, 1, Report::RETRACT, 0));
        rig.run(3 * SECOND);
        let grays = rig.records(EventKind::GRAY).len();
        assert_eq!(grays, named, "{accusers} accusers, answers: {answers}");
        assert!(rig.records(EventKind::DEAD).is_empty());
    }
}

/// How often node 3 is called gray when its observers, so many of them, accuse it in turn: each is
/// silent for 850 ms, accuses it, and hears it so much later, `apart_ms` after the one before.
fn named_in_turn(observers: usize, rounds: usize, apart_ms: u64) -> usize {
    let mut rig = Rig::new(20, 4);
    let places = rig.observers(3);
    for (seq, at) in (1..).zip((0..rounds).map(|round| round % observers)) {
        rig.accuse_as(places[at], 3, 850, seq, 0, 0);
        rig.run(apart_ms * MS);
        rig.accuse_as(places[at], 3, 0, seq, Report::RETRACT, 0);
    }
    assert!(rig.records(EventKind::DEAD).is_empty());
    rig.records(EventKind::GRAY).len()
}

#[test]
fn silences_of_many_add_up_though_no_two_accuse_at_one_time() {
    assert_eq!(named_in_turn(8, 4, 300), 1);
    assert_eq!(named_in_turn(3, 6, 300), 1, "some of them twice");
    assert_eq!(named_in_turn(2, 20, 300), 0, "two that are deaf");
    assert_eq!(named_in_turn(8, 3, 300), 0, "not enough");
    assert_eq!(named_in_turn(8, 6, 100), 0, "a moment of trouble");
    assert_eq!(named_in_turn(8, 20, 1_500), 0, "one now and then");
}
