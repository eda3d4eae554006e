//! One part of one order: its destinations, and what they answered.

use crate::downlink::delivery::{Delivery, State};
use crate::downlink::outcomes::{MESSAGE_MAX, Outcomes};
use crate::homes::Homes;
use crate::world::World;
use alloc::vec::Vec;
use syncom_seam::limits::DELIVERIES_MAX;
use syncom_seam::{Counter, MS, Outbox, Rng, Time};
use syncom_stream::{Key, Streams};
use syncom_wire::OrderId;
use syncom_wire::limits::IDSET_MAX;
use syncom_wire::order::{Order, OrderHead, ProgressHead, Receipt, Shard, ShardProgress};

/// Least time between two reports of progress with news, in ns.
const PROGRESS_NS: u64 = 10 * MS;
/// Longest time between two reports of progress: the leader's lease depends on them, in ns.
const KEEP_ALIVE_NS: u64 = 20 * MS;
/// Order frames per tick: a burst that socket buffers hold.
const PER_TICK: usize = 256;

/// What the sending of an order needs to know.
#[derive(Debug)]
pub(crate) struct Means<'a> {
    pub(crate) now: Time,
    pub(crate) world: &'a World,
    pub(crate) homes: &'a Homes,
    pub(crate) rng: &'a mut Rng,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ShardJob {
    order: OrderHead,
    shard: u32,
    deadline: Time,
    payload: Vec<u8>,
    /// By slot, ascending.
    deliveries: Vec<Delivery>,
    /// The first that may still be waiting.
    turn: usize,
    under_way: usize,
    answered: u32,
    outcomes: Outcomes,
    told: Time,
}

impl ShardJob {
    /// Takes a shard on. Destinations that are not present are answered for at once.
    pub(crate) fn new(now: Time, shard: &Shard<'_>, world: &World) -> Self {
        let mut job = Self {
            order: shard.order,
            shard: shard.head.shard,
            deadline: now.after(u64::from(shard.order.deadline_ms) * MS),
            payload: shard.payload.to_vec(),
            deliveries: shard.to.iter().map(Delivery::new).collect(),
            turn: 0,
            under_way: 0,
            answered: 0,
            outcomes: Outcomes::default(),
            told: now,
        };
        job.on_view(world);
        job
    }

    pub(crate) const fn id(&self) -> (OrderId, u32) {
        (self.order.id, self.shard)
    }

    /// Bytes of output that wait to be told.
    pub(crate) const fn bytes(&self) -> usize {
        self.outcomes.bytes()
    }

    /// The view moved: nobody waits for the dead.
    pub(crate) fn on_view(&mut self, world: &World) {
        for at in 0..self.deliveries.len() {
            if !world.agent_present(self.deliveries[at].slot) {
                self.settle(at, Receipt::NODE_DEAD, 0, &[]);
            }
        }
    }

    /// Takes a receipt of one of its destinations; whether it was one.
    pub(crate) fn on_receipt(&mut self, now: Time, receipt: &Receipt<'_>) -> bool {
        let head = &receipt.head;
        if head.id != self.order.id {
            return false;
        }
        let Ok(at) = self.deliveries.binary_search_by_key(&head.slot, |one| one.slot) else {
            return false;
        };
        if head.state == Receipt::ACCEPTED {
            self.deliveries[at].on_accepted(now);
        } else if head.state == Receipt::REFUSED && head.code == Receipt::BUSY {
            self.deliveries[at].on_busy();
        } else {
            self.settle(at, head.code, head.cut, receipt.output);
        }
        true
    }

    /// Takes the final word on a destination, once.
    fn settle(&mut self, at: usize, code: i32, cut: u8, output: &[u8]) {
        let delivery = &mut self.deliveries[at];
        if delivery.state == State::Answered {
            return;
        }
        self.under_way -= usize::from(delivery.is_under_way());
        delivery.state = State::Answered;
        self.answered += 1;
        self.outcomes.add(delivery.slot, code, cut, output);
    }

    /// Whether every destination was answered for.
    pub(crate) const fn is_complete(&self) -> bool {
        self.answered as usize == self.deliveries.len()
    }

    /// Sends what is due, gives up what is late, reports progress; whether the job is over.
    pub(crate) fn on_tick<O: Outbox>(
        &mut self,
        means: &mut Means<'_>,
        leader: Option<Key>,
        streams: &mut Streams,
        buffer: &mut [u8],
        out: &mut O,
    ) -> bool {
        if means.now >= self.deadline {
            for at in 0..self.deliveries.len() {
                let code = self.deliveries[at].code_when_late();
                self.settle(at, code, 0, &[]);
            }
        } else {
            self.deliver(means, out);
        }
        leader.is_some_and(|leader| self.tell(means.now, leader, streams, buffer, out))
    }

    fn deliver<O: Outbox>(&mut self, means: &mut Means<'_>, out: &mut O) {
        let mut budget = PER_TICK;
        for at in 0..self.turn {
            if budget > 0 && self.deliveries[at].is_due(means.now) {
                self.send(at, means, out);
                budget -= 1;
            }
        }
        while budget > 0 && self.under_way < DELIVERIES_MAX && self.turn < self.deliveries.len() {
            let at = self.turn;
            self.turn += 1;
            if self.deliveries[at].state == State::Waiting {
                self.send(at, means, out);
                self.under_way += 1;
                budget -= 1;
            }
        }
    }

    fn send<O: Outbox>(&mut self, at: usize, means: &mut Means<'_>, out: &mut O) {
        let delivery = &mut self.deliveries[at];
        let rto_ns = means.homes.rto_ns(delivery.slot);
        delivery.on_sent(means.now, rto_ns, means.rng);
        let Some(addr) = means.homes.addr(means.world, delivery.slot) else { return };
        let left_ms = self.deadline.since(means.now) / MS;
        let deadline_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        let head = OrderHead { deadline_ms, ..self.order };
        out.send(addr, &Order { head, payload: &self.payload });
        out.count(Counter::OrdersDelivered, 1);
    }

    /// Reports progress when there is news or the lease needs it; whether all is told.
    fn tell<O: Outbox>(
        &mut self,
        now: Time,
        leader: Key,
        streams: &mut Streams,
        buffer: &mut [u8],
        out: &mut O,
    ) -> bool {
        let age_ns = now.since(self.told);
        let is_last = self.is_complete();
        let has_news = !self.outcomes.is_empty() && age_ns >= PROGRESS_NS;
        if !is_last && !has_news && age_ns < KEEP_ALIVE_NS {
            return false;
        }
        let mut image = [0; IDSET_MAX];
        loop {
            let room = buffer.len().min(MESSAGE_MAX);
            let (len, count) =
                self.outcomes.pack(buffer.get_mut(..room).unwrap_or(&mut []), &mut image);
            let rest_is_told = self.outcomes.group_count() == count;
            let is_last = is_last && rest_is_told;
            let head = ProgressHead {
                id: self.order.id,
                shard: self.shard,
                answered: self.answered,
                last: u8::from(is_last),
                reserved: [0; 7],
            };
            let outcomes = buffer.get(..len).unwrap_or(&[]);
            if streams.send(now, leader, &ShardProgress { head, outcomes }, out).is_err() {
                return false;
            }
            self.told = now;
            self.outcomes.forget(count);
            if rest_is_told {
                return is_last;
            }
        }
    }
}
