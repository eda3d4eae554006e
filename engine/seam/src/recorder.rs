//! An outbox that only writes down what was asked, for tests of roles.

use crate::child::Spawn;
use crate::counters::Counter;
use crate::disk::Record;
use crate::outbox::{Notice, Outbox};
use crate::time::{Time, Timer};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use syncom_wire::{Addr, Emit, Frame, FrameHeader, Kind};

/// Something that a role asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A frame to an address, as the bytes that would be sent (frame header and body).
    Send(Addr, Vec<u8>),
    /// A timer and when it is due.
    Arm(Timer, Time),
    /// A record to make durable.
    Persist(Record),
    /// A child to start.
    Spawn(Spawn),
    /// A signal for a child.
    Kill(u64, i32),
    /// A notice, as text.
    Notify(String),
}

/// Lists actions in order; counters are summed apart.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Everything asked for since the last [`Self::take`].
    pub actions: Vec<Action>,
    /// Sum of every counter, by [`Counter`] index.
    pub counts: Vec<u64>,
}

impl Recorder {
    /// All actions so far, leaving none.
    pub fn take(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }

    /// The value of one counter.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counts.get(counter as usize).copied().unwrap_or(0)
    }

    /// Calls `see` for every frame of one kind among the actions.
    pub fn for_frames(&self, kind: Kind, mut see: impl FnMut(Addr, Frame<'_>)) {
        for action in &self.actions {
            if let Action::Send(to, bytes) = action
                && let Ok((header, body)) = FrameHeader::split(bytes)
                && header.kind == kind as u8
                && let Ok(frame) = Frame::parse(header, body)
            {
                see(*to, frame);
            }
        }
    }

    /// How many frames of one kind are among the actions.
    #[must_use]
    pub fn frames(&self, kind: Kind) -> usize {
        let mut count = 0;
        self.for_frames(kind, |_, _| count += 1);
        count
    }

    fn slot(&mut self, counter: Counter) -> &mut u64 {
        self.counts.resize(Counter::COUNT, 0);
        &mut self.counts[counter as usize]
    }
}

impl Outbox for Recorder {
    fn send<E: Emit>(&mut self, to: Addr, frame: &E) {
        let mut buffer = vec![0; frame.size() + FrameHeader::SIZE];
        let len = syncom_wire::frame::emit(frame, &mut buffer).unwrap_or(0);
        buffer.truncate(len);
        self.actions.push(Action::Send(to, buffer));
    }

    fn arm(&mut self, timer: Timer, at: Time) {
        self.actions.push(Action::Arm(timer, at));
    }

    fn persist(&mut self, record: Record) {
        self.actions.push(Action::Persist(record));
    }

    fn spawn(&mut self, spawn: Spawn) {
        self.actions.push(Action::Spawn(spawn));
    }

    fn kill(&mut self, token: u64, signal: i32) {
        self.actions.push(Action::Kill(token, signal));
    }

    fn count(&mut self, counter: Counter, by: u64) {
        *self.slot(counter) += by;
    }

    fn gauge(&mut self, counter: Counter, value: u64) {
        *self.slot(counter) = value;
    }

    fn notify(&mut self, notice: Notice<'_>) {
        self.actions.push(Action::Notify(format!("{notice:?}")));
    }
}
