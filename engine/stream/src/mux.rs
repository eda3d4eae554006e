//! All streams of a role, behind one door.

use crate::config::Config;
use crate::delivery::{Delivery, Key, Refusal};
use alloc::vec::Vec;
use syncom_seam::{Origin, Outbox, Time, Timer};
use syncom_wire::{Addr, Emit, Frame, PeerId};

/// Kind of the one timer that [`Streams`] arms. Roles number their own timers below it.
pub const TIMER: u16 = 0xFF00;

/// The streams between this process and others.
#[derive(Debug)]
pub struct Streams {
    config: Config,
}

impl Streams {
    /// No streams yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Opens the sending stream to `peer` on `lane`, or moves an open one to another address.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] when the table is full or the lane out of range; nothing changes.
    pub fn connect(&mut self, peer: PeerId, addr: Addr, lane: u8) -> Result<Key, Refusal> {
        let _ = (peer, addr, lane, &self.config);
        Err(Refusal::TooMany)
    }

    /// Forgets everything about `peer`, in both directions, and tells it so.
    pub fn close<O: Outbox>(&mut self, peer: PeerId, out: &mut O) {
        let _ = (peer, out);
    }

    /// Sends one frame as one message.
    ///
    /// # Errors
    /// A [`Refusal`]; the stream is as before.
    pub fn send<E: Emit, O: Outbox>(
        &mut self,
        now: Time,
        key: Key,
        frame: &E,
        out: &mut O,
    ) -> Result<(), Refusal> {
        let _ = (now, key, frame, out);
        Err(Refusal::NotConnected)
    }

    /// Sends bytes, such as frames back to back, as one message.
    ///
    /// # Errors
    /// A [`Refusal`]; the stream is as before.
    pub fn send_bytes<O: Outbox>(
        &mut self,
        now: Time,
        key: Key,
        bytes: &[u8],
        out: &mut O,
    ) -> Result<(), Refusal> {
        let _ = (now, key, bytes, out);
        Err(Refusal::NotConnected)
    }

    /// Takes a frame; true when it was a stream's. Call [`Self::take`] until it is empty then.
    pub fn on_frame<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        frame: &Frame<'_>,
        out: &mut O,
    ) -> bool {
        let _ = (now, from, frame, out);
        false
    }

    /// Takes a timer; true when it was ours. Call [`Self::take`] until it is empty then.
    pub fn on_timer<O: Outbox>(&mut self, now: Time, timer: Timer, out: &mut O) -> bool {
        let _ = (now, out);
        timer.kind == TIMER
    }

    /// Sends what was gathered in a burst: at most a status and a NAK per stream.
    pub fn on_burst_end<O: Outbox>(&mut self, now: Time, out: &mut O) {
        let _ = (now, out);
    }

    /// The next delivery, if any; a message's bytes replace the content of `buffer`.
    pub fn take(&mut self, buffer: &mut Vec<u8>) -> Option<Delivery> {
        buffer.clear();
        None
    }

    /// Whether the stream is open and its peer has answered in the present session.
    #[must_use]
    pub fn is_connected(&self, key: Key) -> bool {
        let _ = key;
        false
    }

    /// Bytes that the sender holds: unsent, or not yet acknowledged.
    #[must_use]
    pub fn queued_bytes(&self, key: Key) -> usize {
        let _ = key;
        0
    }
}
