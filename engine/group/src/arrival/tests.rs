use super::*;
use alloc::vec::Vec;
use syncom_seam::{Rng, SECOND};

const ETA: u64 = 200 * MS;
const PROFILE: Profile = Profile::DEFAULT;

/// Hears heartbeats `1..=count` sent on a perfect schedule from `start`, each late by `delay`.
fn hear(start: Time, count: u64, mut delay: impl FnMut(u64) -> u64) -> Arrival {
    let mut arrival = Arrival::new(start, ETA);
    for seq in 1..=count {
        assert!(arrival.on_heartbeat(seq, ETA, start.after(seq * ETA + delay(seq))));
    }
    arrival
}

const START: Time = Time(1000 * SECOND);

#[test]
fn whoever_relives_the_last_arrivals_expects_what_it_would_have_expected() {
    let hour_ns = 3_600 * SECOND;
    let skipped = hour_ns / ETA;
    for seed in 1..=50 {
        let mut rng = Rng::new(seed);
        let fates: Vec<Option<u64>> = (0..=skipped + 300)
            .map(|_| (!rng.chance(1, 50)).then(|| 50_000 + rng.below(100_000)))
            .collect();
        let heard = |seq: u64| Some(START.after(seq * ETA + fates[usize::try_from(seq).ok()?]?));
        let mut whole = hear(START, 40, |_| 80_000);
        let mut stopped = whole.clone();
        let newest = (skipped..skipped + 300).rev().find(|seq| heard(*seq).is_some()).unwrap();
        for seq in 41..=newest {
            heard(seq).map(|heard| whole.on_heartbeat(seq, ETA, heard));
        }
        // It has heard 299 or so of its own, and none of those of that hour.
        for seq in 41..=newest - skipped {
            stopped.on_heartbeat(seq, ETA, START.after(seq * ETA + 60_000));
        }
        let begun = stopped.clone();
        let arrivals = (0..256).rev().filter_map(|back| Some((back, heard(newest - back)?)));
        stopped.relive(hour_ns, arrivals);
        assert_eq!((stopped.seq(), stopped.heard()), (begun.seq(), begun.heard()));
        assert_eq!(stopped.error_ns(), whole.error_ns(), "seed {seed}");
        let ahead = Time(whole.deadline(&PROFILE, 0).0 - hour_ns);
        assert_eq!(stopped.deadline(&PROFILE, 0), ahead, "seed {seed}");
        assert_ne!(stopped.deadline(&PROFILE, 0), begun.deadline(&PROFILE, 0), "seed {seed}");
    }
}

#[test]
fn a_steady_sender_is_missed_after_m_intervals_and_the_least_margin() {
    let arrival = hear(START, 100, |_| MS);
    let last = START.after(100 * ETA + MS);
    assert_eq!(arrival.expected(), last.after(ETA));
    let wait = arrival.deadline(&PROFILE, 0).since(last);
    assert!((4 * ETA + 50 * MS..4 * ETA + 51 * MS).contains(&wait), "{wait}");
}

#[test]
fn whoever_was_asked_first_is_missed_by_its_own_interval_and_keeps_its_own_schedule() {
    let slow = 50 * ETA;
    let mut arrival = Arrival::new(START, ETA);
    arrival.on_word(7, slow, START.after(ETA));
    assert_eq!((arrival.heard(), arrival.interval_ns()), (Some(START.after(ETA)), slow));
    assert!(arrival.deadline(&PROFILE, 0) > START.after(ETA + 4 * slow));
    // Its heartbeats come when they come, however long ago it was asked.
    for seq in 8..100 {
        arrival.on_heartbeat(seq, slow, START.after(2 * ETA + (seq - 8) * slow));
    }
    let last = START.after(2 * ETA + 91 * slow);
    assert_eq!((arrival.seq(), arrival.expected()), (99, last.after(slow)));
    assert!(arrival.deadline(&PROFILE, 0).since(last) < 4 * slow + 60 * MS);
    // Later words prove life, and move nothing.
    let deadline = arrival.deadline(&PROFILE, 0);
    arrival.on_word(99, ETA, last.after(ETA));
    assert_eq!((arrival.heard(), arrival.deadline(&PROFILE, 0)), (Some(last.after(ETA)), deadline));
}

#[test]
fn jitter_widens_the_margin_up_to_one_interval() {
    let mut rng = Rng::new(1);
    let calm = hear(START, 200, |_| 0);
    let noisy = hear(START, 200, |_| rng.below(60 * MS));
    assert!(noisy.error_ns() > 5 * MS && noisy.error_ns() < 40 * MS);
    let wait =
        |arrival: &Arrival, health| arrival.deadline(&PROFILE, health).since(arrival.expected());
    assert!(wait(&noisy, 0) > wait(&calm, 0));
    assert!(wait(&noisy, 0) <= 4 * ETA);
    assert_eq!(
        wait(&calm, 3) - 3 * ETA,
        4 * (wait(&calm, 0) - 3 * ETA),
        "health stretches the margin"
    );
}

#[test]
fn the_mean_of_the_window_is_expected_and_not_the_last_arrival() {
    let mut arrival = hear(START, 64, |_| 10 * MS);
    arrival.on_heartbeat(65, ETA, START.after(65 * ETA + 42 * MS));
    assert_eq!(arrival.expected(), START.after(66 * ETA + 11 * MS));
}

#[test]
fn under_jitter_and_loss_nobody_is_accused() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut arrival = Arrival::new(START, ETA);
        let mut lost_in_a_row = 0;
        for seq in 1..3000 {
            if rng.chance(1, 10) && lost_in_a_row < 2 {
                lost_in_a_row += 1;
                continue;
            }
            lost_in_a_row = 0;
            let heard = START.after(seq * ETA + rng.below(80 * MS));
            assert!(heard <= arrival.deadline(&PROFILE, 0), "seed {seed}, heartbeat {seq}");
            arrival.on_heartbeat(seq, ETA, heard);
        }
    }
}

#[test]
fn lost_heartbeats_do_not_move_the_expectation() {
    let mut arrival = hear(START, 50, |_| MS);
    arrival.on_heartbeat(53, ETA, START.after(53 * ETA + MS));
    assert_eq!(arrival.expected(), START.after(54 * ETA + MS));
    assert!(arrival.error_ns() < MS);
}

#[test]
fn old_and_repeated_heartbeats_only_prove_life() {
    let mut arrival = hear(START, 50, |_| MS);
    let before = arrival.expected();
    let later = START.after(50 * ETA + 100 * MS);
    assert!(!arrival.on_heartbeat(50, ETA, later));
    assert!(!arrival.on_heartbeat(12, 1000 * MS, START));
    assert_eq!((arrival.expected(), arrival.heard(), arrival.seq()), (before, Some(later), 50));
}

#[test]
fn a_new_interval_counts_from_its_announcement() {
    let mut arrival = hear(START, 50, |_| MS);
    let heard = START.after(50 * ETA + MS).after(ETA);
    arrival.on_heartbeat(51, SECOND, heard);
    assert_eq!(arrival.expected(), heard.after(SECOND));
    assert!(arrival.deadline(&PROFILE, 0) >= heard.after(4 * SECOND));
}

#[test]
fn a_sender_that_was_stopped_is_not_accused_when_it_goes_on() {
    let mut arrival = hear(START, 50, |_| MS);
    let mut heard = START.after(50 * ETA + 10 * SECOND);
    for seq in 51..100 {
        arrival.on_heartbeat(seq, ETA, heard);
        assert!(arrival.deadline(&PROFILE, 0) > heard.after(3 * ETA));
        heard = heard.after(ETA);
    }
}

#[test]
fn a_pause_of_ours_shifts_the_deadline() {
    let mut arrival = hear(START, 50, |_| MS);
    let before = arrival.deadline(&PROFILE, 0);
    arrival.shift(5 * SECOND);
    assert_eq!(arrival.deadline(&PROFILE, 0), before.after(5 * SECOND));
    let heard = START.after(51 * ETA + MS);
    arrival.on_heartbeat(51, ETA, heard);
    assert_eq!(arrival.expected(), heard.after(ETA), "heartbeats kept by the kernel still count");
}

#[test]
fn before_the_first_heartbeat_the_sender_has_m_intervals_and_a_full_margin() {
    let arrival = Arrival::new(START, ETA);
    assert_eq!(arrival.heard(), None);
    assert_eq!(arrival.deadline(&PROFILE, 0), START.after(5 * ETA));
}

#[test]
fn a_slow_clock_of_the_sender_is_followed() {
    let drift = |seq: u64| seq * 20_000;
    let arrival = hear(START, 100_000, drift);
    let next = START.after(100_001 * ETA + drift(100_001));
    assert!(next.since(arrival.expected()) < MS, "100 ppm over hours");
}

#[test]
fn absurd_numbers_do_no_harm() {
    let mut rng = Rng::new(5);
    let mut arrival = Arrival::new(Time(0), 0);
    for step in 0..200_000_u64 {
        let seq = if rng.chance(1, 100) {
            rng.next_u64()
        } else {
            arrival.seq().saturating_add(1 + rng.below(1030))
        };
        let interval_ns = [0, 1, 60_000 * MS, u64::MAX][usize::try_from(rng.below(4)).unwrap()];
        let interval_ns = if rng.chance(1, 50) { interval_ns } else { 60_000 * MS };
        arrival.on_heartbeat(seq, interval_ns, Time(step * MS));
        if arrival.seq() > u64::MAX / 2 {
            arrival = Arrival::new(Time(step * MS), u64::MAX);
        }
        assert!(
            arrival.deadline(&Profile { misses: u32::MAX, ..PROFILE }, 255) >= arrival.expected()
        );
    }
    arrival.on_heartbeat(u64::MAX, 1, Time::NEVER);
    arrival.shift(u64::MAX);
    assert_eq!(arrival.expected(), Time::NEVER);
}

#[test]
fn most_is_missing_when_five_of_the_last_eight_have_not_come() {
    let of = |heard: &[u64]| {
        let mut arrival = Arrival::new(Time(0), ETA);
        for seq in heard {
            arrival.on_heartbeat(*seq, ETA, Time(seq * ETA));
        }
        arrival.is_patchy()
    };
    assert!(!of(&[1, 2, 3, 4, 5]));
    assert!(!of(&[30]), "what was sent before it was known to us is not missing");
    assert!(!of(&[30, 35]), "four are missing");
    assert!(of(&[30, 36]));
    assert!(of(&[30, 33, 36, 38]), "2 + 2 + 1");
    assert!(!of(&[30, 33, 36, 38, 39]), "the first of them is long ago");
    assert!(!of(&[30, 36, 34]), "late is not missing");
    assert!(of(&[30, 60]) && !of(&[30, 60, 61, 62, 63, 64]));
    assert!(of(&[30, 36, 3]), "nor does an old one fill a gap");
}

#[test]
fn what_is_excused_is_not_held_against_the_sender_nor_what_was_sent_at_another_interval() {
    let mut arrival = Arrival::new(Time(0), ETA);
    arrival.on_heartbeat(1, ETA, Time(ETA));
    arrival.on_heartbeat(8, ETA, Time(8 * ETA));
    assert!(arrival.is_patchy());
    arrival.excuse();
    assert!(!arrival.is_patchy());
    arrival.on_heartbeat(15, ETA, Time(15 * ETA));
    assert!(arrival.is_patchy());
    arrival.on_heartbeat(30, 2 * ETA, Time(16 * ETA));
    assert!(!arrival.is_patchy());
}
