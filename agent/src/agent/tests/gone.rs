//! Observers whose hosts send heartbeats back, and subjects of whom others say so.

use crate::fixture::{SLOT, World, node};
use std::vec::Vec;
use syncom_seam::{Counter, MS, Role as _};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::probe::Probe;
use syncom_wire::report::{EventKind, Report, ReportHead};
use syncom_wire::{Addr, Frame, Incarnation, Kind, Slot, Subject};

fn said(world: &World) -> Vec<(Addr, ReportHead)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Report(report) => (sent.to, report.head),
        _ => unreachable!(),
    };
    world.of(Kind::Report).into_iter().map(of).collect()
}

/// The last heartbeats to the observer in `slot`, newest last.
fn beats(world: &World, slot: u32) -> Vec<Heartbeat> {
    let to = world.of(Kind::Heartbeat).into_iter().filter(|sent| sent.to == node(slot));
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Heartbeat(beat) => beat,
        _ => unreachable!(),
    };
    to.map(of).collect()
}

fn come_back(world: &mut World, from: Addr, beat: Heartbeat) {
    let now = world.at();
    world.agent.on_returned(now, from, &Frame::Heartbeat(beat), &mut world.out);
    world.gather();
}

#[test]
fn a_heartbeat_that_came_back_is_told_to_the_homes_of_the_observer() {
    let mut world = World::member(4);
    world.neighbours(9, &[1, 2], &[20]);
    world.run_ms(1_000);
    let beats = beats(&world, 1);
    world.clear();
    come_back(&mut world, node(1), beats[0]);
    come_back(&mut world, node(5), beats[beats.len() - 1]);
    assert!(said(&world).is_empty(), "old, and from somewhere else");
    come_back(&mut world, node(1), beats[beats.len() - 1]);
    let said = said(&world);
    assert_eq!(said.iter().map(|(to, _)| *to).collect::<Vec<_>>(), world.homes(Slot(1)));
    let head = said[0].1;
    assert_eq!((head.subject, head.incarnation), (Subject::node(Slot(1)), Incarnation(1)));
    assert_eq!((head.kind, head.flags & Report::REFUSED), (EventKind::SILENT, Report::REFUSED));
    assert_eq!(world.out.counter(Counter::Accusations), 0);
}

/// A member that has watched these subjects for four seconds and has just heard all of them.
fn watching(subjects: &[u32]) -> World {
    let mut world = World::member(4);
    world.neighbours(9, &[1], subjects);
    world.beats(subjects, 1, 20);
    for slot in subjects {
        world.beat(*slot, 21);
    }
    world.clear();
    world
}

fn ask(world: &mut World, slot: u32) {
    let (slot, incarnation) = (Slot(slot), Incarnation(1));
    let probe = Probe { nonce: Probe::REFUSED, slot, incarnation, accusers: 0, reserved: 0 };
    world.hear_satellite(1, &Frame::Probe(probe));
}

#[test]
fn an_observer_that_is_asked_waits_for_one_heartbeat_and_no_longer() {
    let mut world = watching(&[20, 21, 22, 23]);
    let heard = world.now;
    ask(&mut world, 20);
    assert!(said(&world).is_empty(), "it may still come");
    for _ in 0..30 {
        world.run_ms(10);
        if !said(&world).is_empty() {
            break;
        }
    }
    let after_ns = world.now.since(heard);
    assert!((200 * MS..=300 * MS).contains(&after_ns), "{after_ns}");
    assert!(said(&world).iter().all(|(_, head)| head.subject == Subject::node(Slot(20))));
    assert!(said(&world).iter().all(|(_, head)| head.flags & Report::REFUSED == 0));
}

#[test]
fn an_observer_that_is_asked_says_nothing_of_one_it_hears_and_forgets_the_question() {
    let mut world = watching(&[20, 21, 22, 23]);
    ask(&mut world, 20);
    world.run_ms(200);
    world.beats(&[20, 21, 22, 23], 22, 3);
    world.beats(&[21, 22, 23], 25, 2);
    assert!(said(&world).is_empty(), "two heartbeats missed, long after the question");
    let mut world = watching(&[20, 21, 22, 23]);
    ask(&mut world, SLOT.0);
    ask(&mut world, 77);
    world.run_ms(190);
    assert!(said(&world).is_empty(), "nobody whom it observes");
}
