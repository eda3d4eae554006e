//! The receiving end of one stream.
//!
//! Positions from `line.base()` (all below was taken by the role) over `runs.next()` (all below
//! has arrived) to `limit()` (no room beyond). It asks for a gap when that has outlived
//! reordering, and afterwards only ever answers: whoever owes data also owes the persistence.

use crate::config::{Config, PREFIX};
use crate::delivery::{Delivery, Direction, Key};
use crate::line::Line;
use crate::naks::Naks;
use crate::reassembly::Reassembly;
use alloc::vec::Vec;
use syncom_seam::{Counter, MS, Outbox, Time, US};
use syncom_wire::limits::MESSAGE_MAX;
use syncom_wire::stream::{StreamData, StreamNak, StreamNakHead, StreamReset, StreamStatus};
use syncom_wire::{Addr, Boot, List};

/// How long a status may wait for something that goes to the sender anyway, in ns: a request and its
/// answer then cost two datagrams and not four, and wake nobody for nothing. Well below
/// [`Config::rto_min_ns`], or senders would ask again.
const STATUS_DELAY_NS: u64 = MS;
/// Bytes after which it does not wait: a fraction of what may be in flight.
const STATUS_BYTES: u64 = 32 * 1024;

/// The sender does not do what a sender does; the stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// The receiving end of one stream.
#[derive(Debug)]
pub(crate) struct Receiver {
    key: Key,
    addr: Addr,
    boot: Boot,
    session: u64,
    line: Line,
    runs: Reassembly,
    /// The sender has sent everything below this position.
    seen: u64,
    /// The limit and the next position in the latest status.
    limit_told: u64,
    next_told: u64,
    /// The sender's stamp to be echoed, and when it came.
    echo_us: u32,
    echo_at: Time,
    /// When the status that is owed goes at the latest, and whether it goes with the burst.
    status_due: Time,
    is_urgent: bool,
    naks: Naks,
    heard: Time,
    has_ended: bool,
    has_reset: bool,
    /// Whether the multiplexer knows that it owes a status.
    pub(crate) is_dirty: bool,
    /// Whether the multiplexer has it in its queue of deliveries.
    pub(crate) is_queued: bool,
}

impl Receiver {
    /// A stream at position 0 of one session of one life of its sender.
    pub(crate) fn new(key: Key, addr: Addr, boot: Boot, session: u64) -> Self {
        Self {
            key,
            addr,
            boot,
            session,
            line: Line::default(),
            runs: Reassembly::default(),
            seen: 0,
            limit_told: 0,
            next_told: 0,
            echo_us: 0,
            echo_at: Time::default(),
            status_due: Time::default(),
            is_urgent: true,
            naks: Naks::new(MS),
            heard: Time::default(),
            has_ended: false,
            has_reset: false,
            is_dirty: false,
            is_queued: false,
        }
    }

    /// Sender's life and session, as one number that grows.
    pub(crate) const fn life(&self) -> (Boot, u64) {
        (self.boot, self.session)
    }

    /// Begins anew with a later life or session of the sender.
    pub(crate) fn restart(&mut self, boot: Boot, session: u64) {
        let mut fresh = Self::new(self.key, self.addr, boot, session);
        fresh.has_reset = self.has_reset || !self.has_ended;
        (fresh.is_dirty, fresh.is_queued) = (self.is_dirty, self.is_queued);
        core::mem::swap(&mut fresh.line, &mut self.line);
        core::mem::swap(&mut fresh.runs, &mut self.runs);
        fresh.line.restart();
        fresh.runs.restart();
        *self = fresh;
    }

    /// The session is over: memory goes back, only its number is kept, to know its stragglers.
    pub(crate) fn end(&mut self) {
        if !self.has_ended {
            self.has_ended = true;
            self.has_reset = true;
            self.naks.stop();
            (self.line, self.runs) = (Line::default(), Reassembly::default());
        }
    }

    /// Bytes of memory in use.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        self.line.allocated()
    }

    /// Where the latest fragment came from.
    pub(crate) const fn addr(&self) -> Addr {
        self.addr
    }

    /// Whether the session is over.
    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether it may be forgotten without loss.
    pub(crate) fn may_go(&self, now: Time, config: &Config) -> bool {
        let is_settled = self.line.len() == 0 && !self.runs.has_islands() && !self.has_reset;
        is_settled && (self.has_ended || now.since(self.heard) >= config.idle_ns)
    }

    /// A fragment of this session arrived from `addr`.
    ///
    /// # Errors
    /// [`Broken`]: the session must end.
    pub(crate) fn on_data(
        &mut self,
        now: Time,
        addr: Addr,
        data: &StreamData<'_>,
        config: &Config,
    ) -> Result<(), Broken> {
        let (head, next) = (&data.head, self.runs.next());
        if head.oldest > next {
            return Err(Broken);
        }
        self.heard = now;
        self.addr = addr;
        (self.echo_us, self.echo_at) = (head.stamp_us, now);
        if !self.is_dirty {
            self.status_due = now.after(STATUS_DELAY_NS);
        }
        self.naks.pace(head.rtt_us());
        if data.payload.is_empty() {
            self.naks.ask_all();
        }
        let end = head.position.saturating_add(data.payload.len() as u64);
        // It asks, or repeats what it was told to have arrived, or cannot know the limit.
        self.is_urgent |= data.payload.is_empty() || end <= next || end > self.limit(config);
        self.seen = self.seen.max(end.min(self.limit(config)));
        if end <= self.limit(config) && self.runs.insert(head.position, end) {
            let skip = next.saturating_sub(head.position);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let fresh = data.payload.get(skip..).unwrap_or_default();
            self.line.write(head.position.max(next), fresh);
        }
        let untold = self.runs.next() - self.next_told;
        self.is_urgent |= self.runs.has_islands() || untold >= STATUS_BYTES;
        match self.announced() {
            Some(len) if len > MESSAGE_MAX => Err(Broken),
            Some(_) | None => Ok(()),
        }
    }

    /// When the status that is owed must go.
    pub(crate) const fn status_due(&self) -> Time {
        if self.is_urgent { Time(0) } else { self.status_due }
    }

    /// The status that is owed does not wait.
    pub(crate) const fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// Sends a status, and a NAK when something is missing that was not asked for lately.
    pub(crate) fn flush<O: Outbox>(&mut self, now: Time, config: &Config, out: &mut O) {
        (self.is_dirty, self.is_urgent) = (false, false);
        if self.has_ended {
            return;
        }
        let limit = self.limit(config);
        (self.limit_told, self.next_told) = (limit, self.runs.next());
        let held_us = u32::try_from(now.since(self.echo_at) / US).unwrap_or(u32::MAX);
        let echo_us = match core::mem::take(&mut self.echo_us) {
            0 => 0,
            // The sender subtracts it from its clock: what was held here is no part of the trip.
            stamp_us => stamp_us.wrapping_add(held_us).max(1),
        };
        let status = StreamStatus {
            lane: self.key.lane.into(),
            tag: 0,
            session: self.session,
            next: self.runs.next(),
            window: u32::try_from(limit.saturating_sub(self.runs.next())).unwrap_or(u32::MAX),
            ahead: u32::try_from(self.seen.saturating_sub(self.runs.next())).unwrap_or(u32::MAX),
            echo_us,
        };
        out.send(self.addr, &status);
        self.nak(now, out);
    }

    /// When [`Self::nak`] is due for gaps that are still watched; `NEVER` when none is.
    pub(crate) fn nak_due(&self) -> Time {
        self.naks.due()
    }

    /// Asks for gaps: new ones when they have outlived reordering, old ones after one to two round
    /// trips, all of them when the sender asks.
    pub(crate) fn nak<O: Outbox>(&mut self, now: Time, out: &mut O) {
        let asked = self.naks.ask(now, &self.runs, self.seen, 0);
        let gaps = asked.gaps();
        if !gaps.is_empty() {
            let head =
                StreamNakHead { lane: self.key.lane.into(), reserved: 0, session: self.session };
            out.send(self.addr, &StreamNak { head, gaps: List::new(gaps) });
            out.count(Counter::StreamNaks, gaps.len() as u64);
        }
    }

    /// What a sender of this session is told when it cannot go on.
    pub(crate) fn refusal(&self) -> StreamReset {
        StreamReset {
            lane: self.key.lane.into(),
            from_sender: 0,
            reserved: 0,
            session: self.session,
            position: self.runs.next(),
        }
    }

    /// Whether [`Self::take`] has something.
    pub(crate) fn has_delivery(&self) -> bool {
        self.has_reset || self.whole().is_some()
    }

    /// The next thing that the role must hear; a message's bytes replace those of `buffer`.
    pub(crate) fn take(&mut self, buffer: &mut Vec<u8>) -> Option<Delivery> {
        if core::mem::take(&mut self.has_reset) {
            return Some(Delivery::Reset(self.key, Direction::Incoming));
        }
        let len = self.whole()?;
        let from = self.line.base() + PREFIX as u64;
        buffer.extend_from_slice(self.line.get(from, len));
        self.line.release(from + len as u64);
        Some(Delivery::Message(self.key))
    }

    /// Whether so much room was made that the sender should hear of it.
    pub(crate) fn has_room_to_tell(&self, config: &Config) -> bool {
        let gained = self.limit(config).saturating_sub(self.limit_told);
        !self.has_ended && gained >= config.receive_buffer_max as u64 / 4
    }

    /// Position beyond which nothing is taken.
    fn limit(&self, config: &Config) -> u64 {
        self.line.base() + config.receive_buffer_max as u64
    }

    /// Length of the next message, once its prefix is here.
    fn announced(&self) -> Option<usize> {
        if self.line.base() + PREFIX as u64 > self.runs.next() {
            return None;
        }
        let prefix = self.line.get(self.line.base(), PREFIX).try_into().ok()?;
        usize::try_from(u32::from_le_bytes(prefix)).ok()
    }

    /// Length of the next message, once all of it is here.
    fn whole(&self) -> Option<usize> {
        let len = self.announced()?;
        let end = self.line.base() + PREFIX as u64 + len as u64;
        (end <= self.runs.next()).then_some(len)
    }
}
