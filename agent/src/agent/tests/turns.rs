//! A budget makes a node speak to its observers in turn, and these ask it before they accuse it.

use super::watching::{said, says};
use crate::fixture::{SLOT, Sent, World, heartbeat, neighbour, node};
use std::vec::Vec;
use syncom_group::{Pace, Profile};
use syncom_seam::{MS, Time};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::probe::{Probe, ProbeAnswer};
use syncom_wire::report::Report;
use syncom_wire::{Brief, Frame, FrameHeader, Header, Incarnation, Kind, PeerId, Slot, Subject};

const OBSERVERS: [u32; 8] = [1, 2, 3, 4, 5, 6, 8, 9];
/// Bytes of IPv4, UDP and Ethernet around a datagram, as a loopback counts them.
const AROUND: usize = 42;
/// What a subject in turn announces: the whole round.
const ROUND_US: u32 = 4_000_000;

/// A member with this budget that speaks to eight observers, all of which know it.
fn lean(budget: u64) -> World {
    let mut config = crate::fixture::config(1);
    config.budget = budget;
    let mut world = World::new(config, 4);
    world.start();
    world.roster(1);
    world.welcome(1);
    world.run_ms(3_000);
    world.neighbours(9, &OBSERVERS, &[20, 21, 22]);
    OBSERVERS.iter().for_each(|slot| says(&mut world, *slot, 1, Heartbeat::ARMED));
    world.run_ms(21_000);
    world.clear();
    world
}

/// A heartbeat of a subject that speaks in turn.
fn in_turn(slot: u32, seq: u64) -> Frame<'static> {
    let flags = Heartbeat::IN_TURN;
    Frame::Heartbeat(Heartbeat { flags, interval_us: ROUND_US, ..heartbeat(slot, seq) })
}

fn hear_turns(world: &mut World, slots: &[u32], seq: u64, rounds: u64) {
    for round in 0..rounds {
        for slot in slots {
            world.hear(PeerId::agent(Slot(*slot)), node(*slot), &in_turn(*slot, seq + round));
        }
        world.run_ms(4_000);
    }
}

/// A member that watches three nodes, of which two go on speaking.
fn watcher() -> World {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22]);
    hear_turns(&mut world, &[20, 21, 22], 1, 20);
    world.clear();
    world
}

fn questions(world: &World) -> Vec<(Time, Probe)> {
    let of = |sent: &&Sent| sent.to == node(20);
    let probe = |sent: &Sent| match sent.frame() {
        Frame::Probe(probe) => (sent.at, probe),
        _ => unreachable!(),
    };
    world.of(Kind::Probe).into_iter().filter(of).map(probe).collect()
}

fn answer(world: &mut World, slot: u32, nonce: u64) {
    let (slot, incarnation) = (Slot(slot), Incarnation(1));
    let answer =
        ProbeAnswer { nonce, slot, incarnation, uptime_ns: 1, health: 0, reserved: [0; 7] };
    world.hear(PeerId::agent(slot), node(slot.0), &Frame::ProbeAnswer(answer));
}

fn ask(world: &mut World, satellite: u16) {
    let (slot, incarnation) = (Slot(20), Incarnation(1));
    let probe = Probe { nonce: 77, slot, incarnation, accusers: 1, reserved: 0 };
    world.hear_satellite(satellite, &Frame::Probe(probe));
}

#[test]
fn each_observer_hears_of_it_once_in_a_round_that_it_was_told_the_length_of() {
    let mut world = lean(300);
    world.run_ms(60_000);
    let to = |slot: u32| world.sent.iter().filter(move |sent| sent.to == node(slot));
    let mut all: Vec<Time> = OBSERVERS.iter().flat_map(|slot| to(*slot).map(|s| s.at)).collect();
    all.sort_unstable();
    let steps: Vec<u64> = all.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(steps.iter().all(|step_ns| *step_ns == steps[0]), "one at a time, evenly");
    assert!((400 * MS..500 * MS).contains(&steps[0]), "{}", steps[0]);
    for slot in OBSERVERS {
        let numbers: Vec<(u64, u64)> = to(slot)
            .map(|sent| match sent.frame() {
                Frame::Heartbeat(beat) => (beat.seq, u64::from(beat.interval_us)),
                Frame::Beat(beat) => (beat.seq.into(), u64::from(beat.interval_us)),
                frame => panic!("{frame:?}"),
            })
            .collect();
        assert!(numbers.len() >= 12);
        assert!(numbers.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "counted by rounds");
        assert!(numbers.iter().all(|(_, us)| us * 1_000 / 1_000_000 == 8 * steps[0] / 1_000_000));
        let times: Vec<Time> = to(slot).map(|sent| sent.at).collect();
        assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) == 8 * steps[0]));
        let in_full = to(slot).filter(|sent| sent.frame().kind() == Kind::Heartbeat as u8);
        assert!((1..=2).contains(&in_full.count()), "one in eight");
    }
}

#[test]
fn all_that_it_says_and_hears_fits_the_budget() {
    for budget in [syncom_group::BUDGET_MIN, 200, 336, 1_000] {
        let mut world = lean(budget);
        let homes = world.homes(SLOT);
        world.run_ms(200_000);
        let sealed = |sent: &Sent| match sent.frame() {
            Frame::Beat(_) => sent.bytes.len() - FrameHeader::SIZE + Brief::OVERHEAD,
            _ => sent.bytes.len() + Header::OVERHEAD,
        };
        // Each heartbeat to a home is answered by a frame that is no longer.
        let times = |sent: &Sent| if homes.contains(&sent.to) { 2 } else { 1 };
        let regular = world.sent.iter().filter(|sent| {
            matches!(sent.frame().kind(), kind if kind == Kind::Beat as u8 || kind == Kind::Heartbeat as u8)
        });
        let bytes: usize = regular
            .filter(|sent| !is_call(sent))
            .map(|sent| times(sent) * (sealed(sent) + AROUND))
            .sum();
        let per_s = u64::try_from(bytes).unwrap() / 200;
        assert!(per_s <= budget, "{per_s} of {budget}");
        assert!(per_s * 100 >= budget * 70, "{per_s} of {budget}");
    }
}

/// Calls to those who were never heard end when they are.
fn is_call(sent: &Sent) -> bool {
    matches!(sent.frame(), Frame::Heartbeat(beat) if beat.flags & Heartbeat::CALL != 0)
}

#[test]
fn without_a_budget_or_with_enough_of_it_all_hear_it_at_once() {
    for budget in [0, 10_000] {
        let mut world = lean(budget);
        world.run_ms(1_000);
        for slot in OBSERVERS {
            let to = world.sent.iter().filter(|sent| sent.to == node(slot));
            assert_eq!(to.clone().count(), 5, "{budget}");
            let flags = to.map(|sent| match sent.frame() {
                Frame::Heartbeat(beat) => beat.flags,
                _ => 0,
            });
            assert!(flags.into_iter().all(|flags| flags == 0));
        }
    }
}

#[test]
fn who_keeps_its_turn_does_so_while_others_are_replaced() {
    let mut world = lean(300);
    world.run_ms(30_000);
    let last = |world: &World, slot: u32| {
        world.sent.iter().filter(|sent| sent.to == node(slot)).map(|sent| sent.at).max()
    };
    let before: Vec<_> = OBSERVERS[1..].iter().map(|slot| last(&world, *slot).unwrap()).collect();
    let step_ns = Pace::new(&Profile::DEFAULT, 300, Time(0)).interval_ns();
    world.neighbours(10, &[2, 3, 4, 5, 6, 8, 9, 11], &[20, 21, 22]);
    world.clear();
    world.run_ms(20_000);
    for (slot, before) in OBSERVERS[1..].iter().zip(before) {
        let after = last(&world, *slot).unwrap().since(before);
        assert_eq!(after % (8 * step_ns), 0, "{slot}");
    }
    let flags_to = |world: &World, slot: u32| -> Vec<u16> {
        let of = |sent: &Sent| match sent.frame() {
            Frame::Heartbeat(beat) => beat.flags & !Heartbeat::IN_TURN,
            _ => 0,
        };
        world.sent.iter().filter(|sent| sent.to == node(slot)).map(of).collect()
    };
    assert!(flags_to(&world, 11).iter().all(|flags| *flags == Heartbeat::ARM));
    assert!(flags_to(&world, 1).len() >= 4, "it watches until the new one does");
    assert!(flags_to(&world, 1).iter().all(|flags| *flags == 0));
    says(&mut world, 11, 1, Heartbeat::ARMED);
    world.clear();
    world.run_ms(20_000);
    assert!(flags_to(&world, 1).iter().all(|flags| *flags == Heartbeat::RELEASED));
    assert!(flags_to(&world, 11).iter().all(|flags| *flags == 0));
}

#[test]
fn who_misses_its_turn_asks_three_times_and_tells_the_homes() {
    let mut world = watcher();
    let due = world.now;
    hear_turns(&mut world, &[21, 22], 21, 1);
    let asked = questions(&world);
    let steps: Vec<u64> = asked.windows(2).map(|two| two[1].0.since(two[0].0) / MS).collect();
    assert_eq!(steps[..5], [20, 20, 40 + 125, 125, 250], "and goes on, for its word to be true");
    let first_ns = asked[0].0.since(due);
    assert!((20 * MS..550 * MS).contains(&first_ns), "one heartbeat is enough: {first_ns}");
    let said = said(&world);
    assert_eq!(said[0].0.since(asked[0].0), 80 * MS);
    for (_, head) in &said {
        let flags = Report::IN_TURN | Report::MISSED;
        assert_eq!((head.subject, head.flags), (Subject::node(Slot(20)), flags));
    }
    assert!(world.of(Kind::Probe).iter().all(|sent| sent.to == node(20)));
}

#[test]
fn an_answer_ends_the_question_until_the_next_turn_is_missed() {
    let mut world = watcher();
    for round in 0..3 {
        world.clear();
        for slot in [21, 22] {
            world.hear(PeerId::agent(Slot(slot)), node(slot), &in_turn(slot, 21 + round));
        }
        let mut left_ms = 4_000;
        while questions(&world).is_empty() {
            world.run_ms(10);
            left_ms -= 10;
        }
        let asked = questions(&world);
        answer(&mut world, 20, asked[0].1.nonce);
        world.run_ms(left_ms);
        assert_eq!(questions(&world).len(), asked.len(), "round {round}");
        assert!(said(&world).is_empty());
    }
}

#[test]
fn who_is_on_call_asks_when_a_home_does_and_says_what_came_of_it() {
    let mut world = watcher();
    // It was heard a moment ago, and nothing is missed: but that is what it is asked about.
    for slot in [20, 21, 22] {
        world.hear(PeerId::agent(Slot(slot)), node(slot), &in_turn(slot, 21));
    }
    world.run_ms(300);
    world.clear();
    ask(&mut world, 1);
    ask(&mut world, 2);
    assert_eq!(questions(&world).len(), 1, "at once");
    let flags = Report::ASKED | Report::RETRACT | Report::IN_TURN;
    let told = |world: &World| -> Vec<(u16, u32)> {
        said(world).iter().map(|(_, head)| (head.flags, head.heard_ago_us)).collect()
    };
    assert_eq!(told(&world), [(flags, 300_000); 2], "it is not mute");
    world.clear();
    world.run_ms(126);
    let nonce = questions(&world)[0].1.nonce;
    answer(&mut world, 20, nonce);
    assert_eq!(told(&world), [(flags, 0); 2], "to each that asked");
    ask(&mut world, 1);
    assert_eq!((questions(&world).len(), said(&world).len()), (1, 3), "it has just asked");
    // Dead by now.
    world.run_ms(300);
    world.clear();
    ask(&mut world, 1);
    world.run_ms(624);
    assert_eq!(questions(&world).len(), 5);
    assert_eq!(told(&world), [(flags, 300_000)], "whoever stood still for a moment may answer");
    world.clear();
    world.run_ms(2);
    assert_eq!(said(&world).iter().filter(|(_, head)| head.flags == Report::IN_TURN).count(), 2);
    world.clear();
    ask(&mut world, 1);
    assert_eq!(said(&world)[0].1.flags, Report::IN_TURN | Report::ASKED, "and says it again");
}

#[test]
fn an_accusation_is_taken_back_when_it_answers_or_is_heard() {
    for is_answer in [true, false] {
        let mut world = watcher();
        hear_turns(&mut world, &[21, 22], 21, 1);
        assert!(said(&world).iter().any(|(_, head)| head.flags & Report::RETRACT == 0));
        world.clear();
        if is_answer {
            ask(&mut world, 1);
            let nonce = questions(&world)[0].1.nonce;
            answer(&mut world, 20, nonce);
        } else {
            world.hear(PeerId::agent(Slot(20)), node(20), &in_turn(20, 23));
        }
        assert!(said(&world).iter().any(|(_, head)| head.flags & Report::RETRACT != 0));
    }
}

#[test]
fn what_is_said_out_of_turn_does_not_take_the_place_of_a_turn() {
    let mut world = lean(300);
    world.run_ms(10_000);
    let newest = |world: &World| -> u64 {
        let seq = |sent: &Sent| match sent.frame() {
            Frame::Heartbeat(beat) if beat.plane == Heartbeat::PEER => Some(beat.seq),
            Frame::Beat(beat) => Some(beat.seq.into()),
            _ => None,
        };
        world.sent.iter().filter_map(seq).max().unwrap()
    };
    let before = newest(&world);
    world.clear();
    says(&mut world, 9, 2, Heartbeat::CALL);
    let slot = SLOT;
    let probe = Probe { nonce: 5, slot, incarnation: Incarnation(1), accusers: 1, reserved: 0 };
    world.hear_satellite(1, &Frame::Probe(probe));
    assert_eq!(newest(&world), before - 1, "some have not heard this round's yet");
}

#[test]
fn whoever_is_asked_by_another_node_answers_and_says_nothing_else() {
    let mut world = lean(300);
    let probe =
        |slot| Probe { nonce: 5, slot, incarnation: Incarnation(1), accusers: 0, reserved: 0 };
    world.hear(PeerId::agent(Slot(3)), node(3), &Frame::Probe(probe(SLOT)));
    assert_eq!(world.sent.len(), 1);
    let Frame::ProbeAnswer(told) = world.sent[0].frame() else { panic!() };
    assert_eq!((told.nonce, told.slot, world.sent[0].to), (5, SLOT, node(3)));
    world.clear();
    world.hear(PeerId::agent(Slot(3)), node(3), &Frame::Probe(probe(Slot(4))));
    world.hear(PeerId::client(9), node(3), &Frame::Probe(probe(SLOT)));
    assert!(world.sent.is_empty(), "of others, and to strangers, nothing is told");
}

#[test]
fn an_answer_to_nothing_or_of_somebody_else_changes_nothing() {
    let mut world = watcher();
    hear_turns(&mut world, &[21, 22], 21, 1);
    world.clear();
    answer(&mut world, 20, 1);
    let (slot, incarnation) = (Slot(20), Incarnation(1));
    let nonce = 2;
    let forged =
        ProbeAnswer { nonce, slot, incarnation, uptime_ns: 1, health: 0, reserved: [0; 7] };
    world.hear(PeerId::agent(Slot(21)), node(21), &Frame::ProbeAnswer(forged));
    assert!(said(&world).iter().all(|(_, head)| head.flags & Report::RETRACT == 0));
    assert_eq!(neighbour(20).addr, node(20));
}

#[test]
fn who_was_on_call_says_so_again_when_its_own_turn_has_passed() {
    let mut world = watcher();
    for slot in [20, 21, 22] {
        world.hear(PeerId::agent(Slot(slot)), node(slot), &in_turn(slot, 21));
    }
    world.run_ms(300);
    ask(&mut world, 1);
    world.run_ms(1_000);
    let flags = |world: &World| -> Vec<u16> {
        said(world).iter().map(|(_, head)| head.flags & !Report::ASKED).collect()
    };
    assert!(flags(&world).contains(&Report::IN_TURN), "it answers nothing");
    assert!(!flags(&world).iter().any(|flags| flags & Report::MISSED != 0), "and owed nothing");
    world.run_ms(2_600);
    world.clear();
    let due = world.now.after(100 * MS);
    world.run_ms(700);
    let missed: Vec<Time> = said(&world)
        .iter()
        .filter(|(_, head)| head.flags == Report::IN_TURN | Report::MISSED)
        .map(|(at, _)| *at)
        .collect();
    assert!(missed[0].since(due) < 550 * MS, "at once: {:?}", missed[0]);
}

/// Where heartbeats and repetitions outside of any turn went in the last moments.
fn shown_to(world: &World) -> Vec<u32> {
    let is_heartbeat = |sent: &Sent| matches!(sent.frame(), Frame::Heartbeat(_) | Frame::Beat(_));
    let is_shown = |slot: &u32| world.sent.iter().any(|s| s.to == node(*slot) && is_heartbeat(s));
    OBSERVERS.into_iter().filter(is_shown).collect()
}

#[test]
fn who_hears_nobody_shows_itself_to_all_until_it_hears_somebody() {
    let mut world = lean(300);
    for round in 0..20 {
        hear_turns(&mut world, &[20, 21, 22], 1 + round, 1);
    }
    // From now on nobody is heard, homes among them.
    world.answering.clear();
    world.clear();
    while questions(&world).is_empty() {
        world.run_ms(10);
    }
    world.run_ms(80);
    world.clear();
    world.run_ms(130);
    assert_eq!(shown_to(&world), OBSERVERS, "those who ask it get no answer");
    let homes = world.homes(SLOT);
    assert!(homes.iter().all(|home| world.sent.iter().any(|sent| sent.to == *home)));
    world.clear();
    world.run_ms(260);
    assert_eq!(shown_to(&world), OBSERVERS, "again and again");
    world.pause_ms(450);
    world.clear();
    world.run_ms(1);
    assert_eq!(shown_to(&world), OBSERVERS, "and at once after a pause");
    world.hear(PeerId::agent(Slot(99)), node(99), &in_turn(99, 1));
    world.clear();
    world.run_ms(500);
    assert!(shown_to(&world).len() <= 1, "somebody was heard, whoever it is");
}

#[test]
fn whose_turn_passed_while_it_stood_still_is_told_at_once_and_next_time_when_it_is_due() {
    let mut world = lean(300);
    world.run_ms(10_000);
    let before: Vec<Time> = OBSERVERS.iter().map(|slot| last_to(&world, *slot)).collect();
    let step_ns = Pace::new(&Profile::DEFAULT, 300, Time(0)).interval_ns();
    world.pause_ms(1_700);
    world.clear();
    world.run_ms(1);
    assert_eq!(shown_to(&world), OBSERVERS, "all may be asking by now");
    world.clear();
    world.run_ms(10_000);
    for (slot, before) in OBSERVERS.iter().zip(before) {
        assert_eq!(last_to(&world, *slot).since(before) % (8 * step_ns), 0, "{slot}");
    }
}

fn last_to(world: &World, slot: u32) -> Time {
    world.sent.iter().filter(|sent| sent.to == node(slot)).map(|sent| sent.at).max().unwrap()
}

#[test]
fn nobody_waits_longer_than_it_was_told_when_the_round_grows() {
    let mut world = lean(300);
    let mut told: Vec<(u32, Time, u64)> = Vec::new();
    for (epoch, count) in [(10, 5), (11, 8), (12, 3), (13, 6)] {
        world.neighbours(epoch, &OBSERVERS[..count], &[20, 21, 22]);
        OBSERVERS.iter().for_each(|slot| says(&mut world, *slot, 1, Heartbeat::ARMED));
        world.clear();
        world.run_ms(21_000);
        for slot in &OBSERVERS[..count] {
            for sent in world.sent.iter().filter(|sent| sent.to == node(*slot)) {
                let interval_us = match sent.frame() {
                    Frame::Heartbeat(beat) => beat.interval_us,
                    Frame::Beat(beat) => beat.interval_us,
                    frame => panic!("{frame:?}"),
                };
                if let Some((_, last, us)) = told.iter_mut().find(|(one, ..)| one == slot) {
                    assert!(sent.at.since(*last) / 1_000 <= *us + 1, "{slot} at {count}");
                    (*last, *us) = (sent.at, interval_us.into());
                } else {
                    told.push((*slot, sent.at, interval_us.into()));
                }
            }
        }
        told.retain(|(slot, ..)| OBSERVERS[..count].contains(slot));
    }
}
