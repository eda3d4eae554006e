//! Observers that were replaced lately, and observers that are too new to have heard anything.

use super::fixture::{LIFE, Rig};
use std::vec::Vec;
use syncom_seam::{Counter, MS, SECOND};
use syncom_wire::member::MemberState;
use syncom_wire::report::{EventKind, Report};

/// Twenty nodes, of which node 3 dies; more nodes join until at most `left` of its observers are
/// still the same. Returns those who observed it before.
fn replaced(left: usize) -> (Rig, Vec<u32>) {
    let mut rig = Rig::new(20, 4);
    let before = rig.observers(3);
    rig.kill(3);
    for slot in 20_u16.. {
        rig.set(u32::from(slot), MemberState::Alive, slot % 4 + 1);
        rig.alive.insert(u32::from(slot));
        rig.feed();
        let stay = rig.observers(3).iter().filter(|now| before.contains(now)).count();
        if stay <= left {
            break;
        }
        assert!(slot < 2_000, "joins replace observers sooner or later");
    }
    (rig, before)
}

#[test]
fn the_word_of_those_who_were_replaced_lately_counts_whatever_number_of_views_ago() {
    let (mut rig, before) = replaced(1);
    for observer in before {
        rig.accuse(observer, 3, 900);
    }
    rig.run(SECOND);
    assert_eq!(rig.records(EventKind::DEAD).len(), 1);
}

#[test]
fn the_word_of_those_who_were_replaced_long_ago_does_not_count() {
    let (mut rig, before) = replaced(0);
    rig.alive.insert(3);
    rig.run(6 * SECOND);
    rig.kill(3);
    for observer in before {
        rig.accuse(observer, 3, 900);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty());
    assert_eq!(rig.count(Counter::ProbesSent), 0);
}

#[test]
fn observers_that_never_heard_a_node_do_not_outweigh_a_home_that_hears_it() {
    let mut rig = Rig::new(20, 4);
    rig.kill(3);
    rig.beat(3, LIFE, 0);
    for observer in rig.observers(3) {
        rig.accuse_as(observer, 3, 1_400, 1, Report::NEVER_HEARD, 0);
    }
    rig.run(SECOND);
    assert!(rig.records(EventKind::DEAD).is_empty(), "heard since they listen for it");
    assert_eq!(rig.count(Counter::Vetoes), 1);
}

#[test]
fn a_node_that_died_before_its_new_observers_could_hear_it_is_found_dead_by_them() {
    let mut rig = Rig::new(20, 4);
    rig.beat(3, LIFE, 0);
    rig.kill(3);
    rig.run(600 * MS);
    for observer in rig.observers(3) {
        rig.accuse_as(observer, 3, 1_400, 1, Report::NEVER_HEARD, 0);
    }
    rig.run(SECOND);
    let dead = rig.records(EventKind::DEAD);
    assert_eq!((dead.len(), dead[0].probes), (1, 6), "after a second round: their votes are light");
    assert!(dead[0].score_x16 < dead[0].needed_x16);
}
