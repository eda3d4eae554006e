//! What a home makes of a node that is accused: asked for by people, read by nobody else.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, Slot};
use crate::layout::{Malformed, layout};

layout! {
    /// The case against a node at this moment: how its votes stand, and why it is not dead.
    pub struct Case: 32 {
        /// The node.
        subject: Slot,
        /// The life that is accused.
        incarnation: Incarnation,
        /// Since when it is accused, but for moments, in µs.
        since_ago_us: u32,
        /// How long ago it gave the last sign of life that is known here, in µs; [`Case::NEVER`].
        lived_ago_us: u32,
        /// Which observer told of that; none when none did: see `sign`.
        witness: Slot,
        /// The weighted votes, in sixteenths.
        score_x16: u16,
        /// The weighted votes that death needs, in sixteenths.
        needed_x16: u16,
        /// Observers that accuse.
        accusers: u8,
        /// Observers that must accuse before anything follows.
        accusers_needed: u8,
        /// Failure domains that they are of.
        domains: u8,
        /// Failure domains that they must be of.
        domains_needed: u8,
        /// Questions to the node that stayed unanswered.
        probes: u8,
        /// Votes of silent homes.
        homes_silent: u8,
        /// Why it is not dead: see [`Case::FOUND`].
        refusal: u8,
        /// What the last sign of life was: see [`Case::SAID`]; 0 for none.
        sign: u8,
    }
}

impl Case {
    /// There was no sign of life.
    pub const NEVER: u32 = u32::MAX;
    /// Refusal: none, its death is on its way to the station.
    pub const FOUND: u8 = 0;
    /// Refusal: too few observers accuse it.
    pub const FEW_ACCUSERS: u8 = 1;
    /// Refusal: a sign of life came since the accusations.
    pub const VETOED: u8 = 2;
    /// Refusal: it is to be asked first, or the leader was as silent as it was when it was.
    pub const UNASKED: u8 = 3;
    /// Refusal: it was asked, and has time to answer still.
    pub const ASKING: u8 = 4;
    /// Refusal: it was accused wrongly a moment ago.
    pub const DOUBTED: u8 = 5;
    /// Refusal: all accusers are of one failure domain, and not all observers.
    pub const ONE_DOMAIN: u8 = 6;
    /// Refusal: the votes are too few.
    pub const FEW_VOTES: u8 = 7;
    /// Refusal: the other home has not agreed yet.
    pub const AWAITED: u8 = 8;
    /// Refusal: it must be asked in vain twice, and was once.
    pub const ASKED_ONCE: u8 = 9;
    /// Refusal: nobody ever heard this life, which may be on its way in.
    pub const UNBORN: u8 = 10;
    /// Refusal: the home is cut off from the station.
    pub const CUT_OFF: u8 = 11;
    /// Refusal: its death waits for others of one cause, or for room at the station.
    pub const HELD: u8 = 12;
    /// Sign of life: the observer `witness` heard it.
    pub const SAID: u8 = 1;
    /// Sign of life: a heartbeat at this home.
    pub const HEARTBEAT: u8 = 2;
    /// Sign of life: an answer to a question of this home.
    pub const ANSWER: u8 = 3;
    /// Sign of life: one that the other home tells of.
    pub const OTHER_HOME: u8 = 4;

    const fn check(&self) -> Result<(), Malformed> {
        if self.refusal > Self::HELD {
            return Err(Malformed("unknown refusal"));
        }
        if self.sign > Self::OTHER_HOME {
            return Err(Malformed("unknown sign of life"));
        }
        Ok(())
    }
}
fixed_frame!(Case, Case, Case::check);
