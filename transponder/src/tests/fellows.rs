//! What a satellite says of other satellites.

use super::fixture::{LIFE, Rig};
use std::vec::Vec;
use syncom_seam::{MS, SECOND};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::member::MemberState;
use syncom_wire::opinion::Opinion;
use syncom_wire::{Addr, Frame, PeerId};

const LEADER: Addr = Addr::v4([10, 0, 9, 9], 4000);
const OTHER: Addr = Addr::v4([10, 0, 1, 2], 4000);

/// What a replica that asks is told of satellite `number`, in µs since it was heard.
fn asked_of(rig: &mut Rig, number: u16) -> Opinion {
    rig.sent.clear();
    let question = Opinion::question(PeerId::satellite(number), LIFE);
    rig.hear(PeerId::station(2), LEADER, &question);
    let to_leader = rig.sent.iter().filter(|(to, _)| *to == LEADER);
    let answers: Vec<Opinion> = to_leader
        .filter_map(|(_, bytes)| match syncom_wire::Frames::new(bytes).next() {
            Some(Ok(Frame::Opinion(opinion))) => Some(opinion),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "one question, one answer");
    answers[0]
}

fn rig() -> Rig {
    let mut rig = Rig::new(4, 2);
    for number in 2..=9 {
        rig.set_satellite(number, 1);
    }
    rig.feed();
    rig
}

#[test]
fn a_satellite_shows_itself_to_four_others() {
    let mut rig = rig();
    rig.run(SECOND);
    let beats = |(_, bytes): &&(Addr, Vec<u8>)| {
        matches!(syncom_wire::Frames::new(bytes).next(), Some(Ok(Frame::Heartbeat(beat)))
            if beat.plane == Heartbeat::GROUP)
    };
    assert_eq!(rig.sent.iter().filter(beats).count(), 4 * 5, "five times in a second");
}

#[test]
fn it_says_how_long_ago_it_heard_another_in_that_life() {
    let mut rig = rig();
    let beat = Heartbeat::of_satellite(1, 200_000, 0);
    assert_eq!(asked_of(&mut rig, 2).lived_ago_us, Opinion::NEVER);
    rig.hear(PeerId::satellite(2), OTHER, &beat);
    rig.run(300 * MS);
    assert_eq!(asked_of(&mut rig, 2).lived_ago_us, 300_000);
    rig.set_satellite(2, 2);
    rig.feed();
    assert_eq!(asked_of(&mut rig, 2).lived_ago_us, Opinion::NEVER, "that was another life");
}

#[test]
fn it_knows_of_itself_that_it_lives_and_of_strangers_nothing() {
    let mut rig = rig();
    assert_eq!(asked_of(&mut rig, 1).lived_ago_us, 0);
    rig.hear(PeerId::satellite(30), OTHER, &Heartbeat::of_satellite(1, 200_000, 0));
    assert_eq!(asked_of(&mut rig, 30).lived_ago_us, Opinion::NEVER);
    let of_a_node = Opinion { flags: Opinion::ASKS, ..Opinion::question(PeerId(2), LIFE) };
    rig.set(2, MemberState::Alive, 1);
    rig.sent.clear();
    rig.hear(PeerId::station(2), LEADER, &of_a_node);
    assert_eq!(rig.sent.len(), 1, "a node is no satellite: never heard");
}
