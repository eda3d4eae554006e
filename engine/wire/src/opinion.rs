//! Opinions: what one home of a node makes of it.
//!
//! The two homes of a node tell each other, with every question to it, so that neither condemns whom
//! the other hears.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, PeerId};
use crate::layout::{Malformed, layout};

layout! {
    /// What I make of it. Soft, unacknowledged, and outdated by the next one.
    pub struct Opinion: 20 {
        /// The node.
        subject: PeerId,
        /// The life that it is about.
        incarnation: Incarnation,
        /// How long ago the sender last knew of a sign of that life, in µs; [`Opinion::NEVER`].
        lived_ago_us: u32,
        /// How many observers accuse it before the sender.
        accusers: u32,
        /// Rounds of probes that it has left unanswered of late: 0, 1, or 2 for more.
        rounds: u8,
        /// See [`Opinion::ASKS`].
        flags: u8,
        /// Zero.
        reserved: u16,
    }
}

impl Opinion {
    /// There was no sign of life.
    pub const NEVER: u32 = u32::MAX;
    /// Flag: tell me yours, and again when it changes.
    pub const ASKS: u8 = 1;

    const fn check(&self) -> Result<(), Malformed> {
        if self.rounds > 2 { Err(Malformed("more than two rounds")) } else { Ok(()) }
    }
}

fixed_frame!(Opinion, Opinion, Opinion::check);
