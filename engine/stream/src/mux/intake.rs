//! What arrives: which stream it belongs to, and whether that stream lives, begins or ends.

use super::Streams;
use crate::config::{Config, LANES_MAX};
use crate::delivery::{Direction, Key, Refusal};
use crate::receiver::Receiver;
use crate::sender::Sender;
use core::cmp::Ordering;
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::{Counter, Origin, Outbox, Time, Timer};
use syncom_wire::stream::{StreamData, StreamReset};
use syncom_wire::{Overflow, PeerId};

type Ready = BoundedQueue<(Direction, Key)>;

impl Streams {
    /// Ends what belonged to earlier lives of whoever is heard now.
    pub(super) fn on_life<O: Outbox>(&mut self, from: &Origin, out: &mut O) {
        let lanes = lanes(from.peer);
        for (key, sender) in self.senders.range_mut(lanes.clone()) {
            if sender.is_bound_before(from.boot) {
                sender.restart(&self.config);
                out.count(Counter::StreamResets, 1);
                enqueue_sender(&mut self.ready, *key, sender);
            }
        }
        for (key, receiver) in self.receivers.range_mut(lanes) {
            if receiver.life().0 < from.boot && !receiver.has_ended() {
                receiver.end();
                out.count(Counter::StreamResets, 1);
                enqueue_receiver(&mut self.ready, *key, receiver);
            }
        }
    }

    pub(super) fn on_data<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        key: Key,
        data: &StreamData<'_>,
        out: &mut O,
    ) {
        let life = (from.boot, data.head.session);
        let age = self.receivers.get(&key).map(|receiver| life.cmp(&receiver.life()));
        match age {
            Some(Ordering::Less) => return,
            Some(Ordering::Equal) => {}
            Some(Ordering::Greater) | None if data.head.oldest > 0 => {
                return self.refuse(from, data);
            }
            Some(Ordering::Greater) | None => {
                if !self.admit(now, from, key, data.head.session, out) {
                    return;
                }
            }
        }
        let Some(receiver) = self.receivers.get_mut(&key) else { return };
        if receiver.has_ended() {
            return;
        }
        if receiver.on_data(now, from.addr, data, &self.config).is_err() {
            out.send(from.addr, &receiver.refusal());
            out.count(Counter::StreamResets, 1);
            receiver.end();
        } else if !receiver.is_dirty {
            receiver.is_dirty = self.dirty.push(key).is_ok();
        }
        enqueue_receiver(&mut self.ready, key, receiver);
    }

    /// The sender says that this session is over.
    pub(super) fn on_end<O: Outbox>(
        &mut self,
        from: &Origin,
        key: Key,
        reset: &StreamReset,
        out: &mut O,
    ) {
        if let Some(receiver) = self.receivers.get_mut(&key)
            && receiver.life() == (from.boot, reset.session)
            && !receiver.has_ended()
        {
            receiver.end();
            out.count(Counter::StreamResets, 1);
            enqueue_receiver(&mut self.ready, key, receiver);
        }
    }

    /// The receiver knows nothing of this session.
    pub(super) fn on_refusal<O: Outbox>(
        &mut self,
        from: &Origin,
        key: Key,
        reset: &StreamReset,
        out: &mut O,
    ) {
        if let Some(sender) = self.senders.get_mut(&key)
            && sender.accepts(from.boot, reset.session)
        {
            sender.restart(&self.config);
            out.count(Counter::StreamResets, 1);
            enqueue_sender(&mut self.ready, key, sender);
        }
    }

    /// Lets a sender hear something, send what that permits, and set its timer.
    pub(super) fn with_sender<O: Outbox>(
        &mut self,
        now: Time,
        key: Key,
        out: &mut O,
        hear: impl FnOnce(&mut Sender, &Config, &mut O),
    ) {
        let Some(sender) = self.senders.get_mut(&key) else { return };
        hear(sender, &self.config, out);
        sender.transmit(now, &self.config, out);
        enqueue_sender(&mut self.ready, key, sender);
        let deadline = sender.deadline();
        self.arm(deadline, out);
    }

    /// Puts a message on the line of a sender.
    pub(super) fn push<O: Outbox>(
        &mut self,
        now: Time,
        key: Key,
        size: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, Overflow>,
        out: &mut O,
    ) -> Result<(), Refusal> {
        self.tell_along(now, key.peer, out);
        let mut result = Err(Refusal::NotConnected);
        let session = now.0.max(self.session.saturating_add(1));
        if self.senders.get_mut(&key).is_some_and(|sender| sender.begin(session)) {
            self.session = session;
        }
        self.with_sender(now, key, out, |sender, config, _| {
            result = sender.push(config, size, write);
        });
        result
    }

    /// Sends the statuses that are due; others wait for data that goes there, or for the timer.
    pub(super) fn tell<O: Outbox>(&mut self, now: Time, out: &mut O) {
        for _ in 0..self.dirty.len() {
            let Some(key) = self.dirty.pop() else { return };
            let Some(receiver) = self.receivers.get_mut(&key) else { continue };
            let mut due = receiver.status_due();
            if due <= now {
                receiver.flush(now, &self.config, out);
                due = receiver.nak_due();
            } else {
                // It was in the queue a moment ago.
                let _ = self.dirty.push(key);
            }
            self.arm(due, out);
        }
    }

    /// Something goes to `peer`: what it is owed goes along.
    fn tell_along<O: Outbox>(&mut self, now: Time, peer: PeerId, out: &mut O) {
        if self.dirty.is_empty() {
            return;
        }
        for (_, receiver) in self.receivers.range_mut(lanes(peer)) {
            if receiver.is_dirty {
                receiver.flush(now, &self.config, out);
            }
        }
        let due = self.receivers.range(lanes(peer)).map(|(_, one)| one.nak_due()).min();
        self.dirty.retain(|key| key.peer != peer);
        self.arm(due.unwrap_or(Time::NEVER), out);
    }

    /// Wants the timer at `at`, unless it comes earlier anyway.
    pub(super) fn arm<O: Outbox>(&mut self, at: Time, out: &mut O) {
        if at < self.armed {
            self.armed = at;
            self.generation = self.generation.wrapping_add(1);
            out.arm(Timer { kind: super::TIMER, generation: self.generation, key: 0 }, at);
        }
    }

    /// Makes room for a session that starts now. False when there is none.
    fn admit<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        key: Key,
        session: u64,
        out: &mut O,
    ) -> bool {
        if let Some(receiver) = self.receivers.get_mut(&key) {
            if !receiver.has_ended() {
                out.count(Counter::StreamResets, 1);
            }
            receiver.restart(from.boot, session);
            return true;
        }
        if key.lane >= LANES_MAX {
            return false;
        }
        if self.receivers.len() >= self.config.streams_max {
            let mut idle = self.receivers.iter();
            let Some((&idle, _)) = idle.find(|(_, other)| other.may_go(now, &self.config)) else {
                return false;
            };
            self.receivers.remove(&idle);
            self.dirty.retain(|other| *other != idle);
            self.ready.retain(|other| *other != (Direction::Incoming, idle));
        }
        self.receivers.insert(key, Receiver::new(key, from.addr, from.boot, session));
        true
    }

    /// Remembers to tell the sender that its session is unknown here, once per burst.
    fn refuse(&mut self, from: &Origin, data: &StreamData<'_>) {
        let reset = StreamReset {
            lane: data.head.lane,
            from_sender: 0,
            reserved: 0,
            session: data.head.session,
            position: data.head.oldest,
        };
        let is_known = |(peer, _, other): &(PeerId, _, StreamReset)| {
            *peer == from.peer && other.lane == reset.lane && other.session == reset.session
        };
        if !self.refusals.iter().any(is_known) {
            let _ = self.refusals.push((from.peer, from.addr, reset));
        }
    }
}

fn lanes(peer: PeerId) -> core::ops::RangeInclusive<Key> {
    Key { peer, lane: 0 }..=Key { peer, lane: u8::MAX }
}

/// Queues a stream for the role if it has something and is not queued: there is room for all.
pub(super) fn enqueue_sender(ready: &mut Ready, key: Key, sender: &mut Sender) {
    if sender.has_delivery() && !sender.is_queued {
        sender.is_queued = ready.push((Direction::Outgoing, key)).is_ok();
    }
}

/// Queues a stream for the role if it has something and is not queued: there is room for all.
pub(super) fn enqueue_receiver(ready: &mut Ready, key: Key, receiver: &mut Receiver) {
    if receiver.has_delivery() && !receiver.is_queued {
        receiver.is_queued = ready.push((Direction::Incoming, key)).is_ok();
    }
}
