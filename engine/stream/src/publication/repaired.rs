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

    /// The first position from `from` on that was not sent again after `since`.
    pub(super) fn skip(&self, since: Time, from: u64) -> u64 {
        let covers = |at: u64| {
            let is_covered = move |(start, end, when): &&(u64, u64, Time)| {
                *when > since && *start <= at && at < *end
            };
            self.latest.iter().find(is_covered).map(|repair| repair.1)
        };
        // Each step leaves one of them behind.
        (0..Self::KEPT).fold(from, |at, _| covers(at).unwrap_or(at))
    }

    /// Notes that `from..to` was sent again.
    pub(super) fn note(&mut self, now: Time, from: u64, to: u64) {
        if from < to
            && let Some(oldest) = self.latest.get_mut(self.hand)
        {
            *oldest = (from, to, now);
            self.hand = (self.hand + 1) % Self::KEPT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_again_lately_is_skipped_piece_by_piece() {
        let mut repaired = Repaired::default();
        assert_eq!(repaired.skip(Time(0), 10), 10);
        repaired.note(Time(100), 10, 20);
        repaired.note(Time(110), 20, 30);
        repaired.note(Time(110), 40, 40);
        assert_eq!(repaired.skip(Time(90), 12), 30);
        assert_eq!(repaired.skip(Time(90), 9), 9);
        assert_eq!(repaired.skip(Time(100), 12), 12, "that was long ago");
        for n in 0..40 {
            repaired.note(Time(120), 100 * n, 100 * n + 1);
        }
        assert_eq!(repaired.skip(Time(90), 12), 12, "only the latest are remembered");
    }
}
