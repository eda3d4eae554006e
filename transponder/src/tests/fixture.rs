//! A satellite under a recorder, three replicas at the other end of its streams, and nodes that do
//! what a test says.

use super::seen::Got;
use crate::{Transponder, TransponderConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;
use syncom_seam::{
    Action, MS, Now, Origin, Recorder, Role as _, SECOND, Time, Timer, WallTime, hand_over,
};
use syncom_stream::{Config, Delivery, Key, Streams};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::member::{Member, MemberHead, MemberState, ViewDelta, ViewDeltaHead};
use syncom_wire::probe::ProbeAnswer;
use syncom_wire::uplink::{Batch, BatchAck, BatchAckHead, ItemResult};
use syncom_wire::{
    Addr, Boot, Emit, Frame, FrameHeader, Frames, Incarnation, List, PeerId, Role, Slot, Term,
    Uuid, View, frame,
};

const SATELLITE: Addr = Addr::v4([10, 0, 1, 1], 4000);
pub(crate) const LIFE: Incarnation = Incarnation(1);

fn replica_addr(n: u16) -> Addr {
    Addr::v4([10, 0, 0, n.try_into().unwrap()], 4000)
}

pub(crate) fn node_addr(slot: u32) -> Addr {
    let [_, b, c, d] = slot.to_be_bytes();
    Addr::v4([11, b, c, d], 4000)
}

pub(crate) fn bytes_of<E: Emit>(item: &E) -> Vec<u8> {
    let mut bytes = vec![0; item.size() + FrameHeader::SIZE];
    let len = frame::emit(item, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

#[derive(Debug)]
struct Replica {
    streams: Streams,
    out: Recorder,
    timers: BTreeSet<(Time, Timer)>,
}

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) satellite: Transponder,
    pub(crate) out: Recorder,
    pub(crate) now: Now,
    timers: BTreeSet<(Time, Timer)>,
    replicas: BTreeMap<u16, Replica>,
    pub(crate) leader: u16,
    pub(crate) term: u64,
    pub(crate) view: u64,
    members: Vec<Vec<u8>>,
    /// Nodes that answer probes and send heartbeats to this home.
    pub(crate) alive: BTreeSet<u32>,
    /// Whether batches are acknowledged as they come.
    pub(crate) acks: bool,
    pub(crate) batches: Vec<Got>,
    /// Other messages of the fabric lane.
    pub(crate) messages: Vec<Vec<u8>>,
    /// Frames to nodes.
    pub(crate) sent: Vec<(Addr, Vec<u8>)>,
    pub(super) beats: u64,
    /// When nodes were killed.
    killed: BTreeMap<u32, Time>,
    /// Living nodes whose answers to probes are lost.
    pub(crate) mute: BTreeSet<u32>,
    /// Nothing that is sent to a replica arrives.
    pub(crate) is_cut_off: bool,
    /// Whether a majority follows the leader.
    pub(crate) is_followed: bool,
    /// When a replica was asked whether it leads.
    pub(crate) leader_asked: Vec<Time>,
    /// The round trip that heartbeats tell from now on, in us.
    pub(crate) rtt_us: u32,
    /// What single observers heard last of single subjects; else they hear the living.
    pub(crate) heard: BTreeMap<(u32, u32), Time>,
}

impl Rig {
    /// A satellite with a view of `nodes` living nodes in `domains` domains, which has listened
    /// long enough.
    pub(crate) fn new(nodes: u32, domains: u16) -> Self {
        Self::new_as(1, nodes, domains)
    }

    /// The same as satellite `number`.
    pub(crate) fn new_as(number: u16, nodes: u32, domains: u16) -> Self {
        let mut rig = Self::started(number);
        for slot in 0..nodes {
            rig.set(slot, MemberState::Alive, u16::try_from(slot).unwrap() % domains + 1);
        }
        rig.alive = (0..nodes).collect();
        rig.feed();
        rig.run(5 * SECOND);
        rig.forget();
        rig
    }

    /// Satellite `number`, started, without a view.
    pub(crate) fn started(number: u16) -> Self {
        let replicas = (1..=3).map(|n| (PeerId::station(n), replica_addr(n))).collect();
        let config = TransponderConfig::new(number, Boot(1), SATELLITE, replicas);
        Self::with(config)
    }

    pub(crate) fn with(config: TransponderConfig) -> Self {
        config.validate().unwrap();
        let replica = || Replica {
            streams: Streams::new(Config::default()),
            out: Recorder::default(),
            timers: BTreeSet::new(),
        };
        let number = config.number;
        let mut rig = Self {
            satellite: Transponder::new(config),
            out: Recorder::default(),
            now: Now { at: Time(100 * SECOND), wall: WallTime(1_000_000 * SECOND) },
            timers: BTreeSet::new(),
            replicas: (1..=3).map(|n| (n, replica())).collect(),
            leader: 1,
            term: 3,
            view: 0,
            members: Vec::new(),
            alive: BTreeSet::new(),
            acks: true,
            batches: Vec::new(),
            messages: Vec::new(),
            sent: Vec::new(),
            beats: 0,
            killed: BTreeMap::new(),
            mute: BTreeSet::new(),
            is_cut_off: false,
            is_followed: true,
            leader_asked: Vec::new(),
            rtt_us: 500,
            heard: BTreeMap::new(),
        };
        rig.set_satellite(number, 1);
        rig.satellite.on_start(rig.now, &mut rig.out);
        rig.settle();
        rig
    }

    /// Changes a node in the member list; [`Self::feed`] makes it known.
    pub(crate) fn set(&mut self, slot: u32, state: MemberState, domain: u16) {
        self.set_life(slot, LIFE, state, domain, Boot(1));
    }

    pub(crate) fn set_life(
        &mut self,
        slot: u32,
        incarnation: Incarnation,
        state: MemberState,
        domain: u16,
        boot: Boot,
    ) {
        let mut head = self.head(PeerId::agent(Slot(slot)), node_addr(slot), state, domain);
        (head.incarnation, head.boot) = (incarnation, boot);
        head.uuid = uuid(slot);
        self.push_member(head, &std::format!("node{slot}"));
    }

    pub(crate) fn set_satellite(&mut self, number: u16, boot: u64) {
        let mut head = self.head(PeerId::satellite(number), SATELLITE, MemberState::Alive, 0);
        head.boot = Boot(boot);
        self.push_member(head, &std::format!("satellite{number}"));
    }

    fn head(&self, peer: PeerId, addr: Addr, state: MemberState, domain: u16) -> MemberHead {
        MemberHead {
            uuid: Uuid([0xAA; 16]),
            boot: Boot(1),
            peer,
            incarnation: LIFE,
            view: View(self.view + 1),
            since_ns: 0,
            addr,
            domain,
            pid: 0,
            state: state as u8,
            reserved: 0,
            weight: 1,
            join_index: 0,
        }
    }

    fn push_member(&mut self, mut head: MemberHead, name: &str) {
        if head.peer.role() == Role::Satellite {
            head.uuid.0[15] = head.peer.number().to_le_bytes()[0];
        }
        let domain = std::format!("rack{}", head.domain);
        self.members.push(bytes_of(&Member { head, name, domain: &domain }));
    }

    /// Sends the changes since the last call as the next view.
    pub(crate) fn feed(&mut self) {
        let from = View(self.view);
        self.view += 1;
        let members = core::mem::take(&mut self.members).concat();
        let head = ViewDeltaHead {
            from,
            to: View(self.view),
            term: Term(self.term),
            roster: self.view,
            leader: PeerId::station(self.leader),
            more: 0,
            reserved: [0; 3],
        };
        self.tell(&ViewDelta { head, members: &members });
    }

    /// The leader sends a message to the satellite.
    pub(crate) fn tell<E: Emit>(&mut self, message: &E) {
        self.tell_from(self.leader, message);
    }

    pub(crate) fn tell_from<E: Emit>(&mut self, n: u16, message: &E) {
        let peer = self.me();
        let replica = self.replicas.get_mut(&n).unwrap();
        let key = replica.streams.connect(peer, SATELLITE, 1).unwrap();
        replica.streams.send(self.now.at, key, message, &mut replica.out).unwrap();
        self.settle();
    }

    fn me(&self) -> PeerId {
        self.satellite.config.peer()
    }

    /// Hands the satellite a frame of `peer`, heard now.
    pub(crate) fn hear<E: Emit>(&mut self, peer: PeerId, addr: Addr, item: &E) {
        self.hear_bytes(peer, addr, &bytes_of(item));
        self.end_burst();
    }

    pub(super) fn hear_bytes(&mut self, peer: PeerId, addr: Addr, bytes: &[u8]) {
        let origin = Origin { peer, boot: Boot(1), addr, heard: self.now.at };
        let frames = Frames::new(bytes);
        let (_, fault) = hand_over(&mut self.satellite, self.now, &origin, frames, &mut self.out);
        assert_eq!(fault, None);
    }

    pub(crate) fn end_burst(&mut self) {
        self.satellite.on_burst_end(self.now, &mut self.out);
        self.settle();
    }

    /// Hands the satellite a frame of the node in `slot`.
    pub(crate) fn hear_node<E: Emit>(&mut self, slot: u32, item: &E) {
        self.hear(PeerId::agent(Slot(slot)), node_addr(slot), item);
    }

    /// Lets time pass: timers fire, living nodes beat once a second.
    pub(crate) fn run(&mut self, for_ns: u64) {
        self.settle();
        let end = self.now.at.after(for_ns);
        loop {
            let due = |timers: &BTreeSet<(Time, Timer)>| timers.first().map(|(at, _)| *at);
            let next_beat = Time((self.now.at.0 / SECOND + 1) * SECOND);
            let replica = self.replicas.values().filter_map(|one| due(&one.timers)).min();
            let next = [due(&self.timers), replica, Some(next_beat)];
            let at = next.into_iter().flatten().min().unwrap();
            if at > end {
                break;
            }
            self.move_to(at.max(self.now.at));
            if self.now.at.0.is_multiple_of(SECOND) && at == next_beat {
                self.beat_all();
            }
            self.fire();
        }
        self.move_to(end);
    }

    fn beat_all(&mut self) {
        for slot in self.alive.clone() {
            let epoch = self.satellite.world.epoch(Slot(slot));
            self.beat(slot, LIFE, epoch);
        }
    }

    fn move_to(&mut self, at: Time) {
        self.now.wall.0 += at.since(self.now.at);
        self.now.at = at;
    }

    fn fire(&mut self) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now.at
        {
            self.timers.pop_first();
            self.satellite.on_timer(self.now, timer, &mut self.out);
        }
        for replica in self.replicas.values_mut() {
            while let Some((at, timer)) = replica.timers.first().copied()
                && at <= self.now.at
            {
                replica.timers.pop_first();
                replica.streams.on_timer(self.now.at, timer, &mut replica.out);
            }
        }
        self.end_burst();
    }

    /// Carries everything where it belongs until nobody has anything to say.
    fn settle(&mut self) {
        while self.carry_down() | self.carry_up() {}
    }

    /// What the satellite asked for.
    fn carry_up(&mut self) -> bool {
        let actions = self.out.take();
        let moved = !actions.is_empty();
        for action in actions {
            match action {
                Action::Send(to, bytes) => self.on_sent(to, bytes),
                Action::Arm(timer, at) => drop(self.timers.insert((at, timer))),
                Action::Notify(text) => self.messages.push(text.into_bytes()),
                other => panic!("a satellite asks for no {other:?}"),
            }
        }
        moved
    }

    fn on_sent(&mut self, to: Addr, bytes: Vec<u8>) {
        let Some(n) = (1..=3).find(|n| replica_addr(*n) == to) else {
            self.answer_probe(to, &bytes);
            self.sent.push((to, bytes));
            return;
        };
        if self.is_cut_off {
            return;
        }
        let (header, body) = FrameHeader::split(&bytes).unwrap();
        let frame = Frame::parse(header, body).unwrap();
        if let Frame::Heartbeat(beat) = frame {
            if n == self.leader {
                self.answer_heartbeat(&beat);
            }
            return;
        }
        if let Frame::Probe(probe) = frame {
            self.leader_asked.push(self.now.at);
            if n == self.leader && self.is_followed {
                let answer = bytes_of(&ProbeAnswer::of_leader(probe.nonce));
                self.hear_bytes(PeerId::station(n), to, &answer);
            }
            return;
        }
        let origin = Origin { peer: self.me(), boot: Boot(1), addr: SATELLITE, heard: self.now.at };
        let replica = self.replicas.get_mut(&n).unwrap();
        replica.streams.on_frame(self.now.at, &origin, &frame, &mut replica.out);
        let mut message = Vec::new();
        let mut arrived = Vec::new();
        while let Some(delivery) = replica.streams.take(&mut message) {
            if let Delivery::Message(key) = delivery {
                arrived.push((key, message.clone()));
            }
        }
        replica.streams.on_burst_end(self.now.at, &mut replica.out);
        for (key, message) in arrived {
            self.on_message(n, key, message);
        }
    }

    fn answer_heartbeat(&mut self, beat: &Heartbeat) {
        let answer = HomeAnswer {
            echo_ns: beat.sent_ns,
            hold_us: 0,
            flags: 0,
            reserved: 0,
            roster: self.view,
            view: View(self.view),
            neighbours: 0,
            term: Term(self.term),
            wall_ns: 0,
        };
        let n = self.leader;
        self.hear_bytes(PeerId::station(n), replica_addr(n), &bytes_of(&answer));
    }

    fn on_message(&mut self, n: u16, key: Key, message: Vec<u8>) {
        assert_eq!(key.lane, 1);
        for frame in Frames::new(&message) {
            if let Ok(Frame::Batch(batch)) = frame {
                let Batch { head, items } = batch;
                assert_eq!(head.items as usize, Frames::new(items).count());
                self.batches.push(Got { replica: n, seq: head.seq, items: items.to_vec() });
                if self.acks && n == self.leader {
                    self.acknowledge(head.seq, ItemResult::DONE, head.items as usize);
                }
            }
        }
        self.messages.push(message);
    }

    /// The leader answers batch `seq`: each of its items became event 1000 and following.
    pub(crate) fn acknowledge(&mut self, seq: u64, code: u8, items: usize) {
        let results: Vec<_> = (0..items)
            .map(|at| ItemResult {
                event: 1000 + u64::try_from(at).unwrap(),
                incarnation: LIFE,
                code,
                reserved: [0; 3],
            })
            .collect();
        self.answer_batch(seq, BatchAck::COMMITTED, &results);
    }

    pub(crate) fn answer_batch(&mut self, seq: u64, status: u8, results: &[ItemResult]) {
        let head = BatchAckHead {
            seq,
            boot: Boot(1),
            term: Term(self.term),
            index: 1,
            leader: PeerId::station(self.leader),
            credit: 1000,
            status,
            reserved: [0; 7],
        };
        let peer = self.me();
        let replica = self.replicas.get_mut(&self.leader).unwrap();
        let key = replica.streams.connect(peer, SATELLITE, 1).unwrap();
        let ack = BatchAck { head, results: List::new(results) };
        replica.streams.send(self.now.at, key, &ack, &mut replica.out).unwrap();
    }

    /// What the replicas asked for.
    fn carry_down(&mut self) -> bool {
        let mut moved = false;
        for n in 1..=3 {
            let replica = self.replicas.get_mut(&n).unwrap();
            for action in replica.out.take() {
                match action {
                    Action::Send(to, bytes) => {
                        assert_eq!(to, SATELLITE);
                        self.hear_bytes(PeerId::station(n), replica_addr(n), &bytes);
                        moved = true;
                    }
                    Action::Arm(timer, at) => {
                        let replica = self.replicas.get_mut(&n).unwrap();
                        replica.timers.insert((at, timer));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        if moved {
            self.satellite.on_burst_end(self.now, &mut self.out);
        }
        moved
    }

    /// A node dies; a moment later everybody heard it last 900 ms ago.
    pub(crate) fn kill(&mut self, slot: u32) {
        self.alive.remove(&slot);
        self.killed.insert(slot, self.now.at);
        let since_beat = self.now.at.0 % SECOND;
        self.run(900 * MS - since_beat.min(900 * MS));
    }

    /// Since when an observer does not hear a node.
    pub(super) fn silent_ms(&self, observer: u32, subject: u32) -> u64 {
        if let Some(heard) = self.heard.get(&(observer, subject)) {
            return self.now.at.since(*heard) / MS;
        }
        if self.alive.contains(&subject) {
            return 100;
        }
        self.killed.get(&subject).map_or(0, |at| self.now.at.since(*at) / MS).max(900)
    }
}

pub(crate) fn uuid(slot: u32) -> Uuid {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&slot.to_le_bytes());
    Uuid(bytes)
}
