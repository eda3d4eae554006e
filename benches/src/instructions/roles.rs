//! What an agent and a satellite do with what they hear most.

use super::{Done, Path};
use std::cell::RefCell;
use std::rc::Rc;
use syncom_agent::{Agent, AgentConfig};
use syncom_seam::{
    Action, Counter, Notice, Now, Origin, Outbox, Record, Recorder, Role, SECOND, Spawn, Time,
    Timer, WallTime, hand_over,
};
use syncom_stream::{Config, Streams};
use syncom_transponder::{Transponder, TransponderConfig};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::ids::mix;
use syncom_wire::join::Welcome;
use syncom_wire::member::{Member, MemberHead, MemberState, ViewDelta, ViewDeltaHead};
use syncom_wire::neighbours::{Neighbour, Neighbours, NeighboursHead};
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::roster::{Roster, RosterEntry, RosterHead};
use syncom_wire::{
    Addr, Boot, Emit, Fixed as _, Frame, FrameHeader, Frames, Incarnation, List, PeerId, Slot,
    Subject, Term, Uuid, View, frame,
};

const LIFE: Incarnation = Incarnation(1);
const NOW: Now = Now { at: Time(100 * SECOND), wall: WallTime(1_800_000_000 * SECOND) };
/// Nodes that the satellite knows.
const NODES: u32 = 64;
/// Subjects of the agent.
const SUBJECTS: u32 = 8;
const SATELLITE: PeerId = PeerId::satellite(1);
const SATELLITE_ADDR: Addr = Addr::v4([10, 0, 0, 1], 4000);
const REPLICA: PeerId = PeerId::station(1);
const REPLICA_ADDR: Addr = Addr::v4([10, 0, 1, 1], 4000);
/// The lane on which stations feed satellites.
const FEED_LANE: u8 = 1;

pub(super) fn paths() -> Vec<Path> {
    let satellite = Rc::new(RefCell::new(satellite()));
    vec![
        heartbeat(),
        evidence(Rc::clone(&satellite)),
        repeated(Rc::clone(&satellite)),
        combined(satellite),
    ]
}

/// An outbox that writes every frame to the same place and arms nothing.
struct Quiet {
    place: Vec<u8>,
    hash: u64,
    noise: u64,
}

impl Quiet {
    fn new() -> Self {
        Self { place: vec![0; 2048], hash: 0, noise: 0 }
    }

    fn done(&self, operations: u64) -> Done {
        Done { operations, hash: mix(self.hash) }
    }
}

impl Outbox for Quiet {
    fn send<E: Emit>(&mut self, to: Addr, item: &E) {
        let written = frame::emit(item, &mut self.place).unwrap_or(0);
        self.hash = self.hash.wrapping_add(written as u64 ^ u64::from(to.port));
    }

    fn arm(&mut self, timer: Timer, at: Time) {
        self.hash = self.hash.wrapping_add(u64::from(timer.kind) ^ at.0);
    }

    fn persist(&mut self, _: Record) {}

    fn spawn(&mut self, _: Spawn) {}

    fn kill(&mut self, _: u64, _: i32) {}

    fn count(&mut self, counter: Counter, by: u64) {
        self.noise += if counter == Counter::UplinkNoise { by } else { 0 };
        self.hash = self.hash.wrapping_add(counter as u64 + by);
    }

    fn gauge(&mut self, _: Counter, _: u64) {}

    fn notify(&mut self, _: Notice<'_>) {}
}

fn node_addr(slot: u32) -> Addr {
    let [_, b, c, d] = slot.to_be_bytes();
    Addr::v4([11, b, c, d], 4000)
}

fn uuid(number: u32) -> Uuid {
    let mut uuid = Uuid([7; 16]);
    uuid.0[..4].copy_from_slice(&number.to_le_bytes());
    uuid
}

fn origin(peer: PeerId, addr: Addr, heard: Time) -> Origin {
    Origin { peer, boot: Boot(1), addr, heard }
}

/// An agent that was welcomed into the slot behind its subjects' and told whom to observe.
fn agent() -> Agent {
    let own = Slot(SUBJECTS);
    let (own_uuid, boot) = (uuid(own.0), Boot(77));
    let seeds = vec![SATELLITE_ADDR];
    let config = AgentConfig::new(own_uuid, boot, "node", node_addr(own.0), seeds, 1);
    let (mut agent, mut out) = (Agent::new(config), Quiet::new());
    agent.on_start(NOW, &mut out);
    let entries = [RosterEntry {
        peer: SATELLITE,
        addr: SATELLITE_ADDR,
        weight: 1,
        state: RosterEntry::SERVING,
        reserved: 0,
    }];
    let head = RosterHead { epoch: 1, term: Term(1), total: 1, first: 0, leader: PeerId::ANY };
    let roster = Frame::Roster(Roster { head, entries: List::new(&entries) });
    let welcome = Frame::Welcome(Welcome {
        uuid: own_uuid,
        boot,
        slot: own,
        incarnation: LIFE,
        view: View(1),
        peer: PeerId::agent(own),
        domain: 1,
        reserved: 0,
    });
    let neighbour =
        |slot| Neighbour { slot: Slot(slot), incarnation: LIFE, addr: node_addr(slot), domain: 1 };
    let all: Vec<_> = (0..SUBJECTS).map(neighbour).collect();
    let neighbours = Frame::Neighbours(Neighbours {
        head: NeighboursHead { slot: own, incarnation: LIFE, epoch: 1 },
        observers: List::new(&all),
        subjects: List::new(&all),
    });
    for frame in [roster, welcome, neighbours] {
        agent.on_frame(NOW, &origin(SATELLITE, SATELLITE_ADDR, NOW.at), &frame, &mut out);
    }
    agent
}

/// Heartbeats of all subjects in turn.
fn heartbeat() -> Path {
    const ROUNDS: u64 = 100;
    let (mut agent, mut out, mut seq) = (agent(), Quiet::new(), 0);
    let Some(mut beat) = Heartbeat::read(&[0; Heartbeat::SIZE]) else {
        return Path::new("agent: heartbeat heard", || Done { operations: 1, hash: 0 });
    };
    (beat.incarnation, beat.interval_us, beat.plane) = (LIFE, 200_000, Heartbeat::PEER);
    Path::new("agent: heartbeat heard", move || {
        for _ in 0..ROUNDS {
            seq += 1;
            let at = NOW.at.after(seq * SECOND / 5);
            for slot in 0..SUBJECTS {
                (beat.seq, beat.slot) = (seq, Slot(slot));
                beat.progress = beat.progress.wrapping_add(1);
                let from = origin(PeerId::agent(beat.slot), node_addr(slot), at);
                agent.on_frame(Now { at, ..NOW }, &from, &Frame::Heartbeat(beat), &mut out);
            }
            agent.on_burst_end(Now { at, ..NOW }, &mut out);
        }
        out.done(ROUNDS * u64::from(SUBJECTS))
    })
}

/// A satellite that holds a view of [`NODES`] nodes in eight domains.
fn satellite() -> Transponder {
    let config = TransponderConfig::new(1, Boot(1), SATELLITE_ADDR, vec![(REPLICA, REPLICA_ADDR)]);
    let mut satellite = Transponder::new(config);
    let mut out = Recorder::default();
    satellite.on_start(NOW, &mut out);
    let answer = HomeAnswer {
        echo_ns: NOW.at.0,
        hold_us: 0,
        flags: 0,
        reserved: 0,
        roster: 1,
        view: View(1),
        neighbours: 0,
        term: Term(1),
        wall_ns: 0,
    };
    let leader = origin(REPLICA, REPLICA_ADDR, NOW.at);
    satellite.on_frame(NOW, &leader, &Frame::HomeAnswer(answer), &mut out);
    feed(&mut satellite, &mut out);
    assert!(satellite.view() == View(1), "the satellite has taken the view");
    satellite
}

/// The leader's stream to the satellite, carried by hand until nobody says anything more.
fn feed(satellite: &mut Transponder, out: &mut Recorder) {
    let (mut streams, mut said) = (Streams::new(Config::default()), Recorder::default());
    let Ok(key) = streams.connect(SATELLITE, SATELLITE_ADDR, FEED_LANE) else { return };
    let members: Vec<u8> = (0..NODES).flat_map(member).collect();
    let head = ViewDeltaHead {
        from: View(0),
        to: View(1),
        term: Term(1),
        roster: 1,
        leader: REPLICA,
        more: 0,
        reserved: [0; 3],
    };
    let delta = ViewDelta { head, members: &members };
    let sent = streams.send(NOW.at, key, &delta, &mut said);
    assert!(sent.is_ok(), "the view fits a message");
    let mut heard = Vec::new();
    loop {
        let down = sends(&mut said);
        for bytes in &down {
            for frame in Frames::new(bytes).flatten() {
                satellite.on_frame(NOW, &origin(REPLICA, REPLICA_ADDR, NOW.at), &frame, out);
            }
        }
        satellite.on_burst_end(NOW, out);
        let up = sends(out);
        for bytes in &up {
            for frame in Frames::new(bytes).flatten() {
                let from = origin(SATELLITE, SATELLITE_ADDR, NOW.at);
                streams.on_frame(NOW.at, &from, &frame, &mut said);
            }
        }
        while streams.take(&mut heard).is_some() {}
        streams.on_burst_end(NOW.at, &mut said);
        if down.is_empty() && up.is_empty() {
            return;
        }
    }
}

fn sends(out: &mut Recorder) -> Vec<Vec<u8>> {
    let sends = out.take().into_iter().filter_map(|action| match action {
        Action::Send(_, bytes) => Some(bytes),
        _ => None,
    });
    sends.collect()
}

fn member(slot: u32) -> Vec<u8> {
    let head = MemberHead {
        uuid: uuid(slot),
        boot: Boot(1),
        peer: PeerId::agent(Slot(slot)),
        incarnation: LIFE,
        view: View(1),
        since_ns: 0,
        addr: node_addr(slot),
        domain: u16::try_from(slot % 8 + 1).unwrap_or(1),
        pid: 0,
        state: MemberState::Alive as u8,
        reserved: 0,
        weight: 1,
        join_index: slot,
    };
    let member = Member { head, name: "node", domain: "" };
    let mut bytes = vec![0; member.size() + FrameHeader::SIZE];
    let written = frame::emit(&member, &mut bytes).unwrap_or(0);
    bytes.truncate(written);
    bytes
}

fn report_head(reporter: u32, seq: u64, subject: Subject, kind: EventKind) -> ReportHead {
    ReportHead {
        id: ReportId { slot: Slot(reporter), incarnation: LIFE, seq },
        subject,
        incarnation: LIFE,
        kind,
        heard_ago_us: 900_000,
        domain: u16::try_from(reporter % 8 + 1).unwrap_or(1),
        flags: 0,
        neighbours: 0,
        health: 0,
        severity: 2,
        reserved: 0,
        count: 1,
    }
}

fn say(satellite: &mut Transponder, report: Report<'_>, out: &mut Quiet) {
    let slot = report.head.id.slot;
    let from = origin(PeerId::agent(slot), node_addr(slot.0), NOW.at);
    satellite.on_frame(NOW, &from, &Frame::Report(report), out);
}

/// The same in a burst, as it came.
fn say_bytes(satellite: &mut Transponder, slot: Slot, bytes: &[u8], out: &mut Quiet) {
    let from = origin(PeerId::agent(slot), node_addr(slot.0), NOW.at);
    let (count, fault) = hand_over(satellite, NOW, &from, Frames::new(bytes), out);
    assert!(count == 1 && fault.is_none(), "one report");
}

fn bytes_of(report: &Report<'_>) -> (Slot, Vec<u8>) {
    let mut bytes = vec![0; 256];
    let len = frame::emit(report, &mut bytes).unwrap_or(0);
    bytes.truncate(len);
    (report.head.id.slot, bytes)
}

/// Observers accuse their subject again and again, each time with a newer word.
fn evidence(satellite: Rc<RefCell<Transponder>>) -> Path {
    const SUBJECT: u32 = 5;
    const ROUNDS: u64 = 100;
    let silent = |reporter, seq| {
        let head = report_head(reporter, seq, Subject::node(Slot(SUBJECT)), EventKind::SILENT);
        Report { head, subject: "", kind: "", detail: "" }
    };
    // Who does not observe it is told apart by what is counted.
    let observers: Vec<u32> = (0..NODES)
        .filter(|reporter| {
            let mut out = Quiet::new();
            say(&mut satellite.borrow_mut(), silent(*reporter, 1), &mut out);
            out.noise == 0
        })
        .collect();
    assert!((4..=16).contains(&observers.len()), "{} observers", observers.len());
    let (mut out, mut seq) = (Quiet::new(), 1);
    Path::new("satellite: evidence absorbed", move || {
        let satellite = &mut *satellite.borrow_mut();
        for _ in 0..ROUNDS {
            seq += 1;
            observers.iter().for_each(|one| say(satellite, silent(*one, seq), &mut out));
        }
        out.done(ROUNDS * observers.len() as u64)
    })
}

const REPORTERS: u32 = 16;
const SUBJECTS_NAMED: u64 = 20;

fn hot(reporter: u32, seq: u64, subject: u64) -> Report<'static> {
    let head = report_head(reporter, seq, Subject(mix(subject)), EventKind::named("hot"));
    Report { head, subject: "rack7", kind: "hot", detail: "81 C" }
}

/// Reports that are held already.
fn repeated(satellite: Rc<RefCell<Transponder>>) -> Path {
    let mut out = Quiet::new();
    let of = |subject| (0..REPORTERS).map(move |one| bytes_of(&hot(one, 1, subject)));
    let all: Vec<(Slot, Vec<u8>)> = (0..SUBJECTS_NAMED).flat_map(of).collect();
    Path::new("satellite: report repeated", move || {
        let satellite = &mut *satellite.borrow_mut();
        for (slot, bytes) in &all {
            say_bytes(satellite, *slot, bytes, &mut out);
        }
        satellite.on_burst_end(NOW, &mut out);
        out.done(SUBJECTS_NAMED * u64::from(REPORTERS))
    })
}

/// Sixteen reporters each say something new of the same subjects; with what it takes to write that.
fn combined(satellite: Rc<RefCell<Transponder>>) -> Path {
    let (mut out, mut next) = (Quiet::new(), SUBJECTS_NAMED);
    Path::new("satellite: report combined", move || {
        let satellite = &mut *satellite.borrow_mut();
        for subject in next..next + SUBJECTS_NAMED {
            for one in 0..REPORTERS {
                let mut bytes = [0; 256];
                let len = frame::emit(&hot(one, 1, subject), &mut bytes).unwrap_or(0);
                say_bytes(satellite, Slot(one), &bytes[..len], &mut out);
            }
        }
        satellite.on_burst_end(NOW, &mut out);
        next += SUBJECTS_NAMED;
        out.done(SUBJECTS_NAMED * u64::from(REPORTERS))
    })
}
