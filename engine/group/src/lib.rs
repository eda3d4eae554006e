//! Who belongs to the cluster, who watches whom, and what silence means.
//!
//! Everything here is a pure value: it is told what changed and answers questions. [`Members`] is
//! the numbered list that station and satellites hold; [`Roster`] the short one that every node
//! holds. [`Rings`] says who observes whom, [`Watchers`] who watches a satellite, [`Rendezvous`] which satellites are a node's homes, and
//! [`RingOrder`] in which order a circulating process travels. [`Arrival`] turns heartbeats into a
//! deadline, [`RoundTrip`] answers into a time-out, and [`Quorum`] evidence into a verdict.
//!
//! Rules of the room: no I/O, no clock, no unsafe, no floating point: all members must come to the
//! same result on every machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod arrival;
mod health;
mod members;
mod pace;
mod profile;
mod quorum;
mod rendezvous;
mod ring_order;
mod rings;
mod roster;
mod rtt;
mod slot_set;
mod watchers;

pub use arrival::Arrival;
pub use health::LocalHealth;
pub use members::{Change, Counts, Entry, Members};
pub use pace::{BUDGET_MIN, Pace};
pub use profile::{INTERVAL_MAX_NS, INTERVAL_MIN_NS, Profile, ProfileError};
pub use quorum::{Quorum, VOTE, vote};
pub use rendezvous::{Candidate, Homes, Preference, Rendezvous};
pub use ring_order::{Place, RingOrder};
pub use rings::Rings;
pub use roster::{Applied, Roster};
pub use rtt::RoundTrip;
pub use slot_set::SlotSet;
pub use watchers::{WATCHERS_MAX, Watchers};
