//! From one order to many receipts.
//!
//! A [`shard`] is this satellite's part of an order; each destination in it is a small
//! [`delivery`], tried until it answers or time is up; what they answer is folded into
//! [`outcomes`] and goes up as progress.

pub(crate) mod delivery;
pub(crate) mod outcomes;
pub(crate) mod shard;
pub(crate) mod shards;
