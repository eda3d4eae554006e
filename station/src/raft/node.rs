//! One replica's Raft: drives the library and keeps its order of things.
//!
//! The order is the whole point. Messages of a leader may leave before its own disk has caught up;
//! messages of a follower, and every vote, only after. Entries are applied once they are committed
//! *and* durable here; a snapshot is installed once it is durable. The hard state travels in the
//! same record as the entries; a commit index alone is not worth a flush and goes with the next.

use crate::config::StationConfig;
use crate::raft::ReadContext;
use crate::raft::codec;
use crate::raft::election::Election;
use crate::raft::restart;
use crate::raft::sending::Sending;
use crate::raft::snapshot::Image;
use crate::raft::storage::RamLog;
use crate::raft::validator::{self, Guard};
use raft::eraftpb::{Entry, HardState, Message, MessageType};
use raft::{Config, RawNode, StateRole};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use syncom_seam::disk::HardState as DiskHardState;
use syncom_seam::{Loaded, Record, Time};
use syncom_wire::ids::mix;
use syncom_wire::limits::{MESSAGE_MAX, REPLICAS_MAX};
use syncom_wire::raft::RaftMessage;
use syncom_wire::{Malformed, PeerId, Term};

/// Bytes of entries per append: what one burst of fragments carries; one entry may exceed it.
const APPEND_MAX: u64 = 256 * 1024;
/// Appends under way per follower; the stream's window bounds them in bytes.
const INFLIGHT_MAX: usize = 128;
/// Bytes proposed and not committed; beyond it proposals are refused as busy.
const UNCOMMITTED_MAX: u64 = 16 << 20;
/// Bytes of entries applied in one go, so that a long log does not hold up everything else.
const APPLY_MAX: u64 = 4 << 20;
/// Bytes of entries kept behind a snapshot for followers that lag a little.
const KEEP_BYTES: usize = 16 << 20;
/// The same for followers that are heard and lag more, or are being sent a snapshot: what they lack
/// must be there when they have installed it, or they never catch up under load.
const LAG_BYTES: usize = 64 << 20;
/// Bytes of the largest entry: it fits a message of a stream with everything around it.
pub(crate) const ENTRY_MAX: usize = MESSAGE_MAX - 32 * 1024;

/// What has to be done after the library was moved.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Messages that may leave now.
    pub(crate) messages: Vec<Message>,
    /// Records for the disk, in order.
    pub(crate) records: Vec<Record>,
    /// Entries to apply, in order.
    pub(crate) committed: Vec<Entry>,
    /// A snapshot from the leader that is durable now and replaces the machine.
    pub(crate) installed: Option<Image>,
    /// Rounds of reads that the leader has confirmed, and the index that they must see.
    pub(crate) reads: Vec<(u64, ReadContext)>,
}

impl Work {
    pub(crate) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.records.is_empty()
            && self.committed.is_empty()
            && self.installed.is_none()
            && self.reads.is_empty()
    }
}

/// What waits for the disk.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    ready: u64,
    messages: Vec<Message>,
    /// The snapshot that takes the place of the machine once it is durable.
    installed: Option<Image>,
}

/// One replica's Raft.
pub(crate) struct Node {
    pub(super) raw: RawNode<RamLog>,
    pub(super) me: u64,
    generation: u64,
    pub(super) election: Election,
    waiting: VecDeque<Waiting>,
    ticket: u64,
    /// What the disk has been told.
    hard_on_disk: HardState,
    /// A pulled snapshot, between its step and its record.
    incoming: Option<Image>,
    /// When each other replica last spoke in this term.
    pub(super) heard: BTreeMap<u64, Time>,
    /// The last tick.
    ticked_at: Time,
    /// Whether nothing was ever stored here.
    pristine: bool,
    /// Whether this disk has the replica's seat, as far as known.
    pub(super) admitted: bool,
    /// Ticks for which this replica would rather let another stand for election.
    pub(super) patience: usize,
    /// Whether it would.
    pub(super) reluctant: bool,
    /// Sender, term and commit of the last heartbeat that spoke of entries which this replica does
    /// not have, and how many were like it.
    pub(super) beyond: ((u64, u64, u64), u32),
    pub(crate) sending: Sending,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("me", &self.me)
            .field("term", &self.raw.raft.term)
            .field("role", &self.raw.raft.state)
            .field("committed", &self.raw.raft.raft_log.committed)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Goes on from what the store holds.
    pub(crate) fn new(config: &StationConfig, loaded: Loaded) -> Result<Self, String> {
        let pristine = loaded == Loaded::default();
        let (log, applied) = restart::load(config, loaded)?;
        let me = u64::from(config.me);
        let timing = config.timing;
        let raft_config = Config {
            id: me,
            election_tick: timing.election_ticks,
            heartbeat_tick: timing.heartbeat_ticks,
            applied,
            max_size_per_msg: APPEND_MAX,
            max_inflight_msgs: INFLIGHT_MAX,
            check_quorum: true,
            pre_vote: true,
            // Followers hear of a commit with the next append or heartbeat: telling each at once
            // doubles the messages of a lone proposal, and nobody waits for it. A read that does
            // brings the index with it.
            skip_bcast_commit: true,
            max_uncommitted_size: UNCOMMITTED_MAX,
            max_committed_size_per_ready: APPLY_MAX,
            ..Config::default()
        };
        let hard_on_disk = log.hard.clone();
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&raft_config, log, &logger).map_err(|error| error.to_string())?;
        let seed = config.seed ^ mix(me);
        let mut node = Self {
            raw,
            me,
            generation: restart::generation(config),
            election: Election::new(seed, timing),
            waiting: VecDeque::new(),
            ticket: 0,
            hard_on_disk,
            incoming: None,
            heard: BTreeMap::new(),
            ticked_at: Time(0),
            pristine,
            admitted: config.disk == 0,
            patience: 0,
            reluctant: false,
            beyond: ((0, 0, 0), 0),
            sending: Sending::default(),
        };
        node.override_timeout();
        Ok(node)
    }

    /// The process has started.
    pub(crate) fn on_start(&mut self, now: Time) {
        if !self.pristine {
            self.election.keep_quiet(now);
        }
    }

    /// One tick of Raft's clock. In a cluster that never ran, the first replica stands at once.
    pub(crate) fn on_tick(&mut self) {
        let first = self.conf().voters.first() == Some(&self.me);
        if std::mem::take(&mut self.pristine) && first && !self.may_not_stand() {
            let _ = self.raw.campaign();
        }
        let timeout = self.election.timeout_ticks(self.raw.raft.term);
        if self.is_leader() || !self.is_about_to_stand() {
            self.patience = 2 * timeout;
            self.raw.tick();
        } else if self.may_not_stand() || self.lets_others_go_first() {
            // Its time is up all the same: who waits any longer for the leader gives others no vote.
            self.raw.raft.election_elapsed = timeout;
        } else {
            self.raw.tick();
        }
        self.override_timeout();
    }

    /// Nobody stands while a snapshot goes to his disk: the library would look for entries that it
    /// has replaced, and panic. Nor while entries do: whoever is the only voter would lead at once,
    /// with a log that is not durable. Nor does anybody who has no seat.
    fn may_not_stand(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let waits = log.applied + 1 < log.first_index() || log.persisted < log.last_index();
        waits || self.abstains(log.last_index())
    }

    /// Checks a peer's message and steps it, unless it announces a snapshot: that is returned, and
    /// stepped by [`Self::on_image`] once its bytes are here.
    ///
    /// # Errors
    /// [`Malformed`] with the rule that it breaks; nothing has changed.
    pub(crate) fn on_message(
        &mut self,
        from: PeerId,
        message: &RaftMessage<'_>,
        now: Time,
    ) -> Result<Option<MessageType>, Malformed> {
        let log = &self.raw.raft.raft_log;
        let guard = Guard {
            me: self.me,
            from: u64::from(from.number()),
            conf: self.conf(),
            generation: self.generation,
            term: self.raw.raft.term,
            leads: self.is_leader(),
            leader: self.raw.raft.leader_id,
            last_index: log.last_index(),
            committed: log.committed,
            reads_pending: self.raw.raft.pending_read_count(),
        };
        // The library says term 0 of entries that it no longer has.
        let term_of = |index| log.term(index).ok().filter(|term| *term != 0);
        let kind = validator::check(message, &guard, term_of)?;
        let vote = matches!(kind, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        if kind == MessageType::MsgHeartbeat {
            self.beyond.1 = 0;
        }
        if vote && (self.election.is_quiet(now) || self.abstains(message.head.index)) {
            return Ok(None);
        }
        if kind == MessageType::MsgTimeoutNow && self.may_not_stand() {
            return Ok(None);
        }
        if kind == MessageType::MsgSnapshot {
            return Ok((message.head.term >= self.raw.raft.term).then_some(kind));
        }
        let _ = self.raw.step(codec::decode(message, kind));
        self.override_timeout();
        if message.head.term == self.raw.raft.term {
            self.note_heard(message.head.from, now);
        }
        Ok(Some(kind))
    }

    /// Remembers when a replica spoke: of those that have a part, and of the leader, who may have
    /// come while this one was away.
    fn note_heard(&mut self, id: u64, now: Time) {
        self.heard.insert(id, now);
        if self.heard.len() > REPLICAS_MAX {
            let (raft, conf) = (&self.raw.raft, &self.raw.store().conf);
            self.heard.retain(|id, _| *id == raft.leader_id || conf.knows(*id));
        }
    }

    /// A snapshot has arrived whole: steps its message.
    pub(crate) fn on_image(&mut self, head: &syncom_wire::raft::RaftHead, image: Image) {
        let pending = |raw: &RawNode<RamLog>| {
            let snapshot = raw.raft.raft_log.unstable_snapshot().as_ref();
            snapshot.map(|snapshot| snapshot.get_metadata().index)
        };
        let before = pending(&self.raw);
        let _ = self.raw.step(codec::decode_snapshot(head, &image.manifest));
        let taken = pending(&self.raw);
        // The library refuses what is no news: the bytes must be those of the one that it took.
        if taken != before && taken == Some(image.manifest.index) {
            self.incoming = Some(image);
        }
        self.note_conf();
        self.override_timeout();
    }

    /// Proposes an entry.
    ///
    /// # Errors
    /// Gives nothing back but the refusal: not the leader, or too much is under way.
    pub(crate) fn propose(&mut self, data: Vec<u8>) -> Result<(), raft::Error> {
        if !self.is_leader() || data.is_empty() || data.len() > ENTRY_MAX {
            return Err(raft::Error::ProposalDropped);
        }
        self.raw.propose(Vec::new(), data)
    }

    /// Asks the leader, which this may be, how far a read must see: the answer comes in
    /// [`Work::reads`], or never, when a message is lost or the leader is too new to know.
    pub(crate) fn read_index(&mut self, context: &ReadContext) {
        self.raw.read_index(context.encode());
    }

    /// Everything that there is to do now.
    pub(crate) fn work(&mut self) -> Work {
        let mut work = Work::default();
        while self.raw.has_ready() {
            self.take_ready(&mut work);
        }
        work
    }

    fn take_ready(&mut self, work: &mut Work) {
        let mut ready = self.raw.ready();
        let mut prompt = ready.take_messages();
        self.vet(&mut prompt);
        work.messages.append(&mut prompt);
        work.committed.append(&mut ready.take_committed_entries());
        let states = ready.take_read_states();
        work.reads.extend(states.iter().filter_map(|state| {
            let context = ReadContext::decode(&state.request_ctx).ok()?;
            Some((state.index, context))
        }));
        let mut messages = ready.take_persisted_messages();
        if let Some(hard) = ready.hs() {
            self.raw.mut_store().hard = hard.clone();
        }
        let mut installed = None;
        let entries = ready.take_entries();
        let hard = &self.raw.store().hard;
        let voted = (hard.term, hard.vote) != (self.hard_on_disk.term, self.hard_on_disk.vote);
        let number = ready.number();
        if !ready.snapshot().is_empty() {
            let record = self.install_record(ready.snapshot().get_metadata().index);
            work.records.extend(record);
            installed = self.raw.store().newest().cloned();
        }
        if voted || !entries.is_empty() {
            self.raw.mut_store().append(&entries);
            self.ticket += 1;
            let hard = self.changed_hard_state();
            let entries = entries.iter().map(codec::to_disk).collect();
            work.records.push(Record::Append { ticket: self.ticket, hard, entries });
        }
        self.raw.advance_append_async(ready);
        if work.records.is_empty() && self.waiting.is_empty() {
            self.vet(&mut messages);
            work.messages.extend(messages);
            self.raw.on_persist_ready(number);
        } else {
            let ticket = self.ticket;
            self.waiting.push_back(Waiting { ticket, ready: number, messages, installed });
        }
        self.override_timeout();
    }

    /// Puts a pulled snapshot in the place of the log.
    fn install_record(&mut self, index: u64) -> Option<Record> {
        let image = self.incoming.take()?;
        assert!(image.manifest.index == index, "snapshot {index} without its bytes");
        self.ticket += 1;
        let record = Record::Snapshot {
            ticket: self.ticket,
            snapshot: restart::saved(&image),
            hard: self.changed_hard_state(),
            replace_log: true,
            compact_to: index + 1,
        };
        self.raw.mut_store().reset_to(image);
        Some(record)
    }

    fn changed_hard_state(&mut self) -> Option<DiskHardState> {
        let hard = self.raw.store().hard.clone();
        if hard == self.hard_on_disk {
            return None;
        }
        let disk = DiskHardState { term: hard.term, vote: hard.vote, commit: hard.commit };
        self.hard_on_disk = hard;
        Some(disk)
    }

    /// The disk has caught up to `ticket`: what waited for it may go on.
    pub(crate) fn on_durable(&mut self, ticket: u64) -> Work {
        let mut work = Work::default();
        while self.waiting.front().is_some_and(|waiting| waiting.ticket <= ticket) {
            let Some(mut waiting) = self.waiting.pop_front() else { break };
            self.vet(&mut waiting.messages);
            work.messages.extend(waiting.messages);
            self.raw.on_persist_ready(waiting.ready);
            // One that another follows at once is not worth a machine: the log begins after the last.
            if self.waiting.iter().all(|later| later.installed.is_none()) {
                work.installed = waiting.installed.or(work.installed);
            }
        }
        work
    }

    /// The machine has applied everything up to `index`.
    pub(crate) fn on_applied(&mut self, index: u64) {
        self.raw.advance_apply_to(index);
    }

    /// Keeps a snapshot of the machine at `index` and forgets entries far behind it.
    pub(crate) fn compact(&mut self, index: u64, term: u64, data: Vec<u8>, keep: u64) -> Record {
        let image = Image::new(index, term, self.conf(), data);
        let kept = (index.saturating_sub(keep) + 1).max(self.raw.store().first_of_last(KEEP_BYTES));
        let held = self.raw.store().first_of_last(LAG_BYTES);
        let lacking = self.lacking().map_or(u64::MAX, |lacking| lacking.max(held));
        // A newcomer begins with a snapshot: nobody ever holds the first entry beside one.
        let compact_to = kept.min(lacking).max(2).min(index + 1);
        self.ticket += 1;
        let record = Record::Snapshot {
            ticket: self.ticket,
            snapshot: restart::saved(&image),
            hard: self.changed_hard_state(),
            replace_log: false,
            compact_to,
        };
        let log = self.raw.mut_store();
        log.keep(image);
        log.compact(compact_to);
        record
    }

    /// A follower cannot be reached: what was sent to it may be lost.
    pub(crate) fn report_unreachable(&mut self, id: u64) {
        self.raw.report_unreachable(id);
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether this leader has applied an entry of its own term, so that it knows all that was
    /// ever acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_leader() && self.raw.raft.apply_to_current_term()
    }

    /// The leading replica, as far as known.
    pub(crate) fn leader(&self) -> PeerId {
        match u16::try_from(self.raw.raft.leader_id) {
            Ok(id) if id != 0 => PeerId::station(id),
            _ => PeerId::ANY,
        }
    }

    pub(crate) fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Last index that a replica is known to have, and whether the leader hears it.
    pub(crate) fn progress(&self, id: u64) -> Option<(u64, bool)> {
        if !self.is_leader() {
            return None;
        }
        self.raw.raft.prs().get(id).map(|pr| (pr.matched, pr.recent_active || id == self.me))
    }

    /// When this replica last heard from its leader or, leading, from a majority: it knows of
    /// nothing that was committed since. The beginning of time when never.
    pub(crate) fn current_at(&self, now: Time) -> Time {
        let raft = &self.raw.raft;
        let heard = |id: u64| self.heard.get(&id).copied().unwrap_or_default();
        if !self.is_leader() {
            return heard(raft.leader_id);
        }
        let at = |id: &u64| if *id == self.me { now } else { heard(*id) };
        // Counted from the latest, the last of a majority: of each, where two decide.
        let majority = |voters: &[u64]| {
            let mut times: Vec<Time> = voters.iter().map(at).collect();
            times.sort_unstable();
            times.get(times.len().saturating_sub(1) / 2).copied()
        };
        let both = [majority(&self.conf().voters), majority(&self.conf().outgoing)];
        both.into_iter().flatten().min().unwrap_or_default()
    }

    /// See [`Election`]: the library must not draw from a random source of its own.
    pub(super) fn override_timeout(&mut self) {
        let ticks = self.election.timeout_ticks(self.raw.raft.term);
        self.raw.raft.set_randomized_election_timeout(ticks);
    }
}

mod heir;
mod serving;
#[cfg(test)]
mod tests;
