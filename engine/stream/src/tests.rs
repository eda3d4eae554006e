//! What streams promise, in virtual time over bad networks.

mod channel;
mod channel_hostile;
mod course;
mod crowd;
mod hostile;
mod net;

use crate::{Config, Delivery, Direction, Refusal, Streams};
use net::{A, B, CALM, Net, addr, key, peer, storm};
use std::vec;
use std::vec::Vec;
use syncom_seam::{Counter, MS, Recorder, Rng, SECOND, Time, US};
use syncom_wire::limits::MESSAGE_MAX;

/// Message number `n` of a run: its number, then filler of a size drawn from `rng`.
fn message(n: u64, rng: &mut Rng) -> Vec<u8> {
    let size = match rng.below(20) {
        0..10 => rng.below(100),
        10..19 => rng.below(6_000),
        _ => rng.below(150_000),
    };
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(8 + usize::try_from(size).unwrap(), n.to_le_bytes()[0]);
    bytes
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().unwrap())
}

/// Sends messages `range` at random moments; each is offered again until it is taken.
fn send_range(net: &mut Net, range: core::ops::Range<u64>) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(net.rng.next_u64());
    let messages: Vec<_> = range.map(|n| message(n, &mut rng)).collect();
    for bytes in &messages {
        while net.send(bytes) == Err(Refusal::Full) {
            net.run_until(net.now.after(MS));
        }
        if rng.chance(1, 3) {
            net.run_until(net.now.after(rng.below(MS)));
        }
    }
    messages
}

#[test]
fn everything_arrives_once_and_in_order_whatever_the_network_does() {
    for seed in 0..48 {
        let mut net = Net::new(seed, storm(seed));
        let messages = send_range(&mut net, 0..60);
        net.run_until_quiet();
        assert_eq!(net.nodes[B].messages.len(), messages.len(), "seed {seed}");
        assert!(net.nodes[B].messages == messages, "seed {seed}: content or order differs");
        let resets = net.nodes[A].told.iter().chain(&net.nodes[B].told);
        assert!(resets.into_iter().all(|told| matches!(told.1, Delivery::Writable(_))), "{seed}");
        assert_eq!(net.nodes[A].streams.queued_bytes(key(A)), 0);
        assert_eq!(net.nodes[B].out.counter(Counter::StreamDelivered), 60);
    }
}

#[test]
fn a_calm_network_needs_no_repair() {
    let mut net = Net::new(1, CALM);
    send_range(&mut net, 0..200);
    net.run_until_quiet();
    assert_eq!(net.nodes[B].messages.len(), 200);
    assert_eq!(net.nodes[A].out.counter(Counter::StreamResent), 0);
    assert_eq!(net.nodes[B].out.counter(Counter::StreamNaks), 0);
}

#[test]
fn reordering_alone_causes_no_repair_and_loss_not_many_more_than_were_lost() {
    for (loss_percent, delay_ns) in [(0, MS), (1, MS), (5, MS), (10, 5 * MS)] {
        let weather = net::Weather { loss_percent, delay_ns, jitter_ns: 20_000, ..CALM };
        let mut net = Net::new(loss_percent, weather);
        for _ in 0..100 {
            net.send(&[7; 8000]).unwrap();
        }
        net.run_until_quiet();
        assert_eq!(net.nodes[B].messages.len(), 100);
        let sent = net.nodes[A].out.counter(Counter::StreamSent);
        let resent = net.nodes[A].out.counter(Counter::StreamResent);
        let lost_about = sent * loss_percent / 100;
        assert!(resent <= 3 * lost_about, "{resent} of {sent} repaired at {loss_percent} % loss");
    }
}

#[test]
fn a_warm_stream_reuses_its_memory_and_needs_a_timer_per_status_at_most() {
    let mut net = Net::new(1, CALM);
    send_range(&mut net, 0..100);
    net.run_until_quiet();
    let used = |net: &Net| net.nodes.each_ref().map(|node| node.streams.allocated());
    let (warm, armed) = (used(&net), net.armed);
    for _ in 0..1000 {
        net.send(&[7; 500]).unwrap();
        net.run_until(net.now.after(MS));
    }
    assert_eq!(used(&net), warm);
    // The receiver's, for each status that finds nothing to go with; and few of the sender's.
    assert!(net.armed - armed <= 1000 + 1000 / 5, "{} timers armed", net.armed - armed);
}

/// What is owed for a message waits a moment for something that goes the same way.
#[test]
fn a_status_waits_a_moment_before_it_goes_alone() {
    let mut net = Net::new(1, CALM);
    send_range(&mut net, 0..10);
    net.run_until_quiet();
    let before = net.sent;
    net.send(&[7; 100]).unwrap();
    net.run_until(net.now.after(500 * US));
    assert_eq!(net.sent - before, 1, "the message, and nothing for it yet");
    net.run_until(net.now.after(2 * MS));
    assert_eq!(net.sent - before, 2, "and its status");
}

#[test]
fn the_empty_and_the_largest_message_pass_and_a_larger_one_is_refused() {
    for seed in 0..6 {
        let mut net = Net::new(seed, storm(seed));
        let mut largest = vec![0; MESSAGE_MAX];
        largest
            .iter_mut()
            .enumerate()
            .for_each(|(i, byte)| *byte = i.to_le_bytes()[0] ^ i.to_le_bytes()[1]);
        net.send(&[]).unwrap();
        net.send(&largest).unwrap();
        assert_eq!(net.send(&vec![0; MESSAGE_MAX + 1]), Err(Refusal::TooLong));
        net.run_until_quiet();
        net.send(&largest).unwrap();
        net.run_until_quiet();
        assert!(net.nodes[B].messages == [vec![], largest.clone(), largest], "seed {seed}");
    }
}

#[test]
fn a_restarted_receiver_resets_the_sender_and_the_stream_works_again() {
    for seed in 0..24 {
        let mut net = Net::new(seed, storm(seed));
        send_range(&mut net, 0..30);
        let was_answered = net.nodes[A].streams.is_connected(key(A));
        net.restart(B);
        send_range(&mut net, 30..60);
        net.run_until_quiet();
        let resets = net.nodes[A].told.iter();
        let resets = resets.filter(|told| told.1 == Delivery::Reset(key(A), Direction::Outgoing));
        assert!(!was_answered || resets.count() == 1, "seed {seed}");
        let numbers: Vec<_> = net.nodes[B].messages.iter().map(|m| number(m)).collect();
        let sessions = 1 + net.nodes[B].told.len();
        let falls = numbers.windows(2).filter(|pair| pair[0] >= pair[1]).count();
        assert!(falls < sessions, "seed {seed}: repeated within a session");
        let later = send_range(&mut net, 60..80);
        net.run_until_quiet();
        assert!(net.nodes[B].messages.ends_with(&later), "seed {seed}");
    }
}

#[test]
fn a_receiver_that_restarts_between_messages_costs_one_reset_not_silence() {
    let mut net = Net::new(1, CALM);
    net.send(b"first").unwrap();
    net.run_until_quiet();
    net.restart(B);
    net.send(b"lost").unwrap();
    net.run_until_quiet();
    assert_eq!(net.nodes[A].told, [(0, Delivery::Reset(key(A), Direction::Outgoing))]);
    assert!(net.nodes[B].messages.is_empty());
    net.send(b"heard").unwrap();
    net.run_until_quiet();
    assert_eq!(net.nodes[B].messages, [b"heard"]);
    assert!(net.nodes[B].told.is_empty());
}

#[test]
fn a_restarted_sender_resets_the_receiver_and_is_heard_again() {
    for seed in 0..24 {
        let mut net = Net::new(seed, storm(seed));
        send_range(&mut net, 0..30);
        let was_heard = !net.nodes[B].messages.is_empty();
        net.restart(A);
        let before = net.nodes[B].messages.len();
        let later = send_range(&mut net, 100..130);
        net.run_until_quiet();
        assert!(net.nodes[B].messages.ends_with(&later), "seed {seed}");
        let told = &net.nodes[B].told;
        assert!(told.len() <= 1 && (told.len() == 1 || !was_heard), "seed {seed}: {told:?}");
        let at = told.first().map_or(0, |told| told.0);
        assert!(at >= before, "seed {seed}: the reset came before messages of the old life");
        let old = net.nodes[B].messages[..at].iter().map(|message| number(message));
        assert!(old.eq(0..at as u64), "seed {seed}: the old life has a hole");
    }
}

#[test]
fn a_full_stream_refuses_and_says_when_it_is_writable() {
    let mut net = Net::new(5, storm(1));
    net.nodes[B].takes = false;
    let bytes = vec![7; 40_000];
    let mut taken = 0;
    for _ in 0..2_000 {
        match net.send(&bytes) {
            Ok(()) => taken += 1,
            Err(refusal) => assert_eq!(refusal, Refusal::Full),
        }
        net.run_until(net.now.after(50 * MS));
    }
    let config = Config::default();
    let held = config.send_buffer_max + config.receive_buffer_max;
    assert!((taken + 1) * 40_004 > held && taken * 40_004 <= held, "{taken} taken");
    assert!(net.nodes[A].told.is_empty(), "a full receiver is not a dead one");
    net.nodes[B].takes = true;
    net.end_burst(B);
    net.run_until_quiet();
    assert_eq!(net.nodes[A].told, [(0, Delivery::Writable(key(A)))]);
    assert!(net.nodes[B].messages == vec![bytes; taken]);
}

#[test]
fn a_silent_peer_is_given_up_and_leaves_no_timer() {
    let weather = net::Weather { loss_percent: 100, ..CALM };
    let mut net = Net::new(5, weather);
    net.send(b"anyone?").unwrap();
    net.run_until(net.now.after(9 * SECOND));
    assert!(net.nodes[A].told.is_empty());
    net.run_until_quiet();
    assert_eq!(net.nodes[A].told, [(0, Delivery::Reset(key(A), Direction::Outgoing))]);
    assert!(net.nodes[A].out.counter(Counter::StreamResent) < 30, "the pace slows down");
    net.weather = CALM;
    net.send(b"back").unwrap();
    net.run_until_quiet();
    assert_eq!(net.nodes[B].messages, [b"back"]);
}

#[test]
fn a_closed_stream_is_gone_at_both_ends_and_can_be_opened_again() {
    let mut net = Net::new(5, CALM);
    net.send(b"one").unwrap();
    net.run_until_quiet();
    let node = &mut net.nodes[A];
    assert!(node.streams.is_connected(key(A)));
    node.streams.close(peer(B), &mut node.out);
    assert!(!node.streams.is_connected(key(A)));
    assert_eq!(net.send(b"two"), Err(Refusal::NotConnected));
    net.run_until_quiet();
    assert_eq!(net.nodes[B].told, [(1, Delivery::Reset(key(B), Direction::Incoming))]);
    net.nodes[A].streams.connect(peer(B), addr(B), net::LANE).unwrap();
    net.send(b"three").unwrap();
    net.run_until_quiet();
    assert_eq!(net.nodes[B].messages, [b"one".to_vec(), b"three".to_vec()]);
    assert_eq!(net.nodes[B].told.len(), 1);
}

#[test]
fn frames_travel_as_messages() {
    let mut net = Net::new(5, CALM);
    let node = &mut net.nodes[A];
    let frame = syncom_wire::stream::StreamStatus {
        lane: 9,
        tag: 0,
        session: 8,
        next: 7,
        window: 6,
        ahead: 4,
        echo_us: 5,
    };
    node.streams.send(net.now, key(A), &frame, &mut node.out).unwrap();
    net.send(&[]).unwrap();
    net.run_until_quiet();
    let mut frames = syncom_wire::Frames::new(&net.nodes[B].messages[0]);
    assert_eq!(frames.next(), Some(Ok(syncom_wire::Frame::StreamStatus(frame))));
    assert_eq!(frames.next(), None);
}

#[test]
fn the_table_of_streams_is_bounded_and_idle_ones_make_room() {
    let config = Config { streams_max: 2, ..Config::default() };
    let mut streams = Streams::new(config);
    for lane in 0..2 {
        streams.connect(peer(B), addr(B), lane).unwrap();
    }
    assert_eq!(streams.connect(peer(B), addr(B), 2), Err(Refusal::TooMany));
    assert!(streams.connect(peer(B), addr(A), 0).is_ok(), "an open one is only moved");
    let mut out = Recorder::default();
    let mut hear = |lane: u8, now: Time| {
        let mut buffer = Vec::new();
        hostile::offer(&mut streams, lane, now, &mut out);
        streams.take(&mut buffer).is_some()
    };
    assert!(hear(0, Time(SECOND)) && hear(1, Time(2 * SECOND)));
    assert!(!hear(2, Time(3 * SECOND)), "both are busy");
    assert!(hear(2, Time(100 * SECOND)), "the idle one has made room");
}
