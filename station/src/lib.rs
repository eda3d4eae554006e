//! The tracking station: decides once, and survives.
//!
//! Three or five replicas run this role. A proposal of a satellite travels through [`Station`] into
//! Raft, from there to the disk and to the other replicas, and, once committed, into the state
//! machine, which alone holds what the cluster believes: members, events, orders, decisions. All
//! replicas apply the same entries in the same order and so hold the same state; only the leader
//! answers satellites, watches them, runs the recovery manager and hands orders out.
//!
//! Start reading at `station.rs` (who calls what), then `machine/machine.rs` (what an entry does).
//!
//! Rules of the room: no socket, no clock, no thread, no file; `raft` has its home in `raft/`.
#![forbid(unsafe_code)]

mod config;
mod control;
mod dispatch;
mod feeding;
mod leaving;
mod machine;
mod manager;
mod outlook;
mod proposals;
mod raft;
mod replacing;
mod satellites;
mod seats;
mod station;
mod transport;
mod watch;
mod witnesses;

pub use config::{Held, RaftTiming, StationConfig};
pub use control::order_id;
pub use station::Station;
