//! The satellite's role: what stands between many nodes and the station.
//!
//! **Upward** a thousand reports become one record. Reports of silence are evidence, kept per life
//! of a node as a lattice, so that it does not matter how often, in which order and through which
//! satellite they come; a node is called dead only when enough of its observers say so, in two
//! failure domains, and it does not answer when asked. All other reports are combined and meet a
//! threshold per kind. Records, joins and leaves go to the station in small batches.
//!
//! **Downward** one order becomes a datagram per node, repeated until it is answered, and a thousand
//! receipts become one message.
//!
//! Nothing here must survive: a satellite that dies loses soft state only, and whoever reported
//! something keeps it until the station has committed it.
//!
//! Start reading at [`Transponder`]; then `world` (what is known of the cluster), `uplink` and
//! `downlink`.
//!
//! Rules of the room: no I/O, no clock, no unsafe, no other role.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod answers;
mod arrivals;
mod atlas;
mod config;
mod dispatch;
mod downlink;
mod entry;
mod fabric;
mod feed;
mod fellows;
mod homes;
mod neighbours;
mod policy;
mod stats;
mod transponder;
mod uplink;
mod vigil;
mod world;

#[cfg(test)]
mod tests;

pub use atlas::Atlas;
pub use config::{ConfigError, TransponderConfig};
pub use policy::{Policies, Policy, Support};
pub use transponder::Transponder;
pub use uplink::known::{Case, Due, Known, Said, Taken};
