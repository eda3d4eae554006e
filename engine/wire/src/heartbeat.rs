//! Signs of life: one-way to observers, answered by homes.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, Slot, Term, View};
use crate::layout::{Malformed, layout};

layout! {
    /// I live. Sent to homes at their slower pace, by satellites to replicas and to the satellites that
    /// watch them, and to those observers for whom a `Beat` says too little.
    pub struct Heartbeat: 60 {
        /// The sender's slot; [`Slot::NONE`] for satellites, who are known by their peer id.
        slot: Slot,
        /// The sender's incarnation.
        incarnation: Incarnation,
        /// Counts heartbeats of this plane from 1; expected arrivals are computed from it.
        seq: u64,
        /// The sender's present interval on this plane, in µs: receivers use this, not their own.
        interval_us: u32,
        /// Counts the sender's duty cycles: lives but does not progress means hung.
        progress: u32,
        /// The sender's monotonic clock, in ns, for the echo in the answer.
        sent_ns: u64,
        /// Epoch of the neighbour set that the sender holds; 0 for none.
        neighbours: u64,
        /// Smoothed round trip to the home that this goes to, in µs; 0 when unknown.
        rtt_us: u32,
        /// Managed services that run.
        services_up: u16,
        /// Managed services that should run and do not.
        services_down: u16,
        /// 0 peer plane, 1 home plane, 2 satellite to replica or satellite.
        plane: u8,
        /// Local health, 0 (well) to 7.
        health: u8,
        /// See [`Heartbeat::LEAVING`].
        flags: u16,
        /// Load: datagrams handled in the last second (satellites), else 0.
        load: u32,
        /// The interval that a node keeps towards its observers at present, in µs: homes weigh its
        /// silence by it. 0 from satellites.
        peers_interval_us: u32,
    }
}

impl Heartbeat {
    /// Plane of observers.
    pub const PEER: u8 = 0;
    /// Plane of homes.
    pub const HOME: u8 = 1;
    /// Plane of satellites and replicas.
    pub const GROUP: u8 = 2;
    /// Flag: the sender goes in good order; do not miss it.
    pub const LEAVING: u16 = 1;
    /// Flag, from a node to a new observer: say whether you watch me.
    pub const ARM: u16 = 2;
    /// Flag, from an observer to a node, outside of any schedule: I hear you, and watch you.
    pub const ARMED: u16 = 4;
    /// Flag, from a node to an observer that was replaced: others watch me now.
    pub const RELEASED: u16 = 8;
    /// Flag, from an observer to a node, outside of any schedule: I am to watch you and have never
    /// heard you; how often do you speak?
    pub const CALL: u16 = 16;
    /// Flag, from a node to whoever called, outside of any schedule: number and interval are those of
    /// the last heartbeat, the moment says nothing.
    pub const HERE: u16 = 32;
    /// Flag: the sender speaks to its observers one after the other, and `interval_us` is what a whole
    /// round takes. Whoever misses one heartbeat asks it before it accuses it; all others are on
    /// call, and ask it when a home asks them.
    pub const IN_TURN: u16 = 64;

    /// A satellite shows itself to replicas; `interval_us` as in the field, `sent_ns` by its clock.
    #[must_use]
    pub const fn of_satellite(seq: u64, interval_us: u32, sent_ns: u64) -> Self {
        Self {
            slot: Slot::NONE,
            incarnation: Incarnation(0),
            seq,
            interval_us,
            progress: 0,
            sent_ns,
            neighbours: 0,
            rtt_us: 0,
            services_up: 0,
            services_down: 0,
            plane: Self::GROUP,
            health: 0,
            flags: 0,
            load: 0,
            peers_interval_us: 0,
        }
    }

    const fn check(&self) -> Result<(), Malformed> {
        if self.plane > Self::GROUP {
            return Err(Malformed("unknown plane"));
        }
        if self.health > 7 {
            return Err(Malformed("health above 7"));
        }
        if self.peers_interval_us != 0
            && let Err(broken) = Self::check_interval(self.peers_interval_us)
        {
            return Err(broken);
        }
        Self::check_interval(self.interval_us)
    }

    pub(crate) const fn check_interval(interval_us: u32) -> Result<(), Malformed> {
        if interval_us < 1_000 || interval_us > 60_000_000 {
            return Err(Malformed("interval outside 1 ms to 60 s"));
        }
        Ok(())
    }
}
fixed_frame!(Heartbeat, Heartbeat, Heartbeat::check);

layout! {
    /// A home's answer: what the node should know, and the echo for its round-trip time.
    pub struct HomeAnswer: 56 {
        /// The heartbeat's `sent_ns`, unchanged; 0 when a new leader shows itself unasked.
        echo_ns: u64,
        /// How long the home held the heartbeat before answering, in µs.
        hold_us: u32,
        /// See [`HomeAnswer::UNKNOWN`].
        flags: u16,
        /// Zero.
        reserved: u16,
        /// Epoch of the roster that the home holds.
        roster: u64,
        /// The home's view.
        view: View,
        /// Epoch of the neighbour set that the node should hold; 0 when not computed yet.
        neighbours: u64,
        /// Newest term that the home knows.
        term: Term,
        /// The home's wall clock, in ns.
        wall_ns: u64,
    }
}

impl HomeAnswer {
    /// Flag: this home does not know the sender in that incarnation, or knows it as dead: join
    /// again.
    pub const UNKNOWN: u16 = 1;
    /// Flag: this satellite leaves; use the next one.
    pub const LEAVING: u16 = 2;
}
fixed_frame!(HomeAnswer, HomeAnswer);
