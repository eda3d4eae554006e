//! A small cluster around one agent, for its tests: satellites that say what a test wants, and a
//! clock that fires the agent's timers.

use crate::{Agent, AgentConfig};
use std::vec;
use std::vec::Vec;
use syncom_group::Roster as Group;
use syncom_seam::{Action, MS, Now, Origin, Recorder, Role as _, Time, Timer, WallTime};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::join::Welcome;
use syncom_wire::neighbours::{Neighbour, Neighbours, NeighboursHead};
use syncom_wire::report::{AckItem, ReportAck};
use syncom_wire::roster::{Roster, RosterEntry, RosterHead};
use syncom_wire::{
    Addr, Boot, Frame, FrameHeader, Incarnation, Kind, List, PeerId, Slot, Term, Uuid, View,
};

pub(crate) const SLOT: Slot = Slot(7);
pub(crate) const CLIENT: Addr = addr(9_000);

pub(crate) const fn addr(port: u16) -> Addr {
    let mut ip = [0; 16];
    ip[10] = 0xff;
    ip[11] = 0xff;
    ip[12] = 10;
    ip[15] = 1;
    Addr { ip, port }
}

pub(crate) const fn satellite(n: u16) -> Addr {
    addr(100 + n)
}

/// Where the node in a slot listens.
pub(crate) fn node(slot: u32) -> Addr {
    addr(2_000 + u16::try_from(slot).unwrap())
}

pub(crate) fn config(seeds: u16) -> AgentConfig {
    let seeds = (1..=seeds).map(satellite).collect();
    AgentConfig::new(Uuid([5; 16]), Boot(77), "node7", node(SLOT.0), seeds, 1)
}

/// A frame that was sent: when, where to, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Time,
    pub(crate) to: Addr,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn frame(&self) -> Frame<'_> {
        let (header, body) = FrameHeader::split(&self.bytes).unwrap();
        Frame::parse(header, body).unwrap()
    }
}

/// An agent, its clock and its timers.
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: Time,
    pub(crate) out: Recorder,
    /// Everything sent since the last [`Self::clear`].
    pub(crate) sent: Vec<Sent>,
    /// Everything else that was asked for.
    pub(crate) asked: Vec<Action>,
    pub(crate) timers: Vec<(Time, Timer)>,
    pub(crate) satellites: u16,
    /// Satellites that answer home heartbeats.
    pub(crate) answering: Vec<u16>,
    /// Whether they know us.
    pub(crate) unknown: bool,
    pub(crate) beats: u64,
}

impl World {
    pub(crate) fn new(config: AgentConfig, satellites: u16) -> Self {
        Self {
            agent: Agent::new(config),
            now: Time(1_000 * MS),
            out: Recorder::default(),
            sent: Vec::new(),
            asked: Vec::new(),
            timers: Vec::new(),
            satellites,
            answering: (1..=satellites).collect(),
            unknown: false,
            beats: 0,
        }
    }

    /// A member with `satellites` satellites, whose first heartbeats have been answered.
    pub(crate) fn member(satellites: u16) -> Self {
        let mut world = Self::new(config(1), satellites);
        world.start();
        world.roster(1);
        world.welcome(1);
        world.run_ms(1_100);
        world.clear();
        world
    }

    pub(crate) fn at(&self) -> Now {
        Now { at: self.now, wall: WallTime(0) }
    }

    pub(crate) fn start(&mut self) {
        let now = self.at();
        self.agent.on_start(now, &mut self.out);
        self.gather();
    }

    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.asked.clear();
    }

    /// Hands over a frame, received now.
    pub(crate) fn hear(&mut self, peer: PeerId, from: Addr, frame: &Frame<'_>) {
        let origin = Origin { peer, boot: Boot(1), addr: from, heard: self.now };
        let now = self.at();
        self.agent.on_frame(now, &origin, frame, &mut self.out);
        self.gather();
    }

    pub(crate) fn hear_satellite(&mut self, n: u16, frame: &Frame<'_>) {
        self.hear(PeerId::satellite(n), satellite(n), frame);
    }

    /// Lets time pass, firing timers; satellites answer heartbeats after 1 ms.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        let until = self.now.after(ms * MS);
        while let Some(at) = self.next_timer(until) {
            let (due, timer) = self.timers.remove(at);
            self.now = self.now.max(due);
            let now = self.at();
            self.agent.on_timer(now, timer, &mut self.out);
            self.agent.on_burst_end(now, &mut self.out);
            self.gather();
            self.answer_homes();
        }
        self.now = until;
    }

    /// Lets time pass without the agent noticing: it was stopped.
    pub(crate) fn pause_ms(&mut self, ms: u64) {
        self.now = self.now.after(ms * MS);
    }

    fn next_timer(&self, until: Time) -> Option<usize> {
        let next = self.timers.iter().enumerate().min_by_key(|(_, (due, _))| *due)?;
        (next.1.0 <= until).then_some(next.0)
    }

    pub(crate) fn gather(&mut self) {
        for action in self.out.take() {
            match action {
                Action::Send(to, bytes) => self.sent.push(Sent { at: self.now, to, bytes }),
                Action::Arm(timer, at) => self.timers.push((at, timer)),
                other => self.asked.push(other),
            }
        }
    }

    /// Satellites that answer take the home heartbeats of this moment.
    fn answer_homes(&mut self) {
        let mut answers = Vec::new();
        for sent in self.sent.iter().filter(|sent| sent.at == self.now) {
            if let Frame::Heartbeat(beat) = sent.frame()
                && beat.plane == Heartbeat::HOME
                && let Some(n) = (1..=self.satellites).find(|n| satellite(*n) == sent.to)
                && self.answering.contains(&n)
            {
                answers.push((n, beat));
            }
        }
        if answers.is_empty() || answers.iter().all(|(_, beat)| beat.seq <= self.beats) {
            return;
        }
        self.beats = answers.iter().map(|(_, beat)| beat.seq).max().unwrap();
        self.now = self.now.after(MS);
        for (n, beat) in answers {
            let flags = if self.unknown { HomeAnswer::UNKNOWN } else { 0 };
            let answer = home_answer(beat.sent_ns, flags, 1);
            self.hear_satellite(n, &Frame::HomeAnswer(answer));
        }
    }

    pub(crate) fn roster(&mut self, epoch: u64) {
        let entries: Vec<_> = (1..=self.satellites).map(entry).collect();
        let head = RosterHead {
            epoch,
            term: Term(1),
            total: self.satellites,
            first: 0,
            leader: PeerId::ANY,
        };
        let frame = Frame::Roster(Roster { head, entries: List::new(&entries) });
        self.hear_satellite(1, &frame);
    }

    pub(crate) fn welcome(&mut self, incarnation: u32) {
        self.hear_satellite(1, &Frame::Welcome(welcome(incarnation)));
    }

    /// Gives the agent observers and subjects by slot, each in a domain of its own.
    pub(crate) fn neighbours(&mut self, epoch: u64, observers: &[u32], subjects: &[u32]) {
        let list = |slots: &[u32]| slots.iter().map(|slot| neighbour(*slot)).collect::<Vec<_>>();
        let (observers, subjects) = (list(observers), list(subjects));
        let incarnation = self.agent.identity().unwrap().incarnation;
        let frame = Frame::Neighbours(Neighbours {
            head: NeighboursHead { slot: SLOT, incarnation, epoch },
            observers: List::new(&observers),
            subjects: List::new(&subjects),
        });
        self.hear_satellite(1, &frame);
    }

    /// A heartbeat of another node arrives now.
    pub(crate) fn beat(&mut self, slot: u32, seq: u64) {
        let beat = Frame::Heartbeat(heartbeat(slot, seq));
        self.hear(PeerId::agent(Slot(slot)), node(slot), &beat);
    }

    /// Lets the nodes in `slots` beat every 200 ms for so many rounds, from number `seq` on.
    pub(crate) fn beats(&mut self, slots: &[u32], seq: u64, rounds: u64) {
        for round in 0..rounds {
            for slot in slots {
                self.beat(*slot, seq + round);
            }
            self.run_ms(200);
        }
    }

    pub(crate) fn ack(&mut self, n: u16, seq: u64, level: u8, event: u64) {
        let items = [AckItem { seq, event, level, reserved: [0; 7] }];
        let incarnation = self.agent.identity().unwrap().incarnation;
        let ack = ReportAck { incarnation, items: List::new(&items) };
        self.hear_satellite(n, &Frame::ReportAck(ack));
    }

    pub(crate) fn of(&self, kind: Kind) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.frame().kind() == kind as u8).collect()
    }

    /// The homes of a slot, as everybody computes them.
    pub(crate) fn homes(&self, slot: Slot) -> Vec<Addr> {
        let mut group = Group::new();
        group.set(1, (1..=self.satellites).map(entry));
        group.homes(slot).as_slice().iter().map(|peer| group.addr(*peer).unwrap()).collect()
    }

    /// The number of the satellite that listens at `addr`.
    pub(crate) fn number(&self, addr: Addr) -> u16 {
        (1..=self.satellites).find(|n| satellite(*n) == addr).unwrap()
    }
}

pub(crate) fn entry(n: u16) -> RosterEntry {
    let state = RosterEntry::SERVING;
    RosterEntry { peer: PeerId::satellite(n), addr: satellite(n), weight: 1, state, reserved: 0 }
}

pub(crate) fn neighbour(slot: u32) -> Neighbour {
    let domain = u16::try_from(slot).unwrap();
    Neighbour { slot: Slot(slot), incarnation: Incarnation(1), addr: node(slot), domain }
}

pub(crate) fn welcome(incarnation: u32) -> Welcome {
    Welcome {
        uuid: Uuid([5; 16]),
        boot: Boot(77),
        slot: SLOT,
        incarnation: Incarnation(incarnation),
        view: View(3),
        peer: PeerId::agent(SLOT),
        domain: 4,
        reserved: 0,
    }
}

pub(crate) fn home_answer(echo_ns: u64, flags: u16, term: u64) -> HomeAnswer {
    HomeAnswer {
        echo_ns,
        hold_us: 0,
        flags,
        reserved: 0,
        roster: 1,
        view: View(3),
        neighbours: 0,
        term: Term(term),
        wall_ns: 0,
    }
}

pub(crate) fn heartbeat(slot: u32, seq: u64) -> Heartbeat {
    Heartbeat {
        slot: Slot(slot),
        incarnation: Incarnation(1),
        seq,
        interval_us: 200_000,
        progress: u32::try_from(seq).unwrap(),
        sent_ns: 1,
        neighbours: 0,
        rtt_us: 0,
        services_up: 0,
        services_down: 0,
        plane: Heartbeat::PEER,
        health: 0,
        flags: 0,
        load: 0,
        peers_interval_us: 200_000,
    }
}

/// A payload of words, each ended by a zero byte.
pub(crate) fn payload(words: &[&str]) -> Vec<u8> {
    let mut bytes = vec![];
    for word in words {
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(0);
    }
    bytes
}
