//! Observers that were replaced before their subjects knew of them.

use crate::fixture::{World, heartbeat, node};
use std::vec::Vec;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::report::{Report, ReportHead};
use syncom_wire::{Frame, Kind, PeerId, Slot, Subject};

/// What was said about a node since the last clear.
fn said(world: &World, slot: u32) -> Vec<ReportHead> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Report(report) => report.head,
        _ => unreachable!(),
    };
    let all = world.of(Kind::Report).into_iter().map(of);
    all.filter(|head| head.subject == Subject::node(Slot(slot))).collect()
}

/// A node says how often it speaks, because it was asked.
fn here(world: &mut World, slot: u32) {
    let flags = Heartbeat::HERE | Heartbeat::ARM;
    let beat = Frame::Heartbeat(Heartbeat { flags, ..heartbeat(slot, 1) });
    world.hear(PeerId::agent(Slot(slot)), node(slot), &beat);
}

#[test]
fn a_node_that_was_never_told_of_an_observer_is_not_missed_by_it_once_that_is_replaced() {
    for is_accused in [false, true] {
        let mut world = World::member(4);
        world.neighbours(9, &[1], &[20, 21, 22, 23]);
        // The set of 20 is newer than ours, and names others.
        here(&mut world, 20);
        world.beats(&[21, 22, 23], 1, if is_accused { 8 } else { 3 });
        assert_eq!(!said(&world, 20).is_empty(), is_accused);
        world.neighbours(10, &[1], &[21, 22, 23]);
        world.clear();
        world.beats(&[21, 22, 23], 10, 40);
        let said = said(&world, 20);
        assert_eq!(!said.is_empty(), is_accused, "what was said is taken back");
        assert!(said.iter().all(|head| head.flags & Report::RETRACT != 0), "nothing else is said");
    }
}

#[test]
fn a_node_that_spoke_to_an_observer_once_is_missed_by_it_though_that_was_replaced_at_once() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22, 23]);
    world.beats(&[20, 21, 22, 23], 1, 1);
    world.neighbours(10, &[1], &[21, 22, 23]);
    world.beats(&[21, 22, 23], 2, 8);
    assert!(said(&world, 20).iter().any(|head| head.flags & Report::RETRACT == 0));
}
