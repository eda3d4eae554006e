//! The sending end of a channel's stream, made for high rates.
//!
//! Messages are written behind one another, each behind its length, into a [`Ring`]; datagrams are
//! cut from it wherever they are full, so that a burst is a row of equally long datagrams. A byte
//! stays in the ring until its receivers have it: from there it is sent again.
//!
//! ```text
//!   base           sent              tail          room
//!    │ acknowledged  │ not sent yet    │ may be written │
//!    ▼ or under way  ▼                 ▼                ▼
//! ───●───────────────●─────────────────●────────────────●───
//! ```
//!
//! Positions never fall: `base ≤ sent ≤ tail ≤ base + capacity`. What lies below `base` stays in the
//! ring until it is written over: of many receivers, those who fell behind are repaired from it.

mod credit;
mod hear;
mod offer;
mod repair;
mod repaired;

use crate::audience::{Audience, Flow};
use crate::congestion::{Congestion, Control};
use crate::post::Post;
use crate::ring::Ring;
use crate::rtt::Rtt;
use syncom_seam::{Counter, MS, SECOND, Time};
use syncom_wire::stream::{StreamData, StreamDataHead, StreamReset};
use syncom_wire::{Addr, Fixed as _, FrameHeader, Header};

use credit::Credit;
pub use offer::{Claim, Refused};
use repair::Owed;
use repaired::Repaired;

/// Bytes of the largest message on a channel.
pub const CHANNEL_MESSAGE_MAX: usize = 16 << 20;

/// What a [`Publication`] is to be.
#[derive(Clone, Debug)]
pub struct PublicationConfig {
    /// Which stream between two processes.
    pub lane: u16,
    /// Where it goes.
    pub to: Addr,
    /// Bytes of a datagram, header and tag included.
    pub mtu: usize,
    /// Bytes under way at most; the ring holds twice as many, so that the next window can be
    /// written while one is under way.
    pub window: usize,
    /// How the window is governed; to many it is static.
    pub control: Control,
    /// Whether many may listen, and whom to wait for then.
    pub flow: Option<Flow>,
    /// How long the others wait for one of many that is stopped or too slow, in ns.
    pub linger_ns: u64,
    /// Bytes that all have and that are kept nevertheless, at least: for those of many who fell
    /// behind, or come late.
    pub history: usize,
    /// Shortest retransmission timeout, in ns.
    pub rto_min_ns: u64,
    /// Longest one, in ns.
    pub rto_max_ns: u64,
}

impl PublicationConfig {
    /// Bytes of a datagram that are not of the line.
    const OVERHEAD: usize = Header::OVERHEAD + FrameHeader::SIZE + StreamDataHead::SIZE;

    /// A stream on `lane` to `to`, with datagrams of `mtu` bytes and a window of `window` bytes.
    #[must_use]
    pub const fn new(lane: u16, to: Addr, mtu: usize, window: usize) -> Self {
        let (rto_min_ns, rto_max_ns) = (5 * MS, SECOND);
        let (control, flow, history) = (Control::Cubic, None, 0);
        let linger_ns = Audience::LINGER_NS;
        Self { lane, to, mtu, window, control, flow, linger_ns, history, rto_min_ns, rto_max_ns }
    }

    /// Bytes of the line that a full datagram carries.
    #[must_use]
    pub const fn payload(&self) -> usize {
        let payload = self.mtu.saturating_sub(Self::OVERHEAD);
        if payload < 64 { 64 } else { payload }
    }
}

/// Where a publication is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It takes messages.
    Open,
    /// It takes none; those it has are still delivered.
    Ending,
    /// Everything was delivered, and who listens was told that it is over.
    Ended,
}

/// The sending end of one stream to one receiver or to many.
#[derive(Debug)]
pub struct Publication {
    config: PublicationConfig,
    payload: usize,
    session: u64,
    ring: Ring,
    base: u64,
    sent: u64,
    tail: u64,
    /// Bytes may be written below this position.
    room: u64,
    /// Bytes were lent, perhaps written, below this position.
    lent: u64,
    /// The ring holds nothing from below this position.
    floor: u64,
    /// Receivers have room below this position.
    limit: u64,
    /// The furthest position from which something has arrived somewhere.
    seen: u64,
    /// Datagrams are cut without being asked when the line has got this far.
    cut_at: u64,
    /// A short message that begins below this position needs nothing but to be copied: there is
    /// room, no burst is full behind it, the ring's end is far, and its start need not be noted.
    easy_below: u64,
    /// A position at which a message begins: at or above `sent`, unless there was none since.
    start: u64,
    /// The latest such position that was sent.
    start_sent: u64,
    audience: Audience,
    congestion: Congestion,
    rtt: Rtt,
    doublings: u32,
    deadline: Time,
    repair_left: usize,
    repair_since: Time,
    credit: Credit,
    repaired: Repaired,
    owed: Option<Owed>,
    phase: Phase,
    ends_left: u32,
    end_due: Time,
}

impl Publication {
    /// Bytes of datagrams, and how many of them, that one segmented message carries.
    const BURST: (usize, usize) = (65_000, 64);
    /// How often those who listen are told that it is over.
    const ENDS: u32 = 5;

    /// A stream at position 0 of `session`, which must be higher than any before it between the
    /// same processes on the same lane.
    #[must_use]
    pub fn new(config: PublicationConfig, session: u64) -> Self {
        let payload = config.payload();
        let window = config.window.max(4 * payload);
        let history = if config.flow.is_some() { config.history } else { 0 };
        let ring = Ring::new(2 * window + history);
        let flow = config.flow;
        // Of many receivers the slowest may be the only one behind a full queue.
        let control = if flow.is_some() { Control::Static } else { config.control };
        Self {
            payload,
            session,
            base: 0,
            sent: 0,
            tail: 0,
            room: (ring.capacity() - history) as u64,
            lent: 0,
            floor: 0,
            limit: Self::first_limit(window, payload),
            seen: 0,
            cut_at: Self::burst(payload),
            easy_below: 0,
            start: 0,
            start_sent: 0,
            audience: Audience::new(flow.unwrap_or_default(), flow.is_none(), config.linger_ns),
            congestion: Congestion::new(control, payload, window),
            rtt: Rtt::default(),
            doublings: 0,
            deadline: Time::NEVER,
            repair_left: 0,
            repair_since: Time(0),
            credit: Credit::default(),
            repaired: Repaired::default(),
            owed: None,
            phase: Phase::Open,
            ends_left: Self::ENDS,
            end_due: Time::NEVER,
            ring,
            config,
        }
    }

    /// What any receiver has room for before it says so.
    fn first_limit(window: usize, payload: usize) -> u64 {
        window.min(16 * payload) as u64
    }

    /// The most whole fragments that one segmented message carries.
    fn burst(payload: usize) -> u64 {
        let fragments = Self::BURST.0 / (payload + PublicationConfig::OVERHEAD);
        (fragments.clamp(1, Self::BURST.1) * payload) as u64
    }

    /// Which stream it is.
    #[must_use]
    pub const fn lane(&self) -> u16 {
        self.config.lane
    }

    /// Which life of the stream.
    #[must_use]
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// Position behind the last message.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.tail
    }

    /// Everything below this position has arrived wherever it must.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.base
    }

    /// How many receivers are known and keep up.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.audience.len()
    }

    /// How many receivers fell behind since the last call: they are no longer waited for.
    pub const fn take_laggards(&mut self) -> u64 {
        self.audience.take_laggards()
    }

    /// The oldest position that can still be sent again.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        if self.config.flow.is_none() {
            return self.base;
        }
        let written = self.tail.max(self.lent);
        self.floor.max(written.saturating_sub(self.ring.capacity() as u64)).min(self.base)
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The smoothed round trip in ns; 0 before the first sample.
    #[must_use]
    pub const fn rtt_ns(&self) -> u64 {
        self.rtt.smoothed_ns()
    }

    /// When [`Self::on_deadline`] is due; `NEVER` when nothing is owed.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.deadline.min(self.owed_due())
    }

    /// Whether enough is written for a burst of full datagrams that may leave now.
    #[inline]
    #[must_use]
    pub const fn has_burst(&self) -> bool {
        self.tail >= self.cut_at
    }

    /// Cuts and posts what may leave: full datagrams only, or all of it if `all`. Returns false
    /// when the way out had no room.
    pub fn transmit<P: Post>(&mut self, now: Time, all: bool, out: &mut P) -> bool {
        if self.owed.is_some() {
            self.repair_owed(now, out);
        }
        // What has arrived behind a gap is not under way any more.
        let may = self.limit.min(self.base.max(self.seen) + self.congestion.window());
        let least = if all { 1 } else { self.payload as u64 };
        let (mut has_room, mut is_held) = (true, false);
        let (from, payload) = (self.sent, self.payload as u64);
        while self.tail - self.sent >= least {
            let want = payload.min(self.tail - self.sent);
            let room = may.saturating_sub(self.sent);
            is_held = room < want && (room == 0 || self.sent > self.base);
            if is_held {
                break;
            }
            let count = want.min(room);
            if !self.emit(now, self.sent, count, out) {
                has_room = false;
                break;
            }
            self.sent += count;
        }
        if self.sent > from {
            self.congestion.on_sent(self.sent - from);
            out.count(Counter::StreamSent, (self.sent - from).div_ceil(payload));
            out.count(Counter::StreamCopiedOut, self.sent - from);
        }
        self.easy_below = 0;
        // What the window holds back is looked at again when something was heard.
        self.cut_at = if is_held { u64::MAX } else { self.sent + Self::burst(self.payload) };
        if self.deadline == Time::NEVER && self.tail > self.base {
            self.deadline = now.after(self.rto_ns());
        }
        has_room
    }

    /// Takes no further messages; those that it has are delivered, then receivers are told.
    pub fn end(&mut self, now: Time) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
            // One of many that is behind has so long to come back and fetch what is kept.
            self.end_due = now.after(self.config.linger_ns);
            self.make_writable();
            self.deadline = self.deadline.min(now);
        }
    }

    /// Nothing was heard for too long, or an end is to be told: asks again.
    pub fn on_deadline<P: Post>(&mut self, now: Time, out: &mut P) {
        if self.deadline > now {
            return;
        }
        if self.audience.judge(now, self.sent) {
            self.settle(now);
        }
        if self.phase == Phase::Ending && self.sent == self.tail {
            self.tell_end(now, out);
        }
        let has_returned = self.audience.has_returned(now);
        if self.base == self.tail && self.phase != Phase::Ending && !has_returned {
            self.deadline = Time::NEVER;
            return;
        }
        if self.base < self.sent {
            self.ask(now, out);
        } else if has_returned {
            self.emit(now, self.sent, 0, out);
        }
        self.doublings = self.doublings.saturating_add(1);
        self.deadline = now.after(self.rto_ns());
        self.transmit(now, true, out);
    }

    /// Sends the oldest fragment again, one where a newcomer can begin, and how far we are.
    fn ask<P: Post>(&mut self, now: Time, out: &mut P) {
        if self.doublings > 0 {
            self.congestion.on_timeout();
        }
        let flying = (self.sent - self.base).min(self.payload as u64);
        out.count(Counter::StreamResent, 1);
        out.count(Counter::StreamCopiedOut, flying);
        self.emit(now, self.base, flying, out);
        let start = self.start_sent.clamp(self.base, self.sent);
        if start == self.start_sent && start > self.base {
            let count = (self.sent - start).min(self.payload as u64);
            out.count(Counter::StreamResent, 1);
            out.count(Counter::StreamCopiedOut, count);
            self.emit(now, start, count, out);
        }
        self.emit(now, self.sent, 0, out);
    }

    fn tell_end<P: Post>(&mut self, now: Time, out: &mut P) {
        let reset = StreamReset {
            lane: self.config.lane,
            from_sender: 1,
            reserved: 0,
            session: self.session,
            position: self.tail,
        };
        out.post(self.config.to, &reset);
        let is_awaited = self.audience.known() > self.audience.len() && now < self.end_due;
        if self.base == self.tail && !is_awaited {
            self.ends_left = self.ends_left.saturating_sub(1);
            if self.ends_left == 0 {
                self.phase = Phase::Ended;
            }
        }
    }

    /// Posts the fragment of `count` bytes at `position`.
    fn emit<P: Post>(&mut self, now: Time, position: u64, count: u64, out: &mut P) -> bool {
        let end = position + count;
        let start = match () {
            // Nothing is cut through: the next message begins here.
            () if count == 0 && position == self.tail => position,
            () if (position..end).contains(&self.start) => self.start,
            () if (position..end).contains(&self.start_sent) => self.start_sent,
            () => u64::MAX,
        };
        if start == self.start && position >= self.sent {
            self.start_sent = start;
        }
        let first = u16::try_from(start.saturating_sub(position));
        let head = StreamDataHead {
            lane: self.config.lane,
            first: first.unwrap_or(StreamDataHead::NO_START),
            session: self.session,
            position,
            oldest: self.oldest(),
            stamp_us: Rtt::stamp_us(now),
            pace: StreamDataHead::pace_of(self.rtt.smoothed_us(), self.audience.known()),
        };
        // A fragment is at most a datagram long.
        let count = usize::try_from(count).unwrap_or(0);
        let payload = self.ring.piece(position, count);
        out.post_data(self.config.to, &StreamData { head, payload })
    }

    fn rto_ns(&self) -> u64 {
        self.rtt.rto_between(self.config.rto_min_ns, self.config.rto_max_ns, self.doublings)
    }
}
