//! The sending end of one stream.
//!
//! Positions from `line.base()` (all below is acknowledged) over `sent` to `line.end()`. The
//! deadline is set exactly while something is held: a sender that owes nothing has no timer.

use crate::config::{Config, PREFIX};
use crate::delivery::{Delivery, Direction, Key, Refusal};
use crate::line::{Line, distance};
use crate::rtt::Rtt;
use syncom_seam::{Counter, MS, Outbox, Time};
use syncom_wire::Overflow;
use syncom_wire::limits::MESSAGE_MAX;
use syncom_wire::stream::{StreamData, StreamDataHead, StreamNak, StreamReset, StreamStatus};
use syncom_wire::{Addr, Boot};

/// The sending end of one stream.
#[derive(Debug)]
pub(crate) struct Sender {
    key: Key,
    /// Where the peer is.
    pub(crate) addr: Addr,
    /// 0 until the first message.
    session: u64,
    line: Line,
    sent: u64,
    /// The receiver has room below this position.
    limit: u64,
    /// The peer's life that answered in this session.
    boot: Option<Boot>,
    rtt: Rtt,
    doublings: u32,
    deadline: Time,
    heard: Time,
    repair_left: usize,
    repair_since: Time,
    /// Size of a refused message, for which room must be made before [`Delivery::Writable`].
    wanted: usize,
    has_reset: bool,
    is_writable: bool,
    /// Whether the multiplexer has it in its queue of deliveries.
    pub(crate) is_queued: bool,
}

impl Sender {
    /// A stream without a session.
    pub(crate) fn new(key: Key, addr: Addr, config: &Config) -> Self {
        Self {
            key,
            addr,
            session: 0,
            line: Line::default(),
            sent: 0,
            limit: Self::first_limit(config),
            boot: None,
            rtt: Rtt::default(),
            doublings: 0,
            deadline: Time::NEVER,
            heard: Time::default(),
            repair_left: 0,
            repair_since: Time::default(),
            wanted: 0,
            has_reset: false,
            is_writable: false,
            is_queued: false,
        }
    }

    /// What any receiver has room for before it says so.
    fn first_limit(config: &Config) -> u64 {
        config.in_flight_max.min(MESSAGE_MAX) as u64
    }

    /// When [`Self::on_deadline`] is due; `NEVER` when nothing is owed.
    pub(crate) const fn deadline(&self) -> Time {
        self.deadline
    }

    /// The smoothed round trip, in ns; 0 before the first sample.
    pub(crate) const fn round_trip_ns(&self) -> u64 {
        self.rtt.smoothed_ns()
    }

    /// Bytes held: unsent or not acknowledged.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.line.len()
    }

    /// Bytes of memory in use.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        self.line.allocated()
    }

    /// Whether the peer has answered in this session.
    pub(crate) const fn is_answered(&self) -> bool {
        self.boot.is_some()
    }

    /// Whether an earlier life of the peer than `boot` answered in this session.
    pub(crate) fn is_bound_before(&self, boot: Boot) -> bool {
        self.boot.is_some_and(|bound| bound < boot)
    }

    /// Begins `session` if there is none; whether it did.
    pub(crate) const fn begin(&mut self, session: u64) -> bool {
        let begins = self.session == 0;
        if begins {
            self.session = session;
        }
        begins
    }

    /// Puts a message of up to `size` bytes on the line; `write` fills it and returns its length.
    pub(crate) fn push(
        &mut self,
        config: &Config,
        size: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, Overflow>,
    ) -> Result<(), Refusal> {
        if size > MESSAGE_MAX {
            return Err(Refusal::TooLong);
        }
        let need = PREFIX + size;
        if self.line.len() + need > config.send_buffer_max {
            self.wanted = self.wanted.max(need);
            return Err(Refusal::Full);
        }
        let at = self.line.end();
        let (prefix, body) = self.line.append(need).split_at_mut(PREFIX);
        let written = write(body).ok().filter(|written| *written <= size);
        let Some(len) = written.and_then(|written| u32::try_from(written).ok()) else {
            self.line.truncate(at);
            return Err(Refusal::TooLong);
        };
        prefix.copy_from_slice(&len.to_le_bytes());
        self.line.truncate(at + PREFIX as u64 + u64::from(len));
        Ok(())
    }

    /// Sends what the windows permit.
    pub(crate) fn transmit<O: Outbox>(&mut self, now: Time, config: &Config, out: &mut O) {
        let limit = self.limit.min(self.line.base() + config.in_flight_max as u64);
        while self.sent < self.line.end() {
            let room = distance(self.sent, limit);
            let want = distance(self.sent, self.line.end()).min(StreamData::PAYLOAD_MAX);
            let waits_for_more_room = room < want && self.sent > self.line.base();
            if room == 0 || waits_for_more_room {
                break;
            }
            self.sent += self.emit(now, self.sent, want.min(room), out) as u64;
            out.count(Counter::StreamSent, 1);
        }
        if self.line.len() > 0 && self.deadline == Time::NEVER {
            self.heard = now;
            self.deadline = now.after(self.rtt.rto_ns(config, 0));
        }
    }

    /// A receiver in `boot` says how far it is.
    pub(crate) fn on_status(
        &mut self,
        now: Time,
        boot: Boot,
        status: &StreamStatus,
        config: &Config,
    ) {
        if !self.accepts(boot, status.session) || status.next > self.sent {
            return;
        }
        self.boot = Some(boot);
        self.heard = now;
        let _ = self.rtt.on_echo(now, status.echo_us);
        self.limit = self.limit.max(status.next.saturating_add(u64::from(status.window)));
        if status.next > self.line.base() {
            self.line.release(status.next);
            self.doublings = 0;
            self.deadline = match self.line.len() {
                0 => Time::NEVER,
                _ => now.after(self.rtt.rto_ns(config, 0)),
            };
        }
        if self.wanted > 0 && self.line.len() + self.wanted <= config.send_buffer_max {
            self.wanted = 0;
            self.is_writable = true;
        }
    }

    /// A receiver in `boot` misses bytes: sends them again, at most a window per round trip.
    pub(crate) fn on_nak<O: Outbox>(
        &mut self,
        now: Time,
        boot: Boot,
        nak: &StreamNak<'_>,
        config: &Config,
        out: &mut O,
    ) {
        if !self.accepts(boot, nak.head.session) || self.line.len() == 0 {
            return;
        }
        self.boot = Some(boot);
        self.heard = now;
        self.doublings = 0;
        self.deadline = now.after(self.rtt.rto_ns(config, 0));
        if now.since(self.repair_since) >= self.rtt.smoothed_ns().max(MS) {
            (self.repair_since, self.repair_left) = (now, config.in_flight_max);
        }
        for gap in nak.gaps.iter() {
            let mut at = gap.position.max(self.line.base());
            let to = gap.position.saturating_add(u64::from(gap.len)).min(self.sent);
            while at < to && self.repair_left > 0 {
                let count = distance(at, to).min(StreamData::PAYLOAD_MAX).min(self.repair_left);
                self.repair_left -= count;
                at += self.emit(now, at, count, out) as u64;
                out.count(Counter::StreamResent, 1);
            }
        }
    }

    /// Nothing was heard for too long: asks again. True when it is time to give up.
    pub(crate) fn on_deadline<O: Outbox>(
        &mut self,
        now: Time,
        config: &Config,
        out: &mut O,
    ) -> bool {
        if now.since(self.heard) >= config.give_up_ns {
            self.say_end(out);
            return true;
        }
        let flying = distance(self.line.base(), self.sent).min(StreamData::PAYLOAD_MAX);
        if flying > 0 {
            self.emit(now, self.line.base(), flying, out);
            out.count(Counter::StreamResent, 1);
        }
        if self.line.base() + (flying as u64) < self.sent || flying == 0 {
            self.emit(now, self.sent, 0, out);
        }
        self.doublings += 1;
        self.deadline = now.after(self.rtt.rto_ns(config, self.doublings));
        false
    }

    /// Ends the session; what was held is lost and the role will be told.
    pub(crate) fn restart(&mut self, config: &Config) {
        self.session = 0;
        self.line.restart();
        self.sent = 0;
        self.limit = Self::first_limit(config);
        self.boot = None;
        self.doublings = 0;
        self.deadline = Time::NEVER;
        self.wanted = 0;
        self.is_writable = false;
        self.has_reset = true;
    }

    /// Tells the receiver that this session is over.
    pub(crate) fn say_end<O: Outbox>(&self, out: &mut O) {
        let reset = StreamReset {
            lane: self.key.lane.into(),
            from_sender: 1,
            reserved: 0,
            session: self.session,
            position: self.line.base(),
        };
        if self.session != 0 {
            out.send(self.addr, &reset);
        }
    }

    /// Whether [`Self::take`] has something.
    pub(crate) const fn has_delivery(&self) -> bool {
        self.has_reset || self.is_writable
    }

    /// The next thing that the role must hear.
    pub(crate) fn take(&mut self) -> Option<Delivery> {
        if core::mem::take(&mut self.has_reset) {
            return Some(Delivery::Reset(self.key, Direction::Outgoing));
        }
        core::mem::take(&mut self.is_writable).then_some(Delivery::Writable(self.key))
    }

    /// Whether what a receiver in `boot` says about `session` concerns this stream as it is now.
    pub(crate) fn accepts(&self, boot: Boot, session: u64) -> bool {
        let is_present = session == self.session && session != 0;
        is_present && self.boot.is_none_or(|bound| bound == boot)
    }

    /// Sends one fragment and returns how many bytes it carries.
    fn emit<O: Outbox>(&self, now: Time, position: u64, count: usize, out: &mut O) -> usize {
        let payload = self.line.get(position, count);
        let head = StreamDataHead {
            lane: self.key.lane.into(),
            first: StreamDataHead::NO_START,
            session: self.session,
            position,
            oldest: self.line.base(),
            stamp_us: Rtt::stamp_us(now),
            pace: StreamDataHead::pace_of(self.rtt.smoothed_us(), 1),
        };
        out.send(self.addr, &StreamData { head, payload });
        payload.len()
    }
}
