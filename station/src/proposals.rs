//! Gathering what is to be proposed: one entry for a burst, not one for each batch.
//!
//! What comes in masses may wait a little for more of it: joins, so that a cluster that starts makes a
//! few views and not thousands, and deaths of several nodes, which many satellites report within a
//! moment when a machine room loses its power. Anything else, a single death first of all, goes at
//! the end of the burst and takes what waits along.

use crate::machine::command::{Command, begin, check_batch};
use crate::machine::encoder::Encoder;
use crate::raft::node::ENTRY_MAX;
use crate::station::{FLUSH, Station};
use syncom_seam::{Counter, MS, Now, Outbox, Time, Timer};
use syncom_stream::Key;
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{Batch, BatchAck, BatchHead};
use syncom_wire::{Frame, PeerId};

/// How long something may wait for more of its kind.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// After the last one, in ns.
    quiet_ns: u64,
    /// In all, in ns.
    most_ns: u64,
}

const JOINS: Patience = Patience { quiet_ns: 50 * MS, most_ns: 250 * MS };
/// Satellites of one cause conclude within tens of ms of each other: each has waited for its own
/// undecided cases.
const DEATHS: Patience = Patience { quiet_ns: 30 * MS, most_ns: 100 * MS };
/// Deaths in one batch that are no single ones.
const MASS: u32 = 2;
/// Bytes at which an entry is proposed before a command of unknown size.
const BYTES_MAX: usize = 128 * 1024;
/// Bytes that are left free in an entry of batches.
const MARGIN: usize = 4 * 1024;

/// What is gathered for the next entry.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    entry: Option<Encoder>,
    /// Batches in the entry, to be answered if it cannot be proposed.
    batches: Vec<BatchHead>,
    /// Something in the entry must not wait beyond the burst.
    urgent: bool,
    held_until: Time,
    /// Beyond this, nothing in the entry waits, whatever comes.
    held_most: Time,
    generation: u32,
}

impl Proposals {
    fn add(&mut self, command: &Command<'_>, now: Now) {
        let entry = self.entry.get_or_insert_with(|| begin(now.wall.0));
        command.encode(entry);
    }

    const fn len(&self) -> usize {
        match &self.entry {
            Some(entry) => entry.len(),
            None => 0,
        }
    }

    /// The burst is over: whatever has waited long enough is due.
    pub(crate) fn on_burst_end(&mut self, now: Time) {
        self.urgent |= self.entry.is_some() && now >= self.held_until;
    }

    /// Something that may wait was added.
    fn hold<O: Outbox>(&mut self, now: Time, patience: Patience, out: &mut O) {
        let most = now.after(patience.most_ns);
        let is_first = self.batches.len() == 1;
        self.held_most = if is_first { most } else { most.min(self.held_most) };
        self.held_until = now.after(patience.quiet_ns).min(self.held_most);
        if is_first {
            self.arm(out);
        }
    }

    fn arm<O: Outbox>(&self, out: &mut O) {
        out.arm(Timer { kind: FLUSH, generation: self.generation, key: 0 }, self.held_until);
    }

    /// Something was held back for as long as it was thought at first.
    pub(crate) fn on_timer<O: Outbox>(&self, now: Time, timer: Timer, out: &mut O) {
        if timer.generation == self.generation && now < self.held_until {
            self.arm(out);
        }
    }

    fn take(&mut self) -> Option<(Vec<u8>, Vec<BatchHead>)> {
        self.urgent = false;
        self.generation = self.generation.wrapping_add(1);
        let batches = std::mem::take(&mut self.batches);
        self.entry.take().map(|entry| (entry.finish(), batches))
    }
}

/// How long every item may wait for others, if every one may.
fn patience(batch: &Batch<'_>) -> Option<Patience> {
    let mut deaths = 0;
    for frame in batch.iter() {
        match frame {
            Ok(Frame::Join(_)) => {}
            Ok(Frame::Record(record)) if record.head.kind == EventKind::DEAD => deaths += 1,
            _ => return None,
        }
    }
    match deaths {
        0 => Some(JOINS),
        _ => (deaths >= MASS).then_some(DEATHS),
    }
}

impl Station {
    /// Adds a command that this leader has thought of itself; it goes at the end of the burst.
    pub(crate) fn propose<O: Outbox>(&mut self, now: Now, command: &Command<'_>, out: &mut O) {
        if self.proposals.len() >= BYTES_MAX {
            self.make_room(now, out);
        }
        self.proposals.add(command, now);
        self.proposals.urgent = true;
    }

    /// A satellite's batch.
    pub(crate) fn on_batch<O: Outbox>(
        &mut self,
        now: Now,
        key: Key,
        batch: &Batch<'_>,
        out: &mut O,
    ) {
        let head = batch.head;
        if head.peer != key.peer {
            return out.count(Counter::DropRole, 1);
        }
        if !self.is_settled() {
            let status = if self.node.is_leader() { BatchAck::BUSY } else { BatchAck::NOT_LEADER };
            return self.answer_unapplied(now, &head, status, out);
        }
        if check_batch(batch).is_err() || batch.items.len() > ENTRY_MAX / 2 {
            return self.answer_unapplied(now, &head, BatchAck::REFUSED, out);
        }
        if self.proposals.len() + batch.items.len() + MARGIN > ENTRY_MAX {
            self.make_room(now, out);
        }
        self.proposals.add(&Command::Batch(*batch), now);
        self.proposals.batches.push(head);
        match patience(batch) {
            Some(patience) => self.proposals.hold(now.at, patience, out),
            None => self.proposals.urgent = true,
        }
    }

    /// Proposes what was gathered: the next command might not fit beside it.
    fn make_room<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.proposals.urgent = true;
        self.flush_proposals(now, out);
    }

    /// Proposes what was gathered, if it is due.
    pub(crate) fn flush_proposals<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if !self.proposals.urgent {
            return;
        }
        let Some((entry, batches)) = self.proposals.take() else { return };
        let refused = self.node.propose(entry).is_err();
        if refused {
            for head in &batches {
                self.answer_unapplied(now, head, BatchAck::BUSY, out);
            }
            self.refuse_pending(now, out);
        } else {
            out.count(Counter::RaftProposals, 1);
        }
    }

    /// This replica no longer leads: what was gathered is for the next leader.
    pub(crate) fn refuse_proposals<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some((_, batches)) = self.proposals.take() else { return };
        for head in &batches {
            self.answer_unapplied(now, head, BatchAck::NOT_LEADER, out);
        }
    }

    /// Answers a batch that was not applied, and why.
    fn answer_unapplied<O: Outbox>(&mut self, now: Now, head: &BatchHead, status: u8, out: &mut O) {
        self.answer_batch(now, head.peer, head.boot, head.seq, status, out);
    }

    /// Who leads, for answers.
    pub(crate) fn leader_hint(&self) -> PeerId {
        self.node.leader()
    }
}
