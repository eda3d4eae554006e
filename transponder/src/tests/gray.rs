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

/// How often node 3 is called gray when so many of its observers say, `apart_ms` after one another, that
/// they hear it and miss most of what it sends, and so many others accuse it.
fn named_by(patchy: usize, apart_ms: u64, silent: usize) -> usize {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    for one in &observers[patchy..patchy + silent] {
        rig.accuse(*one, 3, 850);
    }
    for one in &observers[..patchy] {
        let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
        rig.accuse_as(*one, 3, 0, 0, flags, 0);
        rig.run(apart_ms * MS);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    rig.records(EventKind::GRAY).len()
}

#[test]
fn whoever_most_observers_miss_most_of_is_gray_at_once() {
    assert_eq!(named_by(5, 10, 0), 1);
    assert_eq!(named_by(5, 400, 0), 1, "all within 3·m·η");
    assert_eq!(named_by(5, 700, 0), 0, "the first is forgotten when the last one speaks");
    assert_eq!(named_by(4, 10, 0), 0, "half of them may be behind a bad cable");
    assert_eq!(named_by(3, 10, 2), 1, "whoever hears nothing misses all");
    assert_eq!(named_by(1, 10, 4), 0, "that is silence, and is judged as such");
}

#[test]
fn whoever_is_gray_for_what_is_missing_is_named_with_who_misses_it() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
    rig.accuse(observers[0], 3, 850);
    observers[1..6].iter().for_each(|one| rig.accuse_as(*one, 3, 0, 0, flags, 0));
    rig.accuse_as(observers[6], 3, 0, 0, Report::RETRACT, 0);
    rig.run(SECOND);
    let detail = rig.details(EventKind::GRAY).remove(0);
    let parts: Vec<&str> = detail.split("; ").collect();
    let names =
        |part: &str, heading: &str| part.strip_prefix(heading).map(|it| it.split(", ").count());
    assert_eq!(names(parts[0], "not heard by "), Some(1), "{detail}");
    assert_eq!(names(parts[1], "hardly heard by "), Some(5), "{detail}");
    assert_eq!(names(parts[2], "heard by "), Some(2), "one observer and this home: {detail}");
}

#[test]
fn the_word_of_who_suspects_itself_or_is_no_observer_makes_nobody_gray() {
    let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
    let named = |flags, of: fn(&Rig) -> Vec<u32>| {
        let mut rig = Rig::new(20, 4);
        of(&rig).iter().for_each(|one| rig.accuse_as(*one, 3, 0, 0, flags, 0));
        rig.run(SECOND);
        rig.records(EventKind::GRAY).len()
    };
    let observers = |rig: &Rig| rig.observers(3);
    let strangers = |rig: &Rig| {
        let observers = rig.observers(3);
        (0..20).filter(|slot| *slot != 3 && !observers.contains(slot)).collect()
    };
    assert_eq!(named(flags, observers), 1);
    assert_eq!(named(flags | Report::SELF_SUSPECT, observers), 0);
    assert_eq!(named(flags, strangers), 0);
}

#[test]
fn whoever_is_gray_for_what_is_missing_is_cleared_once_nothing_is() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
    for _ in 0..20 {
        observers.iter().for_each(|one| rig.accuse_as(*one, 3, 0, 0, flags, 0));
        rig.run(SECOND);
    }
    assert_eq!(rig.records(EventKind::GRAY).len(), 1);
    assert_eq!(rig.records(EventKind::CLEARED).len(), 0);
    rig.run(5 * SECOND);
    assert_eq!(rig.records(EventKind::CLEARED).len(), 1);
}

#[test]
fn whoever_dies_of_whom_much_was_missing_is_dead_as_soon_as_others() {
    let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
    let dead_after_ms = |patchy: usize| {
        let mut rig = Rig::new(20, 4);
        let observers = rig.observers(3);
        observers[..patchy].iter().for_each(|one| rig.accuse_as(*one, 3, 0, 1, flags, 0));
        rig.run(100 * MS);
        if patchy > 0 {
            rig.accuse_as(observers[0], 3, 850, 2, 0, 0);
            rig.run(10 * MS);
            rig.accuse_as(observers[1], 3, 0, 3, flags, 0);
            rig.run(10 * MS);
            rig.accuse_as(observers[0], 3, 0, 2, Report::RETRACT, 0);
            rig.run(10 * MS);
        }
        rig.kill(3);
        observers.iter().for_each(|one| rig.accuse_as(*one, 3, 850, 9, 0, 0));
        (0..400).find(|_| {
            rig.run(10 * MS);
            !rig.records(EventKind::DEAD).is_empty()
        })
    };
    assert!(dead_after_ms(0).is_some());
    assert_eq!(dead_after_ms(2), dead_after_ms(0));
}
