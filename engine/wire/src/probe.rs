//! Probes: a home asks an accused node directly; any answer vetoes its death. Observers of the node
//! that do not accuse it get the same probe, and answer with a report of what they hear.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, Slot};
use crate::layout::{Malformed, layout};

layout! {
    /// Do you live?
    pub struct Probe: 24 {
        /// Chosen by the prober, returned in the answer.
        nonce: u64,
        /// The accused.
        slot: Slot,
        /// The incarnation that is accused.
        incarnation: Incarnation,
        /// How many distinct reporters accuse it.
        accusers: u32,
        /// Zero.
        reserved: u32,
    }
}

fixed_frame!(Probe, Probe);

layout! {
    /// I do.
    pub struct ProbeAnswer: 32 {
        /// The probe's nonce.
        nonce: u64,
        /// The answerer's slot.
        slot: Slot,
        /// The answerer's incarnation: a newer one than asked for replaces the accused.
        incarnation: Incarnation,
        /// How long this agent has run, in ns.
        uptime_ns: u64,
        /// Local health, 0 to 7.
        health: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

impl ProbeAnswer {
    const fn check(&self) -> Result<(), Malformed> {
        if self.health > 7 { Err(Malformed("health above 7")) } else { Ok(()) }
    }
}
fixed_frame!(ProbeAnswer, ProbeAnswer, ProbeAnswer::check);
