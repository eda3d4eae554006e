//! Links, sealing, shards, disk and child processes: the only contact with the operating system.
//!
//! A [`host::Host`] drives members: each is a role, the pure state machine, and a link, one socket
//! or queue of the network card. Per burst it opens what arrived, hands the frames to the role,
//! lets due timers expire, and seals what the role wants sent, straight into slots of the link.
//! Disk and child processes answer through the same loop. The engine knows no rule of the
//! protocol, and no role knows the engine.
//!
//! Programs that only want to exchange frames use an [`Endpoint`]; those that want reliable streams
//! at the speed of the machine use a [`channel`].

pub mod allocation;
pub mod channel;
pub mod child;
pub mod clock;
pub mod counters;
pub mod disk;
pub mod endpoint;
pub mod host;
pub mod host_info;
pub mod idle;
pub mod latency;
pub mod link;
pub mod namespace;
pub mod pin;
mod port;
pub mod priority;
pub mod queue;
pub mod seal;
pub mod signal;
pub mod slots;
mod sync;
pub mod timers;

pub use endpoint::{Endpoint, EndpointError, Received};
