//! All streams of a role, behind one door.

mod intake;

use crate::config::{Config, LANES_MAX};
use crate::delivery::{Delivery, Direction, Key, Refusal};
use crate::receiver::Receiver;
use crate::sender::Sender;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use intake::{enqueue_receiver, enqueue_sender};
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::{Counter, Origin, Outbox, Time, Timer};
use syncom_wire::stream::StreamReset;
use syncom_wire::{Addr, Emit, Frame, FrameHeader, Overflow, PeerId};

/// Kind of the one timer that [`Streams`] arms. Roles number their own timers below it.
pub const TIMER: u16 = 0xFF00;

/// Refusals of unknown sessions that are kept for the end of the burst; further ones wait for the
/// sender's next try.
const REFUSALS_MAX: usize = 64;

/// The streams between this process and others.
///
/// **Order of calls.** [`Self::on_frame`] for every stream frame of a burst, [`Self::on_timer`] for
/// every timer of kind [`TIMER`], [`Self::take`] until it gives nothing, [`Self::on_burst_end`]
/// once per burst. Sending is possible at any time and puts fragments out at once.
///
/// **Back-pressure.** A role that does not call `take` keeps messages waiting, the window closes,
/// and the sender's role hears [`Refusal::Full`].
///
/// **Memory.** Buffers belong to streams, grow on demand up to what [`Config`] says, and are then
/// reused: no allocation per message once a stream is warm.
///
/// **Timers.** At most one is armed that matters, and none while no sender holds anything and no
/// receiver has seen a new gap or owes a status. A status waits a moment for data to its sender, so
/// that it costs no datagram of its own.
#[derive(Debug)]
pub struct Streams {
    config: Config,
    senders: BTreeMap<Key, Sender>,
    receivers: BTreeMap<Key, Receiver>,
    /// Streams with something to take; each is in it at most once.
    ready: BoundedQueue<(Direction, Key)>,
    /// Receivers that owe a status; each is in it at most once.
    dirty: BoundedQueue<Key>,
    refusals: BoundedQueue<(PeerId, Addr, StreamReset)>,
    /// The latest session that began here.
    session: u64,
    /// Messages taken since the last burst ended.
    delivered: u64,
    /// When the live generation of the timer is due.
    armed: Time,
    generation: u32,
}

impl Streams {
    /// No streams yet. Bounds of `config` that cannot work are raised to the least that can.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let config = config.sane();
        Self {
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
            ready: BoundedQueue::new(2 * config.streams_max),
            dirty: BoundedQueue::new(config.streams_max),
            refusals: BoundedQueue::new(REFUSALS_MAX),
            session: 0,
            delivered: 0,
            armed: Time::NEVER,
            generation: 0,
            config,
        }
    }

    /// Opens the sending stream to `peer` on `lane`, or moves an open one to another address.
    /// Nothing is sent yet. The peer's process needs no opening to receive.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] when the table is full or the lane out of range; nothing changes.
    pub fn connect(&mut self, peer: PeerId, addr: Addr, lane: u8) -> Result<Key, Refusal> {
        let key = Key { peer, lane };
        if let Some(sender) = self.senders.get_mut(&key) {
            sender.addr = addr;
            return Ok(key);
        }
        if lane >= LANES_MAX || self.senders.len() >= self.config.streams_max {
            return Err(Refusal::TooMany);
        }
        self.senders.insert(key, Sender::new(key, addr, &self.config));
        Ok(key)
    }

    /// The longest smoothed round trip of the streams to `peer`, in ns; 0 before the first sample.
    #[must_use]
    pub fn round_trip_ns(&self, peer: PeerId) -> u64 {
        let all = self.senders.range(Key { peer, lane: 0 }..=Key { peer, lane: u8::MAX });
        all.map(|(_, sender)| sender.round_trip_ns()).max().unwrap_or(0)
    }

    /// Forgets everything about `peer` in both directions, deliveries included, and tells it so.
    pub fn close<O: Outbox>(&mut self, peer: PeerId, out: &mut O) {
        self.senders.retain(|key, sender| {
            if key.peer == peer {
                sender.say_end(out);
            }
            key.peer != peer
        });
        self.receivers.retain(|key, receiver| {
            if key.peer == peer && !receiver.has_ended() {
                out.send(receiver.addr(), &receiver.refusal());
            }
            key.peer != peer
        });
        self.ready.retain(|(_, key)| key.peer != peer);
        self.dirty.retain(|key| key.peer != peer);
        self.refusals.retain(|(other, ..)| *other != peer);
    }

    /// Sends one frame as one message.
    ///
    /// # Errors
    /// A [`Refusal`]; what was sent before is not affected.
    pub fn send<E: Emit, O: Outbox>(
        &mut self,
        now: Time,
        key: Key,
        frame: &E,
        out: &mut O,
    ) -> Result<(), Refusal> {
        let size = FrameHeader::SIZE + frame.size();
        self.push(now, key, size, |room| syncom_wire::frame::emit(frame, room), out)
    }

    /// Sends bytes, such as frames back to back, as one message; it may be empty.
    ///
    /// # Errors
    /// A [`Refusal`]; what was sent before is not affected.
    pub fn send_bytes<O: Outbox>(
        &mut self,
        now: Time,
        key: Key,
        bytes: &[u8],
        out: &mut O,
    ) -> Result<(), Refusal> {
        let write = |room: &mut [u8]| {
            room.get_mut(..bytes.len()).ok_or(Overflow)?.copy_from_slice(bytes);
            Ok(bytes.len())
        };
        self.push(now, key, bytes.len(), write, out)
    }

    /// Takes a frame; true when it was a stream's. Call [`Self::take`] until it is empty then:
    /// messages that still wait when their sender begins anew are lost with it.
    pub fn on_frame<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        frame: &Frame<'_>,
        out: &mut O,
    ) -> bool {
        let lane = match frame {
            Frame::StreamData(data) => data.head.lane,
            Frame::StreamNak(nak) => nak.head.lane,
            Frame::StreamStatus(status) => status.lane,
            Frame::StreamReset(reset) => reset.lane,
            _ => return false,
        };
        // Higher lanes are those of channels, which roles do not speak on.
        let Ok(lane) = u8::try_from(lane) else { return true };
        let key = Key { peer: from.peer, lane };
        self.on_life(from, out);
        match frame {
            Frame::StreamData(data) => self.on_data(now, from, key, data, out),
            Frame::StreamReset(reset) if reset.from_sender == 0 => {
                self.on_refusal(from, key, reset, out);
            }
            Frame::StreamReset(reset) => self.on_end(from, key, reset, out),
            Frame::StreamStatus(status) => self.with_sender(now, key, out, |sender, config, _| {
                sender.on_status(now, from.boot, status, config);
            }),
            Frame::StreamNak(nak) => self.with_sender(now, key, out, |sender, config, out| {
                sender.on_nak(now, from.boot, nak, config, out);
            }),
            _ => {}
        }
        true
    }

    /// Takes a timer; true when it was ours. Call [`Self::take`] until it is empty then.
    pub fn on_timer<O: Outbox>(&mut self, now: Time, timer: Timer, out: &mut O) -> bool {
        if timer.kind != TIMER {
            return false;
        }
        if timer.generation != self.generation {
            return true;
        }
        self.armed = Time::NEVER;
        let mut earliest = Time::NEVER;
        for (key, sender) in &mut self.senders {
            if sender.deadline() <= now && sender.on_deadline(now, &self.config, out) {
                sender.restart(&self.config);
                out.count(Counter::StreamResets, 1);
                enqueue_sender(&mut self.ready, *key, sender);
            }
            earliest = earliest.min(sender.deadline());
        }
        for receiver in self.receivers.values_mut() {
            if receiver.nak_due() <= now {
                receiver.nak(now, out);
            }
            earliest = earliest.min(receiver.nak_due());
        }
        self.arm(earliest, out);
        self.tell(now, out);
        true
    }

    /// Sends what was gathered in a burst: at most a status and a NAK per stream.
    pub fn on_burst_end<O: Outbox>(&mut self, now: Time, out: &mut O) {
        self.tell(now, out);
        while let Some((_, addr, reset)) = self.refusals.pop() {
            out.send(addr, &reset);
        }
        out.count(Counter::StreamDelivered, core::mem::take(&mut self.delivered));
    }

    /// The next delivery, if any; a message's bytes replace the content of `buffer`, anything else
    /// leaves it empty. Streams take turns.
    pub fn take(&mut self, buffer: &mut Vec<u8>) -> Option<Delivery> {
        buffer.clear();
        while let Some((direction, key)) = self.ready.pop() {
            let delivery = match direction {
                Direction::Outgoing => {
                    let Some(sender) = self.senders.get_mut(&key) else { continue };
                    sender.is_queued = false;
                    let delivery = sender.take();
                    enqueue_sender(&mut self.ready, key, sender);
                    delivery
                }
                Direction::Incoming => {
                    let Some(receiver) = self.receivers.get_mut(&key) else { continue };
                    receiver.is_queued = false;
                    let delivery = receiver.take(buffer);
                    enqueue_receiver(&mut self.ready, key, receiver);
                    if receiver.has_room_to_tell(&self.config) {
                        receiver.hurry();
                        if !receiver.is_dirty {
                            receiver.is_dirty = self.dirty.push(key).is_ok();
                        }
                    }
                    delivery
                }
            };
            if let Some(delivery) = delivery {
                self.delivered += u64::from(matches!(delivery, Delivery::Message(_)));
                return Some(delivery);
            }
        }
        None
    }

    /// Whether the stream is open and its peer has answered in the present session.
    #[must_use]
    pub fn is_connected(&self, key: Key) -> bool {
        self.senders.get(&key).is_some_and(Sender::is_answered)
    }

    /// Bytes that the sender holds: unsent, or not yet acknowledged.
    #[must_use]
    pub fn queued_bytes(&self, key: Key) -> usize {
        self.senders.get(&key).map_or(0, Sender::queued_bytes)
    }
}

#[cfg(test)]
impl Streams {
    /// Bytes of memory that buffers of streams use.
    pub(crate) fn allocated(&self) -> usize {
        let sending = self.senders.values().map(Sender::allocated);
        sending.chain(self.receivers.values().map(Receiver::allocated)).sum()
    }
}
