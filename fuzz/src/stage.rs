//! A role on a stage: other members around it say what a script tells them to.
//!
//! The other members are authentic (sealing has a target of its own) and have real streams, so that
//! what they say on a stream reaches the role; what they say is up to the script. The stage holds
//! the role to what every role promises: it never panics, and whatever it sends can be read.

use crate::script::Script;
use std::collections::{BTreeSet, VecDeque};
use syncom_seam::{
    Action, DiskFault, Done, Exit, MS, Now, Origin, Record, Recorder, Role, SECOND, Time, Timer,
    WallTime,
};
use syncom_stream::{Config, Streams};
use syncom_wire::limits::DATAGRAM_MAX;
use syncom_wire::{Addr, Boot, Frame, FrameHeader, Frames, PeerId};

/// Steps of one script.
const STEPS_MAX: usize = 128;
/// Timers that fire in one pause; what is armed beyond them is late, as after a stall.
const TIMERS_MAX: usize = 96;
/// Rounds of answers to answers, until the stage falls silent.
const ROUNDS_MAX: usize = 64;

/// A member beside the role.
#[derive(Debug)]
struct Actor {
    peer: PeerId,
    addr: Addr,
    boot: Boot,
    streams: Streams,
    out: Recorder,
}

impl Actor {
    fn origin(&self, heard: Time) -> Origin {
        Origin { peer: self.peer, boot: self.boot, addr: self.addr, heard }
    }
}

/// A role, its surroundings, and what it has asked for.
#[derive(Debug)]
pub(crate) struct Stage<R> {
    pub(crate) role: R,
    me: (PeerId, Addr),
    pub(crate) now: Now,
    out: Recorder,
    actors: Vec<Actor>,
    timers: BTreeSet<(Time, Timer)>,
    children: VecDeque<u64>,
    /// The last record that is not durable yet.
    ticket: Option<u64>,
    /// Whether it has ever wanted one: to others, nobody would say that a disk failed.
    has_disk: bool,
    /// Frames that the role has sent in this step, and messages on its streams.
    pub(crate) heard: Vec<Vec<u8>>,
}

impl<R: Role> Stage<R> {
    /// Starts the role `me` among others.
    pub(crate) fn new(role: R, me: (PeerId, Addr), others: &[(PeerId, Addr)]) -> Self {
        let actor = |(peer, addr): &(PeerId, Addr)| Actor {
            peer: *peer,
            addr: *addr,
            boot: Boot(1),
            streams: streams(),
            out: Recorder::default(),
        };
        let mut stage = Self {
            role,
            me,
            now: Now { at: Time(100 * SECOND), wall: WallTime(1_800_000_000 * SECOND) },
            out: Recorder::default(),
            actors: others.iter().map(actor).collect(),
            timers: BTreeSet::new(),
            children: VecDeque::new(),
            ticket: None,
            has_disk: false,
            heard: Vec::new(),
        };
        stage.role.on_start(stage.now, &mut stage.out);
        stage.end_burst();
        stage
    }

    /// Plays a script to its end.
    pub(crate) fn play(&mut self, script: &mut Script<'_>) {
        for _ in 0..STEPS_MAX {
            if script.is_done() {
                break;
            }
            self.heard.drain(..).for_each(|frame| script.hear(&frame));
            self.step(script);
        }
        self.end_burst();
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let who = script.below(self.actors.len());
        match script.byte() % 16 {
            0..3 => self.run(script.pause()),
            3 => self.end_burst(),
            4 => self.end_child(script),
            5 => {
                let actor = &mut self.actors[who];
                actor.boot.0 += 1;
                actor.streams = streams();
            }
            6 if self.has_disk && script.byte() == 0 => {
                self.finish(Done::DiskFailed(DiskFault::Io("fuzzed".into())));
            }
            7 => self.now.wall = WallTime(script.number()),
            8..12 => {
                let lane = script.byte() % 4;
                let message = self.frames(script);
                self.tell(who, lane, &message);
            }
            _ => {
                let datagram = self.frames(script);
                self.hear(who, &datagram);
            }
        }
    }

    fn frames(&self, script: &mut Script<'_>) -> Vec<u8> {
        (0..=script.byte() % 3).flat_map(|_| script.frame()).collect()
    }

    /// Hands the role a datagram of another member.
    pub(crate) fn hear(&mut self, who: usize, datagram: &[u8]) {
        let origin = self.actors[who].origin(self.now.at);
        for frame in Frames::new(datagram).map_while(Result::ok) {
            self.role.on_frame(self.now, &origin, &frame, &mut self.out);
        }
        self.settle();
    }

    /// Another member puts a message on a stream to the role.
    pub(crate) fn tell(&mut self, who: usize, lane: u8, message: &[u8]) {
        let actor = &mut self.actors[who];
        if let Ok(key) = actor.streams.connect(self.me.0, self.me.1, lane) {
            let _ = actor.streams.send_bytes(self.now.at, key, message, &mut actor.out);
        }
        self.settle();
    }

    /// Lets time pass: timers fire in order, a bounded number of them.
    pub(crate) fn run(&mut self, pause_ns: u64) {
        let end = self.now.at.after(pause_ns);
        for _ in 0..TIMERS_MAX {
            let Some((at, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= end)
            else {
                break;
            };
            self.timers.remove(&(at, timer));
            self.move_to(at);
            self.role.on_timer(self.now, timer, &mut self.out);
            self.end_burst();
        }
        self.move_to(end);
    }

    fn move_to(&mut self, at: Time) {
        let ns = at.since(self.now.at);
        self.now.at = self.now.at.after(ns);
        self.now.wall = WallTime(self.now.wall.0.saturating_add(ns));
    }

    /// Ends the burst; what was to be durable is so a moment later.
    pub(crate) fn end_burst(&mut self) {
        self.role.on_burst_end(self.now, &mut self.out);
        self.settle();
        for _ in 0..ROUNDS_MAX {
            let Some(ticket) = self.ticket.take() else { break };
            self.finish(Done::Durable { ticket });
        }
    }

    fn end_child(&mut self, script: &mut Script<'_>) {
        if let Some(token) = self.children.pop_front() {
            let output = script.bytes(usize::from(script.clone().byte())).to_vec();
            let exit =
                Exit { code: i32::from(script.byte()), output_total: script.number(), output };
            self.finish(Done::Exited { token, exit });
        }
    }

    fn finish(&mut self, done: Done) {
        self.role.on_done(self.now, done, &mut self.out);
        self.settle();
    }

    /// Takes what the role asks for, lets the others' streams answer, until nobody has anything.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for action in self.out.take() {
                self.carry_out(action);
            }
            let mut is_silent = true;
            for at in 0..self.actors.len() {
                for action in self.actors[at].out.take() {
                    let Action::Send(_, bytes) = action else { continue };
                    is_silent = false;
                    let origin = self.actors[at].origin(self.now.at);
                    for frame in Frames::new(&bytes).map_while(Result::ok) {
                        self.role.on_frame(self.now, &origin, &frame, &mut self.out);
                    }
                }
            }
            if is_silent {
                break;
            }
            self.role.on_burst_end(self.now, &mut self.out);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Send(to, bytes) => self.on_sent(to, &bytes),
            Action::Arm(timer, at) => drop(self.timers.insert((at.max(self.now.at), timer))),
            Action::Persist(record) => self.on_record(&record),
            Action::Spawn(spawn) => self.children.push_back(spawn.token),
            Action::Kill(..) | Action::Notify(_) => {}
        }
    }

    fn on_record(&mut self, record: &Record) {
        let ticket = record.ticket();
        assert!(self.ticket.is_none_or(|last| last < ticket), "tickets do not increase");
        (self.ticket, self.has_disk) = (Some(ticket), true);
    }

    fn on_sent(&mut self, to: Addr, bytes: &[u8]) {
        assert!(bytes.len() > FrameHeader::SIZE, "a frame that cannot be written, for {to}");
        assert!(bytes.len() <= DATAGRAM_MAX, "{} bytes that fit no datagram", bytes.len());
        let origin = Origin { peer: self.me.0, boot: Boot(1), addr: self.me.1, heard: self.now.at };
        for frame in Frames::new(bytes) {
            let frame = frame.unwrap_or_else(|error| panic!("sends what is {error}: {bytes:02x?}"));
            if let Some(actor) = self.actors.iter_mut().find(|actor| actor.addr == to) {
                actor.streams.on_frame(self.now.at, &origin, &frame, &mut actor.out);
                let mut message = Vec::new();
                while actor.streams.take(&mut message).is_some() {
                    self.heard.push(message.clone());
                }
                actor.streams.on_burst_end(self.now.at, &mut actor.out);
            }
            if !matches!(frame, Frame::StreamData(_)) {
                self.heard.push(bytes.to_vec());
            }
        }
    }
}

fn streams() -> Streams {
    let patient = Config::default();
    Streams::new(Config { streams_max: 8, rto_min_ns: 50 * MS, ..patient })
}
