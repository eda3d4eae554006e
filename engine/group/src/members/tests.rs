use super::*;
use std::format;
use std::vec::Vec;
use syncom_wire::{Addr, Boot, Incarnation};

fn head(peer: PeerId, view: u64, state: MemberState) -> MemberHead {
    let mut uuid = [0; 16];
    uuid[..4].copy_from_slice(&peer.0.to_le_bytes());
    MemberHead {
        uuid: Uuid(uuid),
        boot: Boot(1),
        peer,
        incarnation: Incarnation(1),
        view: View(view),
        since_ns: 0,
        addr: Addr::v4([127, 0, 0, 1], 4000),
        domain: 1,
        pid: 1,
        state: state as u8,
        reserved: 0,
        weight: 0,
        join_index: 1,
    }
}

fn node(slot: u32, view: u64, state: MemberState, name: &str) -> Member<'_> {
    Member { head: head(PeerId::agent(Slot(slot)), view, state), name, domain: "rack1" }
}

#[test]
fn each_change_is_named() {
    let mut members = Members::new();
    let alive = node(3, 5, MemberState::Alive, "node3");
    assert_eq!(members.apply(&alive), Change::New);
    assert_eq!(members.apply(&alive), Change::Nothing);
    let dead = node(3, 6, MemberState::Dead, "node3");
    assert_eq!(members.apply(&dead), Change::State { was: MemberState::Alive });
    assert_eq!(members.apply(&alive), Change::Nothing, "an older view is ignored");
    let mut back = node(3, 7, MemberState::Alive, "node3");
    back.head.incarnation = Incarnation(2);
    assert_eq!(members.apply(&back), Change::NewLife { was: MemberState::Dead });
    back.head.view = View(8);
    back.head.addr = Addr::v4([127, 0, 0, 1], 4001);
    assert_eq!(members.apply(&back), Change::Details);
    assert_eq!(members.counts(), Counts { alive: 1, ..Counts::default() });
}

#[test]
fn what_has_no_place_is_refused() {
    let mut members = Members::new();
    let mut bad = node(0, 1, MemberState::Alive, "x");
    for peer in [
        PeerId::agent(Slot(131_072)),
        PeerId::satellite(0),
        PeerId::satellite(257),
        PeerId::station(1),
        PeerId::client(9),
        PeerId::ANY,
    ] {
        bad.head.peer = peer;
        assert_eq!(members.apply(&bad), Change::Refused, "{peer}");
    }
    assert!(members.is_empty());
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let names: Vec<_> = (0..6).map(|n| format!("node{n}")).collect();
    let mut history = Vec::new();
    for view in 1..40_u64 {
        let slot = u32::try_from(view * 7 % 6).unwrap();
        let state = MemberState::from_wire(u8::try_from(view % 4 + 1).unwrap()).unwrap();
        history.push(node(slot, view, state, &names[slot as usize]));
    }
    let mut forward = Members::new();
    let mut backward = Members::new();
    for member in &history {
        forward.apply(member);
    }
    for member in history.iter().rev() {
        backward.apply(member);
    }
    assert!(forward.agents().eq(backward.agents()));
    assert_eq!(forward.counts(), backward.counts());
    assert_eq!(forward.counts().present(), forward.present().count());
    for name in &names {
        assert_eq!(forward.named(name), backward.named(name));
    }
}

#[test]
fn a_name_belongs_to_the_member_that_is_present() {
    let mut members = Members::new();
    members.apply(&node(1, 1, MemberState::Alive, "web"));
    members.apply(&node(1, 2, MemberState::Dead, "web"));
    members.apply(&node(2, 3, MemberState::Alive, "web"));
    assert_eq!(members.named("web").unwrap().slot(), Slot(2));
    members.apply(&node(1, 4, MemberState::Left, "web"));
    assert_eq!(members.named("web").unwrap().slot(), Slot(2));
    members.apply(&node(2, 5, MemberState::Alive, "db"));
    assert_eq!(members.named("db").unwrap().slot(), Slot(2));
    assert!(members.named("nobody").is_none());
}

#[test]
fn a_delta_holds_what_changed_since() {
    let mut members = Members::new();
    for slot in 0..10 {
        members.apply(&node(slot, u64::from(slot) + 1, MemberState::Alive, "n"));
    }
    members.apply(&node(0, 20, MemberState::Dead, "n"));
    let mut copy = members.clone();
    let since = |members: &Members, view| -> Vec<u32> {
        members.changed_since(View(view)).map(|entry| entry.slot().0).collect()
    };
    assert_eq!(since(&members, 8), [8, 9, 0]);
    assert_eq!(since(&members, 20), [] as [u32; 0]);
    assert_eq!(since(&members, 0).len(), 10);
    copy.clear();
    for entry in members.changed_since(View(0)) {
        copy.apply(&entry.as_member());
    }
    assert!(copy.agents().eq(members.agents()));
}

#[test]
fn satellites_and_nodes_are_kept_apart() {
    let mut members = Members::new();
    for n in [2, 1, 3] {
        let state = if n == 3 { MemberState::Dead } else { MemberState::Alive };
        let head = head(PeerId::satellite(n), u64::from(n), state);
        assert_eq!(members.apply(&Member { head, name: "s", domain: "" }), Change::New);
    }
    let serving: Vec<_> = members.satellites_serving().map(|e| e.head.peer.number()).collect();
    assert_eq!(serving, [1, 2]);
    assert_eq!(members.counts().present(), 0);
    assert_eq!(members.satellite_counts(), Counts { alive: 2, dead: 1, ..Counts::default() });
    assert_eq!(members.satellite(3).unwrap().slot(), Slot::NONE);
    assert_eq!(members.next_slot(), Some(Slot(0)));
}
