//! What a replica learns about its part: that it lost its tail, or its vote.

use super::*;
use crate::raft::validator::BEYOND;

/// Hears the same heartbeat of the leader for a long while, of a cluster whose number differs by
/// `other`; whether the replica takes its own log for shortened.
fn believes(other: u64) -> bool {
    let mut group = Group::new(1);
    let (term, generation) = (group.nodes[0].raw.raft.term, group.nodes[2].generation);
    let mut message = Message { to: 3, from: 1, term, commit: 1_000, ..Message::default() };
    message.set_msg_type(MessageType::MsgHeartbeat);
    let encoded = Encoded::new(&message, generation ^ other).unwrap();
    let node = &mut group.nodes[2];
    (0..100).any(|_| {
        let why = node.on_message(PeerId::station(1), &encoded.frame(), Time(1)).unwrap_err();
        assert_eq!(why == BEYOND, other == 0);
        node.note_beyond(&encoded.frame().head, why)
    })
}

#[test]
fn only_the_leader_of_this_cluster_can_know_that_a_tail_is_lost() {
    assert!(believes(0));
    assert!(!believes(1), "replicas of another cluster stopped this one");
}

/// The library would go on leading, and answer reads unasked where one other votes.
#[test]
fn a_leader_that_votes_no_more_leads_no_more() {
    use crate::raft::conf::Change;
    let node = &mut Group::new(1).nodes[0];
    for change in [Change::Add(4), Change::Swap { old: 1, new: 4 }] {
        node.apply_change(change).unwrap();
        assert!(node.is_leader(), "{change}");
    }
    node.apply_change(Change::Leave).unwrap();
    assert!(!node.is_leader());
}
