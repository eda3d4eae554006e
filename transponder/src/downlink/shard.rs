//! One part of one order: its destinations, and what they answered.
//!
//! Destinations are sent to in bursts that answers pace: at first [`WINDOW_START`] of them are out,
//! each answer lets two more follow, and what has to be repeated halves the window. Answers come to
//! one socket, whose buffer holds so many and not the whole shard's.

use crate::downlink::delivery::{Delivery, RTO_MIN_NS, State};
use crate::downlink::outcomes::{MESSAGE_MAX, Outcomes};
use crate::homes::Homes;
use crate::world::World;
use alloc::vec::Vec;
use syncom_group::RoundTrip;
use syncom_seam::limits::DELIVERIES_MAX;
use syncom_seam::{Counter, MS, Outbox, Rng, SECOND, Time};
use syncom_stream::{Key, Streams};
use syncom_wire::limits::IDSET_MAX;
use syncom_wire::order::{Order, OrderHead, ProgressHead, Receipt, Shard, ShardProgress};
use syncom_wire::{Addr, OrderId, Slot};

/// Least time between two reports of progress with news, in ns.
const PROGRESS_NS: u64 = 10 * MS;
/// Longest time between two reports of progress: the leader's lease depends on them, in ns.
const KEEP_ALIVE_NS: u64 = 20 * MS;
/// Destinations sent to before the first answer: a burst that socket buffers hold.
const WINDOW_START: usize = 512;
/// The window after however many repetitions.
const WINDOW_MIN: usize = 64;

/// What the sending of an order needs to know.
#[derive(Debug)]
pub(crate) struct Means<'a> {
    pub(crate) now: Time,
    pub(crate) world: &'a World,
    pub(crate) homes: &'a Homes,
    pub(crate) rng: &'a mut Rng,
    /// How long answers to orders take at present, whoever gives them.
    pub(crate) trip: &'a RoundTrip,
    /// Where the burst goes that is being made; empty between bursts.
    pub(crate) burst: &'a mut Vec<Addr>,
}

impl Means<'_> {
    /// Time-out of a first transmission to a node, in ns: twice its own round trip, or what the
    /// answers of all take at present where that is longer.
    fn rto_ns(&self, slot: Slot) -> u64 {
        let measured = self.trip.srtt_ns().map_or(0, |_| self.trip.rto_ns());
        let known = self.homes.rtt_ns(slot);
        (2 * known).max(measured).clamp(RTO_MIN_NS, SECOND)
    }
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
    /// Sent, and neither begun nor answered.
    in_flight: usize,
    /// How many may be that.
    window: usize,
    /// No repetition is due before.
    next_due: Time,
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
            in_flight: 0,
            window: WINDOW_START,
            next_due: Time::NEVER,
            answered: 0,
            outcomes: Outcomes::default(),
            // That it was taken is told at once.
            told: Time(now.0.saturating_sub(KEEP_ALIVE_NS)),
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

    /// Takes a receipt of one of its destinations; whether it was one. Round trips go to `trip`.
    pub(crate) fn on_receipt(
        &mut self,
        now: Time,
        receipt: &Receipt<'_>,
        trip: &mut RoundTrip,
    ) -> bool {
        let head = &receipt.head;
        if head.id != self.order.id {
            return false;
        }
        let Ok(at) = self.deliveries.binary_search_by_key(&head.slot, |one| one.slot) else {
            return false;
        };
        let delivery = &mut self.deliveries[at];
        if let Some(ns) = delivery.round_trip_ns(now) {
            trip.sample(ns);
        }
        let is_first = delivery.state == State::Sent;
        if head.state == Receipt::REFUSED && head.code == Receipt::BUSY {
            delivery.on_busy();
            return true;
        }
        if is_first {
            self.window = (self.window + 1).min(DELIVERIES_MAX);
        }
        if head.state == Receipt::ACCEPTED {
            delivery.on_accepted(now);
            self.in_flight -= usize::from(is_first);
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
        self.in_flight -= usize::from(delivery.state == State::Sent);
        delivery.state = State::Answered;
        self.answered += 1;
        self.outcomes.add(delivery.slot, code, cut, output);
    }

    /// Whether more destinations may be sent to right now.
    pub(crate) const fn has_turn(&self) -> bool {
        self.turn < self.deliveries.len() && self.in_flight < self.window
    }

    /// When there is something to do for it, unless something is heard before.
    pub(crate) fn next_moment(&self) -> Time {
        let pause_ns = if self.outcomes.is_empty() { KEEP_ALIVE_NS } else { PROGRESS_NS };
        self.told.after(pause_ns).min(self.next_due).min(self.deadline)
    }

    /// Tells those that were sent it, and have not answered, to stop: once, since whoever does not hear
    /// it stops when the order's time is over.
    pub(crate) fn stop<O: Outbox>(&self, world: &World, homes: &Homes, out: &mut O) {
        let head = OrderHead { flags: OrderHead::CANCEL, ..self.order };
        for delivery in self.deliveries.iter().filter(|delivery| delivery.is_under_way()) {
            if let Some(addr) = homes.addr(world, delivery.slot) {
                out.send(addr, &Order { head, payload: &[] });
            }
        }
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
        if means.now >= self.next_due {
            self.repeat(means);
        }
        while self.has_turn() {
            let at = self.turn;
            self.turn += 1;
            if self.deliveries[at].state == State::Waiting {
                self.send(at, means);
                self.in_flight += 1;
            }
        }
        if means.burst.is_empty() {
            return;
        }
        // The same for all: encoded and sealed once.
        let left_ms = self.deadline.since(means.now) / MS;
        let deadline_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        let head = OrderHead { deadline_ms, ..self.order };
        out.send_all(means.burst, &Order { head, payload: &self.payload });
        out.count(Counter::OrdersDelivered, means.burst.len() as u64);
        means.burst.clear();
    }

    /// Sends again to those whose time is over, a window of them at most.
    fn repeat(&mut self, means: &mut Means<'_>) {
        self.next_due = Time::NEVER;
        let mut budget = self.window;
        let mut is_slow = false;
        for at in 0..self.turn {
            let due = self.deliveries[at].due();
            if due <= means.now && budget > 0 {
                let rto_ns = means.rto_ns(self.deliveries[at].slot);
                if !self.deliveries[at].is_patient(means.now, rto_ns, means.rng) {
                    is_slow |= self.deliveries[at].state == State::Sent;
                    self.send(at, means);
                    budget -= 1;
                }
            }
            self.next_due = self.next_due.min(self.deliveries[at].due());
        }
        // One that is lost now and then says nothing of the network.
        if is_slow && self.window - budget > self.window / 16 {
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
    }

    /// Puts a destination into the burst.
    fn send(&mut self, at: usize, means: &mut Means<'_>) {
        let rto_ns = means.rto_ns(self.deliveries[at].slot);
        let delivery = &mut self.deliveries[at];
        delivery.on_sent(means.now, rto_ns, means.rng);
        self.next_due = self.next_due.min(delivery.due());
        means.burst.extend(means.homes.addr(means.world, delivery.slot));
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
