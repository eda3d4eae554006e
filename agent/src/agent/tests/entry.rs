//! Joining, homes, heartbeats.

use crate::State;
use crate::fixture::{CLIENT, SLOT, World, addr, config, home_answer, node, satellite, welcome};
use std::format;
use std::string::ToString;
use std::vec::Vec;
use syncom_seam::{Action, Counter, MS, Time};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::join::{JoinRefused, Welcome};
use syncom_wire::{Addr, Boot, Frame, Incarnation, Kind, PeerId, Slot, Uuid};

#[test]
fn it_joins_through_the_second_seed_when_the_first_is_silent() {
    let mut world = World::new(config(3), 2);
    world.start();
    world.run_ms(300);
    let asked: Vec<_> = world.of(Kind::RosterAsk).iter().map(|sent| sent.to).collect();
    assert_eq!(asked, [satellite(1), satellite(2)]);
    assert_eq!(world.agent.state(), State::Seeking);
    world.roster(1);
    assert_eq!(world.agent.state(), State::Joining);
    world.run_ms(400);
    let mut joined: Vec<_> = world.of(Kind::Join).iter().map(|sent| sent.to).collect();
    joined.sort();
    assert_eq!(joined, [satellite(1), satellite(2)], "the second after the first kept silent");
    world.welcome(1);
    assert_eq!(world.agent.state(), State::Member);
    assert_eq!(world.agent.identity().unwrap().slot, SLOT);
    assert!(world.asked.contains(&Action::Notify("Ready".to_string())));
}

#[test]
fn when_no_satellite_answers_the_seeds_are_asked_again() {
    let mut world = World::new(config(1), 2);
    world.start();
    world.roster(1);
    world.clear();
    world.run_ms(1_000);
    assert_eq!(world.agent.state(), State::Seeking);
    assert!(!world.of(Kind::RosterAsk).is_empty());
    world.roster(1);
    assert_eq!(world.agent.state(), State::Joining, "the same roster is good enough");
}

#[test]
fn only_a_welcome_for_this_uuid_and_boot_counts() {
    let mut world = World::new(config(1), 2);
    world.start();
    world.roster(1);
    let good = welcome(1);
    for bad in [
        Welcome { uuid: Uuid([6; 16]), ..good },
        Welcome { boot: Boot(78), ..good },
        Welcome { slot: Slot::NONE, ..good },
        Welcome { peer: PeerId::satellite(1), ..good },
    ] {
        world.hear_satellite(1, &Frame::Welcome(bad));
        assert_eq!(world.agent.state(), State::Joining);
    }
    world.hear(PeerId::agent(Slot(3)), node(3), &Frame::Welcome(good));
    world.hear(PeerId::client(3), CLIENT, &Frame::Welcome(good));
    assert_eq!(world.agent.state(), State::Joining, "only the group may welcome");
    assert_eq!(world.out.counter(Counter::DropRole), 2);
    world.hear_satellite(1, &Frame::Welcome(good));
    assert_eq!(world.agent.state(), State::Member);
}

#[test]
fn a_refused_join_says_why_and_ends() {
    let mut world = World::new(config(1), 1);
    world.start();
    world.roster(1);
    let reason = "the name node7 is taken";
    let refused = JoinRefused { uuid: Uuid([5; 16]), boot: Boot(77), reason };
    world.hear_satellite(1, &Frame::JoinRefused(JoinRefused { boot: Boot(1), ..refused }));
    assert_eq!(world.agent.state(), State::Joining);
    world.hear_satellite(1, &Frame::JoinRefused(refused));
    assert_eq!(world.agent.state(), State::Gone);
    assert!(world.asked.contains(&Action::Notify(format!("Fatal({reason:?})"))));
    world.clear();
    world.run_ms(5_000);
    assert!(world.sent.is_empty());
}

/// Moments and destinations of the heartbeats of one plane.
fn beats(world: &World, plane: u8) -> Vec<(Time, Addr)> {
    let is_it = |frame| matches!(frame, Frame::Heartbeat(beat) if beat.plane == plane);
    let beats = world.sent.iter().filter(|sent| is_it(sent.frame()));
    beats.map(|sent| (sent.at, sent.to)).collect()
}

#[test]
fn heartbeats_go_to_exactly_the_observers_each_interval_and_to_the_homes_each_home_interval() {
    let mut world = World::member(5);
    world.neighbours(9, &[1, 2, 3], &[]);
    world.clear();
    world.run_ms(10_000);
    let peers = beats(&world, Heartbeat::PEER);
    assert_eq!(peers.len(), 3 * 50);
    for burst in peers.chunks(3) {
        assert!(burst.iter().all(|(at, _)| *at == burst[0].0), "one burst");
        assert!([1, 2, 3].iter().all(|slot| burst.iter().any(|(_, to)| *to == node(*slot))));
    }
    for pair in peers.chunks(3).collect::<Vec<_>>().windows(2) {
        let gap_ns = pair[1][0].0.since(pair[0][0].0);
        assert!(gap_ns.abs_diff(200 * MS) <= MS, "the grid is kept");
    }
    let homes = beats(&world, Heartbeat::HOME);
    assert_eq!(homes.len(), 2 * 10);
    let expected = world.homes(SLOT);
    assert!(homes.iter().all(|(_, to)| expected.contains(to)));
}

#[test]
fn numbers_count_up_and_the_set_that_is_held_is_named() {
    let mut world = World::member(2);
    world.neighbours(9, &[1], &[]);
    world.clear();
    world.run_ms(2_000);
    let beats = world.of(Kind::Heartbeat);
    let mut last = [None, None];
    for sent in beats {
        let Frame::Heartbeat(beat) = sent.frame() else { unreachable!() };
        assert_eq!((beat.neighbours, beat.slot, beat.incarnation), (9, SLOT, Incarnation(1)));
        let key = (sent.at, beat.seq);
        let last: &mut Option<(Time, u64)> = &mut last[usize::from(beat.plane)];
        assert!(last.is_none_or(|(at, seq)| key == (at, seq) || key.1 == seq + 1));
        *last = Some(key);
    }
}

#[test]
fn a_replaced_observer_is_kept_for_a_while_and_then_let_go() {
    let mut world = World::member(2);
    world.neighbours(9, &[1, 2], &[]);
    world.neighbours(8, &[5], &[]);
    world.neighbours(10, &[2, 3], &[]);
    let to = |world: &World| {
        let mut to: Vec<_> =
            beats(world, Heartbeat::PEER).into_iter().map(|(_, to)| to.port - 2_000).collect();
        to.sort_unstable();
        to.dedup();
        to
    };
    world.clear();
    world.run_ms(1_000);
    assert_eq!(to(&world), [1, 2, 3], "an older set changes nothing, an old observer stays");
    world.run_ms(8_000);
    world.clear();
    world.run_ms(1_000);
    assert_eq!(to(&world), [2, 3], "also when the new one never says that it watches");
}

#[test]
fn a_home_that_leaves_three_heartbeats_unanswered_is_replaced_by_the_next_choice() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[]);
    let homes = world.homes(SLOT);
    let silent = world.number(homes[0]);
    world.answering.retain(|n| *n != silent);
    world.run_ms(3_000);
    world.clear();
    world.run_ms(1_000);
    let to: Vec<_> = beats(&world, Heartbeat::HOME).into_iter().map(|(_, to)| to).collect();
    assert_eq!(to.len(), 2);
    assert!(!to.contains(&homes[0]) && to.contains(&homes[1]));
}

#[test]
fn a_home_that_takes_its_leave_is_replaced_at_once() {
    let mut world = World::member(4);
    let homes = world.homes(SLOT);
    let answer = home_answer(world.now.0, HomeAnswer::LEAVING, 1);
    world.hear_satellite(world.number(homes[0]), &Frame::HomeAnswer(answer));
    world.clear();
    world.run_ms(1_000);
    assert!(beats(&world, Heartbeat::HOME).iter().all(|(_, to)| *to != homes[0]));
}

#[test]
fn homes_that_do_not_know_it_make_it_join_again_with_the_same_boot() {
    let mut world = World::member(3);
    world.neighbours(9, &[1], &[2]);
    world.unknown = true;
    world.clear();
    world.run_ms(1_500);
    assert_eq!(world.agent.state(), State::Joining);
    let joins = world.of(Kind::Join);
    let Frame::Join(join) = joins[0].frame() else { unreachable!() };
    assert_eq!((join.head.uuid, join.head.boot), (Uuid([5; 16]), Boot(77)));
    assert!(!beats(&world, Heartbeat::PEER).is_empty(), "it beats on meanwhile");
    world.unknown = false;
    world.welcome(2);
    assert_eq!(world.agent.state(), State::Member);
    assert_eq!(world.agent.identity().unwrap().incarnation, Incarnation(2));
    world.run_ms(200);
    world.clear();
    world.run_ms(1_100);
    for sent in world.of(Kind::Heartbeat) {
        let Frame::Heartbeat(beat) = sent.frame() else { unreachable!() };
        assert_eq!((beat.incarnation, beat.neighbours), (Incarnation(2), 0));
    }
}

#[test]
fn one_home_that_lags_behind_does_not_make_it_join_again() {
    let mut world = World::member(2);
    let answer = home_answer(0, HomeAnswer::UNKNOWN, 1);
    world.hear_satellite(1, &Frame::HomeAnswer(answer));
    assert_eq!(world.agent.state(), State::Member);
    world.run_ms(1_100);
    world.hear_satellite(1, &Frame::HomeAnswer(answer));
    assert_eq!(world.agent.state(), State::Member, "a good answer came in between");
    world.hear_satellite(1, &Frame::HomeAnswer(answer));
    assert_eq!(world.agent.state(), State::Joining, "two running");
}

#[test]
fn a_newer_roster_is_asked_for_where_it_was_heard_of() {
    let mut world = World::member(2);
    world.clear();
    let answer = HomeAnswer { roster: 5, ..home_answer(0, 0, 1) };
    world.hear_satellite(2, &Frame::HomeAnswer(answer));
    let asked = world.of(Kind::RosterAsk);
    assert_eq!((asked.len(), asked[0].to), (1, satellite(2)));
}

#[test]
fn cut_off_from_all_homes_it_asks_the_seeds_for_others() {
    let mut world = World::member(2);
    world.answering.clear();
    world.run_ms(4_000);
    world.clear();
    world.run_ms(5_000);
    assert!(world.of(Kind::RosterAsk).len() >= 3);
}

#[test]
fn a_long_round_trip_slows_the_heartbeats_down() {
    let mut world = World::member(2);
    for _ in 0..40 {
        world.now = world.now.after(100 * MS);
        for n in 1..=2 {
            let echo_ns = world.now.0 - 100 * MS;
            world.hear_satellite(n, &Frame::HomeAnswer(home_answer(echo_ns, 0, 1)));
        }
    }
    world.neighbours(9, &[1], &[]);
    world.run_ms(2_000);
    let last = world.of(Kind::Heartbeat).into_iter().rfind(|sent| sent.to == node(1)).unwrap();
    let Frame::Heartbeat(beat) = last.frame() else { unreachable!() };
    assert!((500_000..=900_000).contains(&beat.interval_us), "{}", beat.interval_us);
}

#[test]
fn it_leaves_in_good_order() {
    let mut world = World::member(2);
    world.neighbours(9, &[1, 2], &[3]);
    world.clear();
    let now = world.at();
    world.agent.leave(now, &mut world.out);
    world.gather();
    let leaving = world.of(Kind::Heartbeat);
    assert_eq!(leaving.len(), 2);
    assert!(leaving.iter().all(|sent| matches!(
        sent.frame(),
        Frame::Heartbeat(beat) if beat.flags & Heartbeat::LEAVING != 0
    )));
    world.run_ms(10_000);
    assert_eq!(world.of(Kind::Leave).len(), 6, "three times to both homes");
    assert_eq!(world.of(Kind::Heartbeat).len(), 2);
    assert!(world.of(Kind::Report).is_empty());
    assert_eq!(world.agent.state(), State::Gone);
}

#[test]
fn probes_of_this_node_are_answered_at_once_and_others_are_not() {
    let mut world = World::member(1);
    world.clear();
    let probe = |slot| {
        Frame::Probe(syncom_wire::probe::Probe {
            nonce: 99,
            slot,
            incarnation: Incarnation(1),
            accusers: 2,
            reserved: 0,
        })
    };
    world.hear(PeerId::satellite(9), addr(900), &probe(SLOT));
    world.hear(PeerId::satellite(9), addr(900), &probe(Slot(8)));
    let answers = world.of(Kind::ProbeAnswer);
    assert_eq!((answers.len(), answers[0].to), (1, addr(900)));
    let Frame::ProbeAnswer(answer) = answers[0].frame() else { unreachable!() };
    assert_eq!((answer.nonce, answer.slot, answer.incarnation), (99, SLOT, Incarnation(1)));
}

#[test]
fn a_node_that_is_asked_whether_it_lives_says_so_to_homes_and_observers_too() {
    let mut world = World::member(2);
    world.neighbours(9, &[11, 12, 13], &[]);
    world.run_ms(1_000);
    let beats = |world: &World, plane: u8| -> Vec<(Addr, Heartbeat)> {
        let frames = world.of(Kind::Heartbeat).into_iter().filter_map(|sent| match sent.frame() {
            Frame::Heartbeat(beat) if beat.plane == plane => Some((sent.to, beat)),
            _ => None,
        });
        frames.collect()
    };
    let last = beats(&world, Heartbeat::PEER).last().unwrap().1.seq;
    world.clear();
    let probe = syncom_wire::probe::Probe {
        nonce: 99,
        slot: SLOT,
        incarnation: Incarnation(1),
        accusers: 2,
        reserved: 0,
    };
    world.hear_satellite(1, &Frame::Probe(probe));
    let to: Vec<Addr> = beats(&world, Heartbeat::HOME).iter().map(|(to, _)| *to).collect();
    assert_eq!(to.len(), 2);
    let peers = beats(&world, Heartbeat::PEER);
    let to: Vec<Addr> = peers.iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [node(11), node(12), node(13)]);
    assert!(peers.iter().all(|(_, beat)| beat.seq == last), "said again, not anew");
}

#[test]
fn a_node_that_runs_late_says_so_for_as_long_as_it_matters() {
    let mut world = World::member(2);
    world.neighbours(9, &[1], &[]);
    world.pause_ms(2_000);
    world.clear();
    world.run_ms(400);
    let health = |world: &World| {
        let beats = world.of(Kind::Heartbeat);
        let Frame::Heartbeat(beat) = beats.last().unwrap().frame() else { unreachable!() };
        beat.health
    };
    assert_eq!(health(&world), 1);
    world.run_ms(3_000);
    assert_eq!(health(&world), 0);
}
