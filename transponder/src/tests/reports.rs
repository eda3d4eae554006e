//! Reports of everybody: combined, batched, kept until they are committed.

use super::fixture::Rig;
use super::seen::report_head;
use std::vec::Vec;
use syncom_seam::{Counter, MS, SECOND};
use syncom_wire::Subject;
use syncom_wire::report::{EventKind, Report};
use syncom_wire::uplink::{BatchAck, ItemResult};

const RECEIVED: u8 = 0;
const COMMITTED: u8 = 1;
const BUSY: u8 = 2;

fn report(rig: &mut Rig, reporter: u32, seq: u64) {
    let kind = EventKind::named("hot");
    let head = report_head(reporter, seq, kind, Subject::named("rack7"));
    rig.hear_node(reporter, &Report { head, subject: "rack7", kind: "hot", detail: "81 C" });
}

/// Invariant 2: acknowledged as committed is only what the station says that it has applied.
#[test]
fn a_report_is_received_at_once_and_committed_only_by_the_station() {
    let mut rig = Rig::new(4, 1);
    rig.acks = false;
    report(&mut rig, 2, 9);
    assert_eq!(rig.acks_to(2), [(9, RECEIVED, 0)]);
    rig.run(100 * MS);
    assert_eq!(rig.batches.len(), 1);
    assert_eq!(rig.acks_to(2), [(9, RECEIVED, 0)]);
    let seq = rig.batches[0].seq;
    rig.acknowledge(seq, ItemResult::DONE, 1);
    rig.run(MS);
    assert_eq!(rig.acks_to(2), [(9, RECEIVED, 0), (9, COMMITTED, 1000)]);
}

#[test]
fn equal_reports_within_a_moment_are_one_record() {
    let mut rig = Rig::new(12, 1);
    for reporter in 0..12 {
        report(&mut rig, reporter, 1);
        report(&mut rig, reporter, 1);
    }
    rig.run(50 * MS);
    let records = rig.records(EventKind::named("hot"));
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].reporters, records[0].count), (12, 12));
    assert_eq!(rig.count(Counter::UplinkDuplicates), 12);
    assert_eq!(rig.acks_to(11).last(), Some(&(1, COMMITTED, 1000)));
}

#[test]
fn a_seventeenth_report_opens_another_record_and_nobody_is_forgotten() {
    let mut rig = Rig::new(40, 1);
    for reporter in 0..40 {
        report(&mut rig, reporter, 1);
    }
    rig.run(200 * MS);
    let reporters: Vec<u32> =
        rig.records(EventKind::named("hot")).iter().map(|record| record.reporters).collect();
    assert_eq!(reporters.iter().sum::<u32>(), 40);
    assert!(reporters.iter().all(|count| *count <= 16));
    for reporter in 0..40 {
        assert_eq!(rig.acks_to(reporter).last().unwrap().1, COMMITTED);
    }
}

#[test]
fn below_its_threshold_a_report_is_dropped_and_above_it_counted() {
    let mut config = Rig::started(1).satellite.config.clone();
    config.policies.default.min_distinct = 3;
    let mut rig = Rig::with(config);
    rig.feed();
    report(&mut rig, 1, 1);
    report(&mut rig, 1, 2);
    report(&mut rig, 2, 1);
    rig.run(2 * SECOND);
    assert!(rig.records(EventKind::named("hot")).is_empty(), "two reporters of three");
    assert_eq!(rig.count(Counter::UplinkNoise), 1);
    for reporter in 1..4 {
        report(&mut rig, reporter, 7);
    }
    rig.run(100 * MS);
    assert_eq!(rig.records(EventKind::named("hot")).len(), 1);
}

#[test]
fn a_full_queue_is_passed_on_as_busy_and_the_report_may_come_again() {
    let mut rig = Rig::new(4, 1);
    rig.acks = false;
    report(&mut rig, 2, 9);
    rig.run(50 * MS);
    let seq = rig.batches[0].seq;
    rig.acknowledge(seq, ItemResult::BUSY, 1);
    rig.run(MS);
    assert_eq!(rig.acks_to(2).last().map(|ack| ack.1), Some(BUSY));
    rig.acks = true;
    report(&mut rig, 2, 9);
    rig.run(50 * MS);
    assert_eq!(rig.acks_to(2).last(), Some(&(9, COMMITTED, 1000)));
}

#[test]
fn unanswered_batches_go_unchanged_and_in_order_to_the_next_leader() {
    let mut rig = Rig::new(4, 1);
    rig.acks = false;
    for seq in 1..=3 {
        report(&mut rig, 2, seq);
        rig.run(50 * MS);
    }
    let first: Vec<_> = rig.batches.iter().map(|got| (got.seq, got.items.clone())).collect();
    assert_eq!(first.len(), 3);
    rig.forget();
    (rig.leader, rig.term) = (2, 4);
    rig.acks = true;
    rig.run(500 * MS);
    assert!(rig.batches.iter().all(|got| got.replica == 2));
    let again: Vec<_> = rig.batches.iter().map(|got| (got.seq, got.items.clone())).collect();
    assert_eq!(first, again);
    assert_eq!(rig.acks_to(2).len(), 3);
}

#[test]
fn a_busy_station_gets_the_same_batch_later() {
    let mut rig = Rig::new(4, 1);
    rig.acks = false;
    report(&mut rig, 2, 1);
    rig.run(50 * MS);
    let seq = rig.batches[0].seq;
    rig.answer_batch(seq, BatchAck::BUSY, &[]);
    rig.run(MS);
    assert_eq!(rig.batches.len(), 1, "not at once");
    rig.run(200 * MS);
    assert_eq!(rig.batches.len(), 2);
    assert_eq!(rig.batches[0], rig.batches[1]);
}

#[test]
fn at_most_four_batches_are_unanswered() {
    let mut rig = Rig::new(4, 1);
    rig.acks = false;
    for seq in 1..=10 {
        report(&mut rig, 2, seq);
        rig.run(30 * MS);
    }
    assert_eq!(rig.batches.len(), 4);
    let seq = rig.batches[0].seq;
    rig.acknowledge(seq, ItemResult::DONE, rig.batches[0].count());
    rig.run(50 * MS);
    assert_eq!(rig.batches.len(), 5);
}

#[test]
fn nobody_may_claim_a_death() {
    let mut rig = Rig::new(4, 1);
    for kind in [EventKind::DEAD, EventKind::GRAY, EventKind::STORM, EventKind::NEW] {
        let head = report_head(2, 1, kind, Subject(1));
        rig.hear_node(2, &Report { head, subject: "", kind: "", detail: "" });
    }
    rig.run(SECOND);
    assert!(rig.batches.is_empty());
    assert_eq!(rig.count(Counter::DropRole), 4);
}
