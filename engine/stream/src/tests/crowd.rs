//! What one stream to many promises, in virtual time: few requests however many listen, and a bound
//! for whoever is slow.

use super::course::{Course, Way};
use crate::{Flow, Phase, PublicationConfig};
use std::vec::Vec;
use syncom_seam::{MS, SECOND};

const MTU: usize = 1408;
const SIZE: usize = 64;
const WINDOW: usize = 256 * 1024;

/// 1 Gbit/s, 1 ms there and back.
const GIGABIT: Way = Way {
    bytes_per_s: 125_000_000,
    queue: 500_000,
    delay_ns: MS / 2,
    jitter_ns: 0,
    loss_per_mille: 0,
};

fn many(readers: usize, change: impl FnOnce(&mut PublicationConfig)) -> Course {
    let mut config = Course::config(MTU, WINDOW, Some(Flow::Min));
    change(&mut config);
    Course::new(GIGABIT, config, readers, SIZE)
}

/// Lets `ms` pass with a few messages in each.
fn trickle(course: &mut Course, ms: u64) {
    for _ in 0..ms {
        course.offer_some(40);
        course.run(course.now.after(MS), false);
    }
}

/// Ends the stream and lets everybody hear it.
fn finish(course: &mut Course) {
    course.speaker.end(course.now);
    course.run(course.now.after(20 * SECOND), false);
    assert_eq!(course.speaker.phase(), Phase::Ended);
}

fn is_whole(course: &Course, reader: usize) -> bool {
    let heard = &course.readers[reader].heard;
    heard.len() as u64 == course.sent && heard.iter().zip(0..).all(|(heard, n)| *heard == n)
}

/// Requests that the sender heard, and fragments that it repeated, for each datagram that all lost.
fn requests(readers: usize, losses: u64) -> (u64, u64) {
    // The sender does not ask by itself meanwhile.
    let mut course = many(readers, |config| config.rto_min_ns = 100 * MS);
    trickle(&mut course, 30);
    assert_eq!(course.speaker.listeners(), readers);
    let before: u64 = course.readers.iter().map(|reader| reader.naks).sum();
    let (resent, lost) = (course.resent, course.lost);
    for _ in 0..losses {
        course.lose = 1;
        trickle(&mut course, 20);
    }
    let naks: u64 = course.readers.iter().map(|reader| reader.naks).sum();
    assert_eq!(course.lost - lost, losses);
    let resent = course.resent - resent;
    finish(&mut course);
    assert!((0..readers).all(|reader| is_whole(&course, reader)));
    (naks - before, resent)
}

#[test]
fn a_datagram_that_a_hundred_have_lost_is_asked_for_by_few_and_repaired_once() {
    let losses = 10;
    let (naks, resent) = requests(100, losses);
    assert_eq!(resent, losses);
    assert!((losses..=15 * losses).contains(&naks), "{naks} requests for {losses} losses");
}

#[test]
fn a_datagram_that_a_thousand_have_lost_is_asked_for_by_few_and_repaired_once() {
    let losses = 3;
    let (naks, resent) = requests(1000, losses);
    assert_eq!(resent, losses);
    assert!((losses..=25 * losses).contains(&naks), "{naks} requests for {losses} losses");
}

#[test]
fn one_that_stops_for_longer_than_the_bound_lets_the_others_go_on_and_is_told_what_it_missed() {
    let mut course = many(3, |config| config.linger_ns = SECOND / 2);
    course.run(course.now.after(100 * MS), true);
    let before = course.readers[0].heard.len();
    course.readers[1].stopped_until = course.now.after(2 * SECOND);
    course.run(course.now.after(600 * MS), true);
    assert_eq!((course.speaker.listeners(), course.speaker.take_laggards()), (2, 1));
    let bound = course.readers[0].heard.len();
    course.run(course.now.after(1000 * MS), true);
    let after = course.readers[0].heard.len();
    assert!(after - bound > 8 * before, "full rate after the bound: {before} {bound} {after}");
    course.run(course.now.after(1000 * MS), true);
    assert_eq!(course.speaker.listeners(), 3, "it is back and waited for");
    finish(&mut course);
    assert!(is_whole(&course, 0) && is_whole(&course, 2));
    let reader = &course.readers[1];
    assert_eq!(reader.missed.len(), 1, "told once");
    let gaps: Vec<_> = reader
        .heard
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .map(|pair| (pair[0], pair[1]))
        .collect();
    let [(last, next)] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(reader.heard.last(), Some(&(course.sent - 1)));
    // Positions count prefixes too: what was told is what is missing.
    let line = |n: u64| n * (SIZE as u64 + 4);
    let (from, to) = reader.missed[0];
    assert!(from >= line(last + 1) && from < line(last + 2) && to == line(next));
}

#[test]
fn one_that_stops_for_longer_than_the_bound_is_repaired_from_what_is_kept() {
    let mut course = many(3, |config| {
        config.linger_ns = SECOND / 4;
        config.history = 16 << 20;
    });
    trickle(&mut course, 50);
    course.readers[1].stopped_until = course.now.after(2 * SECOND);
    trickle(&mut course, 2000);
    assert_eq!(course.speaker.take_laggards(), 1);
    assert!(course.readers[0].heard.len() as u64 + 100 > course.sent, "the others went on");
    trickle(&mut course, 500);
    assert_eq!(course.speaker.listeners(), 3);
    finish(&mut course);
    assert!(
        (0..3).all(|reader| is_whole(&course, reader) && course.readers[reader].missed.is_empty())
    );
}

#[test]
fn one_that_returns_when_nothing_is_sent_any_more_still_gets_what_is_kept() {
    let mut course = many(3, |config| {
        config.linger_ns = SECOND / 4;
        config.history = 4 << 20;
    });
    trickle(&mut course, 50);
    course.readers[1].stopped_until = course.now.after(SECOND);
    trickle(&mut course, 600);
    course.speaker.end(course.now);
    // It is back before the end has been told for long enough to be forgotten.
    course.readers[1].stopped_until = course.now.after(100 * MS);
    course.run(course.now.after(20 * SECOND), false);
    assert_eq!(course.speaker.phase(), Phase::Ended);
    assert!((0..3).all(|reader| is_whole(&course, reader)));
}

#[test]
fn who_comes_late_begins_at_the_beginning_while_it_is_kept_and_else_at_the_present() {
    for (kept, ms) in [(true, 20), (false, 3000)] {
        let mut course = many(3, |_| {});
        course.readers[2].stopped_until = course.now.after(ms * MS);
        trickle(&mut course, ms + 200);
        finish(&mut course);
        assert!(is_whole(&course, 0) && is_whole(&course, 1));
        let heard = &course.readers[2].heard;
        assert_eq!(is_whole(&course, 2), kept);
        assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "no hole after the beginning");
        assert_eq!(heard.last(), Some(&(course.sent - 1)));
        assert!(course.readers[2].missed.is_empty());
    }
}

#[test]
fn silence_of_the_sender_makes_nobody_late() {
    let mut course = many(3, |config| config.linger_ns = SECOND / 4);
    trickle(&mut course, 50);
    course.run(course.now.after(10 * SECOND), false);
    // The first datagram after it is lost, so that the first to be heard is a timer.
    course.lose = 1;
    trickle(&mut course, 100);
    assert_eq!((course.speaker.listeners(), course.speaker.take_laggards()), (3, 0));
    finish(&mut course);
    assert!((0..3).all(|reader| is_whole(&course, reader)));
}
