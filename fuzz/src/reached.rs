//! How far a script got: a target that never gets to what it is for proves nothing.

use syncom_seam::Counter;

/// How often a script reached what is worth fuzzing in streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Gaps that a receiving end asked for.
    pub asked: u64,
    /// Fragments that a sending end repeated.
    pub repeated: u64,
    /// Streams that began, or began anew.
    pub set_ups: u64,
}

impl Reached {
    /// Takes what was counted.
    pub(crate) fn note(&mut self, counter: Counter, by: u64) {
        match counter {
            Counter::StreamNaks => self.asked += by,
            Counter::StreamResent => self.repeated += by,
            Counter::StreamResets => self.set_ups += by,
            _ => {}
        }
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            asked: self.asked + other.asked,
            repeated: self.repeated + other.repeated,
            set_ups: self.set_ups + other.set_ups,
        }
    }
}
