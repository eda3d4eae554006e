//! One order on its way.

use crate::machine::command::NewOrder;
use crate::machine::encoder::Encoder;
use std::collections::BTreeMap;
use syncom_group::SlotSet;
use syncom_seam::limits::OUTCOMES_MAX;
use syncom_seam::{MS, Time};
use syncom_wire::idset::IdSet;
use syncom_wire::order::{OrderHead, Outcome, Receipt};
use syncom_wire::{PeerId, Slot};

/// A part of an order at one satellite.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) satellite: PeerId,
    to: SlotSet,
    /// When it last showed progress, or was sent.
    pub(crate) heard: Time,
}

/// An order that is under way.
#[derive(Debug)]
pub(crate) struct Job {
    policy: u8,
    need: usize,
    to: SlotSet,
    answered: SlotSet,
    /// Nodes by (code, cut, output).
    outcomes: BTreeMap<(i32, u8, Vec<u8>), SlotSet>,
    output_bytes: usize,
    pub(crate) shards: BTreeMap<u32, ShardState>,
    last_shard: u32,
    /// The satellite that last gave a destination up.
    avoid: Option<PeerId>,
    since: Time,
    pub(crate) deadline: Time,
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    pub(crate) done: u32,
    pub(crate) failed: u32,
    /// Until then its outcome is not proposed again.
    pub(crate) proposed_until: Time,
}

impl Job {
    /// Begins an order. A new leader gives all the time again: what passed before is known by wall
    /// clocks only, which jump and differ, and would void an order that was never sent.
    pub(crate) fn new(order: &NewOrder, to: SlotSet, now: Time) -> Self {
        Self {
            policy: order.policy,
            need: order.need as usize,
            to,
            answered: SlotSet::new(),
            outcomes: BTreeMap::new(),
            output_bytes: 0,
            shards: BTreeMap::new(),
            last_shard: 0,
            avoid: None,
            since: now,
            deadline: now.after(u64::from(order.deadline_ms) * MS),
            first_us: 0,
            last_us: 0,
            done: 0,
            failed: 0,
            proposed_until: Time(0),
        }
    }

    /// Destinations without an answer.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Slot> {
        self.to.difference(&self.answered)
    }

    pub(crate) fn is_complete(&self) -> bool {
        let all = self.answered.len() == self.to.len();
        all || self.policy != OrderHead::ALL && self.answered.len() >= self.need
    }

    /// Takes an answer of several nodes; those that answered before are left as they are.
    pub(crate) fn answer(&mut self, code: i32, cut: u8, nodes: &SlotSet, output: &[u8], now: Time) {
        let mut fresh = SlotSet::new();
        for slot in nodes.iter() {
            if self.to.contains(slot) && self.answered.insert(slot) {
                fresh.insert(slot);
            }
        }
        if fresh.is_empty() {
            return;
        }
        let nodes = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        if code < 0 {
            self.failed += nodes;
        } else {
            self.done += nodes;
        }
        if now > self.since {
            let us = now.since(self.since) / 1_000;
            self.last_us = us;
            if self.first_us == 0 {
                self.first_us = us;
            }
        }
        let key = (code, cut, output.to_vec());
        if let Some(known) = self.outcomes.get_mut(&key) {
            known.union(&fresh);
            return;
        }
        let key = if self.output_bytes + output.len() > OUTCOMES_MAX / 2 {
            (code, 1, Vec::new())
        } else {
            self.output_bytes += output.len();
            key
        };
        self.outcomes.entry(key).or_default().union(&fresh);
    }

    /// A shard shows progress; false when that satellite does not hold it.
    pub(crate) fn renew(&mut self, number: u32, from: PeerId, now: Time) -> bool {
        match self.shards.get_mut(&number) {
            Some(shard) if shard.satellite == from => {
                shard.heard = now;
                true
            }
            _ => false,
        }
    }

    /// Takes shards away from their satellites; whether there were any.
    pub(crate) fn give_up(&mut self, which: impl Fn(&ShardState) -> bool) -> bool {
        let before = self.shards.len();
        let mut avoid = self.avoid;
        self.shards.retain(|_, shard| {
            let gone = which(shard);
            if gone {
                avoid = Some(shard.satellite);
            }
            !gone
        });
        self.avoid = avoid;
        self.shards.len() != before
    }

    fn unassigned(&self) -> impl Iterator<Item = Slot> {
        let held = |slot: &Slot| self.shards.values().any(|shard| shard.to.contains(*slot));
        self.missing().filter(move |slot| !held(slot))
    }

    pub(crate) fn has_unassigned(&self) -> bool {
        self.unassigned().next().is_some()
    }

    /// Cuts what nobody works on into new shards by `choose`; returns what is to be sent.
    pub(crate) fn split(
        &mut self,
        now: Time,
        choose: impl Fn(Slot, Option<PeerId>) -> Option<PeerId>,
    ) -> Vec<(u32, PeerId, SlotSet)> {
        let mut parts: BTreeMap<PeerId, SlotSet> = BTreeMap::new();
        for slot in self.unassigned() {
            if let Some(satellite) = choose(slot, self.avoid) {
                parts.entry(satellite).or_default().insert(slot);
            }
        }
        let mut sent = Vec::new();
        for (satellite, to) in parts {
            self.last_shard += 1;
            let state = ShardState { satellite, to: to.clone(), heard: now };
            self.shards.insert(self.last_shard, state);
            sent.push((self.last_shard, satellite, to));
        }
        sent
    }

    /// All outcomes as frames, those that never answered included.
    pub(crate) fn outcome_frames(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        let put = |out: &mut Encoder, code, cut, nodes: &SlotSet, output: &[u8]| {
            let image = nodes.to_image();
            if let Ok(nodes) = IdSet::parse(&image) {
                out.frame(&Outcome { code, cut, nodes, output });
            }
        };
        for ((code, cut, output), nodes) in &self.outcomes {
            put(&mut out, *code, *cut, nodes, output);
        }
        let mut silent = SlotSet::new();
        for slot in self.missing() {
            silent.insert(slot);
        }
        if !silent.is_empty() {
            put(&mut out, Receipt::NO_ANSWER, 0, &silent, &[]);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_wire::OrderId;

    fn job(slots: u32) -> Job {
        let order = NewOrder {
            id: OrderId(1),
            verb: 1,
            policy: OrderHead::ALL,
            need: 0,
            deadline_ms: 1_000,
            event: 0,
            to: Vec::new(),
            payload: Vec::new(),
        };
        let to = (0..slots).fold(SlotSet::new(), |mut set, slot| {
            set.insert(Slot(slot));
            set
        });
        Job::new(&order, to, Time(1_000))
    }

    fn only(slot: u32) -> SlotSet {
        let mut set = SlotSet::new();
        set.insert(Slot(slot));
        set
    }

    #[test]
    fn the_residual_of_a_lost_shard_goes_to_another() {
        let mut job = job(4);
        let (one, two) = (PeerId::satellite(1), PeerId::satellite(2));
        let first = job.split(Time(0), |_, _| Some(one));
        assert_eq!(first.len(), 1);
        job.answer(0, 0, &only(2), b"ok", Time(5_000));
        assert!(!job.renew(1, two, Time(0)), "not its shard");
        assert!(job.give_up(|shard| shard.satellite == one));
        let again =
            job.split(Time(0), |_, avoid| if avoid == Some(one) { Some(two) } else { None });
        assert_eq!(again[0].0, 2, "a new number");
        assert_eq!(again[0].2.iter().map(|slot| slot.0).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn equal_answers_fold_and_the_first_answer_counts() {
        let mut job = job(3);
        job.answer(0, 0, &only(0), b"ok", Time(5_000));
        job.answer(0, 0, &only(1), b"ok", Time(6_000));
        job.answer(9, 0, &only(1), b"late", Time(7_000));
        assert_eq!((job.outcomes.len(), job.done, job.failed), (1, 2, 0));
        assert!(!job.is_complete());
        job.answer(Receipt::NODE_DEAD, 0, &only(2), &[], Time(0));
        assert!(job.is_complete());
        assert_eq!((job.first_us, job.last_us), (4, 5));
    }

    #[test]
    fn outputs_beyond_the_bound_are_cut_and_still_counted() {
        let mut job = job(100);
        for slot in 0..100_u32 {
            let output = vec![slot.to_le_bytes()[0]; 16 * 1024];
            job.answer(0, 0, &only(slot), &output, Time(5_000));
        }
        assert!(job.outcome_frames().len() < OUTCOMES_MAX);
        assert_eq!(crate::machine::orders::tally(&job.outcome_frames()), (100, 0));
    }
}
