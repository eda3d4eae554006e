//! Watching, accusing, taking back.

use crate::fixture::{SLOT, World, heartbeat, node};
use std::vec::Vec;
use syncom_seam::{Counter, MS, SECOND, Time};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::report::{EventKind, Report, ReportAck, ReportHead};
use syncom_wire::{Addr, Frame, Incarnation, Kind, PeerId, Slot, Subject};

/// What was said about subjects: moment, home, head.
fn said(world: &World) -> Vec<(Time, Addr, ReportHead)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Report(report) => (sent.at, sent.to, report.head),
        _ => unreachable!(),
    };
    world.of(Kind::Report).into_iter().map(of).collect()
}

/// A member that has watched these subjects for four seconds.
fn watching(subjects: &[u32]) -> World {
    let mut world = World::member(4);
    world.neighbours(9, &[1], subjects);
    world.beats(subjects, 1, 20);
    world.clear();
    world
}

#[test]
fn a_silent_subject_is_accused_once_to_both_its_homes_after_its_deadline_and_not_before() {
    let mut world = watching(&[20, 21, 22, 23]);
    let last = world.now;
    for slot in [20, 21, 22, 23] {
        world.beat(slot, 21);
    }
    for round in 22..26 {
        world.run_ms(200);
        for slot in [21, 22, 23] {
            world.beat(slot, round);
        }
        assert!(said(&world).is_empty(), "m·η is not over");
    }
    world.beats(&[21, 22, 23], 26, 1);
    let said = said(&world);
    let to: Vec<_> = said.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(to[..2], world.homes(Slot(20)));
    assert!(said.iter().all(|(_, _, head)| head.id == said[0].2.id), "said again, not anew");
    for (at, _, head) in &said[..2] {
        let after_ns = at.since(last);
        assert!((800 * MS + 50 * MS..=1_010 * MS).contains(&after_ns), "{after_ns}");
        assert_eq!((head.subject, head.kind), (Subject::node(Slot(20)), EventKind::SILENT));
        assert_eq!((head.incarnation, head.flags), (Incarnation(1), 0));
        assert_eq!((head.id.slot, head.neighbours, head.domain), (SLOT, 9, 4));
        assert_eq!(u64::from(head.heard_ago_us), after_ns / 1_000);
    }
    assert_eq!(world.out.counter(Counter::Accusations), 1);
}

#[test]
fn an_accusation_is_refreshed_ever_more_slowly_under_its_number() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[21, 22, 23], 21, 6);
    let seq = said(&world)[0].2.id.seq;
    for home in world.homes(Slot(20)) {
        world.ack(world.number(home), seq, ReportAck::RECEIVED, 0);
    }
    let acked = world.now;
    world.clear();
    world.beats(&[21, 22, 23], 27, 60);
    let said = said(&world);
    assert!(said.iter().all(|(_, _, head)| head.id.seq == seq));
    let moments: Vec<_> = said.iter().step_by(2).map(|(at, _, _)| at.since(acked)).collect();
    assert!(moments[0] <= SECOND + 50 * MS, "{moments:?}");
    assert!((2..=4).contains(&moments.len()), "1, 2, 4, 8 s: {moments:?}");
}

#[test]
fn a_death_that_is_committed_is_not_reported_again() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[21, 22, 23], 21, 6);
    let seq = said(&world)[0].2.id.seq;
    world.ack(1, seq, ReportAck::COMMITTED, 0);
    world.clear();
    world.beats(&[21, 22, 23], 27, 100);
    assert!(said(&world).is_empty());
}

#[test]
fn jitter_and_late_bursts_do_not_accuse() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21]);
    let mut rng = syncom_seam::Rng::new(3);
    let start = world.now;
    let mut seq = [1; 2];
    // Beats are due every 200 ms and arrive up to 150 ms late; every 7 s, half a second is held
    // back and comes at once.
    for step in 0..6_000_u64 {
        let elapsed_ms = world.now.since(start) / MS;
        let held = elapsed_ms % 7_000 < 500;
        for (index, seq) in seq.iter_mut().enumerate() {
            while !held && *seq * 200 + rng.below(150) <= elapsed_ms {
                world.beat(20 + u32::try_from(index).unwrap(), *seq);
                *seq += 1;
            }
        }
        world.run_ms(10);
        assert!(said(&world).is_empty(), "step {step}");
        world.clear();
    }
    assert!(seq[0] > 250);
}

#[test]
fn a_subject_on_a_bad_cable_costs_its_observer_no_trust_in_itself() {
    let mut world = watching(&[20, 21, 22, 23]);
    let mut health = Vec::new();
    for round in 0..6 {
        world.clear();
        world.beats(&[21, 22, 23], 21 + 6 * round, 6);
        world.beat(20, 27 + 6 * round);
        health.extend(said(&world).iter().map(|(_, _, head)| head.health).max());
    }
    assert!(health.len() == 6 && health[2..].iter().all(|health| *health == 0), "{health:?}");
}

#[test]
fn who_is_heard_again_is_taken_back_until_both_homes_have_heard_that() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[21, 22, 23], 21, 6);
    let accused = said(&world)[0].2.id;
    world.clear();
    world.beat(20, 27);
    let said_now = said(&world);
    assert_eq!(said_now.len(), 2);
    assert!(said_now.iter().all(|(_, _, head)| head.flags & Report::RETRACT != 0));
    assert!(said_now.iter().all(|(_, _, head)| head.id == accused));
    assert!(said_now[0].2.health > 0, "who is refuted trusts itself less");
    assert_eq!(world.out.counter(Counter::Retractions), 1);
    world.beats(&[20, 21, 22, 23], 28, 5);
    assert!(said(&world).len() > 2, "nobody answered");
    assert!(!is_over_after(&[1]) && !is_over_after(&[1, 1]), "the other home has not heard");
    assert!(is_over_after(&[1, 2]));
}

/// Whether nothing more is taken back after these homes acknowledged.
fn is_over_after(homes: &[u16]) -> bool {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[21, 22, 23], 21, 6);
    let accused = said(&world)[0].2.id;
    world.beat(20, 27);
    for home in homes {
        world.ack(*home, accused.seq, ReportAck::RECEIVED, 0);
    }
    world.clear();
    world.beats(&[20, 21, 22, 23], 28, 5);
    said(&world).iter().all(|(_, _, head)| head.flags & Report::PATCHY != 0)
}

/// What a member that watches eight says unasked when of the first `of` one heartbeat in three comes.
fn said_of_gaps(of: usize) -> Vec<(Time, Addr, ReportHead)> {
    let all = [20, 21, 22, 23, 24, 25, 26, 27];
    let mut world = watching(&all);
    for round in 21..51 {
        let heard = |place: &usize| *place >= of || round % 3 == 0;
        (0..8).filter(heard).for_each(|place| world.beat(all[place], round));
        world.run_ms(200);
    }
    said(&world)
}

#[test]
fn whoever_is_heard_but_one_time_in_three_is_told_of_and_nobody_is_accused() {
    let told = said_of_gaps(1);
    let heads: Vec<_> = told.iter().map(|(_, _, head)| *head).collect();
    let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
    assert!(heads.len() >= 10, "to both homes, again and again");
    assert!(
        heads.iter().all(|head| head.flags == flags && head.subject == Subject::node(Slot(20)))
    );
    assert!(heads.iter().all(|head| head.heard_ago_us < 10_000), "when it is heard");
    let apart = told.windows(3).map(|said| said[2].0.since(said[0].0));
    assert!(apart.into_iter().all(|ns| ns >= 400 * MS), "not with each heartbeat");
}

#[test]
fn whoever_misses_most_of_half_of_its_subjects_says_nothing_of_gaps() {
    let later = |of: usize| said_of_gaps(of)[2 * (of - 1)..].len();
    assert!(later(3) >= 10);
    assert_eq!(later(4), 0, "but for what it said before it knew of all four");
}

#[test]
fn a_subject_that_was_never_heard_is_given_longer() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22]);
    let since = world.now;
    world.beats(&[21, 22], 1, 20);
    let said = said(&world);
    let (at, _, head) = said[0];
    assert!(head.flags & Report::NEVER_HEARD != 0);
    assert!((1_400 * MS..=1_600 * MS).contains(&at.since(since)), "{}", at.since(since));
}

#[test]
fn a_paused_agent_accuses_nobody_for_two_intervals_and_shifts_every_deadline() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.pause_ms(30_000);
    let woken = world.now;
    world.run_ms(400);
    assert_eq!(world.out.counter(Counter::Pauses), 1);
    assert!(said(&world).is_empty(), "mute");
    // One of them died in the meantime; the others are heard again.
    world.beats(&[20, 21, 22], 173, 10);
    let said = said(&world);
    assert!(!said.is_empty());
    for (at, _, head) in said {
        assert_eq!(head.subject, Subject::node(Slot(23)));
        assert!(at.since(woken) > 400 * MS);
    }
}

#[test]
fn even_who_was_almost_late_before_a_pause_is_not_accused_within_two_intervals_after_it() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[21, 22, 23], 21, 3);
    world.pause_ms(30_000);
    for round in 171..173 {
        for slot in [21, 22, 23] {
            world.beat(slot, round);
        }
        world.run_ms(195);
        assert!(said(&world).is_empty(), "mute");
    }
    world.beats(&[21, 22, 23], 173, 3);
    assert_eq!(said(&world)[0].2.subject, Subject::node(Slot(20)));
}

#[test]
fn a_drained_backlog_after_a_pause_accuses_nobody() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.pause_ms(5_000);
    // What arrived meanwhile is handed over before any timer, with the kernel's time of arrival.
    let woken = world.now;
    for step in 1..=25 {
        for slot in [20, 21, 22, 23] {
            let heard = Time(woken.0 - 5_000 * MS + step * 200 * MS);
            let origin = syncom_seam::Origin {
                peer: PeerId::agent(Slot(slot)),
                boot: syncom_wire::Boot(1),
                addr: node(slot),
                heard,
            };
            let beat = Frame::Heartbeat(heartbeat(slot, 20 + step));
            let now = world.at();
            syncom_seam::Role::on_frame(&mut world.agent, now, &origin, &beat, &mut world.out);
        }
    }
    world.gather();
    world.beats(&[20, 21, 22, 23], 46, 20);
    assert!(said(&world).is_empty());
}

#[test]
fn when_half_of_the_subjects_are_late_it_suspects_itself() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[20], 21, 12);
    let said = said(&world);
    let flagged = |head: &ReportHead| head.flags & Report::SELF_SUSPECT != 0;
    assert!(said.iter().any(|(_, _, head)| flagged(head)));
    assert!(said.iter().all(|(_, _, head)| head.subject != Subject::node(Slot(20))));
    assert_eq!(world.out.counter(Counter::SelfSuspicions), 1);
}

#[test]
fn cut_off_from_its_homes_it_accuses_nobody() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.answering.clear();
    world.beats(&[20, 21, 22, 23], 21, 30);
    world.run_ms(10_000);
    assert!(said(&world).is_empty());
    world.answering = [1, 2, 3, 4].into();
    world.run_ms(2_000);
    assert!(!said(&world).is_empty(), "an answer ends the doubt");
}

#[test]
fn a_new_life_of_a_subject_voids_what_was_said_of_the_old_one() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.beats(&[21, 22, 23], 21, 6);
    world.clear();
    let beat = Heartbeat { incarnation: Incarnation(2), ..heartbeat(20, 1) };
    world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Heartbeat(beat));
    world.beats(&[21, 22, 23], 27, 2);
    assert!(said(&world).is_empty());
    world.beats(&[21, 22, 23], 29, 6);
    assert!(said(&world).iter().all(|(_, _, head)| head.incarnation == Incarnation(2)));
    assert!(!said(&world).is_empty());
}

#[test]
fn nobody_beats_for_another() {
    let mut world = watching(&[20, 21, 22, 23]);
    for round in 0..10 {
        let beat = Frame::Heartbeat(heartbeat(20, 21 + round));
        world.hear(PeerId::agent(Slot(21)), node(21), &beat);
        world.beats(&[21, 22, 23], 21 + round, 1);
    }
    assert_eq!(world.out.counter(Counter::DropRole), 10);
    assert!(!said(&world).is_empty());
}

#[test]
fn who_said_that_it_leaves_is_not_missed() {
    let mut world = watching(&[20, 21, 22, 23]);
    let beat = Heartbeat { flags: Heartbeat::LEAVING, ..heartbeat(20, 21) };
    world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Heartbeat(beat));
    world.beats(&[21, 22, 23], 21, 30);
    assert!(said(&world).is_empty());
}

#[test]
fn a_subject_that_is_no_longer_assigned_is_forgotten_soon() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.neighbours(10, &[1], &[21, 22, 23]);
    world.beats(&[20, 21, 22, 23], 21, 21);
    world.beats(&[21, 22, 23], 42, 20);
    assert!(said(&world).is_empty());
}

#[test]
fn a_subject_that_dies_when_its_observers_are_replaced_is_missed_by_the_old_ones() {
    let mut world = watching(&[20, 21, 22, 23]);
    world.neighbours(10, &[1], &[21, 22, 23]);
    world.beats(&[20, 21, 22, 23], 21, 4);
    world.beats(&[21, 22, 23], 25, 10);
    let said = said(&world);
    assert!(
        !said.is_empty() && said.iter().all(|(_, _, head)| head.subject.slot() == Some(Slot(20)))
    );
}
