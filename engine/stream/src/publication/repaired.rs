//! What was sent again lately: of many receivers that miss the same bytes, one is served for all.

use syncom_seam::Time;

/// The latest repairs to many.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    latest: [(u64, u64, Time); Self::KEPT],
    hand: usize,
}

impl Repaired {
    const KEPT: usize = 32;

    /// Whether `from..to` was sent again after `since` already; notes it if not.
    pub(super) fn is_repeated(&mut self, now: Time, since: Time, from: u64, to: u64) -> bool {
        let covers = |(start, end, at): &(u64, u64, Time)| {
            *at > since && *start <= from && to <= *end && start < end
        };
        if self.latest.iter().any(covers) {
            return true;
        }
        if let Some(oldest) = self.latest.get_mut(self.hand) {
            *oldest = (from, to, now);
        }
        self.hand = (self.hand + 1) % Self::KEPT;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_gap_is_served_once_per_round_trip() {
        let mut repaired = Repaired::default();
        assert!(!repaired.is_repeated(Time(100), Time(90), 10, 20));
        assert!(repaired.is_repeated(Time(101), Time(91), 10, 20));
        assert!(repaired.is_repeated(Time(101), Time(91), 12, 20));
        assert!(!repaired.is_repeated(Time(101), Time(91), 12, 21));
        assert!(!repaired.is_repeated(Time(120), Time(110), 10, 20));
    }
}
