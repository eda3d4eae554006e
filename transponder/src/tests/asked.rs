//! What people are told who ask why a node is not dead.

use super::fixture::Rig;
use std::vec::Vec;
use syncom_seam::{MS, SECOND};
use syncom_wire::case::Case;
use syncom_wire::control::{Ask, AskHead, Reply, Verb};
use syncom_wire::report::{EventKind, Report};
use syncom_wire::{Addr, Frame, Frames, PeerId};

const PERSON: Addr = Addr::v4([12, 0, 0, 1], 99);

/// What the satellite shows of the case against a node, when it answers with one.
fn shown(rig: &mut Rig, slot: u32) -> Option<Case> {
    answers(rig, PeerId::client(77), Verb::Judged, slot.into()).remove(0)
}

/// The cases in the answers to one question.
fn answers(rig: &mut Rig, from: PeerId, verb: Verb, cursor: u64) -> Vec<Option<Case>> {
    rig.sent.clear();
    let head =
        AskHead { request: 5, verb: verb as u16, freshness: Ask::STALE, reserved: [0; 5], cursor };
    rig.hear(from, PERSON, &Ask { head, argument: &[] });
    let sent = rig.sent.iter().filter(|(to, _)| *to == PERSON);
    let reply = |bytes: &[u8]| match Frames::new(bytes).next() {
        Some(Ok(Frame::Reply(reply))) => {
            assert_eq!((reply.head.request, reply.head.status), (5, Reply::DONE));
            match reply.iter().next() {
                Some(Ok(Frame::Case(case))) => Some(case),
                None => None,
                other => panic!("no case: {other:?}"),
            }
        }
        other => panic!("no reply: {other:?}"),
    };
    sent.map(|(_, bytes)| reply(bytes)).collect()
}

#[test]
fn nobody_is_shown_who_is_not_accused_and_only_programs_may_ask() {
    let mut rig = Rig::new(20, 4);
    assert_eq!(shown(&mut rig, 3), None);
    assert_eq!(answers(&mut rig, PeerId::client(7), Verb::Judged, u64::MAX), [None]);
    assert_eq!(answers(&mut rig, PeerId::satellite(9), Verb::Judged, 3), []);
    assert_eq!(answers(&mut rig, PeerId::client(7), Verb::Watched, 3), []);
}

#[test]
fn a_veto_names_who_heard_the_node_last_and_when() {
    let mut rig = Rig::new(20, 4);
    rig.accuse_by_all(3, 900);
    rig.run(200 * MS);
    let case = shown(&mut rig, 3).unwrap();
    assert_eq!((case.refusal, case.sign), (Case::VETOED, Case::ANSWER));
    assert!(case.lived_ago_us <= 200_000, "{case:?}");
    assert!(case.accusers >= case.accusers_needed && case.score_x16 > 0, "{case:?}");
    assert!(rig.records(EventKind::DEAD).is_empty());
}

#[test]
fn the_witness_is_the_observer_that_heard_it_last() {
    let mut rig = Rig::new(20, 4);
    rig.run(100 * MS);
    rig.kill(3);
    let observers = rig.observers(3);
    rig.accuse_as(observers[0], 3, 900, 1, 0, 0);
    rig.run(20 * MS);
    rig.accuse_as(observers[1], 3, 0, 1, Report::RETRACT, 0);
    let case = shown(&mut rig, 3).unwrap();
    assert_eq!((case.refusal, case.sign), (Case::FEW_ACCUSERS, Case::SAID));
    assert_eq!((case.accusers, case.witness.0), (1, observers[1]), "{case:?}");
    assert_eq!(case.accusers_needed, 2);
}

#[test]
fn accusers_of_one_domain_are_named_as_what_they_are() {
    let mut rig = Rig::new(60, 2);
    rig.run(3 * SECOND);
    rig.kill(3);
    let observers = rig.observers(3);
    let domain = observers[0] % 2;
    for one in observers.iter().filter(|one| **one % 2 == domain) {
        rig.accuse(*one, 3, 900);
    }
    for one in observers.iter().filter(|one| **one % 2 != domain) {
        rig.mute.insert(*one);
    }
    rig.run(100 * MS);
    let case = shown(&mut rig, 3).unwrap();
    assert_eq!((case.refusal, case.domains, case.domains_needed), (Case::ONE_DOMAIN, 1, 2));
}

#[test]
fn a_death_is_asked_for_then_announced_then_gone() {
    let mut rig = Rig::new(20, 4);
    rig.run(3 * SECOND);
    rig.kill(3);
    rig.acks = false;
    rig.accuse_by_all(3, 900);
    rig.run(10 * MS);
    assert_eq!(shown(&mut rig, 3).unwrap().refusal, Case::ASKING);
    rig.run(500 * MS);
    let case = shown(&mut rig, 3).unwrap();
    assert_eq!(case.refusal, Case::FOUND);
    assert!(case.score_x16 >= case.needed_x16 && case.probes >= 3, "{case:?}");
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn one_turn_that_is_missed_condemns_nobody_nor_does_a_moment_of_silence() {
    let mut rig = Rig::new(20, 4);
    rig.run(100 * MS);
    rig.kill(3);
    rig.run(100 * MS);
    let observers = rig.observers(3);
    // Three miss their turns, but it was heard a moment ago.
    let missed = Report::IN_TURN | Report::MISSED;
    observers[..3].iter().for_each(|one| rig.accuse_as(*one, 3, 100, 1, missed, 0));
    observers[3..].iter().for_each(|one| rig.accuse_as(*one, 3, 100, 1, Report::IN_TURN, 0));
    rig.run(400 * MS);
    assert!(rig.records(EventKind::DEAD).is_empty(), "it may stand still");
    rig.run(300 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);

    let mut rig = Rig::new(20, 4);
    rig.run(100 * MS);
    rig.kill(3);
    rig.accuse_as(observers[0], 3, 900, 1, missed, 0);
    rig.run(700 * MS);
    observers[1..].iter().for_each(|one| rig.accuse_as(*one, 3, 700, 1, Report::IN_TURN, 0));
    rig.run(500 * MS);
    assert!(
        rig.records(EventKind::DEAD).is_empty(),
        "it may hear nobody, and be heard by the next"
    );
    rig.accuse_as(observers[1], 3, 1_200, 1, missed, 0);
    rig.run(300 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1, "the next has missed it, too");
}
