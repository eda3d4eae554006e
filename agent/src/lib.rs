//! The node's agent: joins, lives visibly, watches its neighbours, reports, obeys.
//!
//! [`Agent`] is a pure state machine (see [`syncom_seam::Role`]); start with `agent.rs`, which says
//! whom each event is for. Each concern is a file: `entry` finds the cluster, `heartbeats` says that
//! we live, `observing` that others do not, `asking` asks them first, `reports` keeps what must not be lost, `orders`
//! executes once, `services` keeps commands, `control` answers local programs.
//!
//! Rules of the room: no I/O, no clock, no chance, no unsafe, no other role.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod agent;
mod announcement;
mod asking;
mod config;
mod control;
mod entry;
#[cfg(test)]
mod fixture;
mod gone;
mod heartbeats;
mod homes;
mod node;
mod observing;
mod orders;
mod probe;
mod question;
mod remembered;
mod reports;
mod services;
mod state;
mod telling;
mod timers;
mod turns;
mod watched;

pub use agent::Agent;
pub use config::{AgentConfig, ConfigError, ServiceConfig};
pub use node::Identity;
pub use state::State;
