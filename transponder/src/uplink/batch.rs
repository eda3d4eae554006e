//! Batches on their way to the station.
//!
//! Items gather for 2 ms or 8 KiB, whichever comes first; a sealed batch has a number and does not
//! change again, but for what is withdrawn while nobody leads. At most four are unanswered. Whoever
//! leads next gets all of them again, in order: the state machine knows what it has applied.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use syncom_seam::{Counter, MS, Outbox, SECOND, Time};
use syncom_stream::{Key, Streams};
use syncom_wire::limits::{ACKS_MAX, BATCH_MAX};
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{Batch, BatchAck, BatchHead, Record, RecordHead};
use syncom_wire::{Boot, Emit, Frame, FrameHeader, Incarnation, List, PeerId, Slot, frame};

/// Batches without an answer at a time.
const FLYING_MAX: usize = 4;
/// Age at which a batch is sealed, in ns.
pub(crate) const AGE_MAX_NS: u64 = 2 * MS;
/// Pause before a batch that met a full station is sent again, in ns.
const BUSY_PAUSE_NS: u64 = 100 * MS;
/// A batch unanswered for so long means that the station cannot be reached now, in ns.
const STALL_NS: u64 = 500 * MS;
/// A batch unanswered for so long is sent again to the same leader, in ns.
const PATIENCE_NS: u64 = 2 * SECOND;

/// What an item of a batch is, to be told its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// A conclusion about a node.
    Verdict(Slot, Incarnation, EventKind),
    /// A combined report: its cell.
    Combined(u32),
    /// A join of the node with this key.
    Join(u64),
    /// This satellite's own join.
    Own,
    /// A leave: nobody waits for the result.
    Leave,
}

/// There is no room for another item now; try again when an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A sealed batch.
#[derive(Debug)]
pub(crate) struct Flight {
    seq: u64,
    items: Vec<u8>,
    len: usize,
    pub(crate) tags: Vec<Tag>,
    /// When its first item came.
    opened: Time,
    sent: Option<Time>,
    not_before: Time,
}

impl Flight {
    fn new() -> Self {
        Self {
            seq: 0,
            items: vec![0; BATCH_MAX],
            len: 0,
            tags: Vec::with_capacity(ACKS_MAX),
            opened: Time(0),
            sent: None,
            not_before: Time(0),
        }
    }

    fn reset(&mut self) {
        self.len = 0;
        self.tags.clear();
        (self.sent, self.not_before) = (None, Time(0));
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Batches {
    peer: PeerId,
    boot: Boot,
    seq: u64,
    open: Flight,
    opened: Option<Time>,
    flying: VecDeque<Flight>,
    spare: Vec<Flight>,
}

impl Batches {
    pub(crate) fn new(peer: PeerId, boot: Boot) -> Self {
        let spare = (0..FLYING_MAX).map(|_| Flight::new()).collect();
        let flying = VecDeque::with_capacity(FLYING_MAX);
        Self { peer, boot, seq: 0, open: Flight::new(), opened: None, flying, spare }
    }

    /// When the open batch must be sealed, if there is one and it can be.
    pub(crate) fn due(&self) -> Option<Time> {
        let opened = self.opened.filter(|_| !self.spare.is_empty())?;
        Some(opened.after(AGE_MAX_NS))
    }

    /// Whether anything waits to be sent or answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.opened.is_some() || !self.flying.is_empty()
    }

    /// Whether the station has not answered for long: what is handed over now may be long out of date
    /// when it arrives, and cannot be taken back.
    pub(crate) fn is_stalled(&self, now: Time) -> bool {
        self.flying.front().is_some_and(|flight| now.since(flight.opened) >= STALL_NS)
    }

    /// Whether an item with this tag waits or is under way.
    pub(crate) fn holds(&self, tag: Tag) -> bool {
        self.open.tags.contains(&tag) || self.flying.iter().any(|flight| flight.tags.contains(&tag))
    }

    /// Adds an item.
    ///
    /// # Errors
    /// [`Full`] when four batches are unanswered and the open one has no room; nothing changes.
    pub(crate) fn push<E: Emit>(&mut self, now: Time, item: &E, tag: Tag) -> Result<(), Full> {
        if self.open.tags.len() == ACKS_MAX || !self.fits(item) {
            self.seal().then_some(()).ok_or(Full)?;
        }
        let room = self.open.items.get_mut(self.open.len..).ok_or(Full)?;
        self.open.len += frame::emit(item, room).map_err(|_| Full)?;
        self.open.tags.push(tag);
        self.opened.get_or_insert(now);
        Ok(())
    }

    fn fits<E: Emit>(&self, item: &E) -> bool {
        self.open.len + FrameHeader::SIZE + item.size() <= BATCH_MAX
    }

    fn seal(&mut self) -> bool {
        let Some(mut next) = self.spare.pop() else { return false };
        next.reset();
        self.seq += 1;
        let mut flight = core::mem::replace(&mut self.open, next);
        flight.seq = self.seq;
        flight.opened = self.opened.take().unwrap_or_default();
        self.flying.push_back(flight);
        true
    }

    /// Seals what is old enough and sends what may be sent, in order.
    pub(crate) fn flush<O: Outbox>(
        &mut self,
        now: Time,
        leader: Option<Key>,
        streams: &mut Streams,
        out: &mut O,
    ) {
        if self.due().is_some_and(|due| now >= due) {
            self.seal();
        }
        let Some(leader) = leader else { return };
        let late = |flight: &Flight| flight.sent.is_some_and(|sent| now.since(sent) >= PATIENCE_NS);
        if self.flying.front().is_some_and(late) {
            self.send_again();
        }
        for flight in self.flying.iter_mut().filter(|flight| flight.sent.is_none()) {
            if now < flight.not_before {
                return;
            }
            let items = u32::try_from(flight.tags.len()).unwrap_or(u32::MAX);
            let head = BatchHead { peer: self.peer, items, boot: self.boot, seq: flight.seq };
            let items = flight.items.get(..flight.len).unwrap_or(&[]);
            if streams.send(now, leader, &Batch { head, items }, out).is_err() {
                return;
            }
            flight.sent = Some(now);
            out.count(Counter::UplinkBatches, 1);
        }
    }

    /// Everything unanswered goes to whoever leads now.
    pub(crate) fn send_again(&mut self) {
        for flight in &mut self.flying {
            flight.sent = None;
        }
    }

    /// Makes every death and every gray that is on its way a clearing that changes nothing: perhaps it
    /// was concluded on the wrong side of a cut. Places of items stay what they are. Hands each to
    /// `gone`; whether some of them have been sent.
    pub(crate) fn withdraw(&mut self, mut gone: impl FnMut(Slot, Incarnation, EventKind)) -> bool {
        let mut were_sent = false;
        for flight in self.flying.iter_mut().chain([&mut self.open]) {
            let mut at = 0;
            for tag in &mut flight.tags {
                let Some(rest) = flight.items.get_mut(at..flight.len) else { break };
                let Ok((header, body)) = FrameHeader::split(rest) else { break };
                at += FrameHeader::SIZE + body.len();
                let Ok(Frame::Record(record)) = Frame::parse(header, body) else { continue };
                let Tag::Verdict(slot, life, was) = *tag else { continue };
                if !matches!(was, EventKind::DEAD | EventKind::GRAY) {
                    continue;
                }
                // Of no life, so that it clears nobody who is gray, either.
                let (kind, incarnation) = (EventKind::CLEARED, Incarnation(0));
                let head = RecordHead { kind, incarnation, ..record.head };
                // The words stay, so this takes the room that it had.
                let words = String::from(record.detail);
                let nobody = List::new(&[]);
                let record =
                    Record { head, contributors: nobody, subject: "", kind: "", detail: &words };
                if frame::emit(&record, rest).is_ok() {
                    *tag = Tag::Verdict(slot, life, EventKind::CLEARED);
                    were_sent |= flight.sent.is_some();
                    gone(slot, life, was);
                }
            }
        }
        were_sent
    }

    /// Takes an answer. A batch that is done with, for good or ill, is handed out for its results;
    /// give it back by [`Self::recycle`].
    pub(crate) fn on_ack(&mut self, now: Time, ack: &BatchAck<'_>) -> Option<Flight> {
        if ack.head.boot != self.boot {
            return None;
        }
        let at = self.flying.iter().position(|flight| flight.seq == ack.head.seq)?;
        match ack.head.status {
            BatchAck::COMMITTED | BatchAck::REFUSED => self.flying.remove(at),
            BatchAck::BUSY => {
                for flight in self.flying.iter_mut().skip(at) {
                    flight.sent = None;
                    flight.not_before = now.after(BUSY_PAUSE_NS);
                }
                None
            }
            // Not the leader, or not understood: the feed finds out who leads.
            _ => {
                self.send_again();
                for flight in &mut self.flying {
                    flight.not_before = now.after(BUSY_PAUSE_NS);
                }
                None
            }
        }
    }

    /// Gives the room of an answered batch back.
    pub(crate) fn recycle(&mut self, flight: Flight) {
        self.spare.push(flight);
    }
}
