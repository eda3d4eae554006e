//! Linearizable reads: nobody is shown a state older than what was acknowledged before they asked.
//!
//! A replica that has a state cannot know by itself whether it is the newest: another may lead by
//! now. So it asks the leader, which may be itself, for its commit index; the leader says it only
//! after a majority has confirmed that it leads still (ReadIndex, Raft thesis, section 6.4). Once
//! that index is applied here, the read is answered.
//!
//! ```text
//!   asked ──▶ arrived ──(round begins)──▶ asking ──(confirmed)──▶ wait for index ──▶ answered
//!                └────────────┴── term or leader changes: "ask there" ──┘
//! ```
//!
//! One round serves all reads that had arrived when it began, and one at a time is under way: under
//! load a round serves many. A read never joins a round that began before it: what was committed
//! between the two would be missing.
//!
//! A satellite that is about to believe a silence asks, too, whether the leader leads: whoever is cut
//! off with a minority, leader or not, gets no answer.

use crate::raft::ReadContext;
use crate::station::Station;
use std::collections::{BTreeSet, VecDeque};
use syncom_seam::{MS, Now, Outbox, Time};
use syncom_wire::control::{Ask, AskHead};
use syncom_wire::limits::NAME_MAX;
use syncom_wire::probe::{Probe, ProbeAnswer};
use syncom_wire::{Addr, PeerId, Term};

/// Reads that wait at a time; more are told to come back.
const READS_MAX: usize = 1024;
/// Questions of satellites that wait at a time; more are lost, and asked again.
const PROBES_MAX: usize = 1024;
/// A read that waited so long is told to come back: before its client gives this replica up.
const READ_NS: u64 = 250 * MS;
/// A round without an answer is asked anew after so long: its messages travel as datagrams.
const ROUND_NS: u64 = 50 * MS;

/// A question that waits.
#[derive(Debug)]
struct Read {
    from: Addr,
    head: AskHead,
    argument: Vec<u8>,
    until: Time,
}

/// A satellite asks whether this replica leads.
#[derive(Debug)]
struct Question {
    from: Addr,
    nonce: u64,
    until: Time,
}

/// A round under way.
#[derive(Debug)]
struct Round {
    /// Number of its first context: an answer to any since then serves it.
    first: u64,
    begun_at: Time,
    asked_at: Time,
    /// Whether it renews the manager's lease, so that it is worth something without any read.
    renews: bool,
    reads: Vec<Read>,
    probes: Vec<Question>,
}

/// All reads that wait.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Came since the round under way began.
    arrived: Vec<Read>,
    /// The same, of satellites.
    probes: Vec<Question>,
    round: Option<Round>,
    /// Confirmed, and waiting for an index to be applied.
    confirmed: VecDeque<(u64, Vec<Read>)>,
    /// Who waits, so that a question that is repeated waits once.
    known: BTreeSet<(Addr, u64)>,
    /// Number of the last context in this life.
    last: u64,
    /// Leader and term that the round under way asks.
    asked: (PeerId, Term),
}

impl Reading {
    /// Takes out everything that waits.
    fn drain(&mut self) -> Vec<Read> {
        let mut reads = std::mem::take(&mut self.arrived);
        reads.extend(self.round.take().into_iter().flat_map(|round| round.reads));
        reads.extend(self.confirmed.drain(..).flat_map(|(_, reads)| reads));
        self.known.clear();
        self.probes.clear();
        reads
    }

    /// Takes out what has waited too long.
    fn expire(&mut self, now: Time) -> Vec<Read> {
        let mut late = Vec::new();
        let mut sift = |reads: &mut Vec<Read>| {
            late.extend(reads.extract_if(.., |read| read.until <= now));
        };
        sift(&mut self.arrived);
        self.round.iter_mut().for_each(|round| sift(&mut round.reads));
        self.confirmed.iter_mut().for_each(|(_, reads)| sift(reads));
        self.confirmed.retain(|(_, reads)| !reads.is_empty());
        // A late answer would be one about a moment that has passed.
        self.round.iter_mut().for_each(|round| round.probes.retain(|probe| probe.until > now));
        self.round
            .take_if(|round| round.reads.is_empty() && round.probes.is_empty() && !round.renews);
        late.iter().for_each(|read| self.forget(read));
        late
    }

    fn forget(&mut self, read: &Read) {
        self.known.remove(&(read.from, read.head.request));
    }
}

impl Station {
    /// A read that must be current: it waits for the next round.
    pub(super) fn on_read<O: Outbox>(&mut self, now: Now, from: Addr, ask: &Ask<'_>, out: &mut O) {
        if ask.argument.len() > NAME_MAX {
            return self.refuse(now, from, ask, "no name is that long", out);
        }
        if self.leader_hint() == PeerId::ANY || self.reading.known.len() >= READS_MAX {
            return self.say_busy(now, from, ask.head.request, out);
        }
        if self.reading.known.insert((from, ask.head.request)) {
            let until = now.at.after(READ_NS);
            let argument = ask.argument.to_vec();
            self.reading.arrived.push(Read { from, head: ask.head, argument, until });
        }
    }

    /// A satellite wants to know whether this replica leads; only the leader ever says so.
    pub(crate) fn on_probe(&mut self, now: Time, from: Addr, probe: &Probe) {
        if self.is_settled() && self.reading.probes.len() < PROBES_MAX {
            let (nonce, until) = (probe.nonce, now.after(READ_NS));
            self.reading.probes.push(Question { from, nonce, until });
        }
    }

    /// Begins a round for the reads that have arrived and for the lease, when none is under way.
    pub(crate) fn begin_round<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let leads = (self.leader_hint(), self.node.term());
        if self.reading.asked != leads {
            self.reading.asked = leads;
            for read in self.reading.drain() {
                self.send_elsewhere(now, read.from, read.head.request, out);
            }
        }
        let renews = self.leading.is_some();
        let is_due = renews && self.lease.is_due(now.at);
        let is_wanted = !self.reading.arrived.is_empty() || !self.reading.probes.is_empty();
        if self.reading.round.is_some() || !(is_wanted || is_due) {
            return;
        }
        let probes = std::mem::take(&mut self.reading.probes);
        let reads = std::mem::take(&mut self.reading.arrived);
        let first = self.reading.last + 1;
        self.reading.round =
            Some(Round { first, begun_at: now.at, asked_at: now.at, renews, reads, probes });
        self.ask_round();
    }

    fn ask_round(&mut self) {
        self.reading.last += 1;
        let (node, boot) = (u64::from(self.config.me), self.config.boot);
        self.node.read_index(&ReadContext { node, boot, number: self.reading.last });
    }

    /// The leader has confirmed rounds: their reads wait for no more than an index.
    pub(crate) fn on_confirmed<O: Outbox>(
        &mut self,
        now: Now,
        confirmed: &[(u64, ReadContext)],
        out: &mut O,
    ) {
        for (index, context) in confirmed {
            let mine = |round: &mut Round| {
                context.boot == self.config.boot && context.number >= round.first
            };
            if let Some(round) = self.reading.round.take_if(mine) {
                if round.renews {
                    self.lease.renew(round.begun_at);
                }
                for probe in round.probes {
                    out.send(probe.from, &ProbeAnswer::of_leader(probe.nonce));
                }
                self.reading.confirmed.push_back((*index, round.reads));
            }
        }
        self.answer_reads(now, out);
    }

    /// Answers what waited for an index that is applied now.
    pub(crate) fn answer_reads<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let applied = self.machine.applied;
        while let Some((_, reads)) = self.reading.confirmed.pop_front_if(|next| next.0 <= applied) {
            for read in reads {
                self.reading.forget(&read);
                self.answer(
                    now,
                    read.from,
                    &Ask { head: read.head, argument: &read.argument },
                    out,
                );
            }
        }
    }

    /// Gives up on what waited too long, and asks a round anew that may have been lost.
    pub(crate) fn tick_reads<O: Outbox>(&mut self, now: Now, out: &mut O) {
        for read in self.reading.expire(now.at) {
            self.say_busy(now, read.from, read.head.request, out);
        }
        let Some(round) = &mut self.reading.round else { return };
        if now.at.since(round.asked_at) >= ROUND_NS {
            round.asked_at = now.at;
            self.ask_round();
        }
    }
}
