//! When the host of a node sends back what was for its agent.

use super::fixture::{Rig, node_addr};
use std::vec::Vec;
use syncom_seam::{Counter, MS, Role as _};
use syncom_wire::probe::Probe;
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Addr, Frame, Frames, Incarnation, Slot, Subject};

/// Somebody says that a heartbeat came back from `subject`.
fn refuse(rig: &mut Rig, reporter: u32, subject: u32) {
    let id = ReportId { slot: Slot(reporter), incarnation: Incarnation(1), seq: 1 };
    let head = ReportHead {
        id,
        subject: Subject::node(Slot(subject)),
        incarnation: Incarnation(1),
        kind: EventKind::SILENT,
        heard_ago_us: 0,
        domain: 0,
        flags: Report::REFUSED | Report::NEVER_HEARD,
        neighbours: 0,
        health: 0,
        severity: 0,
        reserved: 0,
        count: 1,
    };
    rig.hear_node(reporter, &Report { head, subject: "", kind: "", detail: "" });
}

/// Whom the node in `slot` observes, and who is neither that nor the node.
fn subject_and_stranger(rig: &Rig, slot: u32) -> (u32, u32) {
    let subjects = rig.satellite.world.subjects(Slot(slot)).to_vec();
    let is_strange = |other: &u32| *other != slot && !subjects.contains(&Slot(*other));
    (subjects[0].0, (1..20).find(is_strange).unwrap())
}

/// Probes that were sent, and where.
fn probes(rig: &Rig) -> Vec<(Addr, Probe)> {
    let of = |(to, bytes): &(Addr, Vec<u8>)| {
        Frames::new(bytes).flatten().find_map(|frame| match frame {
            Frame::Probe(probe) => Some((*to, probe)),
            _ => None,
        })
    };
    rig.sent.iter().filter_map(of).collect()
}

fn come_back(rig: &mut Rig, probe: Probe) {
    let to = node_addr(probe.slot.0);
    rig.satellite.on_returned(rig.now, to, &Frame::Probe(probe), &mut rig.out);
    rig.end_burst();
}

#[test]
fn one_whose_heartbeat_came_back_has_the_node_asked_and_kills_nobody() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    let (subject, stranger) = subject_and_stranger(&rig, 3);
    refuse(&mut rig, stranger, 3);
    rig.run(100 * MS);
    assert_eq!(rig.count(Counter::ProbesSent), 0, "nobody whom it observes");
    refuse(&mut rig, subject, 3);
    rig.run(100 * MS);
    assert_eq!(rig.count(Counter::ProbesSent), 3);
    for _ in 0..3 {
        refuse(&mut rig, subject, 3);
        rig.run(200 * MS);
    }
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert!(rig.records(EventKind::GRAY).is_empty());
    rig.run(500 * MS);
    assert_eq!(rig.count(Counter::EvidenceLive), 0, "and it is forgotten");
}

#[test]
fn observers_are_asked_when_the_question_itself_came_back_and_only_then() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    let (subject, _) = subject_and_stranger(&rig, 3);
    refuse(&mut rig, subject, 3);
    rig.run(10 * MS);
    let (to, probe) = probes(&rig)[0];
    assert_eq!(to, node_addr(3));
    rig.sent.clear();
    come_back(&mut rig, Probe { nonce: probe.nonce ^ 1, ..probe });
    assert!(probes(&rig).is_empty(), "nobody has asked that");
    let observer = node_addr(rig.observers(3)[0]);
    rig.satellite.on_returned(rig.now, observer, &Frame::Probe(probe), &mut rig.out);
    rig.end_burst();
    assert!(probes(&rig).is_empty(), "an observer is gone, and not the accused");
    come_back(&mut rig, probe);
    let observers: Vec<Addr> = rig.observers(3).into_iter().map(node_addr).collect();
    let asked: Vec<Addr> = probes(&rig).into_iter().map(|(to, _)| to).collect();
    assert_eq!(asked, observers);
    assert!(probes(&rig).iter().all(|(_, probe)| (probe.slot, probe.nonce) == (Slot(3), 0)));
}

#[test]
fn a_node_whose_host_refused_dies_by_its_observers_without_another_round_of_questions() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    let (subject, _) = subject_and_stranger(&rig, 3);
    refuse(&mut rig, subject, 3);
    rig.run(70 * MS);
    rig.accuse_by_all(3, 900);
    rig.run(15 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
    assert_eq!(rig.count(Counter::ProbesSent), 3);
}

#[test]
fn a_node_that_answers_lives_whatever_comes_back() {
    let mut rig = Rig::new(20, 4);
    let (subject, _) = subject_and_stranger(&rig, 3);
    for _ in 0..10 {
        refuse(&mut rig, subject, 3);
        rig.run(20 * MS);
        if let Some((_, probe)) = probes(&rig).first().copied() {
            come_back(&mut rig, probe);
        }
        rig.accuse_by_all(3, 300);
        rig.run(180 * MS);
    }
    assert!(rig.records(EventKind::DEAD).is_empty());
}

#[test]
fn deaths_of_one_moment_wait_for_one_that_was_asked_in_vain_and_that_few_accuse_yet() {
    for few in [0, 1, 2] {
        let mut rig = Rig::new(60, 6);
        rig.kill(3);
        rig.alive.remove(&5);
        for slot in [3, 5] {
            let (subject, _) = subject_and_stranger(&rig, slot);
            refuse(&mut rig, subject, slot);
        }
        rig.run(70 * MS);
        rig.accuse_by_all(3, 900);
        let observers = rig.observers(5);
        observers.iter().take(few).for_each(|observer| rig.accuse(*observer, 5, 900));
        rig.run(30 * MS);
        assert!(rig.records(EventKind::DEAD).is_empty(), "{few} accuse");
        rig.accuse_by_all(5, 900);
        rig.run(150 * MS);
        assert_eq!(rig.records(EventKind::DEAD).len(), 2);
        let with_dead = rig.batches.iter().filter(|got| !got.records().is_empty()).count();
        assert_eq!(with_dead, 1, "{few} accuse");
    }
}
