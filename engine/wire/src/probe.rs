//! Probes: a home asks an accused node directly; any answer vetoes its death. Observers of the node
//! that do not accuse it get the same probe, and answer with a report of what they hear. An observer
//! asks in the same way a node that speaks to its observers in turn ([`Heartbeat::IN_TURN`]).
//!
//! [`Heartbeat::IN_TURN`]: crate::heartbeat::Heartbeat::IN_TURN

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, Slot};
use crate::layout::{Malformed, layout};

layout! {
    /// Do you live? To an observer of the accused: do you still hear it?
    pub struct Probe: 24 {
        /// Chosen by the prober, returned in the answer. [`Probe::REFUSED`] to observers.
        nonce: u64,
        /// The accused; none in a question to the leader.
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

impl Probe {
    /// Nonce: no question, but a hint to observers that the accused one's host refuses what is sent to
    /// it. They wait for one heartbeat only, and accuse it or say nothing.
    pub const REFUSED: u64 = 0;

    /// A satellite's question to the leader: do you lead? It answers when a majority has confirmed it.
    /// `sent_ns` is any time of the asker's, which gets it back as nonce.
    #[must_use]
    pub const fn of_leader(sent_ns: u64) -> Self {
        let (slot, incarnation) = (Slot::NONE, Incarnation(0));
        Self { nonce: sent_ns, slot, incarnation, accusers: 0, reserved: 0 }
    }
}

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
    /// The leader leads: the answer to [`Probe::of_leader`].
    #[must_use]
    pub const fn of_leader(nonce: u64) -> Self {
        let (slot, incarnation) = (Slot::NONE, Incarnation(0));
        Self { nonce, slot, incarnation, uptime_ns: 0, health: 0, reserved: [0; 7] }
    }

    const fn check(&self) -> Result<(), Malformed> {
        if self.health > 7 { Err(Malformed("health above 7")) } else { Ok(()) }
    }
}
fixed_frame!(ProbeAnswer, ProbeAnswer, ProbeAnswer::check);
