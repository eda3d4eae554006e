//! What a heartbeat tells beside that its sender lives, and what observers tell people.

use crate::fixture::{CLIENT, Sent, World, heartbeat, node};
use std::vec::Vec;
use syncom_seam::{Counter, MS};
use syncom_wire::beat::Beat;
use syncom_wire::control::{Ask, AskHead, Reply, Verb};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::report::{Report, ReportHead};
use syncom_wire::watch::Watch;
use syncom_wire::{Frame, Frames, Incarnation, Kind, PeerId, Slot, Subject};

const SUBJECTS: [u32; 4] = [20, 21, 22, 23];
/// Heartbeats in a row that may stand still.
const STILL_MAX: u64 = 8;

fn said(world: &World) -> Vec<ReportHead> {
    let of = |sent: &Sent| match sent.frame() {
        Frame::Report(report) => report.head,
        _ => unreachable!(),
    };
    world.of(Kind::Report).into_iter().map(of).collect()
}

/// A member that has watched its subjects for four seconds.
fn watching() -> World {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &SUBJECTS);
    world.beats(&SUBJECTS, 1, 20);
    world.clear();
    world
}

/// Heartbeats of all, those of the first in short and with this progress.
fn beats_with(world: &mut World, seq: u64, progress: u32) {
    beat_with(world, seq, progress);
    world.beats(&SUBJECTS[1..], seq, 1);
}

fn beat_with(world: &mut World, seq: u64, progress: u32) {
    let beat = Beat::of(&Heartbeat { progress, ..heartbeat(20, seq) }).unwrap();
    world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Beat(beat));
}

fn asked(world: &mut World, peer: PeerId) -> Vec<Watch> {
    world.clear();
    let verb = Verb::Watched as u16;
    let head =
        AskHead { request: 9, verb, freshness: Ask::STALE, reserved: [0; 5], cursor: u64::MAX };
    world.hear(peer, CLIENT, &Frame::Ask(Ask { head, argument: &[] }));
    let mut watches = Vec::new();
    for sent in world.of(Kind::Reply) {
        let Frame::Reply(Reply { head, body }) = sent.frame() else { unreachable!() };
        assert_eq!((sent.to, head.request, head.status), (CLIENT, 9, Reply::DONE));
        for frame in Frames::new(body) {
            let Ok(Frame::Watch(watch)) = frame else { panic!("{frame:?}") };
            watches.push(watch);
        }
    }
    watches
}

#[test]
fn the_progress_of_an_agent_at_rest_moves_with_every_heartbeat() {
    let mut world = watching();
    let progress = |world: &World, to: u32| -> Vec<u16> {
        let of = |sent: &Sent| match sent.frame() {
            Frame::Heartbeat(beat) => Some(Beat::short_progress(beat.progress)),
            Frame::Beat(beat) => Some(beat.progress),
            _ => None,
        };
        world.sent.iter().filter(|sent| sent.to == node(to)).filter_map(of).collect()
    };
    // Nobody sends it anything, and nothing is to be done; then it is stopped for a while.
    world.neighbours(10, &[1], &[]);
    for round in 0..20 {
        world.clear();
        world.run_ms(6_000 + round);
        let all = progress(&world, 1);
        assert!(all.len() >= 29, "{all:?}");
        assert!(all.windows(2).all(|two| two[0] != two[1]), "{all:?}");
        world.pause_ms(round * 333);
    }
}

#[test]
fn heartbeats_of_one_that_does_not_think_any_more_prove_no_life() {
    let mut world = watching();
    for seq in 21..21 + STILL_MAX {
        beats_with(&mut world, seq, 20);
    }
    assert!(said(&world).is_empty());
    for seq in 21 + STILL_MAX..21 + STILL_MAX + 5 {
        beats_with(&mut world, seq, 20);
    }
    let accusations = said(&world);
    assert!(!accusations.is_empty());
    let is_it = |head: &ReportHead| head.subject == Subject::node(Slot(20));
    assert!(accusations.iter().all(|head| is_it(head) && head.flags & Report::RETRACT == 0));
    let watch = asked(&mut world, PeerId::client(3))[0];
    assert_eq!((watch.claim, watch.still_us / 1_000), (Watch::ACCUSED, 12 * 200 + 200));
    // It thinks again.
    world.clear();
    beats_with(&mut world, 40, 21);
    let last = said(&world).last().copied().unwrap();
    assert!(is_it(&last) && last.flags & Report::RETRACT != 0);
}

#[test]
fn one_that_thinks_now_and_then_is_alive() {
    let mut world = watching();
    for seq in 21..400 {
        let turn = u32::try_from(seq / STILL_MAX).unwrap();
        beats_with(&mut world, seq, 1_000 + turn);
        // The same once more, and an old one, say nothing new of its progress.
        beat_with(&mut world, seq, 1_000 + turn);
        beat_with(&mut world, seq - 1, 1_000 + turn);
    }
    assert!(said(&world).is_empty());
    assert_eq!(world.out.counter(Counter::Accusations), 0);
}

#[test]
fn people_are_told_what_an_observer_expects_and_what_it_was_told() {
    let mut world = watching();
    let beat = Heartbeat { services_up: 3, services_down: 1, ..heartbeat(20, 21) };
    world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Beat(Beat::of(&beat).unwrap()));
    world.run_ms(100);
    let all = asked(&mut world, PeerId::client(3));
    let slots: Vec<u32> = all.iter().map(|watch| watch.subject.0).collect();
    assert_eq!(slots, SUBJECTS);
    let Watch { seq, heard_ago_us, interval_us, timeout_us, margin_us, .. } = all[0];
    assert_eq!((seq, heard_ago_us, interval_us), (21, 100_000, 200_000));
    assert_eq!((all[0].services_up, all[0].services_down, all[0].flags), (3, 1, 0));
    assert_eq!((all[0].still_us, all[0].claim, all[0].health), (0, 0, 0));
    assert!((50_000..80_000).contains(&margin_us), "{margin_us}");
    assert!(timeout_us.abs_diff(800_000 + margin_us) < 5_000, "{timeout_us}");
    assert!(all[0].srtt_us > 0);
    // Silence, and whoever says nothing of itself.
    world.pause_ms(60_000);
    world.run_ms(200);
    let all = asked(&mut world, PeerId::client(3));
    assert!(all.iter().all(|watch| watch.flags & Watch::MUTE != 0));
    assert!(
        all[0].heard_ago_us >= 60_000_000 && u64::from(all[0].timeout_us) > 60_000 * MS / 1_000
    );
}

#[test]
fn only_clients_are_told() {
    let mut world = watching();
    assert!(asked(&mut world, PeerId::agent(Slot(20))).is_empty());
    assert_eq!(world.out.counter(Counter::DropRole), 1);
}

#[test]
fn a_new_life_is_not_told_of_by_what_the_old_one_said() {
    let mut world = watching();
    for seq in 21..26 {
        let beat = Heartbeat { services_down: 3, progress: 20, ..heartbeat(20, seq) };
        world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Heartbeat(beat));
        world.beats(&SUBJECTS[1..], seq, 1);
    }
    let watch = asked(&mut world, PeerId::client(3))[0];
    assert_eq!((watch.services_down, watch.still_us / 1_000), (3, 5 * 200));
    // Somebody else has called it, or we have before it died; its homes have not told us yet.
    let flags = Heartbeat::HERE | Heartbeat::ARM;
    let beat = Heartbeat { incarnation: Incarnation(2), flags, ..heartbeat(20, 1) };
    world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Heartbeat(beat));
    let watch = asked(&mut world, PeerId::client(3))[0];
    assert_eq!((watch.incarnation, watch.services_down, watch.still_us), (Incarnation(2), 0, 0));
    // And it is as new to us as any other: seven intervals.
    assert_eq!(watch.timeout_us / 1_000, 7 * 200);
}
