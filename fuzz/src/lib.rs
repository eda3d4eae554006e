//! Every parser, held to every input.
//!
//! A **target** is a plain function of bytes that must return: it panics when what it fuzzes breaks
//! a promise, and libFuzzer (or the replay test) takes it from there. Targets of parsers feed the
//! bytes as they are; targets of things with a memory (streams, seals, roles) read them as a
//! [`script`]: a little program of frames, pauses and ends of bursts, near enough to the truth to
//! get past the first check.
//!
//! Targets build on the stable toolchain, where `cargo test` replays `corpus/` through them; only
//! the wrappers in `fuzz_targets/` need instrumentation. README.md says how to run them.

mod channel;
mod corpus;
mod goldens;
mod open;
mod policy;
mod reached;
mod roles;
mod script;
mod stage;
mod station;
mod stream;
mod texts;
mod wire;
mod xdp;

pub use channel::{channel, play_channel};
pub use corpus::{expand, read, write};
pub use open::open;
pub use policy::policy;
pub use reached::Reached;
pub use roles::{agent, station, transponder};
pub use station::{command, raft_message, snapshot};
pub use stream::{play_stream, stream};
pub use texts::{config, nodeset};
pub use wire::{frames, header, idset};
pub use xdp::xdp_frame;

/// A function that must return, whatever bytes it is given.
pub type Target = fn(&[u8]);

/// All targets by name: that of their corpus and of their wrapper.
pub const TARGETS: &[(&str, Target)] = &[
    ("agent", agent),
    ("channel", channel),
    ("command", command),
    ("config", config),
    ("frames", frames),
    ("header", header),
    ("idset", idset),
    ("nodeset", nodeset),
    ("open", open),
    ("policy", policy),
    ("raft_message", raft_message),
    ("snapshot", snapshot),
    ("station", station),
    ("stream", stream),
    ("transponder", transponder),
    ("xdp_frame", xdp_frame),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(other, _)| *other == name).map(|(_, target)| *target)
}
