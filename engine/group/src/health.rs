//! How much a watcher should trust itself.
//!
//! A process that is late, drops what it receives or is often refuted is a bad witness. Lifeguard
//! (Dadgar et al., 2018, section 4.1) keeps a small saturating counter of such events; here it also
//! travels in each report and weighs it ([`crate::vote`]), and it widens our own margins.

use syncom_seam::{SECOND, Time};

/// Local health: 0 is well, 7 is as bad as it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalHealth {
    level: u8,
    /// Start of the clean second that is being earned.
    clean_since: Time,
}

impl LocalHealth {
    /// As bad as it gets.
    pub const MAX: u8 = 7;

    /// Something speaks against us: a late tick, a dropped datagram, a refuted accusation. Costs
    /// one level and the clean time earned so far.
    pub fn blame(&mut self, now: Time) {
        self.settle(now);
        self.level = (self.level + 1).min(Self::MAX);
        self.clean_since = now;
    }

    /// Gives back one level per clean second; call it now and then. Returns the level.
    pub fn settle(&mut self, now: Time) -> u8 {
        let seconds = now.since(self.clean_since) / SECOND;
        self.clean_since = self.clean_since.after(seconds * SECOND);
        self.level = self.level.saturating_sub(u8::try_from(seconds).unwrap_or(u8::MAX));
        self.level
    }

    /// The level, 0 to 7, as of the last call.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_costs_one_and_each_clean_second_gives_one_back() {
        let mut health = LocalHealth::default();
        let start = Time(100 * SECOND);
        for _ in 0..10 {
            health.blame(start);
        }
        assert_eq!(health.level(), 7);
        assert_eq!(health.settle(start.after(SECOND - 1)), 7);
        assert_eq!(health.settle(start.after(SECOND)), 6);
        assert_eq!(health.settle(start.after(3 * SECOND + 5)), 4);
        health.blame(start.after(3 * SECOND + 900_000_000));
        assert_eq!(health.settle(start.after(4 * SECOND + 800_000_000)), 5);
        assert_eq!(health.settle(start.after(1000 * SECOND)), 0);
    }
}
