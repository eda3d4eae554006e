//! New observers call those whom they have never heard, and what the answer is worth.

use super::watching::{said, says, slow};
use crate::fixture::{World, heartbeat, node};
use std::vec::Vec;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::report::Report;
use syncom_wire::{Addr, Frame, Kind, PeerId, Slot, Subject};

/// The heartbeats with any of these flags since the last clear.
fn flagged(world: &World, flags: u16) -> Vec<(Addr, Heartbeat)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Heartbeat(beat) => (sent.to, beat),
        _ => unreachable!(),
    };
    let all = world.of(Kind::Heartbeat).into_iter().map(of);
    all.filter(|(_, beat)| beat.flags & flags != 0).collect()
}

fn here(world: &mut World, slot: u32, seq: u64, interval_us: u32) {
    let flags = Heartbeat::HERE | Heartbeat::ARM;
    let beat = Heartbeat { flags, interval_us, ..heartbeat(slot, seq) };
    world.hear(PeerId::agent(Slot(slot)), node(slot), &Frame::Heartbeat(beat));
}

#[test]
fn a_slow_node_is_asked_how_slow_it_is_and_is_not_missed_before() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22]);
    let called = |world: &World| -> Vec<Addr> {
        flagged(world, Heartbeat::CALL).into_iter().map(|(to, _)| to).collect()
    };
    assert_eq!(called(&world), [node(20), node(21), node(22)], "at once");
    // The first call or its answer was lost; the next goes with the next heartbeat.
    world.clear();
    world.beats(&[21, 22], 1, 1);
    assert_eq!(called(&world), [node(20)], "whoever was heard is not called");
    here(&mut world, 20, 3, 10_000_000);
    let armed = flagged(&world, Heartbeat::ARMED);
    assert!(matches!(armed[..], [(to, _)] if to == node(20)), "and knows that it is watched");
    let beat = Heartbeat { interval_us: 10_000_000, ..heartbeat(20, 4) };
    world.hear(PeerId::agent(Slot(20)), node(20), &Frame::Heartbeat(beat));
    world.clear();
    world.beats(&[21, 22], 2, 190);
    assert!(called(&world).is_empty());
    assert!(said(&world).is_empty(), "four of its intervals have not passed");
    world.beats(&[21, 22], 192, 40);
    let said = said(&world);
    assert!(!said.is_empty());
    for (_, head) in said {
        assert_eq!(head.subject, Subject::node(Slot(20)));
        assert_eq!(head.flags & Report::NEVER_HEARD, 0);
    }
}

#[test]
fn an_answer_takes_nothing_from_the_grace_and_gives_an_accusation_no_weight() {
    let mut config = crate::fixture::config(1);
    config.profile = syncom_group::Profile::FAST;
    let mut world = World::new(config, 4);
    world.start();
    world.roster(1);
    world.welcome(1);
    world.run_ms(1_100);
    world.neighbours(9, &[1], &[20, 21, 22]);
    world.beats(&[21, 22], 1, 1);
    world.clear();
    // It knows of us only when its home tells it so: for as long as that may take, nothing is said.
    here(&mut world, 20, 3, 50_000);
    world.beats(&[21, 22], 2, 1);
    world.neighbours(10, &[1], &[20, 21, 22]);
    world.beats(&[21, 22], 3, 1);
    assert!(said(&world).is_empty(), "600 ms after it was assigned");
    // As long as it answers, its set may be lost: it is asked on, and lives.
    for seq in 4..40 {
        assert!(!flagged(&world, Heartbeat::CALL).is_empty(), "call {seq}");
        world.clear();
        here(&mut world, 20, seq, 50_000);
        world.beats(&[21, 22], seq, 1);
        assert!(said(&world).is_empty(), "answer {seq}");
    }
    // It answers no more: it is dead, and what we say of it is what one says who never heard it.
    world.beats(&[21, 22], 40, 4);
    let said = said(&world);
    assert!(!said.is_empty());
    for (_, head) in said {
        assert_eq!(head.subject, Subject::node(Slot(20)));
        assert_ne!(head.flags & Report::NEVER_HEARD, 0);
        assert_eq!(head.flags & Report::RETRACT, 0);
    }
    // An answer takes that back, and the homes may believe it.
    world.clear();
    here(&mut world, 20, 60, 50_000);
    world.run_ms(10);
    let said = self::said(&world);
    assert!(!said.is_empty());
    assert!(said.iter().all(|(_, head)| head.flags == Report::RETRACT), "{said:?}");
}

#[test]
fn whoever_never_answers_is_accused_as_one_that_was_never_heard() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22]);
    world.beats(&[21, 22], 1, 8);
    let said = said(&world);
    assert!(!said.is_empty());
    assert!(said.iter().all(|(_, head)| head.subject == Subject::node(Slot(20))));
    assert!(said.iter().all(|(_, head)| head.flags & Report::NEVER_HEARD != 0));
}

#[test]
fn who_is_called_says_at_once_how_often_it_speaks_also_to_one_that_it_does_not_know_yet() {
    let mut world = slow();
    says(&mut world, 30, 5, Heartbeat::CALL);
    let answers = flagged(&world, Heartbeat::HERE);
    let [(to, beat)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((*to, beat.seq), (node(30), 1));
    assert!(beat.interval_us > 9_900_000, "{}", beat.interval_us);
    assert_eq!(beat.flags, Heartbeat::HERE | Heartbeat::ARM);
    world.run_ms(30_000);
    assert_eq!(flagged(&world, Heartbeat::HERE).len(), 1, "once for each call");
}

#[test]
fn an_observer_that_is_replaced_before_it_heard_a_node_forgets_it() {
    let mut world = World::member(4);
    world.neighbours(9, &[1], &[20, 21, 22, 23]);
    world.beats(&[21, 22], 1, 1);
    // The next set comes 400 ms later; 20 has none that names us, and will not release us.
    here(&mut world, 20, 3, 200_000);
    world.beats(&[21, 22], 2, 1);
    world.neighbours(10, &[1], &[21, 22]);
    world.beats(&[21, 22], 3, 60);
    assert!(said(&world).is_empty(), "{:?}", said(&world));
    // Of one that was heard there is something to hand over, and of one that was accused.
    world.neighbours(11, &[1], &[21, 22, 24]);
    world.beats(&[21, 22], 63, 8);
    assert!(said(&world).iter().all(|(_, head)| head.subject == Subject::node(Slot(24))));
    world.clear();
    world.neighbours(12, &[1], &[21]);
    world.beats(&[21], 71, 8);
    let accused: Vec<u64> = said(&world).iter().map(|(_, head)| head.subject.0).collect();
    assert!(accused.contains(&22) && accused.contains(&24), "{accused:?}");
}
