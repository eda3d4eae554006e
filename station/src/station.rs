//! The role: who is asked what, in which order.
//!
//! A burst of frames is handled first; then everything that was gathered is proposed, and Raft is
//! moved once ([`Station::pump`]): so one flush of the disk serves a whole burst.

use crate::config::StationConfig;
use crate::control::Desk;
use crate::control::reading::Reading;
use crate::dispatch::{Dispatch, LOOK};
use crate::feeding::Feeds;
use crate::leaving::Leaving;
use crate::machine::{Effect, Machine};
use crate::manager::{Lease, Manager};
use crate::proposals::Proposals;
use crate::raft::pull::Pull;
use crate::raft::{Node, Work};
use crate::replacing::Replacing;
use crate::satellites::Satellites;
use crate::seats::{Seats, is_seated_in};
use crate::watch::Watch;
use raft::eraftpb::EntryType;
use syncom_seam::{
    Counter, Done, Loaded, Notice, Now, Origin, Outbox, Role as SeamRole, Time, Timer,
};
use syncom_stream::{Config as StreamConfig, Streams};
use syncom_wire::{Frame, PeerId, Role, Term};

/// Timer: Raft's clock, and everything else that happens every few milliseconds.
pub(crate) const TICK: u16 = 1;
/// Timer: joins were held back long enough.
pub(crate) const FLUSH: u16 = 2;

/// A snapshot is taken after so many bytes of entries, however few they are: half of what makes the
/// store give files back, which would else rewrite what lives in them.
const SNAPSHOT_LOG_BYTES: usize = 64 << 20;

/// One replica of the tracking station.
///
/// **Inputs**: Raft messages of the other replicas, batches and heartbeats of satellites, questions
/// of anybody. **Time**: as [`SeamRole`] says; the wall clock goes into entries and decides nothing.
/// **Disk**: records go out by [`Outbox::persist`]; nothing is acknowledged before its `Durable`.
#[derive(Debug)]
pub struct Station {
    pub(crate) config: StationConfig,
    pub(crate) node: Node,
    pub(crate) machine: Machine,
    pub(crate) streams: Streams,
    pub(crate) proposals: Proposals,
    pub(crate) feeds: Feeds,
    pub(crate) satellites: Satellites,
    pub(crate) watch: Watch,
    pub(crate) manager: Manager,
    pub(crate) lease: Lease,
    pub(crate) dispatch: Dispatch,
    pub(crate) desk: Desk,
    pub(crate) reading: Reading,
    pub(crate) pull: Option<Pull>,
    /// It was told to go.
    pub(crate) leaving: Option<Leaving>,
    pub(crate) seats: Seats,
    pub(crate) replacing: Replacing,
    /// The term in which this replica leads and has told its parts so.
    pub(crate) leading: Option<Term>,
    /// Since when it does.
    pub(crate) led_since: Time,
    /// The leader that was last announced.
    known_leader: PeerId,
    /// Number of the last event that the embedding program was told.
    notified: u64,
    /// Index of the last snapshot, and bytes of entries applied since.
    snapshot_at: u64,
    log_bytes: usize,
    timer_generation: u32,
    last_tick: Time,
    /// The disk failed, or the log cannot be read: nothing is done any more.
    pub(crate) stopped: bool,
}

impl Station {
    /// A replica that goes on from what its store holds.
    ///
    /// # Errors
    /// One sentence saying what is wrong with the configuration or with what was loaded.
    pub fn new(config: StationConfig, mut loaded: Loaded) -> Result<Self, String> {
        config.validate()?;
        let mut peers: Vec<PeerId> = config.replicas.iter().map(|(peer, _)| *peer).collect();
        peers.sort_unstable();
        let machine = match &mut loaded.snapshot {
            None => Machine::new(&peers),
            Some(snapshot) => Machine::decode(&snapshot.data)
                .map_err(|why| format!("the stored snapshot cannot be read: {why}"))?,
        };
        let has_snapshot = loaded.snapshot.is_some();
        let seats = Seats::new(&loaded);
        let seated = is_seated_in(&loaded, config.me, config.disk);
        let mut node = Node::new(&config, loaded)?;
        if has_snapshot && *node.conf() != machine.replicas.conf {
            return Err("the stored snapshot contradicts itself about who votes".into());
        }
        if seated {
            node.admit();
        }
        let streams = Streams::new(StreamConfig::default());
        Ok(Self {
            notified: machine.events.last(),
            snapshot_at: machine.applied,
            log_bytes: 0,
            satellites: Satellites::new(&config),
            watch: Watch::default(),
            node,
            machine,
            streams,
            proposals: Proposals::default(),
            feeds: Feeds::default(),
            manager: Manager::default(),
            lease: Lease::new(config.timing.withheld_ns()),
            dispatch: Dispatch::default(),
            desk: Desk::default(),
            reading: Reading::default(),
            pull: None,
            leaving: None,
            seats,
            replacing: Replacing::default(),
            leading: None,
            led_since: Time(0),
            known_leader: PeerId::ANY,
            timer_generation: 0,
            last_tick: Time(0),
            stopped: false,
            config,
        })
    }

    fn arm_tick<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.timer_generation = self.timer_generation.wrapping_add(1);
        let timer = Timer { kind: TICK, generation: self.timer_generation, key: 0 };
        out.arm(timer, now.at.after(self.config.timing.tick_ns));
    }

    /// Moves Raft until there is nothing left to do: sends, persists, applies.
    pub(crate) fn pump<O: Outbox>(&mut self, now: Now, out: &mut O) {
        loop {
            self.flush_proposals(now, out);
            self.begin_round(now, out);
            let work = self.node.work();
            if work.is_empty() {
                break;
            }
            self.look_for_seat();
            self.carry_out(now, work, out);
        }
        self.follow_leadership(now, out);
    }

    fn carry_out<O: Outbox>(&mut self, now: Now, work: Work, out: &mut O) {
        if self.stopped {
            return;
        }
        for record in work.records {
            out.persist(record);
        }
        self.send_raft(now, work.messages, out);
        if let Some(image) = work.installed {
            self.install(&image.data, out);
            self.answer_reads(now, out);
        }
        self.on_confirmed(now, &work.reads, out);
        if work.committed.is_empty() {
            return;
        }
        let mut effects = Vec::new();
        let mut added = false;
        for entry in &work.committed {
            if entry.get_entry_type() == EntryType::EntryNormal {
                self.machine.apply(entry.index, entry.term, &entry.data, &mut effects);
            } else {
                added |= self.apply_change(entry, &mut effects, out);
            }
            self.log_bytes += entry.data.len();
        }
        self.node.on_applied(self.machine.applied);
        out.gauge(Counter::RaftApplied, self.machine.applied);
        self.tell_events(out);
        self.follow_effects(now, &effects, out);
        self.answer_reads(now, out);
        self.take_snapshot(added, out);
    }

    /// A snapshot of the leader has replaced the log: the machine begins again from it.
    fn install<O: Outbox>(&mut self, data: &[u8], out: &mut O) {
        match Machine::decode(data) {
            Ok(machine) => self.machine = machine,
            Err(why) => {
                return self.stop(&format!("a snapshot of the leader cannot be read: {why}"), out);
            }
        }
        (self.snapshot_at, self.log_bytes) = (self.machine.applied, 0);
        self.node.on_applied(self.machine.applied);
        out.count(Counter::RaftSnapshots, 1);
        if *self.node.conf() != self.machine.replicas.conf {
            self.stop("a snapshot of the leader contradicts itself about who votes", out);
        }
        self.on_seats(out);
        self.tell_events(out);
    }

    /// Takes a snapshot when enough has happened, and whenever a replica is added: an older one would
    /// not name it, and whoever is not named takes none.
    fn take_snapshot<O: Outbox>(&mut self, added: bool, out: &mut O) {
        let (applied, every) = (self.machine.applied, self.config.snapshot_every.max(1));
        let due = applied - self.snapshot_at >= every || self.log_bytes >= SNAPSHOT_LOG_BYTES;
        // While two majorities decide, which does not last, a snapshot would have to name both.
        // What stopped on an entry that it cannot read has not applied it.
        if self.stopped || !(due || added) || self.machine.replicas.conf.is_joint() {
            return;
        }
        (self.snapshot_at, self.log_bytes) = (applied, 0);
        let data = self.machine.encode();
        let record = self.node.compact(applied, self.machine.applied_term, data, every / 5);
        out.persist(record);
        out.count(Counter::RaftSnapshots, 1);
    }

    /// Tells the embedding program every event, in order, whether applied or installed.
    fn tell_events<O: Outbox>(&mut self, out: &mut O) {
        for event in self.machine.events.since(self.notified + 1) {
            out.notify(Notice::Event(event.as_frame()));
            out.count(Counter::EventsCommitted, 1);
        }
        self.notified = self.machine.events.last();
        out.gauge(Counter::QueueLen, self.machine.events.queue_len() as u64);
    }

    fn follow_effects<O: Outbox>(&mut self, now: Now, effects: &[Effect], out: &mut O) {
        for effect in effects {
            match *effect {
                Effect::Event(_) | Effect::Stale(_) => {}
                Effect::Repeated => out.count(Counter::EventsDuplicate, 1),
                Effect::NoRoom => out.count(Counter::QueueFull, 1),
                Effect::View => self.on_view(now, out),
                Effect::Batch { peer, boot, seq, status } => {
                    self.answer_batch(now, peer, boot, seq, status, out);
                }
                Effect::OrderOpened(id) => self.on_order_opened(now, id, out),
                Effect::OrderClosed(id) => self.on_order_closed(now, id, out),
                Effect::Claimed(term) => self.on_claimed(now, term, out),
                Effect::Stepped(term) | Effect::Overtaken(term) => self.manager.on_stepped(term),
                Effect::PolicyHolds(id) => {
                    self.answer_policy(now, id, out);
                    self.pump_feeds(now, out);
                }
                Effect::Drained(id, nodes) => self.answer_drain(now, id, nodes, out),
                Effect::Replacing(id, old, new) => self.answer_replacing(now, id, (old, new), out),
                Effect::Seats => {
                    self.on_seats(out);
                    self.pump_feeds(now, out);
                }
                Effect::Unreadable(why) => {
                    let text = format!(
                        "the log holds an entry that this version cannot read ({why}): \
                         start a version that can"
                    );
                    self.stop(&text, out);
                }
            }
        }
        if self.is_settled() {
            self.manage(now, out);
        }
    }

    /// Notices that this replica has begun or ceased to lead, and who does.
    fn follow_leadership<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let term = self.node.term();
        let leads = self.node.is_leader().then_some(term);
        if self.leading.is_some() && leads != self.leading {
            self.on_deposed(now, out);
        }
        if leads.is_some() && self.leading != leads && self.node.is_settled() {
            self.on_elected(now, term, out);
        }
        let leader = self.node.leader();
        if leader != PeerId::ANY && leader != self.known_leader {
            if self.known_leader == PeerId::ANY {
                out.notify(Notice::Ready);
            }
            out.info(|| format!("{leader} leads in term {term}"));
            self.known_leader = leader;
        }
        out.gauge(Counter::RaftTerm, term.0);
    }

    fn on_elected<O: Outbox>(&mut self, now: Now, term: Term, out: &mut O) {
        (self.leading, self.led_since) = (Some(term), now.at);
        out.count(Counter::RaftElections, 1);
        self.satellites.begin(now.at, &self.machine);
        self.watch.begin(now.at);
        self.manager.begin(term);
        self.lease.begin(now.at);
        self.claim(now, term, out);
        self.announce(now, out);
        self.pump_feeds(now, out);
        self.pump(now, out);
    }

    /// Whatever was under way has an unknown outcome: everybody is told to ask the next leader.
    fn on_deposed<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.leading = None;
        self.refuse_proposals(now, out);
        self.refuse_pending(now, out);
        self.feeds.clear();
        self.dispatch.clear();
        self.manager.end();
        self.lease.surrender();
        self.node.sending.clear();
    }

    /// Nothing that follows may be believed: says why, and does nothing any more.
    pub(crate) fn stop<O: Outbox>(&mut self, why: &str, out: &mut O) {
        if !self.stopped {
            self.stopped = true;
            out.notify(Notice::Fatal(why));
        }
    }

    /// Does nothing any more, without having failed.
    pub(crate) const fn stop_quietly(&mut self) {
        self.stopped = true;
    }

    fn on_tick<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let late = now.at.since(self.last_tick).saturating_sub(self.config.timing.tick_ns);
        self.last_tick = now.at;
        self.node.on_tick();
        self.node.give_up_snapshots(now.at);
        self.tick_pull(now, out);
        self.satellites.forgive(late, self.config.timing.tick_ns);
        self.watch.on_late(late, self.config.timing.tick_ns);
        if self.is_settled() {
            self.miss_satellites(now, out);
            self.miss_replicas(now, out);
            self.manage(now, out);
            self.pump_feeds(now, out);
            self.tick_replacing(now, out);
        }
        self.tick_seat(now, out);
        self.desk.forget_old(now.at);
        self.tick_reads(now, out);
        self.go_on_leaving(now, out);
        self.arm_tick(now, out);
    }
}

impl SeamRole for Station {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.last_tick = now.at;
        self.seats.began = now.at;
        self.node.on_start(now.at);
        self.connect_replicas();
        self.check_seat(out);
        self.arm_tick(now, out);
        self.pump(now, out);
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        if self.stopped {
            return;
        }
        if self.turns_away(from, frame, out) {
            return;
        }
        self.note_address(from);
        self.note_replica(from);
        self.note_life(from);
        if self.streams.on_frame(now.at, from, frame, out) {
            return self.drain_streams(now, out);
        }
        match (frame, from.peer.role()) {
            (Frame::Raft(message), Role::Station) => self.on_raft(now, from.peer, message, out),
            (Frame::ReplicaHello(hello), Role::Station) => self.on_hello(now, from, hello, out),
            (Frame::ReplicaWord(word), Role::Station) => self.on_word(now.at, from, word, out),
            (Frame::Heartbeat(heartbeat), Role::Satellite) => {
                self.on_heartbeat(now, from, heartbeat, out);
            }
            (Frame::Opinion(opinion), Role::Satellite | Role::Station) => {
                self.on_opinion(now, from, opinion, out);
            }
            (Frame::Probe(probe), Role::Satellite) => self.on_probe(now.at, from.addr, probe),
            (Frame::HomeStats(stats), Role::Satellite) => {
                self.on_stats(now.at, from.peer, stats, out);
            }
            (Frame::RosterAsk(_), _) => self.on_roster_ask(from, out),
            (Frame::Ask(ask), _) => self.on_ask(now, from, ask, out),
            _ => out.count(Counter::DropRole, 1),
        }
    }

    fn on_timer<O: Outbox>(&mut self, now: Now, timer: Timer, out: &mut O) {
        if self.stopped {
            return;
        }
        if self.streams.on_timer(now.at, timer, out) {
            return self.drain_streams(now, out);
        }
        match timer.kind {
            TICK if timer.generation == self.timer_generation => self.on_tick(now, out),
            LOOK => self.look_at_orders(now, out),
            FLUSH => self.proposals.on_timer(now.at, timer, out),
            _ => {}
        }
    }

    fn on_done<O: Outbox>(&mut self, now: Now, done: Done, out: &mut O) {
        match done {
            Done::Durable { ticket } if !self.stopped => {
                self.seats.stored = true;
                let work = self.node.on_durable(ticket);
                self.carry_out(now, work, out);
                self.pump(now, out);
                self.streams.on_burst_end(now.at, out);
            }
            Done::DiskFailed(fault) => {
                let text = format!(
                    "{fault}; this replica stops, the others carry on: repair the disk, then \
                     start it again"
                );
                self.stop(&text, out);
            }
            Done::Durable { .. } | Done::Exited { .. } => {}
        }
    }

    fn on_leave<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if !self.stopped {
            self.begin_leaving(now, out);
        }
    }

    fn on_burst_end<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if self.stopped {
            return;
        }
        self.proposals.on_burst_end(now.at);
        self.pump(now, out);
        self.streams.on_burst_end(now.at, out);
    }
}
