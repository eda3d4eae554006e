//! Two homes, one verdict.

use super::fixture::{LIFE, Rig};
use std::vec::Vec;
use syncom_seam::{Counter, MS, SECOND};
use syncom_wire::opinion::Opinion;
use syncom_wire::report::EventKind;
use syncom_wire::{Addr, Frame, Incarnation, PeerId, Slot};

const OTHER: Addr = Addr::v4([10, 0, 1, 1], 4000);

/// A satellite whose nodes have a second home.
fn rig() -> Rig {
    let mut rig = Rig::new(20, 4);
    rig.set_satellite(2, 1);
    rig.feed();
    rig.run(5 * SECOND);
    rig.forget();
    rig
}

/// The other home says what it makes of the node in slot 3.
fn says(rig: &mut Rig, rounds: u8, lived_ago_us: u32, flags: u8) {
    let subject = PeerId::agent(Slot(3));
    let opinion = Opinion {
        subject,
        incarnation: LIFE,
        lived_ago_us,
        accusers: 8,
        rounds,
        flags,
        reserved: 0,
    };
    rig.hear(PeerId::satellite(2), OTHER, &opinion);
}

/// What the other home was told since the last call.
fn told(rig: &mut Rig) -> Vec<Opinion> {
    let mut all = Vec::new();
    for (to, bytes) in core::mem::take(&mut rig.sent) {
        if let Some(Ok(Frame::Opinion(opinion))) = syncom_wire::Frames::new(&bytes).next() {
            assert_eq!(to, OTHER);
            all.push(opinion);
        }
    }
    all
}

#[test]
fn a_node_is_dead_when_the_other_home_has_asked_it_in_vain_too() {
    let mut rig = rig();
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    rig.run(20 * MS);
    let asked = told(&mut rig);
    assert_eq!((asked[0].rounds, asked[0].flags), (0, Opinion::ASKS));
    assert!(asked[0].lived_ago_us.abs_diff(900_000) < 30_000, "{asked:?}");
    says(&mut rig, 0, 910_000, Opinion::ASKS);
    rig.run(80 * MS);
    assert!(rig.records(EventKind::DEAD).is_empty(), "it has not said that it agrees");
    assert_eq!(told(&mut rig).last().unwrap().rounds, 1, "this one has told that it does");
    says(&mut rig, 1, 990_000, 0);
    rig.run(10 * MS);
    let dead = rig.records(EventKind::DEAD);
    assert_eq!((dead.len(), dead[0].homes_silent), (1, 2));
}

#[test]
fn a_node_that_the_other_home_hears_is_not_dead() {
    let mut rig = rig();
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    for _ in 0..40 {
        says(&mut rig, 0, 300_000, 0);
        rig.run(100 * MS);
    }
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert!(rig.count(Counter::Vetoes) >= 1);
    assert_eq!(rig.records(EventKind::GRAY).len(), 1, "somebody is wrong about it");
}

#[test]
fn where_the_other_home_answers_nothing_a_second_round_stands_for_its_word() {
    let mut rig = rig();
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    let accused = rig.now.at;
    while rig.records(EventKind::DEAD).is_empty() {
        rig.run(5 * MS);
        assert!(rig.now.at.since(accused) < SECOND);
    }
    let took_ms = rig.now.at.since(accused) / MS;
    assert!((255..300).contains(&took_ms), "{took_ms} ms");
    assert_eq!(rig.count(Counter::ProbesSent), 6);
}

#[test]
fn a_home_that_is_asked_asks_a_node_that_nobody_accuses_here() {
    let mut rig = rig();
    rig.kill(3);
    says(&mut rig, 0, 900_000, Opinion::ASKS);
    assert_eq!(told(&mut rig)[0].rounds, 0);
    rig.run(100 * MS);
    assert_eq!(rig.count(Counter::ProbesSent), 3);
    assert_eq!(told(&mut rig)[0].rounds, 1);
    assert!(rig.records(EventKind::DEAD).is_empty(), "nobody accuses it");
    rig.run(2 * SECOND);
    assert_eq!(rig.count(Counter::EvidenceLive), 0, "it is forgotten");
}

#[test]
fn strangers_have_no_opinion() {
    let mut rig = rig();
    let opinion = Opinion {
        subject: PeerId::agent(Slot(3)),
        incarnation: LIFE,
        lived_ago_us: 0,
        accusers: 0,
        rounds: 1,
        flags: Opinion::ASKS,
        reserved: 0,
    };
    rig.hear(PeerId::agent(Slot(4)), OTHER, &opinion);
    rig.hear(PeerId::satellite(7), OTHER, &opinion);
    rig.hear(PeerId::satellite(2), OTHER, &Opinion { incarnation: Incarnation(2), ..opinion });
    assert!(told(&mut rig).is_empty());
}

#[test]
fn a_round_that_began_before_the_node_was_heard_again_agrees_to_nothing() {
    let mut rig = rig();
    rig.kill(3);
    says(&mut rig, 0, 900_000, Opinion::ASKS);
    rig.run(100 * MS);
    assert_eq!(told(&mut rig).last().unwrap().rounds, 1);
    rig.beat(3, LIFE, 0);
    says(&mut rig, 0, 900_000, Opinion::ASKS);
    let answer = *told(&mut rig).last().unwrap();
    assert_eq!((answer.rounds, answer.lived_ago_us), (0, 0));
}

#[test]
fn a_satellite_that_is_no_home_of_the_accused_asks_it_twice() {
    let mut rig = Rig::new(20, 4);
    (2..=4).for_each(|number| rig.set_satellite(number, 1));
    rig.feed();
    rig.run(5 * SECOND);
    let others = (0..20).find(|slot| !rig.satellite.world.is_home(Slot(*slot))).unwrap();
    rig.forget();
    rig.kill(others);
    rig.accuse_by_all(others, 900);
    let accused = rig.now.at;
    while rig.records(EventKind::DEAD).is_empty() {
        rig.run(5 * MS);
        assert!(rig.now.at.since(accused) < SECOND);
    }
    assert_eq!(rig.count(Counter::ProbesSent), 6);
}

#[test]
fn a_home_that_is_cut_off_from_the_station_says_nothing_but_that_the_node_lives() {
    let mut rig = rig();
    rig.is_cut_off = true;
    rig.run(2 * SECOND);
    rig.kill(3);
    rig.accuse_by_all(3, 900);
    told(&mut rig);
    for step in 0..25 {
        says(&mut rig, u8::from(step > 2), 900_000 + step * 40_000, Opinion::ASKS);
        rig.run(40 * MS);
    }
    assert_eq!(told(&mut rig), [], "the other home takes it for mute, and concludes alone");
    rig.alive.insert(3);
    rig.run(200 * MS);
    says(&mut rig, 1, 2_100_000, Opinion::ASKS);
    let answer = *told(&mut rig).last().unwrap();
    assert!(answer.lived_ago_us < 250_000, "it has answered a question: {answer:?}");
}

#[test]
fn a_death_is_found_by_one_home_while_the_other_is_cut_off_from_the_station() {
    for lives in [false, true] {
        let mut homes = Pair::new();
        homes.second.is_cut_off = true;
        homes.run(2 * SECOND);
        homes.kill(3);
        if lives {
            // It hears and is heard by the home that is cut off, and by nobody else.
            homes.second.alive.insert(3);
        }
        homes.run(3 * SECOND);
        let dead = homes.first.records(EventKind::DEAD).len();
        assert_eq!(dead, usize::from(!lives), "lives: {lives}");
        assert_eq!(homes.second.records(EventKind::DEAD).len(), 0);
    }
}

/// Two homes of the same nodes, and what they say to each other.
struct Pair {
    first: Rig,
    second: Rig,
}

impl Pair {
    fn new() -> Self {
        let rig = |me, other| {
            let mut rig = Rig::new_as(me, 20, 4);
            rig.set_satellite(other, 1);
            rig.feed();
            rig.run(5 * SECOND);
            rig.forget();
            rig
        };
        Self { first: rig(1, 2), second: rig(2, 1) }
    }

    fn kill(&mut self, slot: u32) {
        for rig in [&mut self.first, &mut self.second] {
            rig.kill(slot);
            rig.accuse_by_all(slot, 900);
        }
    }

    fn run(&mut self, for_ns: u64) {
        for _ in 0..for_ns / MS {
            let from_first = told(&mut self.first);
            let from_second = told(&mut self.second);
            from_first.iter().for_each(|said| self.second.hear(PeerId::satellite(1), OTHER, said));
            from_second.iter().for_each(|said| self.first.hear(PeerId::satellite(2), OTHER, said));
            self.first.run(MS);
            self.second.run(MS);
        }
    }
}
