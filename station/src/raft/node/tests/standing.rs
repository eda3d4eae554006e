//! When a replica stands for election, and who may make it wait.

use super::*;

/// What the third replica hears of the second when it asks for its vote; `None` when nothing.
fn answer_of_the_second(group: &mut Group) -> Option<bool> {
    group.wire.clear();
    group.nodes[2].raw.campaign().unwrap();
    group.work(2);
    for (from, to, body) in std::mem::take(&mut group.wire) {
        if to == 2 {
            assert!(group.deliver(from, to, &body));
        }
    }
    let answer = group.wire.iter().find(|(from, to, _)| (*from, *to) == (2, 3));
    answer.map(|(_, _, body)| body[1] == 0)
}

/// One that is being replaced waits for others to stand, and must not take the leader for alive
/// meanwhile: where its timeout is the shortest, it refused everybody for as long as it waited.
#[test]
fn one_that_lets_others_go_first_gives_them_its_vote() {
    let mut shortest = 0;
    for seed in 0..60 {
        let mut group = Group::new(seed);
        let node = &mut group.nodes[1];
        node.set_reluctant(true);
        node.raw.raft.election_elapsed = 0;
        let timeout = node.election.timeout_ticks(node.raw.raft.term);
        shortest += u32::from(timeout == node.raw.raft.election_timeout());
        for _ in 0..timeout {
            node.on_tick();
        }
        assert_eq!(node.raw.raft.state, StateRole::Follower);
        assert_eq!(answer_of_the_second(&mut group), Some(true), "seed {seed}");
    }
    assert!(shortest > 0);
}

#[test]
fn one_that_lets_others_go_first_stands_when_nobody_does() {
    let mut group = Group::new(1);
    let node = &mut group.nodes[1];
    node.set_reluctant(true);
    (0..200).for_each(|_| node.on_tick());
    assert_ne!(node.raw.raft.state, StateRole::Follower);
}

/// The library panics when it stands while a snapshot has replaced entries that it has not applied.
#[test]
fn the_first_replica_does_not_stand_at_once_when_a_snapshot_came_first() {
    let mut group = Group::idle(1);
    installing::install_from(&mut group, (2, 1), 40);
    group.nodes[0].on_tick();
    assert_eq!(group.nodes[0].raw.raft.state, StateRole::Follower);
}

/// A term that nobody reaches by elections would be the last one but a few.
#[test]
fn no_message_alone_spends_the_terms_that_there_are() {
    let mut group = Group::new(1);
    let (mine, generation) = (group.nodes[2].raw.raft.term, group.nodes[2].generation);
    let mut vote = |term| {
        let mut message = Message { to: 3, from: 2, term, index: 100, ..Message::default() };
        message.log_term = mine;
        message.set_msg_type(MessageType::MsgRequestVote);
        let encoded = Encoded::new(&message, generation).unwrap();
        group.nodes[2].on_message(PeerId::station(2), &encoded.frame(), Time(1)).is_ok()
    };
    assert!(!vote((1 << 48) - 1) && !vote(mine + (1 << 33)));
    assert!(vote(mine + 1_000_000), "one that was away for long is heard");
}

/// Whoever seals a message as a replica may claim to lead; only few are worth remembering.
#[test]
fn replicas_that_are_none_take_no_memory() {
    let mut group = Group::new(1);
    let (term, generation) = (group.nodes[2].raw.raft.term, group.nodes[2].generation);
    for from in 4..=400 {
        let mut message = Message { to: 3, from, term, ..Message::default() };
        message.set_msg_type(MessageType::MsgHeartbeat);
        let encoded = Encoded::new(&message, generation).unwrap();
        let from = PeerId::station(u16::try_from(from).unwrap());
        group.nodes[2].on_message(from, &encoded.frame(), Time(1)).unwrap();
    }
    assert!(group.nodes[2].heard.len() <= REPLICAS_MAX);
    assert!(group.nodes[2].heard_at(1).is_some());
}
