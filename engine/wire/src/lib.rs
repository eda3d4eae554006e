//! What two Syncom members agree on.
//!
//! A **datagram** is a 32-byte clear [`Header`], a sealed body and a 16-byte tag. The opened body is
//! a sequence of **frames**: an 8-byte [`FrameHeader`] and as many bytes as it announces. Signs of life
//! go under a header of half that size, [`Brief`], one in each datagram. There is
//! one file per frame kind and all have the same shape: layout, parse, emit, tests. PROTOCOL.md
//! shows every frame byte by byte and is checked against this crate.
//!
//! Rules of the room: no I/O, no clock, no allocation, no unsafe. Nothing here panics on any input;
//! what cannot be parsed is a [`Malformed`] that names the first broken rule.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod announced;
pub mod beat;
pub mod brief;
pub mod bytes;
pub mod case;
pub mod control;
pub mod cp;
pub mod datagram;
pub mod event;
pub mod frame;
pub mod glob;
pub mod heartbeat;
pub mod ids;
pub mod idset;
pub mod join;
mod layout;
pub mod limits;
pub mod member;
pub mod neighbours;
pub mod opinion;
pub mod order;
pub mod policy;
pub mod probe;
pub mod raft;
pub mod replica;
pub mod report;
pub mod roster;
pub mod selector;
pub mod snapshot;
pub mod stream;
pub mod uplink;
pub mod watch;

pub use brief::Brief;
pub use bytes::{List, Reader, Writer};
pub use datagram::Header;
pub use frame::{Emit, Frame, FrameHeader, Frames, Kind, Parse};
pub use ids::{Addr, Boot, Incarnation, OrderId, PeerId, Role, Slot, Subject, Term, Uuid, View};
pub use layout::{Field, Fixed, Malformed, Overflow};
