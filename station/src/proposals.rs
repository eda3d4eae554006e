//! Gathering what is to be proposed: one entry for a burst, not one for each batch.
//!
//! Joins may wait a little, so that a cluster that starts makes a few views and not thousands;
//! anything else goes at the end of the burst and takes what waits along.

use crate::machine::command::{Command, begin, check_batch};
use crate::machine::encoder::Encoder;
use crate::raft::node::ENTRY_MAX;
use crate::station::{FLUSH, Station};
use syncom_seam::{Counter, MS, Now, Outbox, Time, Timer};
use syncom_stream::Key;
use syncom_wire::uplink::{Batch, BatchAck, BatchHead};
use syncom_wire::{Frame, PeerId};

/// How long joins may wait for others.
const HOLD_NS: u64 = 50 * MS;
/// Items and bytes at which an entry is proposed without waiting.
const ITEMS_MAX: u32 = 512;
const BYTES_MAX: usize = 128 * 1024;

/// What is gathered for the next entry.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    entry: Option<Encoder>,
    items: u32,
    /// Batches in the entry, to be answered if it cannot be proposed.
    batches: Vec<BatchHead>,
    /// Something in the entry must not wait beyond the burst.
    urgent: bool,
    held_until: Time,
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

    /// Joins were held back long enough.
    pub(crate) const fn on_timer(&mut self, timer: Timer) {
        self.urgent |= timer.generation == self.generation;
    }

    fn take(&mut self) -> Option<(Vec<u8>, Vec<BatchHead>)> {
        self.urgent = false;
        self.items = 0;
        self.generation = self.generation.wrapping_add(1);
        let batches = std::mem::take(&mut self.batches);
        self.entry.take().map(|entry| (entry.finish(), batches))
    }
}

/// Whether every item may wait for others.
fn may_wait(batch: &Batch<'_>) -> bool {
    batch.iter().all(|frame| matches!(frame, Ok(Frame::Join(_))))
}

impl Station {
    /// Adds a command that this leader has thought of itself; it goes at the end of the burst.
    pub(crate) fn propose<O: Outbox>(&mut self, now: Now, command: &Command<'_>, out: &mut O) {
        self.make_room(now, out);
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
        self.make_room(now, out);
        if self.proposals.entry.is_none() {
            self.proposals.held_until = now.at.after(HOLD_NS);
            let generation = self.proposals.generation;
            out.arm(Timer { kind: FLUSH, generation, key: 0 }, self.proposals.held_until);
        }
        self.proposals.add(&Command::Batch(*batch), now);
        self.proposals.batches.push(head);
        self.proposals.items += head.items;
        self.proposals.urgent |= !may_wait(batch) || self.proposals.items >= ITEMS_MAX;
    }

    /// Proposes what was gathered when the next command might not fit beside it.
    fn make_room<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if self.proposals.len() >= BYTES_MAX {
            self.proposals.urgent = true;
            self.flush_proposals(now, out);
        }
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
