//! Opinions: what one member makes of another.
//!
//! The two homes of a node tell each other, with every question to it, so that neither condemns whom
//! the other hears. So does the leader of the station ask the other replicas and a few satellites
//! before it calls a satellite or a replica dead, and the accused itself.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, PeerId};
use crate::layout::{Malformed, layout};

layout! {
    /// What I make of it. Soft, unacknowledged, and outdated by the next one.
    pub struct Opinion: 20 {
        /// The node, satellite or replica.
        subject: PeerId,
        /// The life that it is about; 0 for a replica.
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

    /// Asks what is heard of a satellite or a replica.
    #[must_use]
    pub const fn question(subject: PeerId, incarnation: Incarnation) -> Self {
        let flags = Self::ASKS;
        Self { flags, ..Self::of_heard(subject, incarnation, None) }
    }

    /// Says how long ago a satellite or a replica was heard, in µs, if ever.
    #[must_use]
    pub const fn of_heard(
        subject: PeerId,
        incarnation: Incarnation,
        heard_ago_us: Option<u64>,
    ) -> Self {
        let lived_ago_us = match heard_ago_us {
            #[expect(clippy::cast_possible_truncation, reason = "the guard bounds it")]
            Some(ago_us) if ago_us < Self::NEVER as u64 => ago_us as u32,
            Some(_) => Self::NEVER - 1,
            None => Self::NEVER,
        };
        Self { subject, incarnation, lived_ago_us, accusers: 0, rounds: 0, flags: 0, reserved: 0 }
    }

    const fn check(&self) -> Result<(), Malformed> {
        if self.rounds > 2 { Err(Malformed("more than two rounds")) } else { Ok(()) }
    }
}

fixed_frame!(Opinion, Opinion, Opinion::check);
