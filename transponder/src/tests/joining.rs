//! The port of entry, heartbeats of known nodes and strangers, and neighbour sets.

use super::fixture::{Rig, node_addr, uuid};
use std::vec::Vec;
use syncom_seam::{MS, SECOND};
use syncom_wire::announced::Announced;
use syncom_wire::ids::hash;
use syncom_wire::join::{Join, JoinHead, Leave};
use syncom_wire::member::{MemberState, ViewDelta, ViewDeltaHead};
use syncom_wire::roster::RosterAsk;
use syncom_wire::uplink::ItemResult;
use syncom_wire::{Addr, Boot, Frame, Frames, Incarnation, PeerId, Slot, Term, View};

fn join(rig: &mut Rig, slot: u32, boot: u64) {
    let head = JoinHead {
        uuid: uuid(slot),
        boot: Boot(boot),
        pid: 1,
        role: Join::AGENT,
        reserved: 0,
        addr: Addr::NONE,
        weight: 0,
        number: 0,
        spare: 0,
    };
    let peer = PeerId::client(hash(&head.uuid.0));
    rig.hear(
        peer,
        node_addr(slot),
        &Join { head, name: "new", domain: "r1", services: Announced::NONE },
    );
}

fn welcomes(rig: &Rig) -> Vec<(Addr, Slot)> {
    let mut found = Vec::new();
    rig.for_sent(|to, frame| {
        if let Frame::Welcome(welcome) = frame {
            found.push((to, welcome.slot));
        }
    });
    found
}

#[test]
fn a_satellite_joins_in_its_first_batch() {
    let mut rig = Rig::started(1);
    rig.run(SECOND / 2);
    let first = &rig.batches[0];
    assert_eq!(first.seq, 1);
    let item = Frames::new(&first.items).next().unwrap().unwrap();
    let Frame::Join(join) = item else { panic!("{item:?}") };
    assert_eq!((join.head.role, join.head.number), (Join::SATELLITE, 1));
    rig.feed();
    rig.forget();
    rig.run(5 * SECOND);
    assert!(rig.batches.is_empty(), "the view holds it");
}

#[test]
fn a_node_is_welcomed_only_when_the_view_holds_it() {
    let mut rig = Rig::new(3, 1);
    join(&mut rig, 3, 1);
    join(&mut rig, 3, 1);
    rig.run(500 * MS);
    assert_eq!(rig.batches.iter().map(|got| got.count()).sum::<usize>(), 1, "passed on once");
    assert!(welcomes(&rig).is_empty());
    let item = Frames::new(&rig.batches[0].items).next().unwrap().unwrap();
    let Frame::Join(passed) = item else { panic!("{item:?}") };
    assert_eq!(passed.head.addr, node_addr(3), "where it came from");
    rig.set(3, MemberState::Alive, 1);
    rig.feed();
    assert_eq!(welcomes(&rig), [(node_addr(3), Slot(3))]);
    join(&mut rig, 3, 1);
    assert_eq!(welcomes(&rig).len(), 2, "a member is welcomed again at once");
}

#[test]
fn a_new_life_of_a_member_goes_to_the_station() {
    let mut rig = Rig::new(3, 1);
    join(&mut rig, 2, 2);
    rig.run(50 * MS);
    assert_eq!(rig.batches.len(), 1);
    assert!(welcomes(&rig).is_empty());
    rig.set_life(2, Incarnation(2), MemberState::Alive, 1, Boot(2));
    rig.feed();
    assert_eq!(welcomes(&rig), [(node_addr(2), Slot(2))]);
}

#[test]
fn a_refused_join_is_told_why() {
    let mut rig = Rig::new(3, 1);
    rig.acks = false;
    join(&mut rig, 3, 1);
    rig.run(50 * MS);
    let seq = rig.batches[0].seq;
    rig.acknowledge(seq, ItemResult::REFUSED, 1);
    rig.run(MS);
    assert_eq!(rig.sent_where(|frame| matches!(frame, Frame::JoinRefused(_))).len(), 1);
}

#[test]
fn a_leave_is_passed_on_when_it_fits_the_member() {
    let mut rig = Rig::new(3, 1);
    let leave = |boot| Leave {
        uuid: uuid(2),
        boot: Boot(boot),
        slot: Slot(2),
        incarnation: Incarnation(1),
    };
    rig.hear_node(2, &leave(9));
    rig.run(50 * MS);
    assert!(rig.batches.is_empty());
    rig.hear_node(2, &leave(1));
    rig.run(50 * MS);
    assert_eq!(rig.batches.len(), 1);
}

fn answers(rig: &mut Rig, slot: u32, incarnation: u32) -> Vec<(u16, u64)> {
    rig.sent.clear();
    rig.beat(slot, Incarnation(incarnation), 0);
    let mut found = Vec::new();
    rig.for_sent(|to, frame| {
        if let Frame::HomeAnswer(answer) = frame {
            assert_eq!((to, answer.echo_ns), (node_addr(slot), 77));
            found.push((answer.flags, answer.neighbours));
        }
    });
    found
}

#[test]
fn strangers_the_dead_and_older_lives_are_told_that_they_are_unknown() {
    let mut rig = Rig::new(6, 1);
    rig.set(4, MemberState::Dead, 1);
    rig.set_life(5, Incarnation(2), MemberState::Alive, 1, Boot(2));
    rig.feed();
    assert_eq!(answers(&mut rig, 77, 1), [(1, 0)]);
    assert_eq!(answers(&mut rig, 4, 1), [(1, 0)]);
    assert_eq!(answers(&mut rig, 5, 1), [(1, 0)]);
    assert_eq!(answers(&mut rig, 5, 2)[0].0, 0);
}

#[test]
fn a_satellite_without_a_view_calls_nobody_a_stranger() {
    let mut rig = Rig::started(1);
    assert!(answers(&mut rig, 1, 1).is_empty());
}

#[test]
fn whoever_asks_is_told_the_roster() {
    let mut rig = Rig::new(3, 1);
    let asker = Addr::v4([9, 9, 9, 9], 9);
    rig.hear(PeerId::client(5), asker, &RosterAsk { have: 0, reserved: 0 });
    let mut entries = Vec::new();
    rig.for_sent(|to, frame| {
        if let Frame::Roster(roster) = frame {
            assert_eq!((to, roster.head.leader), (asker, PeerId::station(1)));
            entries.extend(roster.entries.iter().map(|entry| entry.peer));
        }
    });
    let expected = [PeerId::satellite(1), PeerId::station(1), PeerId::station(2)];
    assert_eq!(entries[..3], expected);
}

fn pushes(rig: &Rig) -> Vec<(Addr, u64)> {
    let mut found = Vec::new();
    rig.for_sent(|to, frame| {
        if let Frame::Neighbours(set) = frame {
            found.push((to, set.head.epoch));
        }
    });
    found
}

#[test]
fn neighbours_are_pushed_once_when_the_view_is_quiet() {
    let mut rig = Rig::new(5, 1);
    for slot in 5..8 {
        rig.set(slot, MemberState::Alive, 1);
        rig.feed();
        rig.run(50 * MS);
    }
    assert!(pushes(&rig).is_empty(), "the view is not quiet");
    rig.run(150 * MS);
    let sets = pushes(&rig);
    let mut told: Vec<_> = sets.iter().map(|(to, _)| *to).collect();
    told.sort_unstable();
    assert_eq!(told, (0..8).map(node_addr).collect::<Vec<_>>(), "each node once");
    assert!(sets.iter().all(|(_, epoch)| *epoch == rig.view));
}

#[test]
fn a_node_that_holds_another_set_is_repaired_at_a_bounded_pace() {
    let mut rig = Rig::new(5, 1);
    let epoch = rig.satellite.world.epoch(Slot(2));
    rig.beat(2, Incarnation(1), epoch);
    assert!(pushes(&rig).is_empty());
    for _ in 0..10 {
        rig.beat(2, Incarnation(1), 0);
        rig.run(10 * MS);
    }
    assert_eq!(pushes(&rig), [(node_addr(2), epoch)]);
    rig.beat(2, Incarnation(1), 0);
    assert_eq!(pushes(&rig).len(), 2);
}

#[test]
fn a_later_name_for_the_same_set_is_adopted() {
    let mut rig = Rig::new(20, 1);
    let before = rig.satellite.world.epoch(Slot(2));
    rig.set_satellite(2, 1);
    rig.feed();
    assert_eq!(rig.satellite.world.epoch(Slot(2)), before, "no edge has changed");
    rig.beat(2, Incarnation(1), before + 1);
    assert!(pushes(&rig).is_empty());
    assert_eq!(rig.satellite.world.epoch(Slot(2)), before + 1);
}

#[test]
fn a_view_in_parts_moves_with_the_last_and_a_gap_is_asked_about() {
    let mut rig = Rig::new(5, 1);
    let part = |from, to, more| ViewDelta {
        head: ViewDeltaHead {
            from: View(from),
            to: View(to),
            term: Term(3),
            roster: to,
            leader: PeerId::station(1),
            more,
            reserved: [0; 3],
        },
        members: &[],
    };
    let held = |rig: &Rig| rig.satellite.world.view();
    rig.tell(&part(1, 4, 1));
    assert_eq!(held(&rig), View(1));
    rig.tell(&part(1, 4, 0));
    assert_eq!(held(&rig), View(4));
    rig.forget();
    rig.tell(&part(6, 7, 0));
    assert_eq!(held(&rig), View(4));
    let attach = rig.messages.iter().flat_map(|message| Frames::new(message)).flatten();
    let have: Vec<View> = attach
        .filter_map(
            |frame| if let Frame::Attach(attach) = frame { Some(attach.have) } else { None },
        )
        .collect();
    assert_eq!(have, [View(4)]);
}

#[test]
fn a_view_that_begins_from_nothing_forgets_members_but_not_their_epochs() {
    let mut rig = Rig::new(5, 1);
    let epoch = rig.satellite.world.epoch(Slot(2));
    rig.view = 0;
    for slot in 0..5 {
        rig.set(slot, MemberState::Alive, 1);
    }
    rig.set_satellite(1, 1);
    rig.view = 0;
    rig.feed();
    assert_eq!(rig.satellite.world.population(), 5);
    assert_eq!(rig.satellite.world.epoch(Slot(2)), epoch, "the same set");
}
