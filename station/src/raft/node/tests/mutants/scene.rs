//! Three replicas, one of which is shot at: in some role, with a log in some state.

use super::super::Group;
use crate::raft::ReadContext;
use crate::raft::codec::{self, Encoded};
use crate::raft::node::{Node, Work};
use crate::raft::snapshot::Image;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Message, MessageType,
};
use raft::{GetEntriesContext, StateRole};
use std::collections::BTreeMap;
use syncom_seam::{Rng, Time};
use syncom_wire::ids::hash;
use syncom_wire::raft::RaftMessage;
use syncom_wire::{Boot, Emit as _, FrameHeader, Parse as _, PeerId, Reader};

/// Messages to the target that are remembered, to be spoiled or repeated.
const REMEMBERED_MAX: usize = 96;

/// What the target is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Follower,
    Leader,
    PreCandidate,
    Candidate,
    Learner,
}

impl Part {
    pub(super) const ALL: [Self; 5] =
        [Self::Follower, Self::Leader, Self::PreCandidate, Self::Candidate, Self::Learner];
}

/// How the scene is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) seed: u64,
    pub(super) part: Part,
    /// Old and new replicas decide together.
    pub(super) is_joint: bool,
    /// The log begins after a snapshot, and a lagging follower is sent one.
    pub(super) is_compacted: bool,
    /// The target's records take their time.
    pub(super) is_slow: bool,
    /// Messages to the target are checked before they are stepped.
    pub(super) is_guarded: bool,
}

pub(super) struct Scene {
    pub(super) setting: Setting,
    nodes: Vec<Node>,
    target: usize,
    wire: Vec<(u64, u64, Vec<u8>)>,
    /// What was said to the target.
    pub(super) said: Vec<Vec<u8>>,
    applied: [u64; 3],
    /// Term and data of what the target has committed and still holds.
    committed: BTreeMap<u64, (u64, u64)>,
    reads: u64,
    /// Entries that the target has applied, and snapshots that it has installed.
    pub(super) fired: (u64, u64),
}

impl Scene {
    pub(super) fn set(setting: Setting) -> Self {
        let mut group = Group::new(setting.seed % 7);
        let target = usize::from(setting.part != Part::Leader) * 2;
        let applied = [0, 1, 2].map(|at: usize| group.nodes[at].raw.raft.raft_log.applied);
        let nodes = std::mem::take(&mut group.nodes);
        let (wire, said, committed) = (group.wire, Vec::new(), BTreeMap::new());
        let mut scene = Self {
            setting,
            nodes,
            target,
            wire,
            said,
            applied,
            committed,
            reads: 0,
            fired: (0, 0),
        };
        scene.reconfigure();
        scene.live(2);
        if setting.is_compacted {
            scene.compact();
        }
        match setting.part {
            Part::PreCandidate => scene.stand(false),
            Part::Candidate => scene.stand(true),
            Part::Follower | Part::Leader | Part::Learner => {
                scene.propose();
                scene.turn();
            }
        }
        scene
    }

    /// As if the change had been applied everywhere.
    fn reconfigure(&mut self) {
        let mut change = ConfChangeV2::default();
        let mut demote = |id| {
            let mut single = ConfChangeSingle { node_id: id, ..ConfChangeSingle::default() };
            single.set_change_type(ConfChangeType::AddLearnerNode);
            change.mut_changes().push(single);
        };
        if self.setting.part == Part::Learner {
            demote(3);
        } else if self.setting.is_joint {
            demote(2);
        }
        if self.setting.is_joint {
            change.set_transition(ConfChangeTransition::Explicit);
        }
        if change.get_changes().is_empty() {
            return;
        }
        for node in &mut self.nodes {
            node.raw.apply_conf_change(&change).unwrap();
        }
    }

    /// The third replica misses what the others have folded into a snapshot.
    fn compact(&mut self) {
        for _ in 0..4 {
            self.propose();
            self.turn();
            self.wire.retain(|(_, to, _)| *to != 3);
        }
        let at = self.nodes.iter().position(Node::is_leader).unwrap_or(0);
        let (index, term) = (self.applied[at], self.nodes[at].raw.raft.term);
        if index > 0 {
            let _ = self.nodes[at].compact(index, term, vec![5; 9], 0);
        }
        self.live(2);
    }

    /// The target stands for election while nobody is heard.
    fn stand(&mut self, to_the_end: bool) {
        for _ in 0..45 {
            self.tick_all();
            self.wire.clear();
        }
        self.time_out();
        if to_the_end {
            for (from, to, body) in std::mem::take(&mut self.wire) {
                self.deliver(from, to, &body);
            }
            let answers = std::mem::take(&mut self.wire);
            for (from, to, body) in answers {
                if to == self.target as u64 + 1 {
                    self.deliver(from, to, &body);
                }
            }
        }
        for (from, to, body) in std::mem::take(&mut self.wire) {
            if to != self.target as u64 + 1 {
                self.deliver(from, to, &body);
            }
        }
        self.remember();
    }

    /// Who was to be a candidate and is none any more stands again.
    pub(super) fn stand_again(&mut self) {
        let candidate = matches!(self.setting.part, Part::PreCandidate | Part::Candidate);
        if candidate && self.role() == StateRole::Follower {
            self.time_out();
        }
    }

    /// The target hears nobody until it stands for election, if it may.
    fn time_out(&mut self) {
        for _ in 0..45 {
            if self.role() != StateRole::Follower {
                return;
            }
            self.nodes[self.target].on_tick();
            self.work(self.target);
        }
    }

    pub(super) fn role(&self) -> StateRole {
        self.nodes[self.target].raw.raft.state
    }

    fn propose(&mut self) {
        for at in 0..self.nodes.len() {
            let data = vec![at.to_le_bytes()[0]; 1 + at * 9];
            if self.nodes[at].propose(data).is_ok() {
                self.work(at);
            }
        }
    }

    fn tick_all(&mut self) {
        for at in 0..self.nodes.len() {
            self.nodes[at].on_tick();
            self.work(at);
        }
    }

    /// Delivers what is under way, once.
    fn turn(&mut self) {
        self.remember();
        for (from, to, body) in std::mem::take(&mut self.wire) {
            self.deliver(from, to, &body);
        }
        self.remember();
    }

    /// The cluster goes on, as far as it can.
    pub(super) fn live(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.reads += 1;
            let context = ReadContext { node: 0, boot: Boot(1), number: self.reads };
            for (at, node) in self.nodes.iter_mut().enumerate() {
                node.read_index(&ReadContext { node: at as u64 + 1, ..context });
            }
            self.tick_all();
            self.propose();
            self.turn();
            self.turn();
        }
    }

    fn remember(&mut self) {
        let to = self.target as u64 + 1;
        let new = self.wire.iter().filter(|(_, receiver, _)| *receiver == to);
        self.said.extend(new.map(|(_, _, body)| body.clone()));
        let surplus = self.said.len().saturating_sub(REMEMBERED_MAX);
        self.said.drain(..surplus);
        // Whoever answers himself for ever is of no use.
        self.wire.truncate(REMEMBERED_MAX);
    }

    /// Shoots at the target; whether the message was accepted.
    pub(super) fn shoot(&mut self, rng: &mut Rng, body: &[u8]) -> bool {
        let from = match rng.below(16) {
            0 => rng.below(5),
            // Bound to the seal: the claimed sender mostly is the true one.
            _ => body.get(16).map_or(1, |byte| u64::from(*byte)),
        };
        self.deliver(from, self.target as u64 + 1, body)
    }

    fn deliver(&mut self, from: u64, to: u64, body: &[u8]) -> bool {
        let Ok(message) = RaftMessage::parse(&mut Reader::new(body)) else { return false };
        let at = usize::try_from(to).unwrap() - 1;
        if at == self.target && !self.setting.is_guarded {
            self.step_unchecked(&message);
            return true;
        }
        let from = PeerId::station(u16::try_from(from).unwrap_or(0));
        let node = &mut self.nodes[at];
        let accepted = match node.on_message(from, &message, Time(1)) {
            Err(_) => false,
            Ok(Some(MessageType::MsgSnapshot)) => {
                // The worst case: the bytes are what the manifest says.
                let manifest = codec::manifest(&message).unwrap();
                node.on_image(&message.head, Image { manifest, data: std::sync::Arc::default() });
                true
            }
            Ok(_) => true,
        };
        if accepted {
            self.work(at);
        }
        accepted
    }

    /// What the library alone makes of it.
    fn step_unchecked(&mut self, message: &RaftMessage<'_>) {
        let node = &mut self.nodes[self.target];
        let Some(kind) = ALL_KINDS.get(usize::from(message.head.kind)).copied() else { return };
        if kind == MessageType::MsgSnapshot {
            let Ok(manifest) = codec::manifest(message) else { return };
            node.on_image(&message.head, Image { manifest, data: std::sync::Arc::default() });
        } else {
            let _ = node.raw.step(codec::decode(message, kind));
        }
        self.work(self.target);
    }

    /// Does what the role does with a replica's work.
    fn work(&mut self, at: usize) {
        loop {
            let work = self.nodes[at].work();
            let mut is_done = work.is_empty();
            self.carry_out(at, work);
            if at != self.target || !self.setting.is_slow {
                let durable = self.nodes[at].on_durable(u64::MAX);
                is_done &= durable.is_empty();
                self.carry_out(at, durable);
            }
            if is_done {
                break;
            }
        }
        if at == self.target && self.setting.is_guarded {
            self.check_committed();
        }
    }

    /// The target's disk catches up.
    pub(super) fn flush(&mut self) {
        let durable = self.nodes[self.target].on_durable(u64::MAX);
        self.carry_out(self.target, durable);
        self.work(self.target);
    }

    fn carry_out(&mut self, at: usize, work: Work) {
        if let Some(image) = work.installed {
            self.applied[at] = image.manifest.index;
            self.fired.1 += u64::from(at == self.target);
            self.nodes[at].on_applied(self.applied[at]);
        }
        for entry in &work.committed {
            assert_eq!(entry.index, self.applied[at] + 1, "entries are applied in order");
            self.applied[at] = entry.index;
            self.fired.0 += u64::from(at == self.target);
        }
        if !work.committed.is_empty() {
            self.nodes[at].on_applied(self.applied[at]);
        }
        self.send(at, &work.messages);
    }

    fn send(&mut self, at: usize, messages: &[Message]) {
        for message in messages {
            let Some(encoded) = Encoded::new(message, self.nodes[at].generation) else { continue };
            if !(1..=3).contains(&message.to) {
                continue;
            }
            let mut bytes = vec![0; encoded.frame().size() + FrameHeader::SIZE];
            syncom_wire::frame::emit(&encoded.frame(), &mut bytes).unwrap();
            self.wire.push((message.from, message.to, bytes.split_off(FrameHeader::SIZE)));
        }
    }

    /// What is committed stays, and stays what it is.
    fn check_committed(&mut self) {
        let log = &self.nodes[self.target].raw.raft.raft_log;
        let last = self.committed.last_key_value().map_or(0, |(index, _)| *index);
        assert!(log.committed >= last, "{last} was committed, now only {}", log.committed);
        let first = log.first_index();
        self.committed = self.committed.split_off(&first);
        let none = GetEntriesContext::empty(false);
        let held = log.slice(first, log.committed + 1, None, none).unwrap_or_default();
        for entry in held {
            let is = (entry.term, hash(&entry.data));
            let was = *self.committed.entry(entry.index).or_insert(is);
            assert_eq!(is, was, "entry {} was committed as something else", entry.index);
        }
    }
}

/// Every type of the library, by its number.
const ALL_KINDS: [MessageType; 19] = [
    MessageType::MsgHup,
    MessageType::MsgBeat,
    MessageType::MsgPropose,
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgUnreachable,
    MessageType::MsgSnapStatus,
    MessageType::MsgCheckQuorum,
    MessageType::MsgTransferLeader,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];
