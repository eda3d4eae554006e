//! A satellite that hears no leader.

use super::fixture::Rig;
use std::vec::Vec;
use syncom_group::Profile;
use syncom_seam::{Counter, MS, SECOND};
use syncom_wire::Incarnation;
use syncom_wire::member::MemberState;
use syncom_wire::report::EventKind;

#[test]
fn a_satellite_that_hears_no_leader_announces_nothing_and_asks_anew_when_it_does() {
    let mut rig = Rig::new(20, 4);
    // The leader's heartbeats are answered by nobody any more.
    rig.leader = 9;
    rig.run(800 * MS);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(2 * SECOND);
    assert!(
        rig.records(EventKind::DEAD).is_empty(),
        "the others may be on the other side of a cut"
    );
    let asked = rig.count(Counter::ProbesSent);
    rig.leader = 1;
    rig.run(250 * MS);
    assert!(rig.count(Counter::ProbesSent) >= asked + 3, "what it left unanswered does not count");
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn a_death_on_its_way_is_withdrawn_when_the_leader_falls_silent() {
    let mut rig = Rig::new(20, 4);
    rig.acks = false;
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(200 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
    // Another leads after a cut, and the node shows itself.
    rig.leader = 9;
    rig.run(2 * SECOND);
    rig.alive.insert(3);
    rig.forget();
    (rig.leader, rig.term, rig.acks) = (2, 4, true);
    rig.run(3 * SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    let cleared = rig.records(EventKind::CLEARED);
    assert_eq!(cleared.len(), 1, "in the place of the death");
    assert_eq!(cleared[0].incarnation, Incarnation(0), "and of nobody");
}

#[test]
fn a_death_that_a_stream_was_given_does_not_arrive_after_the_cut() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    while !rig.satellite.batches.is_busy() {
        rig.run(MS);
    }
    rig.is_cut_off = true;
    rig.run(2 * SECOND);
    assert!(rig.count(Counter::UplinkBatches) > 0, "it was sent before the cut was noticed");
    // The same leader leads when it is over, and the node shows itself.
    rig.alive.insert(3);
    rig.is_cut_off = false;
    rig.run(3 * SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert_eq!(rig.records(EventKind::CLEARED).len(), 1, "in the place of the death");
}

#[test]
fn a_moment_without_a_leader_makes_no_home_deaf_but_a_cut_does() {
    let mut rig = Rig::new(20, 4);
    rig.run(5 * SECOND);
    for (cut_ms, is_mature) in [(900, true), (3_000, false)] {
        rig.is_cut_off = true;
        rig.run(cut_ms * MS);
        rig.is_cut_off = false;
        rig.run(500 * MS);
        let now = rig.now.at;
        assert_eq!(rig.satellite.homes.is_mature(now), is_mature, "{cut_ms} ms");
    }
}

#[test]
fn a_gray_on_its_way_is_withdrawn_when_the_leader_falls_silent() {
    let mut rig = Rig::new(20, 4);
    rig.acks = false;
    let observers = rig.observers(3);
    for step in 0..40 {
        for observer in observers.iter().take(3) {
            rig.accuse_as(*observer, 3, 900 + step * 100, 1, 0, 0);
        }
        rig.run(100 * MS);
    }
    assert_eq!(rig.records(EventKind::GRAY).len(), 1);
    rig.leader = 9;
    rig.run(12 * SECOND);
    rig.forget();
    (rig.leader, rig.term, rig.acks) = (2, 4, true);
    rig.run(3 * SECOND);
    assert!(rig.records(EventKind::GRAY).is_empty(), "all have taken it back meanwhile");
    let cleared = rig.records(EventKind::CLEARED);
    assert_eq!(cleared.len(), 1, "in the place of the gray");
    assert_eq!(cleared[0].incarnation, Incarnation(0), "and of nobody");
}

#[test]
fn silence_counts_for_nothing_while_no_majority_follows_the_leader() {
    let mut rig = Rig::new(20, 4);
    rig.is_followed = false;
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(2 * SECOND);
    assert!(rig.satellite.feed.is_heard(rig.now.at), "it answers heartbeats as ever");
    assert!(rig.records(EventKind::DEAD).is_empty());
    rig.is_followed = true;
    rig.run(150 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn a_node_that_is_back_before_the_leader_answers_is_not_dead() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    rig.is_cut_off = true;
    rig.accuse_by_all(3, 900);
    rig.run(400 * MS);
    assert!(rig.satellite.feed.is_heard(rig.now.at), "too short a cut to be noticed");
    rig.alive.insert(3);
    rig.is_cut_off = false;
    rig.run(2 * SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
}

#[test]
fn a_lone_case_asks_the_leader_at_once_and_many_ask_it_no_oftener() {
    let mut rig = Rig::new(100, 4);
    for (cases, apart_ms) in [(1, 0), (12, 7)] {
        let nodes: Vec<u32> = (0..100).filter(|slot| rig.alive.contains(slot)).collect();
        let dying: Vec<u32> = nodes.into_iter().take(cases).collect();
        rig.alive.retain(|slot| !dying.contains(slot));
        rig.run(SECOND);
        rig.forget();
        rig.leader_asked.clear();
        let began = rig.now.at;
        for slot in &dying {
            rig.accuse_by_all(*slot, 900);
            rig.run(apart_ms * MS);
        }
        rig.run(300 * MS);
        assert_eq!(rig.records(EventKind::DEAD).len(), cases);
        assert!(rig.count(Counter::ProbesSent) >= 3 * u64::try_from(cases).unwrap());
        let asked = &rig.leader_asked;
        assert!(asked[0].since(began) <= 5 * MS, "{asked:?}");
        assert!(asked.windows(2).all(|two| two[1].since(two[0]) >= 20 * MS), "{asked:?}");
        for slot in dying {
            rig.set(slot, MemberState::Dead, 1);
        }
        rig.feed();
    }
}

#[test]
fn a_round_that_falls_between_two_questions_to_the_leader_is_proven_by_the_next() {
    let mut rig = Rig::new(20, 4);
    rig.satellite.config.profile = Profile::FAST;
    rig.alive.retain(|slot| ![3, 5].contains(slot));
    rig.run(SECOND);
    rig.accuse_by_all(3, 900);
    while rig.leader_asked.is_empty() {
        rig.run(MS);
    }
    let asked = rig.now.at;
    rig.accuse_by_all(5, 900);
    while rig.records(EventKind::DEAD).len() < 2 {
        rig.run(MS);
        assert!(rig.now.at.since(asked) <= 45 * MS, "{:?}", rig.leader_asked);
    }
}

#[test]
fn while_no_leader_answers_the_accused_are_asked_no_oftener_than_else() {
    let mut rig = Rig::new(20, 4);
    rig.is_cut_off = true;
    rig.run(2 * SECOND);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(100 * MS);
    let asked = rig.count(Counter::ProbesSent);
    rig.run(2 * SECOND);
    let per_s = (rig.count(Counter::ProbesSent) - asked) / 2;
    assert!((14..=16).contains(&per_s), "{per_s}/s");
}
