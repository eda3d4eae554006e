//! The station's durable log, and its faulty twin in memory.
//!
//! A replica may only say what it will remember. This room remembers for it: entries, term and
//! vote, and snapshots of the state machine go in as [`Record`](syncom_seam::Record)s, a flush
//! makes them durable, and [`open`] gives back what is there. What a disk returns is believed only
//! when its hash agrees; everything else is refused by name and never served.
//!
//! [`MemoryStore`](memory::MemoryStore) keeps the same promises without a disk and breaks like one
//! on request; the simulator runs on it.
#![forbid(unsafe_code)]

mod entry;
mod extent;
mod fault;
mod files;
mod home;
#[cfg(test)]
mod journal;
mod load;
mod manifest;
pub mod memory;
mod seal;
mod snapshot;
mod store;
mod survey;

pub use store::{Store, open};

/// Whose log a directory holds. A directory never changes its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Number of the cluster.
    pub cluster: u32,
    /// Number of this replica in it, from 1.
    pub replica: u16,
}
