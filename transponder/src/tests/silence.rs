//! From silence to death, and everything that stops it.

use super::fixture::Rig;
use super::lossy::Lossy;
use std::vec::Vec;
use syncom_seam::{Counter, MS, SECOND};
use syncom_wire::member::MemberState;
use syncom_wire::report::{EventKind, Report};
use syncom_wire::uplink::ItemResult;
use syncom_wire::{Frame, Incarnation, Slot};

#[test]
fn when_all_observers_miss_a_node_that_answers_nothing_it_is_dead_once() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(55 * MS);
    assert_eq!(rig.count(Counter::ProbesSent), 3);
    assert!(rig.records(EventKind::DEAD).is_empty(), "the probes may still be answered");
    rig.run(SECOND);
    let dead = rig.records(EventKind::DEAD);
    assert_eq!(dead.len(), 1);
    let record = dead[0];
    assert_eq!((record.subject.slot(), record.incarnation), (Some(Slot(3)), Incarnation(1)));
    assert_eq!((record.reporters, record.observers_of), (8, 8));
    assert_eq!((record.observers, record.probes), (0xFF, 3));
    assert!(record.score_x16 >= record.needed_x16 && record.needed_x16 == 6 * 16);
    rig.set(3, MemberState::Dead, 4);
    rig.feed();
    rig.run(5 * SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
    assert_eq!(rig.count(Counter::EvidenceLive), 0);
}

#[test]
fn two_satellites_that_hear_the_same_differently_say_the_same() {
    let record = |satellite, orders: &[fn(&mut Vec<u32>)]| {
        let mut rig = Rig::new_as(satellite, 20, 4);
        rig.kill(5);
        for order in orders {
            let mut observers = rig.observers(5);
            order(&mut observers);
            for observer in observers {
                rig.accuse(observer, 5, 900);
            }
        }
        rig.run(SECOND);
        let dead = rig.records(EventKind::DEAD);
        assert_eq!(dead.len(), 1);
        dead[0]
    };
    let plain = record(1, &[|_| ()]);
    let shuffled = record(2, &[|all| all.reverse(), |all| all.rotate_left(3), |_| ()]);
    assert_eq!(plain, shuffled);
}

#[test]
fn an_answer_to_a_probe_is_a_veto() {
    let mut rig = Rig::new(20, 4);
    rig.accuse_by_all(3, 900);
    rig.run(10 * SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert!(rig.count(Counter::Vetoes) >= 1);
}

#[test]
fn a_home_that_hears_a_node_on_schedule_and_later_than_its_accusers_vetoes_every_time() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    rig.beat(3, Incarnation(1), 0);
    rig.accuse_by_all(3, 900);
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty(), "heard here after they heard it last");
    assert_eq!(rig.count(Counter::Vetoes), 1);
    rig.accuse_by_all(3, 1_900);
    rig.run(2 * SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty(), "and no heartbeat was missed three times");
    rig.accuse_by_all(3, 3_900);
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1, "and nothing since");
}

#[test]
fn one_observer_that_hears_the_accused_again_vetoes_and_its_repeated_word_does_not() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    let observer = rig.observers(3)[0];
    rig.accuse_as(observer, 3, 0, 1, Report::RETRACT, 0);
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert_eq!(rig.count(Counter::Vetoes), 1);
    rig.accuse_by_all(3, 1_900);
    rig.accuse_as(observer, 3, 1_000, 1, Report::RETRACT, 0);
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty(), "it was accused wrongly a moment ago");
    rig.run(600 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1, "silent for three times m intervals");
    assert_eq!(rig.count(Counter::Vetoes), 1);
}

#[test]
fn one_quiet_observer_that_hears_the_accused_vetoes_when_it_is_asked() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    rig.kill(3);
    rig.alive.insert(3);
    rig.mute.insert(3);
    for observer in observers.iter().take(7) {
        rig.accuse(*observer, 3, 900);
    }
    rig.run(SECOND);
    assert!(rig.count(Counter::ObserversAsked) >= 1);
    assert!(rig.count(Counter::Vetoes) >= 1, "the eighth heard it a moment ago");
    assert!(rig.records(EventKind::DEAD).is_empty());
}

#[test]
fn an_answer_to_a_question_is_not_acknowledged_for_its_number_is_another_reports() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    rig.kill(3);
    for observer in &observers[..6] {
        rig.accuse(*observer, 3, 900);
    }
    rig.run(SECOND);
    rig.set(3, MemberState::Dead, 4);
    rig.feed();
    assert!(rig.count(Counter::ObserversAsked) >= 3);
    assert_eq!(rig.acks_to(observers[7]), []);
    assert_eq!(rig.acks_to(observers[0]).last(), Some(&(1, 1, 0)));
}

#[test]
fn quiet_observers_that_have_heard_nothing_newer_veto_nothing_and_do_not_vote() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    let observers = rig.observers(3);
    for observer in observers.iter().take(4) {
        rig.accuse(*observer, 3, 900);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty(), "four, and a home, are not six");
    assert_eq!(rig.count(Counter::Vetoes), 0);
    rig.accuse(observers[4], 3, 1_900);
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn observers_that_answer_nothing_vote_by_it_whoever_their_homes_are() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    for observer in &observers[4..] {
        rig.alive.remove(observer);
    }
    rig.run(4 * SECOND);
    rig.kill(3);
    for observer in &observers[..4] {
        rig.accuse(*observer, 3, 900);
    }
    rig.run(240 * MS);
    assert!(rig.records(EventKind::DEAD).is_empty(), "their answers may be on the way");
    rig.run(260 * MS);
    let dead = rig.records(EventKind::DEAD);
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].reporters, dead[0].score_x16 / 16), (4, 9), "four more, and this home");
}

#[test]
fn observers_far_away_do_not_vote_by_their_silence_before_their_answers_can_be_here() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    rig.rtt_us = 200_000;
    rig.run(2 * SECOND);
    for observer in &observers[4..] {
        rig.alive.remove(observer);
    }
    rig.rtt_us = 500;
    rig.run(4 * SECOND);
    rig.kill(3);
    for observer in &observers[..4] {
        rig.accuse(*observer, 3, 900);
    }
    rig.run(700 * MS);
    assert!(rig.count(Counter::ObserversAsked) >= 3);
    assert!(rig.records(EventKind::DEAD).is_empty(), "four round trips are not over");
    rig.run(400 * MS);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn a_node_on_a_link_that_loses_four_of_five_is_gray_within_three_seconds_and_never_dead() {
    let mut named_ms = Vec::new();
    for seed in 0..40 {
        let mut rig = Rig::new(20, 4);
        rig.alive.remove(&3);
        let began = rig.now.at;
        let mut link = Lossy::new(&rig, seed);
        while rig.records(EventKind::GRAY).is_empty() {
            link.step(&mut rig);
            assert!(rig.now.at.since(began) < 60 * SECOND, "seed {seed}: never named");
        }
        named_ms.push(rig.now.at.since(began) / MS);
        while rig.now.at.since(began) < 60 * SECOND {
            link.step(&mut rig);
        }
        assert!(rig.records(EventKind::DEAD).is_empty(), "seed {seed}");
        assert!(rig.records(EventKind::CLEARED).is_empty(), "seed {seed}: nothing has changed");
        link.fails = true;
        let failed = rig.now.at;
        while rig.records(EventKind::DEAD).is_empty() {
            link.step(&mut rig);
            assert!(rig.now.at.since(failed) <= 5 * SECOND, "seed {seed}: never found dead");
        }
    }
    named_ms.sort_unstable();
    // Chance may let the observers of one in twenty hear it again and again in the first second.
    let late = named_ms.iter().filter(|ms| **ms > 3_000).count();
    assert!(late <= 2 && named_ms[20] < 2_500, "{named_ms:?}");
}

#[test]
fn one_noisy_observer_never_kills() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    let observer = rig.observers(3)[0];
    for _ in 0..20 {
        rig.accuse(observer, 3, 900);
        rig.run(100 * MS);
    }
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert_eq!(rig.count(Counter::ProbesSent), 0, "below L nobody is asked");
}

#[test]
fn who_observes_nothing_has_no_vote() {
    let mut rig = Rig::new(30, 4);
    rig.kill(3);
    let observers = rig.observers(3);
    for slot in (0..30).filter(|slot| *slot != 3 && !observers.contains(slot)) {
        rig.accuse(slot, 3, 900);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert_eq!(rig.count(Counter::ProbesSent), 0);
}

#[test]
fn sick_observers_only_delay_a_death_by_a_second_round() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    for observer in rig.observers(3) {
        rig.accuse_as(observer, 3, 900, 1, 0, 1);
    }
    rig.run(200 * MS);
    assert!(rig.records(EventKind::DEAD).is_empty(), "half votes do not reach H");
    rig.run(300 * MS);
    let dead = rig.records(EventKind::DEAD);
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].probes, dead[0].health_max), (6, 1));
    assert!(dead[0].score_x16 < dead[0].needed_x16);
}

#[test]
fn accusers_of_one_domain_do_not_kill_where_observers_span_two() {
    let mut rig = Rig::new(12, 2);
    rig.kill(0);
    let domain = |slot: u32| slot % 2;
    // Odd slots are one domain; all of them that observe node 0 accuse it.
    let observers = rig.observers(0);
    let (same, others): (Vec<u32>, Vec<u32>) =
        observers.iter().partition(|slot| domain(**slot) == 1);
    for observer in &same {
        rig.accuse(*observer, 0, 900);
    }
    // Enough votes: the others are accused themselves.
    for other in &others {
        rig.alive.remove(other);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    rig.accuse(others[0], 0, 900);
    for observer in others.iter().skip(1) {
        rig.accuse(*observer, 0, 900);
    }
    for observer in &same {
        rig.accuse(*observer, 0, 1_900);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).iter().any(|dead| dead.subject.0 == 0));
}

#[test]
fn ten_deaths_within_a_fifth_of_a_second_are_one_batch() {
    let mut rig = Rig::new(60, 6);
    let victims: Vec<u32> = (0..60).step_by(6).collect();
    for victim in &victims {
        rig.kill(*victim);
    }
    for victim in &victims {
        rig.accuse_by_all(*victim, 900);
        rig.run(20 * MS);
    }
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 10);
    let with_dead = rig.batches.iter().filter(|got| !got.records().is_empty()).count();
    assert_eq!(with_dead, 1);
}

#[test]
fn a_rack_that_dies_as_a_whole_is_found_dead_as_a_whole() {
    let mut rig = Rig::new(40, 2);
    let victims: Vec<u32> = (0..40).step_by(2).collect();
    for victim in &victims {
        rig.kill(*victim);
    }
    for victim in &victims {
        rig.accuse_by_all(*victim, 900);
    }
    rig.run(2 * SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 20);
}

#[test]
fn a_lonely_node_is_found_dead_by_its_home() {
    let mut rig = Rig::new(1, 1);
    rig.alive.remove(&0);
    rig.run(6 * SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn a_home_that_hears_nobody_suspects_itself() {
    let mut rig = Rig::new(20, 4);
    rig.alive.clear();
    rig.run(20 * SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
}

#[test]
fn a_node_that_answers_and_stays_accused_is_gray_and_then_cleared() {
    let mut rig = Rig::new(20, 4);
    let observers = rig.observers(3);
    for round in 0..5 {
        for observer in observers.iter().take(3) {
            rig.accuse(*observer, 3, 900 + 1000 * round);
        }
        rig.run(SECOND);
    }
    assert_eq!(rig.records(EventKind::GRAY).len(), 1);
    assert!(rig.records(EventKind::CLEARED).is_empty());
    let detail = rig.details(EventKind::GRAY).remove(0);
    let (cannot, can) = detail.split_once("; heard by ").unwrap();
    assert!(cannot.starts_with("not heard by "), "{detail}");
    for (at, observer) in observers.iter().enumerate() {
        let name = std::format!("node{observer} (rack{})", observer % 4 + 1);
        assert_eq!(cannot.contains(&name), at < 3, "{detail}");
        assert_eq!(can.contains(&name), at >= 3, "{detail}");
    }
    assert!(can.ends_with("satellite1"), "{detail}");
    for observer in observers.iter().take(3) {
        rig.accuse_as(*observer, 3, 0, 1, Report::RETRACT, 0);
    }
    rig.run(9 * SECOND);
    assert!(rig.records(EventKind::CLEARED).is_empty(), "perhaps for a moment only");
    rig.run(2 * SECOND);
    assert_eq!(rig.records(EventKind::CLEARED).len(), 1);
    assert!(rig.records(EventKind::DEAD).is_empty());
}

#[test]
fn a_death_that_met_a_full_station_is_announced_again() {
    let mut rig = Rig::new(20, 4);
    rig.acks = false;
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(300 * MS);
    let first = rig.batches.last().unwrap().clone();
    rig.acknowledge(first.seq, ItemResult::BUSY, 1);
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 2);
    let second = rig.batches.last().unwrap().clone();
    assert!(second.seq > first.seq);
    rig.acknowledge(second.seq, ItemResult::DONE, 1);
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 2);
}

#[test]
fn reports_about_the_dead_are_settled_at_once() {
    let mut rig = Rig::new(20, 4);
    let observer = rig.observers(3)[0];
    rig.set(3, MemberState::Dead, 1);
    rig.feed();
    rig.forget();
    rig.accuse(observer, 3, 900);
    assert_eq!(rig.acks_to(observer), [(1, 1, 0)]);
    assert_eq!(rig.count(Counter::EvidenceLive), 0);
}

#[test]
fn accusers_are_told_when_the_view_has_the_death() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    let observer = rig.observers(3)[0];
    rig.accuse_by_all(3, 900);
    assert_eq!(rig.acks_to(observer), [(1, 0, 0)]);
    rig.run(SECOND);
    rig.set(3, MemberState::Dead, 4);
    rig.feed();
    assert_eq!(rig.acks_to(observer).last(), Some(&(1, 1, 0)));
}

#[test]
fn a_full_table_drops_noise_and_keeps_what_is_probable() {
    let mut config = Rig::started(1).satellite.config.clone();
    config.evidence_max = 4;
    let mut rig = Rig::with(config);
    for slot in 0..40 {
        rig.set(slot, MemberState::Alive, u16::try_from(slot % 4).unwrap() + 1);
    }
    rig.alive = (0..40).collect();
    rig.feed();
    rig.run(5 * SECOND);
    rig.forget();
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(10 * MS);
    for subject in (10..40).filter(|slot| *slot != 3) {
        let observer = rig.observers(subject)[0];
        rig.accuse(observer, subject, 900);
    }
    rig.run(SECOND);
    let dead = rig.records(EventKind::DEAD);
    assert_eq!(dead.iter().map(|dead| dead.subject.0).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_second_of_quiet_probes_nobody() {
    let mut rig = Rig::new(20, 4);
    rig.run(3 * SECOND);
    assert!(rig.batches.is_empty());
    assert!(rig.sent_where(|frame| matches!(frame, Frame::Probe(_))).is_empty());
}
