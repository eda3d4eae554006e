//! Replicas and satellites in virtual time: bytes between them, a disk that forgets what was not
//! flushed, loss and reordering by seed.

use crate::satellite::Satellite;
use std::collections::BTreeMap;
use syncom_seam::{
    Action, DiskFault, Done, Loaded, MS, Now, Origin, Record, Recorder, Rng, Role, SECOND, Time,
    Timer, US, WallTime,
};
use syncom_station::{Station, StationConfig};
use syncom_wire::{Addr, Boot, Frame, FrameHeader, Kind, PeerId};

/// Time of a flush.
const FLUSH_NS: u64 = 200 * US;
/// Replicas that there may be, newcomers included.
const SEATS: u16 = 6;

/// What a replica stored: everything that was flushed survives its crash.
#[derive(Debug, Default)]
struct Disk {
    /// Which disk it is: another one after it was lost.
    number: u64,
    loaded: Loaded,
    pending: Vec<Record>,
}

impl Disk {
    fn flush(&mut self, up_to: u64) {
        let (due, later) =
            std::mem::take(&mut self.pending).into_iter().partition(|r| r.ticket() <= up_to);
        self.pending = later;
        let due: Vec<Record> = due;
        due.into_iter().for_each(|record| self.take(record));
    }

    fn take(&mut self, record: Record) {
        let loaded = &mut self.loaded;
        match record {
            Record::Append { hard, entries, .. } => {
                if let Some(first) = entries.first() {
                    loaded.entries.retain(|entry| entry.index < first.index);
                }
                loaded.entries.extend(entries);
                loaded.hard = hard.unwrap_or(loaded.hard);
            }
            Record::Snapshot { snapshot, hard, replace_log, .. } => {
                let kept = |index| !replace_log && index > snapshot.index;
                loaded.entries.retain(|entry| kept(entry.index));
                loaded.snapshot = Some(snapshot);
                loaded.hard = hard.unwrap_or(loaded.hard);
            }
        }
    }
}

#[derive(Debug)]
enum Event {
    Frame { to: Addr, from: Origin, bytes: Vec<u8> },
    Timer { addr: Addr, life: u64, timer: Timer },
    Durable { addr: Addr, life: u64, ticket: u64 },
}

#[derive(Debug)]
enum Actor {
    Station(Box<Station>),
    Satellite(Box<Satellite>),
}

#[derive(Debug)]
struct Seat {
    peer: PeerId,
    life: u64,
    actor: Option<Actor>,
    disk: Disk,
    /// Nothing comes in or goes out.
    cut: bool,
    /// Stopped, and what it has missed: what it will see when it goes on, and its timers and disk.
    paused: Option<(Vec<Event>, Vec<Event>)>,
    notices: Vec<String>,
}

pub(crate) struct Cluster {
    pub(crate) now: Time,
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
    seats: BTreeMap<Addr, Seat>,
    replicas: Vec<(PeerId, Addr)>,
    rng: Rng,
    /// Datagrams lost, of a thousand.
    pub(crate) loss: u64,
    pub(crate) snapshot_every: u64,
    /// A replica that is far away, and how long datagrams from and to it are under way, in ns.
    pub(crate) far: Option<(u16, u64)>,
    /// Who is not heard by whom.
    pub(crate) unheard: Option<(Addr, Addr)>,
    /// What came to the client.
    pub(crate) inbox: Vec<Vec<u8>>,
    /// Rounds of reads that followers asked their leader for.
    pub(crate) rounds: u64,
    /// Snapshots that replicas have pulled and put in the place of their logs.
    pub(crate) installs: u64,
}

impl Cluster {
    pub(crate) fn new(seed: u64, replicas: u16) -> Self {
        let replicas: Vec<_> =
            (1..=replicas).map(|n| (PeerId::station(n), Addr::v4([10, 0, 0, 1], n))).collect();
        let mut cluster = Self {
            now: Time(SECOND),
            events: BTreeMap::new(),
            count: 0,
            seats: BTreeMap::new(),
            replicas,
            rng: Rng::new(seed),
            loss: 0,
            snapshot_every: 50_000,
            far: None,
            unheard: None,
            inbox: Vec::new(),
            rounds: 0,
            installs: 0,
        };
        for (peer, addr) in cluster.replicas.clone() {
            cluster.seat(peer, addr);
        }
        cluster
    }

    fn seat(&mut self, peer: PeerId, addr: Addr) {
        let notices = Vec::new();
        self.count += 1;
        let disk = Disk { number: self.count, ..Disk::default() };
        let seat = Seat { peer, life: 0, actor: None, disk, cut: false, paused: None, notices };
        self.seats.insert(addr, seat);
    }

    pub(crate) fn addr(&self, n: u16) -> Addr {
        Addr::v4([10, 0, 0, 1], n)
    }

    pub(crate) fn satellite_addr(n: u16) -> Addr {
        Addr::v4([10, 0, 0, 2], n)
    }

    pub(crate) fn start_all(&mut self) {
        for n in 1..=u16::try_from(self.replicas.len()).unwrap() {
            self.start(n);
        }
    }

    /// Starts a replica from its disk.
    pub(crate) fn start(&mut self, n: u16) {
        let addr = self.addr(n);
        let mut config = StationConfig::new(n, self.replicas.clone());
        config.boot = Boot(self.now.0);
        config.disk = self.seats[&addr].disk.number;
        config.snapshot_every = self.snapshot_every;
        let loaded = self.seats[&addr].disk.loaded.clone();
        let station = Station::new(config, loaded).unwrap();
        self.enter(addr, Actor::Station(Box::new(station)));
    }

    pub(crate) fn start_satellite(&mut self, n: u16) {
        let addr = Self::satellite_addr(n);
        self.seat(PeerId::satellite(n), addr);
        let all = (1..=SEATS).map(|n| (PeerId::station(n), self.addr(n))).collect();
        let satellite = Satellite::new(n, self.now.0, all);
        self.enter(addr, Actor::Satellite(Box::new(satellite)));
    }

    fn enter(&mut self, addr: Addr, actor: Actor) {
        let seat = self.seats.get_mut(&addr).unwrap();
        seat.life = self.now.0;
        seat.actor = Some(actor);
        self.call(addr, |actor, now, out| match actor {
            Actor::Station(role) => role.on_start(now, out),
            Actor::Satellite(role) => role.on_start(now, out),
        });
    }

    /// Ends a replica at once; what was not flushed is lost.
    pub(crate) fn crash(&mut self, n: u16) {
        let seat = self.seats.get_mut(&self.addr(n)).unwrap();
        seat.actor = None;
        seat.disk.pending.clear();
    }

    /// The disk of a replica fails.
    pub(crate) fn fail_disk(&mut self, n: u16) {
        let addr = self.addr(n);
        self.call(addr, |actor, now, out| {
            if let Actor::Station(role) = actor {
                let fault = DiskFault::Full("log/1.raftlog".into());
                role.on_done(now, Done::DiskFailed(fault), out);
            }
        });
    }

    /// A replica is told to go in good order.
    pub(crate) fn leave(&mut self, n: u16) {
        let addr = self.addr(n);
        self.call(addr, |actor, now, out| {
            if let Actor::Station(role) = actor {
                role.on_leave(now, out);
            }
        });
    }

    pub(crate) fn crash_satellite(&mut self, n: u16) {
        self.seats.get_mut(&Self::satellite_addr(n)).unwrap().actor = None;
    }

    /// Cuts a replica off, or lets it back in.
    pub(crate) fn cut(&mut self, n: u16, cut: bool) {
        self.seats.get_mut(&self.addr(n)).unwrap().cut = cut;
    }

    /// Stops a replica like SIGSTOP.
    pub(crate) fn pause(&mut self, n: u16) {
        let addr = self.addr(n);
        self.seats.get_mut(&addr).unwrap().paused = Some(Default::default());
    }

    /// What the socket of a stopped replica held is lost.
    pub(crate) fn forget_frames(&mut self, n: u16) {
        let addr = self.addr(n);
        self.seats.get_mut(&addr).unwrap().paused.as_mut().unwrap().0.clear();
    }

    /// Lets it go on: it hears what its socket held before its timers expire.
    pub(crate) fn resume(&mut self, n: u16) {
        let addr = self.addr(n);
        let missed = self.seats.get_mut(&addr).unwrap().paused.take();
        let (frames, others) = missed.unwrap();
        frames.into_iter().chain(others).for_each(|event| self.happen(event));
    }

    pub(crate) fn station(&self, n: u16) -> Option<&Station> {
        match self.seats.get(&self.addr(n))?.actor.as_ref()? {
            Actor::Station(station) => Some(station),
            Actor::Satellite(_) => None,
        }
    }

    pub(crate) fn stations(&self) -> impl Iterator<Item = &Station> {
        (1..=SEATS).filter_map(|n| self.station(n))
    }

    /// Starts a replica that was not there from the beginning.
    pub(crate) fn start_newcomer(&mut self, n: u16) {
        self.seat(PeerId::station(n), self.addr(n));
        self.start(n);
    }

    /// A replica comes back with an empty disk.
    pub(crate) fn start_without_its_disk(&mut self, n: u16) {
        self.start_newcomer(n);
    }

    /// A copy of a replica's disk, for [`Self::restore`].
    pub(crate) fn copy_disk(&self, n: u16) -> Loaded {
        self.seats[&self.addr(n)].disk.loaded.clone()
    }

    /// Puts an old copy in the place of what a replica stored.
    pub(crate) fn restore(&mut self, n: u16, copy: Loaded) {
        self.seats.get_mut(&self.addr(n)).unwrap().disk.loaded = copy;
    }

    pub(crate) fn satellite(&mut self, n: u16) -> &mut Satellite {
        match &mut self.seats.get_mut(&Self::satellite_addr(n)).unwrap().actor {
            Some(Actor::Satellite(satellite)) => satellite,
            _ => panic!("satellite {n} does not run"),
        }
    }

    pub(crate) fn notices(&self, n: u16) -> &[String] {
        &self.seats[&self.addr(n)].notices
    }

    /// The leading replica, if exactly one thinks so.
    pub(crate) fn leader(&self) -> Option<u16> {
        let mut leaders = (1..=SEATS).filter(|n| self.station(*n).is_some_and(Station::is_leader));
        leaders.next().filter(|_| leaders.next().is_none())
    }

    pub(crate) fn run(&mut self, ms: u64) {
        let until = self.now.after(ms * MS);
        while let Some((key, event)) = self.events.pop_first() {
            if key.0 > until {
                self.events.insert(key, event);
                break;
            }
            self.now = key.0;
            self.happen(event);
        }
        self.now = until;
    }

    /// Runs until `condition` holds.
    pub(crate) fn run_until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        for _ in 0..3_000 {
            if condition(self) {
                return;
            }
            self.run(10);
        }
        panic!("after 30 s still not: {what}");
    }

    pub(crate) fn settle(&mut self) -> u16 {
        self.run_until("one leader", |cluster| cluster.leader().is_some());
        self.leader().unwrap()
    }

    fn happen(&mut self, event: Event) {
        let (Event::Frame { to: addr, .. }
        | Event::Timer { addr, .. }
        | Event::Durable { addr, .. }) = &event;
        let paused = self.seats.get_mut(addr).and_then(|seat| seat.paused.as_mut());
        if let Some((frames, others)) = paused {
            let is_frame = matches!(event, Event::Frame { .. });
            return if is_frame { frames.push(event) } else { others.push(event) };
        }
        match event {
            Event::Frame { to, bytes, .. } if to == client() => self.inbox.push(bytes),
            Event::Frame { to, from, bytes } => {
                let now = self.now;
                if self.seats.get(&to).is_none_or(|seat| seat.cut || seat.actor.is_none()) {
                    return;
                }
                self.call(to, |actor, wall, out| {
                    let (header, body) = FrameHeader::split(&bytes).unwrap();
                    let frame = Frame::parse(header, body).unwrap();
                    let from = Origin { heard: now, ..from };
                    match actor {
                        Actor::Station(role) => role.on_frame(wall, &from, &frame, out),
                        Actor::Satellite(role) => role.on_frame(wall, &from, &frame, out),
                    }
                });
            }
            Event::Timer { addr, life, timer } if self.seats[&addr].life == life => {
                self.call(addr, |actor, now, out| match actor {
                    Actor::Station(role) => role.on_timer(now, timer, out),
                    Actor::Satellite(role) => role.on_timer(now, timer, out),
                });
            }
            Event::Durable { addr, life, ticket } if self.seats[&addr].life == life => {
                let seat = self.seats.get_mut(&addr).unwrap();
                if seat.actor.is_none() {
                    return;
                }
                seat.disk.flush(ticket);
                self.call(addr, |actor, now, out| {
                    if let Actor::Station(role) = actor {
                        role.on_done(now, Done::Durable { ticket }, out);
                    }
                });
            }
            Event::Timer { .. } | Event::Durable { .. } => {}
        }
    }

    /// Calls a role, ends the burst, and carries out what it asked for.
    fn call(&mut self, addr: Addr, handle: impl FnOnce(&mut Actor, Now, &mut Recorder)) {
        let wall = WallTime(1_700_000_000 * SECOND + self.now.0);
        let now = Now { at: self.now, wall };
        let mut out = Recorder::default();
        let seat = self.seats.get_mut(&addr).unwrap();
        let Some(actor) = &mut seat.actor else { return };
        handle(actor, now, &mut out);
        match actor {
            Actor::Station(role) => role.on_burst_end(now, &mut out),
            Actor::Satellite(role) => role.on_burst_end(now, &mut out),
        }
        for action in out.take() {
            self.act(addr, action);
        }
    }

    fn act(&mut self, addr: Addr, action: Action) {
        let (life, peer, cut) = {
            let seat = &self.seats[&addr];
            (seat.life, seat.peer, seat.cut)
        };
        match action {
            Action::Send(to, bytes) => {
                // A Raft message by its kind: see the codec.
                let (header, body) = FrameHeader::split(&bytes).unwrap();
                self.rounds += u64::from(header.kind == Kind::Raft as u8 && body[0] == 15);
                let is_unheard = self.unheard == Some((addr, to));
                if cut || is_unheard || self.rng.chance(self.loss, 1_000) {
                    return;
                }
                let delay = 50 * US + self.rng.below(if self.loss > 0 { 3 * MS } else { 20 * US });
                let is_far = |(n, _): &(u16, u64)| [addr, to].contains(&self.addr(*n));
                let delay = delay + self.far.filter(is_far).map_or(0, |(_, extra_ns)| extra_ns);
                let from = Origin { peer, boot: Boot(life), addr, heard: self.now };
                self.push(delay, Event::Frame { to, from, bytes });
            }
            Action::Arm(timer, at) => {
                self.push(at.since(self.now), Event::Timer { addr, life, timer });
            }
            Action::Persist(record) => {
                let ticket = record.ticket();
                let is_install = matches!(record, Record::Snapshot { replace_log: true, .. });
                self.installs += u64::from(is_install);
                self.seats.get_mut(&addr).unwrap().disk.pending.push(record);
                self.push(FLUSH_NS, Event::Durable { addr, life, ticket });
            }
            Action::Notify(text) => self.seats.get_mut(&addr).unwrap().notices.push(text),
            Action::Spawn(_) | Action::Kill(..) => panic!("a station starts no programs"),
        }
    }

    fn push(&mut self, delay: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now.after(delay), self.count), event);
    }

    /// Sends a frame to a replica as if from a client, and returns what came back.
    pub(crate) fn ask(&mut self, n: u16, frame: &impl syncom_wire::Emit) -> Vec<Vec<u8>> {
        let mut bytes = vec![0; frame.size() + FrameHeader::SIZE];
        syncom_wire::frame::emit(frame, &mut bytes).unwrap();
        self.send(n, bytes);
        self.inbox.clear();
        for _ in 0..3_000 {
            let Some((key, event)) = self.events.pop_first() else { break };
            self.now = key.0;
            self.happen(event);
            if !self.inbox.is_empty() {
                break;
            }
        }
        std::mem::take(&mut self.inbox)
    }

    /// Sends a frame to a replica as if from a client; what comes back is in the inbox.
    pub(crate) fn send(&mut self, n: u16, bytes: Vec<u8>) {
        let (peer, addr) = (PeerId::client(1), client());
        let from = Origin { peer, boot: Boot(1), addr, heard: self.now };
        let to = self.addr(n);
        self.push(0, Event::Frame { to, from, bytes });
    }
}

const fn client() -> Addr {
    Addr::v4([10, 0, 0, 3], 1)
}
