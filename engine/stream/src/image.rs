//! The receiving end of a channel's stream, made for high rates.
//!
//! A fragment that continues the line is read where it lies: its messages go to the handler from
//! the memory that the kernel wrote. Only what comes too early is copied, into a [`Ring`] of one
//! window, until the gap before it is filled. Statuses are few: one for an eighth of the window,
//! or when the line falls silent.
//!
//! ```text
//!   read                next                       read + window
//!    │ here, to be read   │ ...gap...  ▒▒▒ islands ▒▒▒  │
//!    ▼                    ▼                             ▼
//! ───●────────────────────●─────────────────────────────●───
//! ```

use crate::carry::{Broken, Carry};
use crate::naks::Naks;
use crate::post::Post;
use crate::publication::CHANNEL_MESSAGE_MAX;
use crate::reassembly::Reassembly;
use crate::ring::Ring;
use syncom_seam::{Counter, MS, Time, US};
use syncom_wire::stream::{StreamDataHead, StreamNak, StreamNakHead, StreamReset};
use syncom_wire::{Addr, Boot, List, PeerId, stream::StreamStatus};

/// What an [`Image`] is to be.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// Bytes that the sender may have under way to us: no more than half of what the kernel's
    /// receive buffer holds. Rounded up to a power of two.
    pub window: usize,
    /// Longest message that is taken.
    pub message_max: usize,
    /// The tag in statuses, for senders that wait for some receivers only; 0 for none.
    pub tag: u16,
    /// Whether many listen to the same sender: then each waits for a random part of some round
    /// trips before it asks for what is missing, and the first one's request serves all.
    pub is_one_of_many: bool,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self { window: 1 << 20, message_max: CHANNEL_MESSAGE_MAX, tag: 0, is_one_of_many: false }
    }
}

/// Which stream an image is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The process that sends.
    pub peer: PeerId,
    /// Which life of it.
    pub boot: Boot,
    /// Which of its streams.
    pub lane: u16,
    /// Which life of that.
    pub session: u64,
}

/// What to do with a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Read its payload from this offset on with [`Image::read`], before anything else arrives.
    InPlace(usize),
    /// It was kept, or brought nothing: read with [`Image::read_kept`].
    Kept,
}

/// The receiving end of one stream.
#[derive(Debug)]
pub struct Image {
    config: ImageConfig,
    source: Source,
    addr: Addr,
    /// Everything below was given to the handler, or gathered for it.
    read: u64,
    runs: Reassembly,
    /// What came too early. Made at once, so that the first loss costs no allocation; its memory is
    /// not touched before.
    kept: Ring,
    /// What was given up and not told of yet.
    missed: Option<(u64, u64)>,
    carry: Carry,
    naks: Naks,
    /// The sender has sent everything below this position.
    seen: u64,
    /// `next` in the latest status, and when that was.
    told: u64,
    told_at: Time,
    /// A status is owed at this moment.
    status_due: Time,
    echo_us: u32,
    /// The sender's, as it came.
    pace: u32,
    rtt_us: u32,
    /// The binary logarithm of how many listen.
    crowd: u8,
    end: Option<u64>,
    is_end_told: bool,
    /// Something is missing since the last flush.
    is_gap_new: bool,
    heard: Time,
    /// Bytes kept because they came before their turn.
    kept_bytes: u64,
}

impl Image {
    /// The same gap is asked for at most this often.
    const NAK_PAUSE_MIN_NS: u64 = 100 * US;
    /// Bytes that are no reason to hurry: a few datagrams.
    const FEW: u64 = 4096;
    /// A status may wait this long for more to tell.
    const STATUS_DELAY_NS: u64 = MS / 2;

    /// Begins to follow a stream with its fragment `head`, if one can begin there: at its very
    /// beginning as long as the sender still has that and it is no more than a window away, else
    /// where a message begins.
    #[must_use]
    pub fn join(
        config: &ImageConfig,
        source: Source,
        addr: Addr,
        now: Time,
        head: &StreamDataHead,
    ) -> Option<Self> {
        let mut config = config.clone();
        config.window = config.window.clamp(1 << 12, 1 << 30).next_power_of_two();
        let start = match head.first {
            _ if head.oldest == 0 && head.position <= config.window as u64 => 0,
            StreamDataHead::NO_START => return None,
            first => head.position.checked_add(u64::from(first))?,
        };
        let mut runs = Reassembly::with_room();
        runs.restart_at(start);
        Some(Self {
            carry: Carry::new(config.message_max),
            naks: match config.is_one_of_many {
                true => Naks::of_many(Self::NAK_PAUSE_MIN_NS),
                false => Naks::new(Self::NAK_PAUSE_MIN_NS),
            },
            kept: Ring::new(config.window),
            config,
            source,
            addr,
            read: start,
            runs,
            missed: None,
            seen: start,
            told: start,
            told_at: Time(0),
            status_due: now,
            echo_us: 0,
            pace: 0,
            rtt_us: 0,
            crowd: 0,
            end: None,
            is_end_told: false,
            is_gap_new: false,
            heard: now,
            kept_bytes: 0,
        })
    }

    /// Which stream it is of.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Everything below this position was read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.read
    }

    /// When the sender was last heard.
    #[must_use]
    pub const fn heard(&self) -> Time {
        self.heard
    }

    /// Whether the sender has ended the stream and all of it was read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.is_some_and(|end| self.read >= end)
    }

    /// Whether it has ended, said once.
    pub fn take_ended(&mut self) -> bool {
        self.has_ended() && !core::mem::replace(&mut self.is_end_told, true)
    }

    /// Whether part of the stream was given up, and not told of yet.
    #[inline]
    #[must_use]
    pub const fn has_missed(&self) -> bool {
        self.missed.is_some()
    }

    /// The part of the stream that was given up since the last call, from one position up to
    /// another, because its sender let go of it before it could be repaired.
    pub const fn take_missed(&mut self) -> Option<(u64, u64)> {
        self.missed.take()
    }

    /// Whether something that was kept can be read.
    #[must_use]
    pub const fn has_kept(&self) -> bool {
        self.read < self.runs.next()
    }

    /// Bytes copied since the last call: of messages that straddled fragments, and of fragments that
    /// came before their turn. All others were read where they lay.
    pub const fn take_copied(&mut self) -> u64 {
        self.carry.take_gathered() + core::mem::replace(&mut self.kept_bytes, 0)
    }

    /// A fragment with `payload` arrived from `addr`. What could be read before must have been.
    #[inline]
    pub fn on_data(
        &mut self,
        now: Time,
        addr: Addr,
        head: &StreamDataHead,
        payload: &[u8],
    ) -> Taken {
        self.heard = now;
        self.echo_us = head.stamp_us;
        if self.pace != head.pace {
            self.adopt(head);
        }
        let end = head.position.saturating_add(payload.len() as u64);
        let next = self.runs.next();
        if head.position == next && self.read == next && !self.runs.has_islands() && end > next {
            if end - self.read > self.config.window as u64 {
                return Taken::Kept;
            }
            self.addr = addr;
            self.seen = self.seen.max(end);
            self.runs.advance(end);
            return Taken::InPlace(0);
        }
        self.on_other(now, addr, head, payload, end)
    }

    /// The sender's round trip has changed, or how many listen.
    #[cold]
    fn adopt(&mut self, head: &StreamDataHead) {
        (self.pace, self.rtt_us, self.crowd) = (head.pace, head.rtt_us(), head.crowd());
        self.naks.pace(self.rtt_us);
        self.naks.crowd(self.crowd);
    }

    /// A fragment that does not simply continue the line.
    #[cold]
    fn on_other(
        &mut self,
        now: Time,
        addr: Addr,
        head: &StreamDataHead,
        payload: &[u8],
        end: u64,
    ) -> Taken {
        self.addr = addr;
        if payload.is_empty() && !self.config.is_one_of_many {
            self.naks.ask_all();
        }
        if head.oldest > self.runs.next() {
            self.skip_to(head);
        }
        let (next, limit) = (self.runs.next(), self.limit());
        self.seen = self.seen.max(end.min(limit));
        if end > limit || end <= next {
            // A question, or a repetition: the sender does not know where we are.
            self.tell_by(now);
            return Taken::Kept;
        }
        let skip = usize::try_from(next.saturating_sub(head.position)).unwrap_or(usize::MAX);
        if head.position <= next && self.read == next && !self.runs.has_islands() {
            self.runs.advance(end);
            return Taken::InPlace(skip);
        }
        if self.runs.insert(head.position, end) {
            let fresh = payload.get(skip..).unwrap_or_default();
            self.kept.put(head.position.max(next), fresh);
            self.kept_bytes += fresh.len() as u64;
        }
        Taken::Kept
    }

    /// The sender has let go of what we still miss, because it does not wait for us: goes on at the
    /// next beginning of a message that is heard of, and will tell what is missing.
    fn skip_to(&mut self, head: &StreamDataHead) {
        if head.first == StreamDataHead::NO_START {
            return;
        }
        let start = head.position.saturating_add(u64::from(head.first));
        let from = self.missed.map_or(self.read, |missed| missed.0);
        self.missed = Some((from, start.max(from)));
        self.carry.restart();
        self.runs.restart_at(start);
        self.read = start;
        self.seen = self.seen.max(start);
    }

    /// Reads `piece`, the payload from where [`Taken::InPlace`] said or from where the last call
    /// stopped: hands out up to `left` messages and returns how many bytes were taken.
    ///
    /// # Errors
    /// [`Broken`]: forget this image.
    #[inline]
    pub fn read(
        &mut self,
        piece: &[u8],
        left: &mut usize,
        on_message: &mut impl FnMut(&[u8]),
    ) -> Result<usize, Broken> {
        let taken = self.carry.read(piece, left, on_message)?;
        self.read += taken as u64;
        Ok(taken)
    }

    /// Reads what was kept and has become continuous.
    ///
    /// # Errors
    /// [`Broken`]: forget this image.
    pub fn read_kept(
        &mut self,
        left: &mut usize,
        on_message: &mut impl FnMut(&[u8]),
    ) -> Result<(), Broken> {
        while self.read < self.runs.next() && *left > 0 {
            let piece = self.kept.run(self.read, self.runs.next());
            self.read += self.carry.read(piece, left, on_message)? as u64;
        }
        Ok(())
    }

    /// The sender says that the stream ends at its `position`.
    pub fn on_end(&mut self, now: Time, position: u64) {
        self.heard = now;
        self.end = Some(position);
        self.seen = self.seen.max(position.min(self.limit()));
        self.tell_by(now);
    }

    /// When [`Self::flush`] has something to send; `NEVER` when there is nothing to tell.
    #[must_use]
    pub fn due(&self) -> Time {
        if self.is_gap_new { Time(0) } else { self.status_due.min(self.naks.due()) }
    }

    /// Looks, once per burst, whether a status is owed, and when; returns [`Self::due`].
    pub fn on_burst_end(&mut self, now: Time) -> Time {
        let fresh = self.read - self.told;
        let has_gap = self.seen > self.runs.next();
        // A few per round trip while the sender waits for them, few at all when little happens, and
        // the fewer of each the more there are.
        let soon_ns = (u64::from(self.rtt_us) * US / 8).clamp(20 * US, Self::STATUS_DELAY_NS);
        let soon_ns = soon_ns << self.crowd.clamp(3, 10) >> 3;
        if has_gap && !self.naks.is_watching() {
            // The gap is looked at, and perhaps watched.
            self.is_gap_new = true;
        }
        if fresh >= self.config.window as u64 / 8 {
            self.status_due = now;
        } else if has_gap || fresh > Self::FEW {
            self.tell_by(self.told_at.after(soon_ns));
        } else if fresh > 0 {
            self.tell_by(now.after(Self::STATUS_DELAY_NS));
        }
        self.due()
    }

    /// A status that is due within `within_ns` is due now.
    pub fn hasten(&mut self, now: Time, within_ns: u64) {
        if self.status_due <= now.after(within_ns) {
            self.tell_by(now);
        }
    }

    /// A status is owed at that moment, or earlier.
    fn tell_by(&mut self, moment: Time) {
        self.status_due = self.status_due.min(moment);
    }

    /// Sends what is due: a status, and a NAK when something is missing that was not asked for
    /// lately. `chance` is any number, for the back-off.
    pub fn flush<P: Post>(&mut self, now: Time, chance: u64, out: &mut P) {
        if self.due() > now {
            return;
        }
        let head =
            StreamNakHead { lane: self.source.lane, reserved: 0, session: self.source.session };
        if self.has_ended() {
            out.post(self.addr, &self.done());
            self.naks.stop();
            self.status_due = Time::NEVER;
            return;
        }
        self.is_gap_new = false;
        let asked = self.naks.ask(now, &self.runs, self.seen, chance);
        if !asked.gaps().is_empty() {
            out.post(self.addr, &StreamNak { head, gaps: List::new(asked.gaps()) });
            out.count(Counter::StreamNaks, asked.gaps().len() as u64);
        }
        if self.status_due <= now {
            self.tell(now, out);
        }
    }

    fn tell<P: Post>(&mut self, now: Time, out: &mut P) {
        let next = self.runs.next();
        let status = StreamStatus {
            lane: self.source.lane,
            tag: self.config.tag,
            session: self.source.session,
            next,
            window: u32::try_from(self.limit() - next).unwrap_or(u32::MAX),
            ahead: u32::try_from(self.seen.saturating_sub(next)).unwrap_or(u32::MAX),
            echo_us: core::mem::take(&mut self.echo_us),
        };
        self.status_due = Time::NEVER;
        if out.post(self.addr, &status) {
            (self.told, self.told_at) = (self.read, now);
        }
    }

    /// What the sender is told when we are done with its stream.
    #[must_use]
    pub const fn done(&self) -> StreamReset {
        StreamReset {
            lane: self.source.lane,
            from_sender: 0,
            reserved: 0,
            session: self.source.session,
            position: self.read,
        }
    }

    /// Where to reach the sender.
    #[must_use]
    pub const fn addr(&self) -> Addr {
        self.addr
    }

    /// Position beyond which nothing is taken.
    const fn limit(&self) -> u64 {
        self.read.saturating_add(self.config.window as u64)
    }
}
