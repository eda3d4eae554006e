//! One order to many nodes, over a network that loses.

use super::fixture::{Rig, node_addr};
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;
use syncom_seam::{Counter, MS, Rng, SECOND};
use syncom_wire::idset::{self, IdSet};
use syncom_wire::order::{OrderHead, Receipt, ReceiptHead, Shard, ShardHead, Verb};
use syncom_wire::{Addr, Frame, Frames, Incarnation, OrderId, Slot, Term};

const ORDER: OrderId = OrderId(42);

fn give(rig: &mut Rig, shard: u32, to: (u32, u32), deadline_ms: u32, cancel: u8) {
    let mut image = vec![0; 64];
    let len = idset::encode(core::iter::once(to), &mut image).unwrap();
    let order = OrderHead {
        id: ORDER,
        term: Term(3),
        deadline_ms,
        verb: Verb::Run as u8,
        policy: OrderHead::ALL,
        flags: 0,
        need: 0,
        reserved: 0,
    };
    let head = ShardHead { shard, lease_ms: 50, cancel, reserved: [0; 7] };
    let to = IdSet::parse(&image[..len]).unwrap();
    rig.tell(&Shard { order, head, to, payload: b"hostname\0" });
}

fn receipt(rig: &mut Rig, slot: u32, state: u8, code: i32, output: &[u8]) {
    receipt_with(rig, slot, state, (code, Receipt::ASKS_ACK), output);
}

fn receipt_with(rig: &mut Rig, slot: u32, state: u8, (code, flags): (i32, u16), output: &[u8]) {
    let head = ReceiptHead {
        id: ORDER,
        slot: Slot(slot),
        incarnation: Incarnation(1),
        state,
        cut: 0,
        flags,
        code,
        output_total: u64::try_from(output.len()).unwrap(),
        took_us: 1,
    };
    rig.hear_node(slot, &Receipt { head, output });
}

/// Orders that went to nodes since the last look, by address.
fn delivered(rig: &mut Rig) -> Vec<Addr> {
    let mut found = Vec::new();
    rig.for_sent(|to, frame| {
        if let Frame::Order(order) = frame {
            assert_eq!((order.head.id, order.payload), (ORDER, &b"hostname\0"[..]));
            found.push(to);
        }
    });
    rig.sent.clear();
    found
}

/// What the station was told: code and output by slot, the last answered count, and `last`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    results: BTreeMap<u32, (i32, Vec<u8>)>,
    outcomes: usize,
    progress: usize,
    answered: u32,
    last: usize,
}

fn told(rig: &Rig) -> Told {
    let mut told = Told::default();
    for message in &rig.messages {
        for frame in Frames::new(message).flatten() {
            let Frame::ShardProgress(progress) = frame else { continue };
            assert!(progress.head.answered >= told.answered);
            told.progress += 1;
            told.answered = progress.head.answered;
            told.last += usize::from(progress.head.last);
            for frame in Frames::new(progress.outcomes) {
                let Frame::Outcome(outcome) = frame.unwrap() else { panic!("{frame:?}") };
                told.outcomes += 1;
                for slot in outcome.nodes.iter() {
                    let result = (outcome.code, outcome.output.to_vec());
                    let before = told.results.insert(slot.0, result);
                    assert_eq!(before, None, "slot {slot} was told twice");
                }
            }
        }
    }
    told
}

#[test]
fn two_hundred_nodes_over_a_lossy_network_are_told_once_each() {
    let mut rig = Rig::new(200, 4);
    let mut rng = Rng::new(5);
    give(&mut rig, 1, (0, 200), 30_000, 0);
    let by_addr: BTreeMap<Addr, u32> = (0..200).map(|slot| (node_addr(slot), slot)).collect();
    for _ in 0..2_000 {
        for to in delivered(&mut rig) {
            // The order or its receipt is lost two times in five.
            if !rng.chance(2, 5) {
                let slot = by_addr[&to];
                receipt(&mut rig, slot, Receipt::DONE, i32::from(slot.is_multiple_of(4)), b"same");
                receipt(&mut rig, slot, Receipt::DONE, 0, b"a late repetition");
            }
        }
        rig.run(5 * MS);
        if told(&rig).last > 0 {
            break;
        }
    }
    let told = told(&rig);
    assert_eq!((told.results.len(), told.answered, told.last), (200, 200, 1));
    for (slot, (code, output)) in &told.results {
        assert_eq!((*code, output.as_slice()), (i32::from(slot.is_multiple_of(4)), &b"same"[..]));
    }
    assert!(told.outcomes < 60, "equal results are folded: {}", told.outcomes);
    assert!(rig.count(Counter::OrdersDelivered) > 200);
    rig.forget();
    rig.run(2 * SECOND);
    assert!(delivered(&mut rig).is_empty(), "the job is over");
}

#[test]
fn a_node_that_never_answers_is_told_as_no_answer_at_the_deadline() {
    let mut rig = Rig::new(3, 1);
    give(&mut rig, 1, (0, 3), 2_000, 0);
    receipt(&mut rig, 0, Receipt::DONE, 0, b"");
    receipt(&mut rig, 1, Receipt::REFUSED, Receipt::NO_SERVICE, b"");
    rig.run(1_900 * MS);
    assert_eq!((told(&rig).answered, told(&rig).last), (2, 0));
    rig.run(200 * MS);
    let told = told(&rig);
    let codes: Vec<i32> = told.results.values().map(|(code, _)| *code).collect();
    assert_eq!(codes, [0, Receipt::NO_SERVICE, Receipt::NO_ANSWER]);
    assert_eq!(told.last, 1);
}

#[test]
fn the_lease_is_renewed_while_nothing_happens() {
    let mut rig = Rig::new(3, 1);
    give(&mut rig, 1, (0, 3), 20_000, 0);
    rig.run(SECOND);
    assert!(told(&rig).progress >= 40, "{}", told(&rig).progress);
    assert_eq!(told(&rig).answered, 0);
}

#[test]
fn after_acceptance_a_node_is_asked_about_once_a_second() {
    let mut rig = Rig::new(1, 1);
    give(&mut rig, 1, (0, 1), 60_000, 0);
    assert_eq!(delivered(&mut rig).len(), 1);
    receipt(&mut rig, 0, Receipt::ACCEPTED, 0, b"");
    rig.run(10 * SECOND);
    let asked = delivered(&mut rig).len();
    assert!((8..=13).contains(&asked), "{asked}");
}

#[test]
fn the_dead_and_the_unknown_are_answered_for_at_once() {
    let mut rig = Rig::new(3, 1);
    give(&mut rig, 1, (1, 5), 20_000, 0);
    rig.set(2, syncom_wire::member::MemberState::Dead, 1);
    rig.feed();
    receipt(&mut rig, 1, Receipt::DONE, 0, b"");
    rig.run(30 * MS);
    let told = told(&rig);
    let codes: Vec<i32> = told.results.values().map(|(code, _)| *code).collect();
    assert_eq!(codes, [0, Receipt::NODE_DEAD, Receipt::NODE_DEAD, Receipt::NODE_DEAD]);
    assert_eq!(told.last, 1);
}

#[test]
fn a_cancelled_shard_is_forgotten_and_final_receipts_are_always_acknowledged() {
    let mut rig = Rig::new(3, 1);
    give(&mut rig, 1, (0, 3), 20_000, 0);
    give(&mut rig, 1, (0, 3), 20_000, 1);
    rig.forget();
    rig.run(2 * SECOND);
    assert!(delivered(&mut rig).is_empty());
    receipt(&mut rig, 2, Receipt::DONE, 0, b"");
    assert_eq!(rig.sent_where(|frame| matches!(frame, Frame::ReceiptAck(_))).len(), 1);
}

#[test]
fn a_new_leader_finds_no_old_shards_and_gives_them_anew() {
    let mut rig = Rig::new(3, 1);
    give(&mut rig, 1, (0, 3), 20_000, 0);
    (rig.leader, rig.term) = (2, 4);
    rig.run(500 * MS);
    rig.forget();
    rig.run(2 * SECOND);
    assert!(delivered(&mut rig).is_empty());
    give(&mut rig, 1, (0, 3), 20_000, 0);
    let to: BTreeSet<Addr> = delivered(&mut rig).into_iter().collect();
    assert_eq!(to.len(), 3);
}

#[test]
fn results_that_differ_are_all_kept() {
    let mut rig = Rig::new(100, 1);
    give(&mut rig, 1, (0, 100), 20_000, 0);
    rig.run(20 * MS);
    for slot in 0..100u32 {
        let output = std::format!("node{slot}").repeat(1000);
        receipt(&mut rig, slot, Receipt::DONE, 0, &output.as_bytes()[..5_000]);
    }
    rig.run(100 * MS);
    let told = told(&rig);
    assert_eq!((told.results.len(), told.outcomes, told.last), (100, 100, 1));
    let frame = rig.messages.iter().map(Vec::len).max().unwrap();
    assert!(frame < 300 * 1024);
}

#[test]
fn a_shard_is_taken_at_once_and_its_bursts_are_paced_by_answers() {
    let mut rig = Rig::new(600, 1);
    give(&mut rig, 1, (0, 600), 20_000, 0);
    assert_eq!(delivered(&mut rig).len(), 512);
    rig.run(MS);
    let taken = told(&rig);
    assert_eq!((taken.progress, taken.answered, taken.last), (1, 0, 0));
    for slot in 0..10 {
        receipt(&mut rig, slot, Receipt::DONE, 0, b"");
    }
    assert_eq!(delivered(&mut rig).len(), 20, "two more for each");
    receipt(&mut rig, 20, Receipt::REFUSED, Receipt::BUSY, b"");
    assert!(delivered(&mut rig).is_empty(), "it is asked again in time, and lets nobody follow");
}

#[test]
fn what_answers_an_order_directly_is_not_acknowledged() {
    let mut rig = Rig::new(3, 1);
    give(&mut rig, 1, (0, 3), 20_000, 0);
    receipt_with(&mut rig, 1, Receipt::DONE, (0, 0), b"");
    assert!(rig.sent_where(|frame| matches!(frame, Frame::ReceiptAck(_))).is_empty());
    receipt_with(&mut rig, 2, Receipt::DONE, (0, Receipt::ASKS_ACK), b"");
    assert_eq!(rig.sent_where(|frame| matches!(frame, Frame::ReceiptAck(_))).len(), 1);
    rig.run(20 * MS);
    assert_eq!(told(&rig).answered, 2);
}

#[test]
fn a_stopped_shard_is_told_to_those_that_have_not_answered() {
    let mut rig = Rig::new(4, 1);
    give(&mut rig, 1, (0, 4), 20_000, 0);
    receipt(&mut rig, 0, Receipt::DONE, 0, b"");
    receipt(&mut rig, 1, Receipt::ACCEPTED, 0, b"");
    rig.forget();
    give(&mut rig, 1, (0, 4), 20_000, ShardHead::STOP);
    let mut stopped = Vec::new();
    rig.for_sent(|to, frame| {
        if let Frame::Order(order) = frame {
            assert_eq!(order.head.flags, OrderHead::CANCEL);
            stopped.push(to);
        }
    });
    assert_eq!(stopped, [1, 2, 3].map(node_addr));
    rig.forget();
    rig.run(2 * SECOND);
    assert!(delivered(&mut rig).is_empty());
}
