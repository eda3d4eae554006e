//! Messages onto the line.

use super::{CHANNEL_MESSAGE_MAX, Phase, Publication};
use crate::config::PREFIX;
use crate::ring::{Ring, copy};
use core::fmt;
use core::ops::{Deref, DerefMut, RangeInclusive};

/// Why a message was not taken. Nothing has changed; the caller still owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Receivers, or the network, are behind: do something else, or poll, and try again.
    Full,
    /// The message is longer than [`CHANNEL_MESSAGE_MAX`], or a claim than [`Claim::MAX`].
    TooLong,
    /// The publication has ended.
    Ended,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "receivers are behind by a whole window: poll the channel and try again",
            Self::TooLong => "longer than a message may be: cut it up (claims: use `offer`)",
            Self::Ended => "the publication has ended: open another one",
        })
    }
}

impl core::error::Error for Refused {}

/// Bytes of the longest easy message.
const SHORT_MAX: usize = 128;

impl Publication {
    /// Bytes of messages that may be easy: they are copied without a call.
    const SHORT: RangeInclusive<usize> = 8..=SHORT_MAX;

    /// Copies a message onto the line and returns the position behind it. It leaves with a burst,
    /// or when [`Self::transmit`] is told to send all.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed.
    #[inline]
    pub fn offer(&mut self, message: &[u8]) -> Result<u64, Refused> {
        self.offer_easy(message).map_or_else(|| self.offer_any(message), Ok)
    }

    /// As [`Self::offer`], if the message is one of the many that need nothing but to be copied and
    /// behind which no burst is full. `None`: try [`Self::offer_any`].
    #[inline]
    pub fn offer_easy(&mut self, message: &[u8]) -> Option<u64> {
        if self.tail >= self.easy_below || !Self::SHORT.contains(&message.len()) {
            return None;
        }
        let slot = self.ring.chunk::<{ PREFIX + SHORT_MAX }>(self.tail)?;
        let (prefix, body) = slot.split_first_chunk_mut()?;
        *prefix = prefix_of(message.len());
        copy(&mut body[..message.len()], message);
        self.tail += (PREFIX + message.len()) as u64;
        Some(self.tail)
    }

    /// As [`Self::offer`], for any message.
    ///
    /// # Errors
    /// As [`Self::offer`].
    #[inline]
    pub fn offer_any(&mut self, message: &[u8]) -> Result<u64, Refused> {
        let need = PREFIX + message.len();
        // It is easy but for its length: see `ease`.
        if self.tail + (message.len() as u64) < self.easy_below && need <= Ring::PIECE_MAX {
            self.put(message);
            self.tail += need as u64;
            return Ok(self.tail);
        }
        if self.tail + need as u64 > self.room || need > Ring::PIECE_MAX {
            return self.offer_long(message);
        }
        self.put(message);
        let position = self.advance(need);
        self.ease();
        Ok(position)
    }

    /// Writes a message at the end of the line, at most a piece.
    #[inline]
    fn put(&mut self, message: &[u8]) {
        let slot = self.ring.room(self.tail, PREFIX + message.len());
        if let Some((prefix, body)) = slot.split_first_chunk_mut::<PREFIX>() {
            *prefix = prefix_of(message.len());
            copy(body, message);
        }
    }

    /// Says how far messages are easy from here on.
    fn ease(&mut self) {
        let lap = self.ring.lap_end(self.tail);
        let end = self.room.min(self.cut_at - 1).min(lap);
        self.easy_below = (end + 1).saturating_sub((PREFIX + SHORT_MAX) as u64);
    }

    /// A message that is longer than a piece, or for which there is no room yet.
    #[cold]
    fn offer_long(&mut self, message: &[u8]) -> Result<u64, Refused> {
        let need = PREFIX + message.len();
        self.make_room(need, CHANNEL_MESSAGE_MAX)?;
        self.ring.put(self.tail, &prefix_of(message.len()));
        self.ring.put(self.tail + PREFIX as u64, message);
        let (from, end) = (self.tail, self.tail + need as u64);
        self.note_start(from);
        self.tail = end;
        Ok(end)
    }

    /// Lends `len` bytes of the line to write a message into.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed.
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, Refused> {
        let need = PREFIX + len;
        if self.tail + need as u64 > self.room || need > Ring::PIECE_MAX {
            self.make_room(need, Claim::MAX)?;
        }
        self.lent = self.lent.max(self.tail + need as u64);
        Ok(Claim { publication: self, len })
    }

    #[inline]
    fn advance(&mut self, need: usize) -> u64 {
        self.ring.written(self.tail, need);
        self.note_start(self.tail);
        self.tail += need as u64;
        self.tail
    }

    #[inline]
    const fn note_start(&mut self, position: u64) {
        if self.start < self.sent {
            self.start = position;
        }
    }

    /// Checks that `need` bytes fit; makes the ring larger for a message that never would.
    #[cold]
    fn make_room(&mut self, need: usize, message_max: usize) -> Result<(), Refused> {
        if self.phase != Phase::Open {
            return Err(Refused::Ended);
        }
        if need - PREFIX > message_max {
            return Err(Refused::TooLong);
        }
        if need + self.history() > self.ring.capacity() {
            self.floor = self.oldest();
            self.ring.grow(need + self.history(), self.floor, self.tail);
            self.make_writable();
        }
        if self.tail + need as u64 > self.room { Err(Refused::Full) } else { Ok(()) }
    }

    /// Bytes below the base that are not written over.
    const fn history(&self) -> usize {
        if self.config.flow.is_some() { self.config.history } else { 0 }
    }

    /// Says how far the line may be written.
    pub(super) fn make_writable(&mut self) {
        self.easy_below = 0;
        self.room = match self.phase {
            Phase::Open => self.base + (self.ring.capacity() - self.history()) as u64,
            Phase::Ending | Phase::Ended => 0,
        };
    }
}

#[expect(clippy::cast_possible_truncation, reason = "messages are at most 16 MiB long")]
const fn prefix_of(len: usize) -> [u8; PREFIX] {
    (len as u32).to_le_bytes()
}

/// A message being written where it will lie. Dropped without [`Self::commit`], it never was.
#[derive(Debug)]
pub struct Claim<'a> {
    publication: &'a mut Publication,
    len: usize,
}

impl Claim<'_> {
    /// Bytes of the longest claim; longer messages are offered.
    pub const MAX: usize = Ring::PIECE_MAX - PREFIX;

    /// Makes what was written the next message; returns the position behind it.
    #[inline]
    #[must_use = "the position says when the message has arrived"]
    pub fn commit(self) -> u64 {
        let need = PREFIX + self.len;
        let slot = self.publication.ring.room(self.publication.tail, need);
        if let Some(prefix) = slot.first_chunk_mut::<PREFIX>() {
            *prefix = prefix_of(self.len);
        }
        self.publication.advance(need)
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let from = self.publication.tail + PREFIX as u64;
        self.publication.ring.flat(from, self.len)
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let need = PREFIX + self.len;
        let slot = self.publication.ring.room(self.publication.tail, need);
        slot.get_mut(PREFIX..).unwrap_or_default()
    }
}
