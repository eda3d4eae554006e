//! The role: who is asked what, in which order.
//!
//! A burst of frames is handled first; then everything that was gathered is proposed, and Raft is
//! moved once ([`Station::pump`]): so one flush of the disk serves a whole burst.

use crate::config::{Held, StationConfig};
use crate::control::Desk;
use crate::control::reading::Reading;
use crate::dispatch::Dispatch;
use crate::feeding::Feeds;
use crate::machine::{Effect, Machine};
use crate::manager::Manager;
use crate::proposals::Proposals;
use crate::raft::pull::Pull;
use crate::raft::{Node, Work};
use crate::satellites::Satellites;
use syncom_seam::{
    Counter, Done, Loaded, Notice, Now, Origin, Outbox, Role as SeamRole, Time, Timer,
};
use syncom_stream::{Config as StreamConfig, Streams};
use syncom_wire::event::Decision;
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
    pub(crate) manager: Manager,
    pub(crate) dispatch: Dispatch,
    pub(crate) desk: Desk,
    pub(crate) reading: Reading,
    pub(crate) pull: Option<Pull>,
    /// The term in which this replica leads and has told its parts so.
    pub(crate) leading: Option<Term>,
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
    stopped: bool,
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
        let node = Node::new(&config, loaded)?;
        let streams = Streams::new(StreamConfig::default());
        Ok(Self {
            notified: machine.events.last(),
            snapshot_at: machine.applied,
            log_bytes: 0,
            satellites: Satellites::new(&config),
            node,
            machine,
            streams,
            proposals: Proposals::default(),
            feeds: Feeds::default(),
            manager: Manager::default(),
            dispatch: Dispatch::default(),
            desk: Desk::default(),
            reading: Reading::default(),
            pull: None,
            leading: None,
            known_leader: PeerId::ANY,
            timer_generation: 0,
            last_tick: Time(0),
            stopped: false,
            config,
        })
    }

    /// Whether this replica leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.node.is_leader()
    }

    /// Raft's current term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.node.term()
    }

    /// Index of the last applied entry.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.machine.applied
    }

    /// A number that two replicas share exactly when they hold the same state; costs as much as a
    /// snapshot, so it is for tests and checkpoints.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.machine.state_hash()
    }

    /// What this replica holds in memory beside its state; counted anew at each call.
    #[must_use]
    pub fn held(&self) -> Held {
        let held = self.node.held();
        let pulled = self.pull.as_ref().map_or(0, Pull::held_bytes);
        Held { snapshot_bytes: held.snapshot_bytes + pulled, ..held }
    }

    /// Number of the newest committed event.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.machine.events.last()
    }

    /// What the recovery manager decided, oldest first, as far as it is kept.
    pub fn decisions(&self) -> impl Iterator<Item = Decision<'_>> {
        self.machine.decisions.since(0).map(|entry| entry.as_frame())
    }

    /// How often an event happened; `None` when it is not kept any more.
    #[must_use]
    pub fn event_count(&self, seq: u64) -> Option<u32> {
        self.machine.events.get(seq).map(|event| event.head.count)
    }

    /// Deaths that were taken back, since the cluster began.
    #[must_use]
    pub const fn false_deaths(&self) -> u64 {
        self.machine.membership.false_deaths()
    }

    /// The member list as this replica has applied it.
    #[must_use]
    pub const fn members(&self) -> &syncom_group::Members {
        self.machine.membership.members()
    }

    /// Whether this leader knows everything that was ever acknowledged, and its recovery manager
    /// has begun.
    pub(crate) fn is_settled(&self) -> bool {
        self.node.is_settled() && self.leading.is_some()
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
        for entry in &work.committed {
            self.machine.apply(entry.index, entry.term, &entry.data, &mut effects);
            self.log_bytes += entry.data.len();
        }
        self.node.on_applied(self.machine.applied);
        out.gauge(Counter::RaftApplied, self.machine.applied);
        self.tell_events(out);
        self.follow_effects(now, &effects, out);
        self.answer_reads(now, out);
        self.take_snapshot(out);
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
        self.tell_events(out);
    }

    fn take_snapshot<O: Outbox>(&mut self, out: &mut O) {
        let (applied, every) = (self.machine.applied, self.config.snapshot_every.max(1));
        if applied - self.snapshot_at < every && self.log_bytes < SNAPSHOT_LOG_BYTES {
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
        self.leading = Some(term);
        out.count(Counter::RaftElections, 1);
        self.satellites.begin(now.at, &self.machine);
        self.manager.begin(term);
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
        self.node.sending.clear();
    }

    /// Nothing that follows may be believed: says why, and does nothing any more.
    fn stop<O: Outbox>(&mut self, why: &str, out: &mut O) {
        if !self.stopped {
            self.stopped = true;
            out.notify(Notice::Fatal(why));
        }
    }

    fn on_tick<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let late = now.at.since(self.last_tick).saturating_sub(self.config.timing.tick_ns);
        self.last_tick = now.at;
        self.node.on_tick();
        self.node.give_up_snapshots(now.at);
        self.tick_pull(now, out);
        self.satellites.forgive(late, self.config.timing.tick_ns);
        if self.is_settled() {
            self.miss_satellites(now, out);
            self.manage(now, out);
            self.tick_dispatch(now, out);
            self.pump_feeds(now, out);
        }
        self.desk.forget_old(now.at);
        self.tick_reads(now, out);
        self.arm_tick(now, out);
    }
}

impl SeamRole for Station {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.last_tick = now.at;
        self.node.on_start(now.at);
        self.connect_replicas();
        self.arm_tick(now, out);
        self.pump(now, out);
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        if self.stopped {
            return;
        }
        self.note_address(from);
        if self.streams.on_frame(now.at, from, frame, out) {
            return self.drain_streams(now, out);
        }
        match (frame, from.peer.role()) {
            (Frame::Raft(message), Role::Station) => self.on_raft(now, from.peer, message, out),
            (Frame::Heartbeat(heartbeat), Role::Satellite) => {
                self.on_heartbeat(now, from, heartbeat, out);
            }
            (Frame::HomeStats(stats), Role::Satellite) => self.satellites.on_stats(from, stats),
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
            FLUSH => self.proposals.on_timer(timer),
            _ => {}
        }
    }

    fn on_done<O: Outbox>(&mut self, now: Now, done: Done, out: &mut O) {
        match done {
            Done::Durable { ticket } if !self.stopped => {
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

    fn on_burst_end<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if self.stopped {
            return;
        }
        self.proposals.on_burst_end(now.at);
        self.pump(now, out);
        self.streams.on_burst_end(now.at, out);
    }
}
