//! Time as all replicas agree on it: what passes between entries, by the wall clock of whoever
//! wrote them.
//!
//! Limits and pauses are counted in this time. A wall clock that jumps back adds nothing, so it
//! neither holds anything down nor makes anything happen twice; a new leader's clock counts from
//! where it stands.

use crate::machine::encoder::Encoder;
use syncom_wire::{Malformed, Reader};

/// Time that has passed in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    elapsed_ns: u64,
    wall_ns: u64,
}

impl Clock {
    /// An entry was written at that wall time.
    pub(crate) fn advance(&mut self, wall_ns: u64) {
        *self = Self { elapsed_ns: self.at(wall_ns), wall_ns };
    }

    /// Time that has passed when the wall clock of whoever wrote the last entry shows this, in ns.
    pub(crate) const fn at(&self, wall_ns: u64) -> u64 {
        if self.wall_ns == 0 {
            return self.elapsed_ns;
        }
        self.elapsed_ns.saturating_add(wall_ns.saturating_sub(self.wall_ns))
    }

    /// What the wall clock of whoever wrote the last entry showed, in ns.
    pub(crate) const fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.elapsed_ns);
        out.field(self.wall_ns);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { elapsed_ns: reader.field()?, wall_ns: reader.field()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_jumps_back_adds_nothing() {
        let mut clock = Clock::default();
        clock.advance(1_000);
        clock.advance(1_500);
        assert_eq!(clock.at(1_700), 700);
        clock.advance(200);
        assert_eq!((clock.at(200), clock.at(300)), (500, 600));
        clock.advance(300);
        assert_eq!(clock.at(300), 600);
    }
}
