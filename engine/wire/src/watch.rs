//! What an observer makes of a subject: asked for by people, read by nobody else.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, Slot};
use crate::layout::{Malformed, layout};

layout! {
    /// What an observer expects of one subject at this moment, and what it thinks of itself.
    pub struct Watch: 52 {
        /// The subject.
        subject: Slot,
        /// The life that is watched.
        incarnation: Incarnation,
        /// Number of the newest heartbeat; 0 before the first.
        seq: u64,
        /// How long ago the subject was heard, in µs; [`Watch::NEVER`].
        heard_ago_us: u32,
        /// The interval that the subject announced last, in µs; before the first, the observer's own.
        interval_us: u32,
        /// Smoothed error of the expected arrival (J), in µs.
        error_us: u32,
        /// The margin on top of the missed intervals, local health counted, in µs.
        margin_us: u32,
        /// How long silence may last in all: from the moment at which the subject was last heard, or
        /// assigned, to the deadline, in µs.
        timeout_us: u32,
        /// How long its progress counter had stood still when it was last heard, in µs.
        still_us: u32,
        /// The observer's longest smoothed round trip to a home, in µs; 0 when unknown.
        srtt_us: u32,
        /// Managed services of the subject that run.
        services_up: u16,
        /// Managed services of the subject that should run and do not.
        services_down: u16,
        /// See [`Watch::ACCUSED`]; 0 for nothing.
        claim: u8,
        /// The observer's local health, 0 (well) to 7.
        health: u8,
        /// Why the observer accuses nobody at present, if it does not: see [`Watch::MUTE`].
        flags: u16,
    }
}

impl Watch {
    /// It was never heard.
    pub const NEVER: u32 = u32::MAX;
    /// Claim: it is silent.
    pub const ACCUSED: u8 = 1;
    /// Claim: it was heard after all, which not all homes know yet.
    pub const RETRACTING: u8 = 2;
    /// Claim: it left, or its homes know that this life is over.
    pub const SETTLED: u8 = 3;
    /// Flag: the observer was stopped, or lost what it was sent, a moment ago.
    pub const MUTE: u16 = 1;
    /// Flag: no home answers the observer.
    pub const ISOLATED: u16 = 2;
    /// Flag: so many are late at once that the observer suspects itself: its word weighs a quarter.
    pub const SELF_SUSPECT: u16 = 4;
    /// Flag: it has heard nobody of the group since it suspects itself.
    pub const IN_DOUBT: u16 = 8;

    const fn check(&self) -> Result<(), Malformed> {
        if self.claim > Self::SETTLED {
            return Err(Malformed("unknown claim"));
        }
        if self.health > 7 {
            return Err(Malformed("health above 7"));
        }
        Ok(())
    }
}
fixed_frame!(Watch, Watch, Watch::check);
