//! Orders executed once and answered as often as asked.

use crate::fixture::{SLOT, World, home_answer, payload, satellite};
use std::string::String;
use std::vec::Vec;
use syncom_seam::{Action, Counter, Done, Exit, Role as _};
use syncom_wire::limits::OUTPUT_MAX;
use syncom_wire::order::{Order, OrderHead, Receipt, ReceiptAck, ReceiptHead, Verb};
use syncom_wire::{Addr, Frame, Incarnation, Kind, OrderId, Term};

fn head(id: u64, term: u64) -> OrderHead {
    OrderHead {
        id: OrderId(id),
        term: Term(term),
        deadline_ms: 10_000,
        verb: Verb::Run as u8,
        policy: 0,
        flags: 0,
        need: 0,
        reserved: 0,
    }
}

fn order(world: &mut World, from: u16, head: OrderHead, words: &[&str]) {
    let payload = payload(words);
    world.hear_satellite(from, &Frame::Order(Order { head, payload: &payload }));
}

fn exit(world: &mut World, token: u64, code: i32, output: &[u8], output_total: u64) {
    let exit = Exit { code, output: output.to_vec(), output_total };
    let now = world.at();
    world.agent.on_done(now, Done::Exited { token, exit }, &mut world.out);
    world.gather();
}

fn spawned(world: &World) -> Vec<(u64, Vec<String>)> {
    let spawns = world.asked.iter().filter_map(|action| match action {
        Action::Spawn(spawn) => Some((spawn.token, spawn.argv.clone())),
        _ => None,
    });
    spawns.collect()
}

fn receipts(world: &World) -> Vec<(Addr, ReceiptHead, Vec<u8>)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Receipt(receipt) => (sent.to, receipt.head, receipt.output.to_vec()),
        _ => unreachable!(),
    };
    world.of(Kind::Receipt).into_iter().map(of).collect()
}

fn acknowledge(world: &mut World, id: u64) {
    let ack = ReceiptAck { id: OrderId(id), slot: SLOT, incarnation: Incarnation(1) };
    world.hear_satellite(1, &Frame::ReceiptAck(ack));
}

#[test]
fn an_order_is_executed_once_although_it_comes_three_times_through_two_satellites() {
    let mut world = World::member(2);
    order(&mut world, 1, head(1, 1), &["hostname", "-f"]);
    order(&mut world, 1, head(1, 1), &["hostname", "-f"]);
    assert_eq!(spawned(&world), [(1, ["hostname", "-f"].map(String::from).to_vec())]);
    let states: Vec<_> = receipts(&world).iter().map(|(_, head, _)| head.state).collect();
    assert_eq!(states, [Receipt::ACCEPTED, Receipt::ACCEPTED]);
    world.run_ms(30);
    exit(&mut world, 1, 0, b"node7\n", 6);
    // The same order from the next recovery manager, by another way.
    order(&mut world, 2, head(1, 4), &["hostname", "-f"]);
    let receipts = receipts(&world);
    let (to, last, output) = receipts.last().unwrap();
    assert_eq!((*to, last.state, last.code, last.cut), (satellite(2), Receipt::DONE, 0, 0));
    assert_eq!((output.as_slice(), last.output_total), (b"node7\n".as_slice(), 6));
    assert_eq!((last.slot, last.incarnation), (SLOT, Incarnation(1)));
    assert!(last.took_us >= 30_000);
    assert_eq!(spawned(&world).len(), 1);
    assert_eq!(world.out.counter(Counter::OrdersExecuted), 1);
    assert_eq!(world.out.counter(Counter::OrdersRepeated), 2);
}

#[test]
fn an_order_of_an_older_term_is_refused_and_may_come_again_with_a_newer_one() {
    let mut world = World::member(2);
    world.hear_satellite(1, &Frame::HomeAnswer(home_answer(0, 0, 5)));
    order(&mut world, 1, head(1, 4), &["true"]);
    let (_, refused, _) = receipts(&world)[0];
    assert_eq!((refused.state, refused.code), (Receipt::REFUSED, Receipt::STALE_TERM));
    assert!(spawned(&world).is_empty());
    assert_eq!(world.out.counter(Counter::OrdersRefused), 1);
    order(&mut world, 1, head(1, 5), &["true"]);
    assert_eq!(spawned(&world).len(), 1);
}

#[test]
fn a_receipt_is_sent_again_until_it_is_acknowledged() {
    let mut world = World::member(2);
    order(&mut world, 1, head(1, 1), &["true"]);
    acknowledge(&mut world, 1);
    exit(&mut world, 1, 0, b"", 0);
    world.clear();
    world.run_ms(300);
    let resent = receipts(&world).len();
    assert!((2..=7).contains(&resent), "{resent}: acknowledging a start acknowledges no end");
    acknowledge(&mut world, 1);
    world.clear();
    world.run_ms(60_000);
    assert!(receipts(&world).is_empty());
}

#[test]
fn a_satellite_that_is_gone_is_not_answered_for_ever_but_the_next_one_is() {
    let mut world = World::member(2);
    order(&mut world, 1, head(1, 1), &["true"]);
    exit(&mut world, 1, 7, b"", 0);
    world.clear();
    world.run_ms(60_000);
    assert!(receipts(&world).len() < 10);
    world.clear();
    order(&mut world, 2, head(1, 1), &["true"]);
    assert_eq!((receipts(&world)[0].0, receipts(&world)[0].1.code), (satellite(2), 7));
}

#[test]
fn a_command_that_does_not_end_in_time_is_killed() {
    let mut world = World::member(2);
    order(&mut world, 1, OrderHead { deadline_ms: 500, ..head(1, 1) }, &["sleep", "9"]);
    world.run_ms(490);
    assert!(!world.asked.contains(&Action::Kill(1, 9)));
    world.run_ms(20);
    assert!(world.asked.contains(&Action::Kill(1, 9)));
    exit(&mut world, 1, 137, b"half", 4);
    let (_, last, output) = receipts(&world).pop().unwrap();
    assert_eq!(
        (last.state, last.code, output.as_slice()),
        (Receipt::DONE, 137, b"half".as_slice())
    );
}

#[test]
fn an_order_whose_time_is_over_is_not_begun() {
    let mut world = World::member(2);
    order(&mut world, 1, OrderHead { deadline_ms: 0, ..head(1, 1) }, &["true"]);
    assert!(spawned(&world).is_empty() && receipts(&world).is_empty());
    assert_eq!(world.out.counter(Counter::OrdersRefused), 1);
}

#[test]
fn more_than_sixteen_at_once_are_too_many() {
    let mut world = World::member(2);
    for id in 1..=17 {
        order(&mut world, 1, head(id, 1), &["sleep", "1"]);
    }
    assert_eq!(spawned(&world).len(), 16);
    assert_eq!(receipts(&world).last().unwrap().1.code, Receipt::BUSY);
    exit(&mut world, 3, 0, b"", 0);
    order(&mut world, 1, head(17, 1), &["sleep", "1"]);
    assert_eq!(spawned(&world).len(), 17, "a refusal is not remembered");
}

#[test]
fn a_payload_that_is_no_command_is_refused() {
    let mut world = World::member(2);
    for (id, bytes) in [(1, &b""[..]), (2, &[0, 0]), (3, &[0xff, 0])] {
        let frame = Frame::Order(Order { head: head(id, 1), payload: bytes });
        world.hear_satellite(1, &frame);
        assert_eq!(receipts(&world).last().unwrap().1.code, Receipt::BAD_PAYLOAD);
    }
    assert!(spawned(&world).is_empty());
}

#[test]
fn output_beyond_its_bound_is_cut_and_says_so() {
    let mut world = World::member(2);
    order(&mut world, 1, head(1, 1), &["yes"]);
    exit(&mut world, 1, 0, &[b'y'; OUTPUT_MAX + 5], 1_000_000);
    let (_, last, output) = receipts(&world).pop().unwrap();
    assert_eq!((last.cut, last.output_total, output.len()), (1, 1_000_000, OUTPUT_MAX));
}

#[test]
fn a_cancelled_command_is_killed_once_and_one_that_comes_later_is_not_begun() {
    let mut world = World::member(2);
    let cancel = |id| OrderHead { flags: OrderHead::CANCEL, ..head(id, 2) };
    order(&mut world, 1, head(1, 2), &["sleep", "9"]);
    order(&mut world, 1, OrderHead { term: Term(1), ..cancel(1) }, &[]);
    assert!(!world.asked.contains(&Action::Kill(1, 9)), "whoever said so decides no more");
    order(&mut world, 1, cancel(1), &[]);
    order(&mut world, 2, cancel(1), &[]);
    let kills = world.asked.iter().filter(|action| **action == Action::Kill(1, 9)).count();
    assert_eq!(kills, 1);
    exit(&mut world, 1, 137, b"", 0);
    order(&mut world, 1, cancel(1), &[]);
    order(&mut world, 1, cancel(2), &[]);
    world.clear();
    world.run_ms(1_000);
    assert!(receipts(&world).iter().all(|(_, head, _)| head.id == OrderId(1)), "nobody asked");
    order(&mut world, 1, head(2, 2), &["sleep", "9"]);
    assert_eq!(receipts(&world).last().unwrap().1.code, Receipt::CANCELLED);
    assert_eq!(world.out.counter(Counter::OrdersExecuted), 1);
}
