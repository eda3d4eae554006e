//! What channels promise, in virtual time.

use super::course::{Course, Way};
use crate::{Control, Flow, Phase};
use core::fmt::Write as _;
use std::string::String;
use std::vec::Vec;
use syncom_seam::{MS, SECOND, US};

const MTU: usize = 1408;
const SIZE: usize = 64;

/// 1 Gbit/s, 1 ms there and back, and a queue of two round trips.
const GIGABIT: Way = Way {
    bytes_per_s: 125_000_000,
    queue: 250_000,
    delay_ns: MS / 2,
    jitter_ns: 0,
    loss_per_mille: 0,
};

fn is_row(heard: &[u64], from: u64) -> bool {
    heard.iter().zip(from..).all(|(heard, expected)| *heard == expected)
}

/// Bytes of messages per second of a second's run, and how many fragments were repeated.
fn goodput(control: Control, way: Way) -> (u64, u64) {
    let config = Course::config(MTU, 512 * 1024, None);
    let mut course = Course::new(way, crate::PublicationConfig { control, ..config }, 1, SIZE);
    let until = course.now.after(SECOND);
    course.run(until, true);
    let heard = &course.readers[0].heard;
    assert!(is_row(heard, 0), "in order, each once");
    ((heard.len() * SIZE) as u64, course.resent)
}

/// The curve is committed: `goodput.txt`. When it changes for a reason, copy what this prints.
#[test]
fn goodput_under_loss_follows_the_committed_curve() {
    let mut table = String::from("cc      loss   goodput MB/s  of lossless  repeated\n");
    for control in [Control::Cubic, Control::Static] {
        let (lossless, _) = goodput(control, GIGABIT);
        for loss_per_mille in [0, 1, 10, 30, 100] {
            let (bytes, resent) = goodput(control, Way { loss_per_mille, ..GIGABIT });
            let name = if control == Control::Cubic { "cubic" } else { "static" };
            let (whole, tenth) = (loss_per_mille / 10, loss_per_mille % 10);
            let (mb, percent) = (bytes / 1_000_000, bytes * 100 / lossless);
            writeln!(
                table,
                "{name:<7} {whole:>2}.{tenth} %  {mb:>12}  {percent:>9} %  {resent:>8}"
            )
            .unwrap();
            assert!(loss_per_mille > 10 || percent >= 80, "{table}");
            assert!(percent >= 40, "{table}");
        }
        assert!(lossless > 85_000_000, "the bottleneck is not filled: {table}");
    }
    assert_eq!(table, include_str!("goodput.txt"), "it is now:\n{table}");
}

#[test]
fn everything_arrives_and_ends_whatever_the_way_does() {
    for seed in 0..12 {
        let way = Way {
            loss_per_mille: [0, 10, 100, 300][seed % 4],
            jitter_ns: [0, 100 * US, 2 * MS][seed % 3],
            ..GIGABIT
        };
        let config = Course::config([512, MTU, 8192][seed % 3], 64 * 1024, None);
        let mut course = Course::new(way, config, 1, 100);
        course.rng = syncom_seam::Rng::new(seed as u64);
        course.run(course.now.after(20 * MS), true);
        course.speaker.end(course.now);
        course.run(course.now.after(60 * SECOND), false);
        assert_eq!(course.speaker.phase(), Phase::Ended, "seed {seed}");
        let heard = &course.readers[0].heard;
        assert!(course.sent > 0 && heard.len() as u64 == course.sent, "seed {seed}");
        assert!(is_row(heard, 0), "seed {seed}");
    }
}

#[test]
fn cubic_leaves_the_queue_of_a_bottleneck_mostly_empty_where_static_fills_it() {
    // A window far beyond what the path holds: static loses what does not fit the queue.
    let way = Way { queue: 60_000, ..GIGABIT };
    let (cubic, resent) = goodput(Control::Cubic, way);
    let (_, resent_static) = goodput(Control::Static, way);
    assert!(cubic > 80_000_000, "{cubic}");
    assert!(resent * 4 < resent_static, "{resent} against {resent_static}");
}

fn many(flow: Flow, readers: usize, loss_per_mille: u64) -> Course {
    let way = Way { loss_per_mille, ..GIGABIT };
    Course::new(way, Course::config(MTU, 256 * 1024, Some(flow)), readers, SIZE)
}

#[test]
fn many_receivers_hear_everything_though_each_loses_something_else() {
    let mut course = many(Flow::Min, 5, 0);
    course.run(course.now.after(5 * MS), true);
    assert_eq!(course.speaker.listeners(), 5);
    course.way.loss_per_mille = 20;
    course.run(course.now.after(200 * MS), true);
    course.speaker.end(course.now);
    course.run(course.now.after(20 * SECOND), false);
    for reader in &course.readers {
        assert!(reader.heard.len() as u64 == course.sent && is_row(&reader.heard, 0));
    }
}

#[test]
fn the_requests_of_many_for_the_same_are_answered_once() {
    let run = |readers: usize| {
        let mut course = many(Flow::Min, readers, 0);
        course.run(course.now.after(20 * MS), true);
        // Short moments in which nothing passes: all lose the same.
        for _ in 0..20 {
            course.way.queue = 0;
            course.run(course.now.after(100 * US), true);
            course.way.queue = GIGABIT.queue;
            course.run(course.now.after(20 * MS), true);
        }
        let naks: u64 = course.readers.iter().map(|reader| reader.naks).sum();
        assert!(course.lost > 0 && course.resent <= 3 * course.lost, "{}", course.resent);
        naks
    };
    let (one, twenty) = (run(1), run(20));
    assert!(twenty < 20 * one, "{twenty} requests of twenty against {one} of one");
}

#[test]
fn a_receiver_that_stops_and_returns_in_time_loses_nothing() {
    let mut course = many(Flow::Min, 3, 0);
    course.run(course.now.after(50 * MS), true);
    course.readers[1].stopped_until = course.now.after(2 * SECOND);
    course.run(course.now.after(2200 * MS), true);
    course.speaker.end(course.now);
    course.run(course.now.after(5 * SECOND), false);
    for reader in &course.readers {
        assert!(reader.heard.len() as u64 == course.sent && is_row(&reader.heard, 0));
    }
}

#[test]
fn a_receiver_that_died_stalls_the_others_no_longer_than_the_bound() {
    let mut course = many(Flow::Min, 3, 0);
    course.run(course.now.after(50 * MS), true);
    course.readers[1].stopped_until = syncom_seam::Time::NEVER;
    course.run(course.now.after(SECOND), true);
    let stalled = course.readers[0].heard.len();
    course.run(course.now.after(6 * SECOND), true);
    assert!(course.readers[0].heard.len() > 2 * stalled, "the others go on");
    assert_eq!(course.speaker.listeners(), 2);
}

#[test]
fn with_max_a_stopped_receiver_stalls_nobody_and_goes_on_at_the_present() {
    let mut course = many(Flow::Max, 3, 0);
    course.run(course.now.after(50 * MS), true);
    let before = course.readers[0].heard.len();
    course.readers[1].stopped_until = course.now.after(SECOND);
    course.run(course.now.after(SECOND), true);
    assert!(course.readers[0].heard.len() > 10 * before, "nobody waits");
    course.run(course.now.after(SECOND), true);
    let heard = &course.readers[1].heard;
    let gap = heard.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    let last = *heard.last().unwrap();
    assert!(gap >= 1 && last + 100_000 > course.sent, "{gap} gaps, {last} of {}", course.sent);
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn with_a_tag_only_those_who_carry_it_are_waited_for() {
    let mut course = many(Flow::Tagged(7), 3, 0);
    for reader in [0, 2] {
        course.readers[reader].config.tag = 7;
    }
    course.run(course.now.after(50 * MS), true);
    let before = course.readers[0].heard.len();
    course.readers[1].stopped_until = syncom_seam::Time::NEVER;
    course.run(course.now.after(SECOND), true);
    let after: Vec<_> = course.readers.iter().map(|reader| reader.heard.len()).collect();
    assert!(after[0] > 5 * before && after[2] > 5 * before, "{after:?}");
}
