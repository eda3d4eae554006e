//! A whole Syncom cluster in one thread and in virtual time.
//!
//! The same role instances that run in production are driven here by a heap of events. A seed
//! decides everything: the faults, the delays, the load; so a seed reproduces a run bit for bit,
//! and the hash of its trace proves it. A run has a fault phase and a healing phase: faults stop,
//! and the cluster must converge and have kept its promises, which live one per file under
//! [`invariants`].
//!
//! Rules of the room: roles and the store's in-memory twin, never the engine; no clock, no thread.
#![forbid(unsafe_code)]

mod askers;
mod beats;
mod child;
mod client;
mod dice;
mod disk;
pub mod fault;
pub mod invariants;
pub mod linear;
mod load;
mod make;
mod member;
mod meter;
mod network;
mod outbox;
pub mod persist;
mod rules;
mod run;
pub mod scale;
mod scenario;
mod schedule;
mod storing;
mod strike;
mod trace;
mod transcript;
mod world;

pub use fault::FaultCounts;
pub use run::{Outcome, run};
pub use scenario::{Options, Scenario};
pub use transcript::Said;
