//! Effects: everything a role can ask of its driver.

use crate::child::Spawn;
use crate::counters::Counter;
use crate::disk::Record;
use crate::time::{Time, Timer};
use alloc::string::String;
use syncom_wire::event::EventEntry;
use syncom_wire::{Addr, Emit, PeerId};

/// Something the embedding program may want to know. Losing it loses no state.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A committed event, in commit order, newPeer and deadPeer among them.
    Event(EventEntry<'a>),
    /// This member may work now (agent: welcomed; satellite: has a view; station: has a leader).
    Ready,
    /// This member cannot go on; the text says why and what to do. The driver ends it.
    Fatal(&'a str),
    /// This member has gone in good order, as it was told to. The driver ends it.
    Gone,
    /// A change of some weight, as one line for a person.
    Info(&'a str),
}

/// Where a role puts what it wants done. Calls take effect in order, after the handler returns.
///
/// No method blocks, fails or allocates in steady state. A driver that has no room counts the loss
/// (datagrams may be lost anyway) and never loses anything but datagrams.
pub trait Outbox {
    /// Sends one frame to an address. Frames to the same address within a burst share datagrams.
    fn send<E: Emit>(&mut self, to: Addr, frame: &E);

    /// Sends the same frame to many addresses; it is encoded and sealed once.
    fn send_all<E: Emit>(&mut self, to: &[Addr], frame: &E) {
        for addr in to {
            self.send(*addr, frame);
        }
    }

    /// Wants `timer` back at `at`, or as soon after as the driver can.
    fn arm(&mut self, timer: Timer, at: Time);

    /// Wants `record` made durable. Records become durable in order; tickets must increase.
    fn persist(&mut self, record: Record);

    /// Starts a child process; its end comes back as [`crate::Done::Exited`].
    fn spawn(&mut self, spawn: Spawn);

    /// Sends `signal` to the whole process group of the child with `token`, if it still runs.
    fn kill(&mut self, token: u64, signal: i32);

    /// Adds to a counter.
    fn count(&mut self, counter: Counter, by: u64);

    /// Sets a gauge.
    fn gauge(&mut self, counter: Counter, value: u64);

    /// Says who this member is from now on: what it sends is sealed in this name. An agent calls
    /// it when it is welcomed into its slot.
    fn identify(&mut self, peer: PeerId) {
        let _ = peer;
    }

    /// Tells the embedding program something.
    fn notify(&mut self, notice: Notice<'_>);

    /// Says something to a person; the text is built only when somebody listens.
    fn info(&mut self, text: impl FnOnce() -> String) {
        self.notify(Notice::Info(&text()));
    }
}
