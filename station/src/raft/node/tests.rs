//! Damaged messages into a healthy group: refused or harmless, never a panic.

mod beyond;
mod installing;
mod mutants;
mod seatless;
mod standing;

use super::*;
use crate::raft::codec::Encoded;
use syncom_seam::Rng;
use syncom_wire::raft::{EntryHead, RaftHead};
use syncom_wire::{Addr, Boot, Emit, Fixed, FrameHeader, Parse, Reader};

struct Group {
    nodes: Vec<Node>,
    wire: Vec<(u64, u64, Vec<u8>)>,
    /// Indexes that a leader has committed.
    proposed: u64,
}

impl Group {
    fn new(seed: u64) -> Self {
        let mut group = Self::idle(seed);
        group.run(6);
        assert!(group.nodes[0].is_leader(), "the first replica stands at once");
        group
    }

    fn idle(seed: u64) -> Self {
        let addr = |n| (PeerId::station(n), Addr::v4([10, 0, 0, 1], n));
        let replicas: Vec<_> = (1..=3).map(addr).collect();
        let nodes = (1..=3)
            .map(|n| {
                let mut config = StationConfig::new(n, replicas.clone());
                config.seed = seed;
                Node::new(&config, Loaded::default()).unwrap()
            })
            .collect();
        Self { nodes, wire: Vec::new(), proposed: 0 }
    }

    fn work(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let mut work = node.work();
        while !work.is_empty() {
            let durable = node.on_durable(u64::MAX);
            work.messages.extend(durable.messages);
            work.committed.extend(durable.committed);
            if let Some(entry) = work.committed.last() {
                node.on_applied(entry.index);
            } else if let Some(image) = durable.installed {
                node.on_applied(image.manifest.index);
            }
            for message in work.messages {
                let Some(encoded) = Encoded::new(&message, node.generation) else { continue };
                let mut bytes = vec![0; encoded.frame().size() + FrameHeader::SIZE];
                syncom_wire::frame::emit(&encoded.frame(), &mut bytes).unwrap();
                let body = bytes.split_off(FrameHeader::SIZE);
                self.wire.push((message.from, message.to, body));
            }
            work = node.work();
        }
    }

    /// Delivers one message; whether it was accepted.
    fn deliver(&mut self, from: u64, to: u64, body: &[u8]) -> bool {
        let mut reader = Reader::new(body);
        let Ok(message) = RaftMessage::parse(&mut reader) else { return false };
        let from = PeerId::station(u16::try_from(from).unwrap());
        let at = usize::try_from(to).unwrap() - 1;
        let accepted = self.nodes[at].on_message(from, &message, Time(0)).is_ok();
        self.work(at);
        accepted
    }

    /// Delivers everything that is under way.
    fn deliver_all(&mut self) {
        for (from, to, body) in std::mem::take(&mut self.wire) {
            assert!(self.deliver(from, to, &body), "a sound message was refused");
        }
    }

    /// Delivers what is under way to the second replica, whose disk is slow.
    fn deliver_to_a_slow_disk(&mut self) -> Work {
        for (from, to, body) in std::mem::take(&mut self.wire) {
            if to == 2 {
                let message = RaftMessage::parse(&mut Reader::new(&body)).unwrap();
                let from = PeerId::station(u16::try_from(from).unwrap());
                self.nodes[1].on_message(from, &message, Time(0)).unwrap();
            }
        }
        self.nodes[1].work()
    }

    fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for at in 0..3 {
                self.nodes[at].on_tick();
                self.work(at);
            }
            if self.nodes[0].is_leader() {
                self.proposed += 1;
                let _ = self.nodes[0].propose(self.proposed.to_le_bytes().to_vec());
                self.work(0);
            }
            for _ in 0..6 {
                self.deliver_all();
            }
        }
    }
}

/// What waits for a record: the kinds of messages that leave once it is durable.
fn after_the_disk(node: &mut Node, work: &Work) -> Vec<MessageType> {
    let Some(Record::Append { ticket, .. }) = work.records.last() else { panic!("no record") };
    assert!(work.messages.is_empty(), "left too soon: {:?}", work.messages);
    assert!(node.on_durable(ticket - 1).messages.is_empty(), "an earlier record is not enough");
    let messages = node.on_durable(*ticket).messages;
    assert!(messages.iter().all(|message| !message.reject));
    messages.iter().map(Message::get_msg_type).collect()
}

/// Invariant 3: a vote is cast and an entry acknowledged after its record is durable, no sooner.
#[test]
fn votes_and_acknowledgements_wait_for_the_disk() {
    let mut group = Group::idle(3);
    group.nodes[0].on_tick();
    group.work(0);
    // Questions before the vote, and their answers: they bind nobody.
    group.deliver_all();
    group.deliver_all();
    let work = group.deliver_to_a_slow_disk();
    let kinds = after_the_disk(&mut group.nodes[1], &work);
    assert_eq!(kinds, [MessageType::MsgRequestVoteResponse]);

    let mut group = Group::new(3);
    group.wire.clear();
    group.nodes[0].propose(vec![7; 20]).unwrap();
    group.work(0);
    let work = group.deliver_to_a_slow_disk();
    let kinds = after_the_disk(&mut group.nodes[1], &work);
    assert_eq!(kinds, [MessageType::MsgAppendResponse]);
}

/// A number that hurts: an edge, or near what was there.
fn number(rng: &mut Rng, old: u64) -> u64 {
    match rng.below(8) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => (1 << 48) - 1,
        4 => old.wrapping_add(1),
        5 => old.wrapping_sub(1),
        6 => rng.below(64),
        _ => old.wrapping_add(rng.below(1_000)),
    }
}

/// Changes one or two fields of a message as its authentic sender might.
fn damage(rng: &mut Rng, body: &mut [u8]) {
    const U64_FIELDS: u64 = 10;
    for _ in 0..=rng.below(2) {
        match rng.below(14) {
            0 => body[0] = u8::try_from(rng.below(20)).unwrap(),
            1 => body[1] = 1 - body[1].min(1),
            2 => {
                let at = usize::try_from(rng.below(body.len() as u64)).unwrap();
                body[at] ^= 1 << rng.below(8);
            }
            3 if body.len() > RaftHead::SIZE + 1 + EntryHead::SIZE => {
                let at = RaftHead::SIZE + 1 + 8 * usize::try_from(rng.below(2)).unwrap();
                let old = u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
                body[at..at + 8].copy_from_slice(&number(rng, old).to_le_bytes());
            }
            _ => {
                // `to` and `from` are bound to the seal and stay; the other eight-byte fields may lie.
                let at = 8 + 8 * usize::try_from(2 + rng.below(U64_FIELDS - 2)).unwrap();
                let old = u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
                body[at..at + 8].copy_from_slice(&number(rng, old).to_le_bytes());
            }
        }
    }
}

#[test]
fn a_damaged_message_never_panics_a_replica() {
    let mut rng = Rng::new(2);
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..3_000 {
        let mut group = Group::new(seed % 7);
        // Let it stop with messages under way: appends, answers, heartbeats.
        group.nodes[0].on_tick();
        group.nodes[0].on_tick();
        group.nodes[0].on_tick();
        let _ = group.nodes[0].propose(vec![1; 20]);
        for at in 0..2 {
            let context = ReadContext { node: at as u64 + 1, boot: Boot(1), number: seed };
            group.nodes[at].read_index(&context);
            group.work(at);
        }
        if rng.chance(1, 2) {
            for (from, to, body) in std::mem::take(&mut group.wire) {
                group.deliver(from, to, &body);
            }
        }
        let wire = std::mem::take(&mut group.wire);
        let pick = usize::try_from(rng.below(wire.len() as u64)).unwrap();
        let (from, to, mut body) = wire[pick].clone();
        damage(&mut rng, &mut body);
        if group.deliver(from, to, &body) { accepted += 1 } else { refused += 1 }
    }
    assert!(refused > 1_000 && accepted > 300, "refused {refused}, accepted {accepted}");
}

#[test]
fn what_no_peer_may_send_is_refused() {
    let mut group = Group::new(1);
    group.nodes[0].on_tick();
    group.nodes[0].on_tick();
    group.nodes[0].on_tick();
    group.work(0);
    let (from, to, sound) = group.wire[0].clone();
    assert!(group.deliver(from, to, &sound));
    // Hup, beat, propose, unreachable, snapshot status, check quorum, transfer; reads without a
    // context.
    for kind in [0, 1, 2, 10, 11, 12, 13, 15, 16, 19, 255] {
        let mut body = sound.clone();
        body[0] = kind;
        assert!(!group.deliver(from, to, &body), "type {kind}");
    }
    assert!(!group.deliver(3, to, &sound), "sealed by another replica");
}

/// The leader asks the follower with the whole log to stand; whoever else asks is refused.
#[test]
fn only_the_leader_of_the_term_names_an_heir() {
    let mut group = Group::new(1);
    group.wire.clear();
    group.nodes[0].on_tick();
    group.nodes[0].on_tick();
    group.nodes[0].on_tick();
    group.work(0);
    group.deliver_all();
    let (from, _, mut answer) = group.wire[0].clone();
    answer[0] = 14;
    assert!(!group.deliver(from, 1, &answer), "of a follower");
    group.wire.clear();
    assert_eq!(group.nodes[1].hand_over(|_| true), None, "a follower has nothing to hand over");
    let heir = group.nodes[0].hand_over(|_| true).unwrap();
    group.work(0);
    let (_, to, mut asked) = group.wire[0].clone();
    assert_eq!((to, asked[0]), (heir, 14));
    let term = std::mem::offset_of!(RaftHead, term);
    asked[term] -= 1;
    assert!(!group.deliver(1, heir, &asked), "in a term that is over");
    for _ in 0..3 {
        group.deliver_all();
    }
    let led = |id: u64| group.nodes[usize::try_from(id).unwrap() - 1].is_leader();
    assert!(led(heir) && !led(1), "the heir leads");
}

/// A round that a follower asks comes back with the leader's commit index, and nobody may ask, or be
/// answered, in the name of another.
#[test]
fn a_follower_reads_by_its_leaders_word_and_only_for_itself() {
    let mut group = Group::new(1);
    group.wire.clear();
    let context = ReadContext { node: 2, boot: Boot(1), number: 1 };
    group.nodes[1].read_index(&context);
    group.work(1);
    let (_, to, asked) = group.wire[0].clone();
    assert!(!group.deliver(3, to, &asked), "sealed by another replica");
    assert!(!group.deliver(2, 3, &asked), "the third replica does not lead");
    let mut foreign = asked.clone();
    let node = RaftHead::SIZE + 1 + EntryHead::SIZE;
    foreign[node] = 3;
    assert!(!group.deliver(2, to, &foreign), "a read for the third replica");
    group.deliver_all();
    group.deliver_all();
    // A majority confirms the leader.
    let (from, to, answer) = group.wire.pop().unwrap();
    assert!(group.deliver(from, to, &answer));
    let (from, to, answer) = group.wire.pop().unwrap();
    assert_eq!((from, to, answer[0]), (1, 2, 16));
    let mut reader = Reader::new(&answer);
    let message = RaftMessage::parse(&mut reader).unwrap();
    assert!(group.nodes[2].on_message(PeerId::station(1), &message, Time(0)).is_err());
    group.nodes[1].on_message(PeerId::station(1), &message, Time(0)).unwrap();
    let committed = group.nodes[0].raw.raft.raft_log.committed;
    assert_eq!(group.nodes[1].work().reads, [(committed, context)]);
}

#[test]
fn a_log_without_its_promised_tail_is_refused() {
    let replicas = vec![(PeerId::station(1), Addr::v4([10, 0, 0, 1], 1))];
    let hard = DiskHardState { term: 2, vote: 1, commit: 9 };
    let loaded = Loaded { hard, ..Loaded::default() };
    let why = Node::new(&StationConfig::new(1, replicas), loaded).unwrap_err();
    assert!(why.contains("tail is lost"), "{why}");
}
