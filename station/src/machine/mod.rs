//! The state machine: what the cluster believes, as a pure function of the log.
//!
//! Every replica applies the same entries in the same order, so everything here is deterministic:
//! sorted containers, integers, and the wall time that the leader wrote into the entry. What comes
//! out of a log or a snapshot is checked like what comes from the network.
//!
//! Read `machine.rs` first: it says what each command does; the other files hold one table each.

pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod decisions;
pub(crate) mod encoder;
pub(crate) mod events;
pub(crate) mod flaps;
mod graph;
mod items;
#[expect(clippy::module_inception, reason = "the machine is the noun of this room")]
pub(crate) mod machine;
pub(crate) mod membership;
pub(crate) mod orders;
pub(crate) mod outcome;
pub(crate) mod policy;
pub(crate) mod producers;
pub(crate) mod recovery;
pub(crate) mod replicas;
mod seating;
pub(crate) mod servers;
mod services;
pub(crate) mod sessions;
pub(crate) mod snapshot;
pub(crate) mod storm;

pub(crate) use machine::{Effect, Machine};

#[cfg(test)]
pub(crate) mod tests;
