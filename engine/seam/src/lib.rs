//! What a role and its driver agree on.
//!
//! A [`Role`] is a pure state machine: it is told what happened and when, and says what it wants
//! done through an [`Outbox`]. It never sees a socket, a clock, a thread or a random source. The
//! same role instance runs under the engine, under the simulator, and under a [`Recorder`] that
//! merely lists what the role asked for.
//!
//! Rules of the room: no I/O, no unsafe, no third-party crate.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bounded;
pub mod child;
pub mod counters;
pub mod disk;
pub mod limits;
mod outbox;
mod recorder;
mod rng;
mod role;
mod time;

pub use child::{Exit, Spawn};
pub use counters::Counter;
pub use disk::{DiskFault, DiskStats, Durable, HardState, Loaded, LogEntry, Record, SavedSnapshot};
pub use outbox::{Notice, Outbox};
pub use recorder::{Action, Recorder};
pub use rng::Rng;
pub use role::{Done, Loss, Now, Origin, Role, hand_over};
pub use time::{MS, SECOND, Time, Timer, US, WallTime};
