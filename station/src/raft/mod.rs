//! Raft: the home of `raft-rs`, and all that it expects of its application.
//!
//! The library decides; here stands what surrounds it: messages in our own layout and a check of
//! each before it is stepped, the log in memory, the order of persisting, sending and applying,
//! election timeouts from our own seed, and snapshots that the follower pulls.
//!
//! Read `node.rs` first.

mod changing;
pub(crate) mod codec;
pub(crate) mod conf;
pub(crate) mod context;
pub(crate) mod election;
pub(crate) mod node;
pub(crate) mod pull;
mod restart;
pub(crate) mod sending;
pub(crate) mod snapshot;
pub(crate) mod storage;
pub(crate) mod validator;

pub(crate) use context::ReadContext;
pub(crate) use node::{Node, Work};
