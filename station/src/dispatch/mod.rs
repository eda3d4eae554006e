//! Carrying orders out: shards to satellites, outcomes back, the residual to others.
//!
//! A shard is a set of destinations given to one satellite. A satellite that shows no progress for
//! [`LEASE_NS`](job::LEASE_NS), whose stream broke or that died loses its shards; what they had left
//! is given to the others under new numbers. Nodes know an order by its number, so nobody does it
//! twice.

mod job;

use crate::machine::command::{Command, Finish, NewOrder};
use crate::machine::orders::OrderEntry;
use crate::station::Station;
use crate::transport::LANE_FABRIC;
pub(crate) use job::Job;
use job::{LEASE_NS, Parts};
use std::collections::{BTreeMap, BTreeSet};
use syncom_group::{Candidate, Rendezvous, SlotSet};
use syncom_seam::{Counter, MS, Now, Outbox, SECOND, Time, Timer};
use syncom_stream::Key;
use syncom_wire::control::OrderState;
use syncom_wire::idset::IdSet;
use syncom_wire::order::{OrderHead, Receipt, Shard, ShardHead, ShardProgress, Verb};
use syncom_wire::{Frames, OrderId, PeerId};

/// Timer: open orders are looked at, while there are any.
pub(crate) const LOOK: u16 = 3;
/// How often they are, in ns: what it adds to a lease is little beside it.
const LOOK_NS: u64 = LEASE_NS / 20;
/// How long past its deadline an order waits for the last outcomes.
const GRACE_NS: u64 = 200 * MS;
/// An outcome that was proposed and not applied is proposed again after this long.
const AGAIN_NS: u64 = SECOND;

/// Orders that this leader carries out.
#[derive(Debug, Default)]
pub(crate) struct Dispatch {
    jobs: BTreeMap<OrderId, Job>,
    is_look_armed: bool,
}

impl Dispatch {
    /// Forgets all orders; the timer finds nothing to do.
    pub(crate) fn clear(&mut self) {
        self.jobs.clear();
    }

    pub(crate) fn job(&self, id: OrderId) -> Option<&Job> {
        self.jobs.get(&id)
    }
}

impl Station {
    /// An order was committed.
    pub(crate) fn on_order_opened<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        out.count(Counter::OrdersIssued, 1);
        self.answer_submitted(now, id, out);
        if self.is_settled() {
            self.begin_order(now, id, out);
        }
    }

    /// An order has ended: its satellites forget it.
    pub(crate) fn on_order_closed<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        let job = self.dispatch.jobs.remove(&id);
        // Whoever has cancelled it.
        self.answer_submitted(now, id, out);
        let Some(job) = job else { return };
        let cancelled = |entry: &OrderEntry| entry.state.state == OrderState::CANCELLED;
        let is_cancelled = self.machine.orders.get(id).is_some_and(cancelled);
        let is_enough = job.policy == OrderHead::FIRST;
        let how = if is_cancelled || is_enough { ShardHead::STOP } else { ShardHead::FORGET };
        for (number, shard) in &job.shards {
            self.send_shard(now, id, *number, shard.satellite, &SlotSet::new(), how, out);
        }
    }

    /// An operator wants an order to stop; false when this leader does not carry it out.
    pub(crate) fn cancel_order<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) -> bool {
        let Some(job) = self.dispatch.jobs.get_mut(&id) else { return false };
        job.is_cancelled = true;
        self.finish_if_complete(now, id, out);
        true
    }

    /// This leader's manager has begun: it starts all open orders again.
    pub(crate) fn resume_orders<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let open: Vec<OrderId> = self.machine.orders.open().map(|entry| entry.order.id).collect();
        for id in open {
            self.begin_order(now, id, out);
        }
    }

    fn begin_order<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        let Some(entry) = self.machine.orders.get(id) else { return };
        if self.dispatch.jobs.contains_key(&id) || !entry.is_open() {
            return;
        }
        let mut to = SlotSet::new();
        if let Ok(image) = IdSet::parse(&entry.order.to) {
            to.insert_all(image);
        }
        let mut job = Job::new(&entry.order, to, now.at);
        self.bury(&mut job);
        self.dispatch.jobs.insert(id, job);
        self.assign(now, id, out);
        self.arm_look(now, out);
        self.finish_if_complete(now, id, out);
    }

    /// Open orders are looked at now and then.
    fn arm_look<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if !self.dispatch.is_look_armed && !self.dispatch.jobs.is_empty() {
            self.dispatch.is_look_armed = true;
            out.arm(Timer { kind: LOOK, generation: 0, key: 0 }, now.at.after(LOOK_NS));
        }
    }

    /// Members that are dead or gone will not answer.
    fn bury(&self, job: &mut Job) {
        let members = self.machine.membership.members();
        let absent = |slot: &_| members.agent(*slot).is_none_or(|entry| !entry.is_present());
        let mut gone = SlotSet::new();
        for slot in job.missing().filter(absent) {
            gone.insert(slot);
        }
        if !gone.is_empty() {
            job.answer(Receipt::NODE_DEAD, 0, &gone, &[], Time(0));
        }
    }

    /// Somebody died or left: open orders do not wait for him.
    pub(crate) fn bury_in_orders<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut jobs = std::mem::take(&mut self.dispatch.jobs);
        jobs.values_mut().for_each(|job| self.bury(job));
        let ids: Vec<OrderId> = jobs.keys().copied().collect();
        self.dispatch.jobs = jobs;
        for id in ids {
            self.finish_if_complete(now, id, out);
        }
    }

    /// Satellites that orders may be handed to.
    fn serving(&self) -> BTreeSet<PeerId> {
        let serving = self.machine.membership.members().satellites_serving();
        let serving = serving.map(|entry| entry.head.peer);
        serving.filter(|peer| self.feeds.is_attached(*peer)).collect()
    }

    /// What makes the first of these satellites the home of a node.
    fn rendezvous(&self, among: &BTreeSet<PeerId>) -> Rendezvous {
        let serving = self.machine.membership.members().satellites_serving();
        let among = serving.filter(|entry| among.contains(&entry.head.peer));
        let mut homes = Rendezvous::new();
        homes.set(among.map(|entry| Candidate {
            peer: entry.head.peer,
            weight: entry.head.weight,
            leaving: false,
        }));
        homes
    }

    /// Gives every destination that no satellite works on to its best attached home. What a rule has
    /// run outside, where nobody checks the term, leaves only under the manager's lease.
    fn assign<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        let is_external = |order: &NewOrder| order.event != 0 && order.verb == Verb::Run as u8;
        let entry = self.machine.orders.get(id);
        if entry.is_some_and(|entry| is_external(&entry.order)) && !self.holds_lease(now.at) {
            return;
        }
        let is_loose = |job: &&Job| job.is_loose && !job.is_cancelled;
        let Some(job) = self.dispatch.jobs.get(&id).filter(is_loose) else { return };
        let homes = self.rendezvous(&job.trusted(&self.serving()));
        let Some(job) = self.dispatch.jobs.get_mut(&id) else { return };
        let parts = job.split(now.at, |slot| homes.preference(slot).next());
        self.send_parts(now, id, &parts, out);
    }

    /// Late in an order, gives others what the last satellites have left.
    fn back_up<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        let job = self.dispatch.jobs.get(&id).filter(|job| !job.is_cancelled);
        let Some(job) = job else { return };
        let helpers = job.helpers(now.at, &self.serving());
        if helpers.is_empty() {
            return;
        }
        let homes = self.rendezvous(&helpers);
        let Some(job) = self.dispatch.jobs.get_mut(&id) else { return };
        let parts = job.back_up(now.at, |slot| homes.preference(slot).next());
        self.send_parts(now, id, &parts, out);
    }

    fn send_parts<O: Outbox>(&mut self, now: Now, id: OrderId, parts: &Parts, out: &mut O) {
        for (number, satellite, to) in parts {
            self.send_shard(now, id, *number, *satellite, to, 0, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one frame")]
    fn send_shard<O: Outbox>(
        &mut self,
        now: Now,
        id: OrderId,
        number: u32,
        satellite: PeerId,
        to: &SlotSet,
        cancel: u8,
        out: &mut O,
    ) {
        let Some(entry) = self.machine.orders.get(id) else { return };
        let order = &entry.order;
        let left_ns = self.dispatch.jobs.get(&id).map_or(0, |job| job.deadline.since(now.at));
        let head = OrderHead {
            id,
            term: self.node.term(),
            deadline_ms: u32::try_from(left_ns / MS).unwrap_or(u32::MAX),
            verb: order.verb,
            policy: order.policy,
            flags: 0,
            need: order.need,
            reserved: 0,
        };
        let shard_head = ShardHead {
            shard: number,
            lease_ms: u32::try_from(LEASE_NS / MS).unwrap_or(u32::MAX),
            cancel,
            reserved: [0; 7],
        };
        let image = to.to_image();
        let Ok(to) = IdSet::parse(&image) else { return };
        let payload: &[u8] = if cancel > 0 { &[] } else { &order.payload };
        let frame = Shard { order: head, head: shard_head, to, payload };
        let key = Key { peer: satellite, lane: LANE_FABRIC };
        // No room: no progress will come, and the residual goes to others.
        let _ = self.streams.send(now.at, key, &frame, out);
    }

    /// A satellite tells how far its shard is.
    pub(crate) fn on_shard_progress<O: Outbox>(
        &mut self,
        now: Now,
        from: PeerId,
        progress: &ShardProgress<'_>,
        out: &mut O,
    ) {
        let id = progress.head.id;
        let Some(job) = self.dispatch.jobs.get_mut(&id) else { return };
        for frame in Frames::new(progress.outcomes) {
            let Ok(syncom_wire::Frame::Outcome(outcome)) = frame else { continue };
            if outcome.code == Receipt::NO_ANSWER {
                continue;
            }
            let mut nodes = SlotSet::new();
            nodes.insert_all(outcome.nodes);
            job.answer(outcome.code, outcome.cut, &nodes, outcome.output, now.at);
        }
        job.renew(progress.head.shard, from, progress.head.last == 1, now.at);
        if now.at < job.deadline {
            self.assign(now, id, out);
        }
        self.finish_if_complete(now, id, out);
    }

    /// A satellite cannot be counted on: its shards go to others.
    pub(crate) fn give_up_shards<O: Outbox>(&mut self, now: Now, peer: PeerId, out: &mut O) {
        let mut touched = Vec::new();
        for (id, job) in &mut self.dispatch.jobs {
            if job.give_up(peer) {
                touched.push(*id);
            }
        }
        for id in touched {
            self.assign(now, id, out);
        }
    }

    /// Looks at all open orders: whose lease is over, who is late, what has ended.
    pub(crate) fn look_at_orders<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.dispatch.is_look_armed = false;
        if !self.is_settled() {
            self.arm_look(now, out);
            return;
        }
        let serving = self.serving();
        let ids: Vec<OrderId> = self.dispatch.jobs.keys().copied().collect();
        for id in ids {
            let Some(job) = self.dispatch.jobs.get_mut(&id) else { continue };
            if now.at < job.deadline {
                job.expire(now.at, &serving);
                self.assign(now, id, out);
                self.back_up(now, id, out);
            }
            self.finish_if_complete(now, id, out);
        }
        self.arm_look(now, out);
    }

    /// Proposes an order's outcome once its policy is met or its time is up.
    fn finish_if_complete<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        let Some(job) = self.dispatch.jobs.get_mut(&id) else { return };
        let complete = job.is_complete();
        let expired = now.at >= job.deadline.after(GRACE_NS);
        if !(complete || expired || job.is_cancelled) || job.proposed_until > now.at {
            return;
        }
        job.proposed_until = now.at.after(AGAIN_NS);
        let state = match (complete, job.is_cancelled) {
            (true, _) => OrderState::COMPLETE,
            (false, true) => OrderState::CANCELLED,
            (false, false) => OrderState::EXPIRED,
        };
        let finish = Finish {
            id,
            state,
            first_us: job.first_us,
            last_us: job.last_us,
            outcomes: job.outcome_frames(),
        };
        self.propose(now, &Command::Finish(finish), out);
    }
}
