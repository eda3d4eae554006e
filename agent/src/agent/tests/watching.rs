//! What a watcher owes those it watches: honesty about itself, and a heartbeat that costs little.

use crate::fixture::{SLOT, World, entry, heartbeat, node, satellite};
use std::vec::Vec;
use syncom_seam::{Counter, Loss, MS, Origin, Role as _, Time};
use syncom_wire::beat::Beat;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::limits::NODES_MAX;
use syncom_wire::probe::Probe;
use syncom_wire::report::{Report, ReportHead};
use syncom_wire::roster::{Roster, RosterEntry, RosterHead};
use syncom_wire::{Addr, Boot, Frame, Incarnation, Kind, List, PeerId, Slot, Subject, Term};

const SUBJECTS: [u32; 8] = [20, 21, 22, 23, 24, 25, 26, 27];

pub(super) fn said(world: &World) -> Vec<(Time, ReportHead)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Report(report) => (sent.at, report.head),
        _ => unreachable!(),
    };
    world.of(Kind::Report).into_iter().map(of).collect()
}

/// A member that has watched its subjects for four seconds.
fn watching() -> World {
    let mut world = World::member(4);
    world.neighbours(9, &[1, 2, 3, 4, 5, 6, 8, 9], &SUBJECTS);
    world.beats(&SUBJECTS, 1, 20);
    world.clear();
    world
}

fn lose(world: &mut World, loss: Loss) {
    let now = world.at();
    world.agent.on_loss(now, loss, &mut world.out);
    world.gather();
}

/// Bursts of heartbeats since the last clear: moment, plane, destinations.
fn bursts(world: &World) -> Vec<(Time, u8, Addr)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Heartbeat(beat) => (sent.at, beat.plane, sent.to),
        _ => unreachable!(),
    };
    world.of(Kind::Heartbeat).into_iter().map(of).collect()
}

#[test]
fn datagrams_lost_in_our_own_buffer_are_held_against_nobody() {
    let mut world = watching();
    // Nobody was heard for almost as long as it takes; it was us.
    world.run_ms(600);
    lose(&mut world, Loss::Unheard(30));
    assert_eq!(world.out.counter(Counter::Pauses), 1);
    world.run_ms(395);
    assert!(said(&world).is_empty(), "mute for two intervals");
    world.beats(&SUBJECTS, 27, 10);
    assert!(said(&world).is_empty(), "and they were heard again");
}

#[test]
fn a_flood_that_never_ends_silences_a_watcher_only_for_a_while() {
    let mut world = watching();
    let alive: Vec<u32> = SUBJECTS[1..].to_vec();
    for round in 0..30 {
        lose(&mut world, Loss::Unheard(1_000));
        world.beats(&alive, 21 + round, 1);
    }
    let said = said(&world);
    assert!(!said.is_empty(), "the dead are named in spite of it");
    assert!(said.iter().all(|(_, head)| head.subject == Subject::node(Slot(20))));
    assert!(said.iter().all(|(_, head)| head.health == 7), "with the least of weights");
}

#[test]
fn what_we_could_not_send_costs_health_and_mutes_nobody() {
    let mut world = watching();
    lose(&mut world, Loss::Unsent(3));
    assert_eq!(world.out.counter(Counter::Pauses), 0);
    world.beats(&SUBJECTS, 21, 1);
    let beat = world.of(Kind::Heartbeat)[0].frame();
    assert!(matches!(beat, Frame::Heartbeat(beat) if beat.health == 1));
}

#[test]
fn hearing_one_again_accuses_nobody_whose_heartbeats_are_still_to_be_read() {
    let mut world = watching();
    world.beats(&SUBJECTS[1..], 21, 6);
    assert!(said(&world).iter().any(|(_, head)| head.subject == Subject::node(Slot(20))));
    // Stopped for five seconds. What arrived meanwhile is read one by one before any timer, first
    // that of the one who was accused.
    world.pause_ms(5_000);
    world.clear();
    for slot in SUBJECTS {
        for step in 1..=25 {
            let heard = Time(world.now.0 - 5_000 * MS + step * 200 * MS);
            let origin =
                Origin { peer: PeerId::agent(Slot(slot)), boot: Boot(1), addr: node(slot), heard };
            let beat = Frame::Heartbeat(heartbeat(slot, 26 + step));
            let now = world.at();
            world.agent.on_frame(now, &origin, &beat, &mut world.out);
        }
    }
    world.gather();
    assert!(said(&world).iter().all(|(_, head)| head.flags & Report::RETRACT != 0));
    world.beats(&SUBJECTS, 52, 10);
    assert!(said(&world).iter().all(|(_, head)| head.flags & Report::RETRACT != 0));
}

#[test]
fn who_hears_nobody_any_more_accuses_nobody_from_the_first_moment() {
    let mut world = watching();
    world.answering.clear();
    world.run_ms(30_000);
    assert!(said(&world).is_empty());
    assert_eq!(world.out.counter(Counter::SelfSuspicions), 1);
    assert!(world.of(Kind::RosterAsk).len() >= 3, "it asked whether it is alone");
}

#[test]
fn who_still_hears_its_homes_names_a_mass_death_within_moments() {
    let mut world = watching();
    let last = world.now;
    world.run_ms(1_500);
    let said = said(&world);
    let subjects: Vec<_> = SUBJECTS.iter().map(|slot| Subject::node(Slot(*slot))).collect();
    assert!(subjects.iter().all(|one| said.iter().any(|(_, head)| head.subject == *one)));
    for (at, head) in &said {
        assert!(head.flags & Report::SELF_SUSPECT != 0, "and says that it may be itself");
        assert!(at.since(last) < 1_500 * MS);
    }
    // Doubt costs one round trip (1 ms here), not a part of an interval.
    let first = said.iter().map(|(at, _)| at.since(last)).min().unwrap();
    assert!(first < 4 * 200 * MS + 60 * MS, "{first}");
}

#[test]
fn homes_that_all_leave_a_heartbeat_unanswered_cost_health_and_one_does_not() {
    let mut world = World::member(4);
    let silent = world.number(world.homes(SLOT)[0]);
    world.answering.retain(|n| *n != silent);
    world.run_ms(2_100);
    let health = |world: &World| match world.of(Kind::Heartbeat).last().unwrap().frame() {
        Frame::Heartbeat(beat) => beat.health,
        _ => unreachable!(),
    };
    assert_eq!(health(&world), 0);
    world.answering.clear();
    world.run_ms(2_100);
    assert!(health(&world) > 0);
}

#[test]
fn one_wake_up_serves_all_observers_and_homes_also_after_a_pause() {
    let mut world = watching();
    for seq in [21, 50] {
        world.clear();
        world.beats(&SUBJECTS, seq, 25);
        let bursts = bursts(&world);
        let mut moments: Vec<Time> = bursts.iter().map(|(at, ..)| *at).collect();
        moments.dedup();
        assert!((24..=26).contains(&moments.len()), "five times a second, not more often");
        let homes = bursts.iter().filter(|(_, plane, _)| *plane == Heartbeat::HOME).count();
        assert!((8..=12).contains(&homes), "two homes once a second: {homes}");
        for moment in moments {
            let now = bursts.iter().filter(|(at, plane, _)| (*at, *plane) == (moment, 0)).count();
            assert_eq!(now, 8, "all observers at once");
        }
        // A pause that is no multiple of anything; then homes and observers again go together.
        world.pause_ms(777);
        world.run_ms(200);
    }
}

#[test]
fn an_accused_node_answers_who_it_is_and_how_long_it_has_run() {
    let mut world = watching();
    let started = Time(1_000 * MS);
    let probe =
        Probe { nonce: 99, slot: SLOT, incarnation: Incarnation(1), accusers: 2, reserved: 0 };
    world.hear_satellite(3, &Frame::Probe(probe));
    let answers = world.of(Kind::ProbeAnswer);
    let [answer] = answers.as_slice() else { panic!("{answers:?}") };
    let Frame::ProbeAnswer(told) = answer.frame() else { unreachable!() };
    assert_eq!((answer.to, told.nonce, told.slot), (satellite(3), 99, SLOT));
    assert_eq!(told.incarnation, Incarnation(1));
    assert_eq!(told.uptime_ns, world.now.since(started));
}

#[test]
fn what_it_holds_of_a_hundred_thousand_members_fits_four_kibibytes() {
    let mut world = watching();
    let satellites = NODES_MAX.min(100_000) / 1_000;
    let mut entries: Vec<RosterEntry> =
        (1..=u16::try_from(satellites).unwrap()).map(entry).collect();
    entries.extend((1..=5).map(|n| RosterEntry { peer: PeerId::station(n), ..entry(n) }));
    for (at, part) in entries.chunks(Roster::PER_FRAME).enumerate() {
        let head = RosterHead {
            epoch: 2,
            term: Term(1),
            total: u16::try_from(entries.len()).unwrap(),
            first: u16::try_from(at * Roster::PER_FRAME).unwrap(),
            leader: PeerId::ANY,
        };
        let roster = Roster { head, entries: List::new(part) };
        world.hear_satellite(1, &Frame::Roster(roster));
    }
    let bytes = world.agent.membership_bytes();
    assert!(bytes > satellites * 26 && bytes <= crate::Agent::MEMBERSHIP_MAX, "{bytes}");
}

/// Flags of the heartbeats to an observer since the last clear; those in short have none.
fn flags_to(world: &World, slot: u32) -> Vec<u16> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Heartbeat(beat) => Some(beat.flags),
        Frame::Beat(_) => Some(0),
        _ => None,
    };
    world.sent.iter().filter(|sent| sent.to == node(slot)).filter_map(of).collect()
}

pub(super) fn says(world: &mut World, slot: u32, seq: u64, flags: u16) {
    let beat = Heartbeat { flags, ..heartbeat(slot, seq) };
    world.hear(PeerId::agent(Slot(slot)), node(slot), &Frame::Heartbeat(beat));
}

#[test]
fn an_old_observer_is_released_when_every_new_one_watches_and_not_before() {
    let mut world = World::member(2);
    world.neighbours(9, &[1, 2], &[]);
    says(&mut world, 1, 1, Heartbeat::ARMED);
    says(&mut world, 2, 1, Heartbeat::ARMED);
    world.neighbours(10, &[2, 3, 4], &[]);
    world.clear();
    world.run_ms(1_000);
    assert!(flags_to(&world, 3).iter().all(|flags| *flags == Heartbeat::ARM));
    says(&mut world, 3, 1, Heartbeat::ARMED);
    world.run_ms(1_000);
    assert_eq!(flags_to(&world, 1), [0; 10], "one of the new ones has not said so");
    says(&mut world, 4, 1, Heartbeat::ARMED);
    world.clear();
    world.run_ms(3_000);
    assert_eq!(flags_to(&world, 1), [Heartbeat::RELEASED; 8]);
    for slot in [2, 3, 4] {
        assert_eq!(flags_to(&world, slot), [0; 15], "nobody else is told anything any more");
    }
}

#[test]
fn who_has_said_that_it_watches_hears_us_in_short_and_now_and_then_in_full() {
    let mut world = World::member(2);
    world.neighbours(9, &[1, 2], &[]);
    says(&mut world, 1, 1, Heartbeat::ARMED);
    world.clear();
    world.run_ms(200 * 64);
    let count = |kind, slot| world.of(kind).iter().filter(|sent| sent.to == node(slot)).count();
    assert_eq!((count(Kind::Beat, 1), count(Kind::Heartbeat, 1)), (62, 2));
    assert_eq!((count(Kind::Beat, 2), count(Kind::Heartbeat, 2)), (0, 64), "it may not know us");
    let number = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Heartbeat(beat) => Some((sent.to == node(1), beat.seq)),
        Frame::Beat(beat) => Some((sent.to == node(1), beat.seq.into())),
        _ => None,
    };
    let to = |one| {
        let all = world.sent.iter().filter(|sent| [node(1), node(2)].contains(&sent.to));
        all.filter_map(number).filter(move |(is, _)| *is == one).map(|(_, seq)| seq)
    };
    assert!(to(true).eq(to(false)), "the number is the same, said long or short");
}

#[test]
fn whoever_speaks_rarely_says_every_other_heartbeat_in_full() {
    let mut world = slow();
    world.neighbours(9, &[1], &[]);
    says(&mut world, 1, 1, Heartbeat::ARMED);
    world.clear();
    world.run_ms(100_000);
    let count = |kind| world.of(kind).iter().filter(|sent| sent.to == node(1)).count();
    assert_eq!((count(Kind::Beat), count(Kind::Heartbeat)), (5, 5));
}

/// A member that speaks to all every ten seconds.
pub(super) fn slow() -> World {
    let mut config = crate::fixture::config(1);
    config.profile.interval_ns = 10_000 * MS;
    let mut world = World::new(config, 4);
    world.start();
    world.roster(1);
    world.welcome(1);
    world.run_ms(11_000);
    world.clear();
    world
}

#[test]
fn a_slow_observer_lets_go_of_a_quick_node_before_that_stops_speaking_to_it() {
    for is_released in [true, false] {
        let mut world = slow();
        world.neighbours(9, &[1], &[20, 21, 22]);
        world.beats(&[20, 21, 22], 1, 20);
        world.neighbours(10, &[1], &[21, 22]);
        // A node tells it eight times, or speaks to it for as long as it would to its like.
        let last = if is_released { 8 } else { 40 };
        for seq in 21..21 + last {
            let flags = if is_released { Heartbeat::RELEASED } else { 0 };
            says(&mut world, 20, seq, flags);
            world.beats(&[21, 22], seq, 1);
        }
        world.beats(&[21, 22], 21 + last, 300);
        assert!(said(&world).is_empty(), "released: {is_released}");
    }
}

#[test]
fn a_heartbeat_in_short_is_one_like_any_other() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22]);
    world.beats(&[20, 21, 22], 1, 20);
    for seq in 21..60 {
        world.beats(&[21, 22], seq, 1);
        let beat = Beat::of(&heartbeat(20, seq)).unwrap();
        world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Beat(beat));
    }
    assert!(said(&world).is_empty());
    world.beats(&[21, 22], 60, 8);
    assert!(said(&world).iter().any(|(_, head)| head.subject == Subject::node(Slot(20))));
}

#[test]
fn a_new_observer_says_that_it_watches_as_soon_as_it_does_and_an_old_one_stops_when_told() {
    let mut world = World::member(4);
    says(&mut world, 20, 1, Heartbeat::ARM);
    assert!(world.of(Kind::Heartbeat).iter().all(|sent| sent.to != node(20)), "not assigned yet");
    world.neighbours(9, &[1], &[20, 21, 22]);
    says(&mut world, 20, 2, Heartbeat::ARM);
    assert_eq!(flags_to(&world, 20), [Heartbeat::CALL, Heartbeat::ARMED]);
    world.beats(&[20, 21, 22], 3, 20);
    // Replaced, and not released: a death now is still its business.
    world.neighbours(10, &[1], &[21, 22]);
    world.beats(&[21, 22], 23, 8);
    assert!(said(&world).iter().any(|(_, head)| head.subject == Subject::node(Slot(20))));
    // Released: it is none of it any more, whatever comes.
    says(&mut world, 20, 40, Heartbeat::RELEASED);
    world.beats(&[21, 22], 31, 2);
    world.clear();
    world.beats(&[21, 22], 33, 40);
    assert!(said(&world).iter().all(|(_, head)| head.subject != Subject::node(Slot(20))));
    // Whoever is to watch does not let itself be released.
    says(&mut world, 21, 80, Heartbeat::RELEASED);
    world.clear();
    world.beats(&[22], 73, 8);
    assert!(said(&world).iter().any(|(_, head)| head.subject == Subject::node(Slot(21))));
}

#[test]
fn an_observer_that_has_not_heard_of_its_replacement_lets_itself_be_released_by_a_newer_set() {
    let mut world = World::member(4);
    let released = |world: &mut World, slot: u32, neighbours: u64| {
        let flags = Heartbeat::RELEASED;
        let beat = Heartbeat { flags, neighbours, ..heartbeat(slot, 20) };
        world.hear(PeerId::agent(Slot(slot)), node(slot), &Frame::Heartbeat(beat));
    };
    world.neighbours(9, &[1], &[20, 21, 22, 23]);
    world.beats(&[20, 21, 22, 23], 1, 19);
    // The set that replaces it for 20 was lost on its way; what 21 says is older than its own.
    released(&mut world, 20, 10);
    released(&mut world, 21, 9);
    world.clear();
    world.beats(&[22, 23], 20, 10);
    let accused: Vec<u64> = said(&world).iter().map(|(_, head)| head.subject.0).collect();
    assert!(!accused.contains(&20), "others watch it");
    assert!(accused.contains(&21), "nobody else may");
    // Assigned once more, it is watched once more.
    world.neighbours(11, &[1], &[20, 22, 23]);
    world.beats(&[20, 22, 23], 30, 10);
    world.clear();
    world.beats(&[22, 23], 40, 10);
    assert!(said(&world).iter().any(|(_, head)| head.subject == Subject::node(Slot(20))));
}
