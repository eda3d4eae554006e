//! Circulating processes: which version a node holds.

use crate::frame::fixed_frame;
use crate::ids::{Incarnation, Slot, Term};
use crate::layout::{Malformed, layout};

layout! {
    /// Rides with heartbeats; whoever is behind pulls.
    pub struct CpVersion: 40 {
        /// Hash of the process's name.
        cp: u64,
        /// Fencing epoch: view or term, and a counter, in one order.
        term: Term,
        /// Counter within the term.
        turn: u32,
        /// Who executes it.
        holder: Slot,
        /// Which life of the holder.
        incarnation: Incarnation,
        /// 1 running, 2 frozen, 3 stopped.
        state: u8,
        /// Zero.
        reserved: [u8; 3],
        /// Version of its state: grows with every committed hop.
        version: u64,
    }
}

impl CpVersion {
    const fn check(&self) -> Result<(), Malformed> {
        if self.state < 1 || self.state > 3 {
            return Err(Malformed("unknown state of a circulating process"));
        }
        Ok(())
    }
}
fixed_frame!(CpVersion, CpVersion, CpVersion::check);
