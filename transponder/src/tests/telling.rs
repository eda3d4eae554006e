//! What the station is told of cases that are not decided yet, so that deaths wait for each other there.

use super::fixture::Rig;
use std::vec::Vec;
use syncom_seam::{MS, SECOND};
use syncom_wire::member::MemberState;
use syncom_wire::report::EventKind;
use syncom_wire::{Frame, Frames};

/// How many undecided cases the station was told of, in order, each number once.
fn told(rig: &Rig) -> Vec<u32> {
    let mut told: Vec<u32> = Vec::new();
    for message in &rig.messages {
        told.extend(Frames::new(message).filter_map(|frame| match frame {
            Ok(Frame::HomeStats(stats)) => Some(stats.undecided),
            _ => None,
        }));
    }
    told.dedup();
    told
}

#[test]
fn the_station_hears_at_once_of_undecided_cases_and_when_there_are_none_any_more() {
    let mut rig = Rig::new(20, 4);
    rig.run(3 * SECOND);
    for node in [3, 5] {
        rig.kill(node);
        rig.accuse_by_all(node, 900);
    }
    rig.run(40 * MS);
    assert_eq!(told(&rig), [0, 2]);
    assert!(rig.records(EventKind::DEAD).is_empty(), "it was told of them before it is of deaths");
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 2);
    assert_eq!(told(&rig), [0, 2, 0]);
}

#[test]
fn a_case_that_a_view_has_settled_is_undecided_no_longer() {
    let mut rig = Rig::new(20, 4);
    rig.run(3 * SECOND);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(40 * MS);
    assert_eq!(told(&rig), [0, 1]);
    rig.set(3, MemberState::Dead, 4);
    rig.feed();
    rig.run(60 * MS);
    assert_eq!(told(&rig), [0, 1, 0]);
}

#[test]
fn the_station_hears_of_the_present_number_and_so_does_another_leader() {
    let mut rig = Rig::new(20, 4);
    rig.run(3 * SECOND);
    // No round is proven, so who is silent is not decided.
    rig.is_followed = false;
    for node in [3, 5, 7] {
        rig.kill(node);
        rig.accuse_by_all(node, 900);
    }
    rig.run(40 * MS);
    rig.alive.insert(5);
    rig.run(3 * SECOND);
    assert_eq!(told(&rig), [0, 3, 2], "one has shown itself");
    rig.messages.clear();
    while told(&rig).is_empty() {
        rig.run(5 * MS);
    }
    rig.messages.clear();
    (rig.leader, rig.term) = (2, 4);
    rig.run(300 * MS);
    assert_eq!(told(&rig), [2], "whoever leads now was told of nothing yet");
}
