//! What a receiver may have sent again, by what it acknowledges.
//!
//! A window per round trip bounds repairs only as far as round trips are true, and they are what the
//! receiver says they are. So the only receiver of a stream earns what it wants repeated by
//! acknowledging: one that asks without end gets little, and its requests cost no more than its
//! stream does.

use super::PublicationConfig;
use syncom_seam::{MS, Time};

/// Bytes that may be sent again.
#[derive(Debug, Default)]
pub(super) struct Credit {
    left: usize,
    given: Time,
}

impl Credit {
    /// Bytes earned by each one acknowledged: enough where two of three datagrams are lost.
    const PER_BYTE: usize = 2;
    /// A window is given for nothing so often: after a time in which nothing passed, a receiver has
    /// nothing to acknowledge.
    const GIFT_NS: u64 = 100 * MS;

    /// So many bytes were acknowledged.
    pub(super) fn earn(&mut self, bytes: u64, window: usize) {
        let earned = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(Self::PER_BYTE);
        self.left = self.left.saturating_add(earned).min(2 * window);
    }

    /// Pays for a fragment of `count` bytes; false when there is not enough left.
    pub(super) fn pay(&mut self, now: Time, count: usize, window: usize) -> bool {
        if now.since(self.given) >= Self::GIFT_NS {
            (self.left, self.given) = (self.left.max(window), now);
        }
        // A fragment of one byte is a datagram, too.
        let rest = self.left.checked_sub(count + PublicationConfig::OVERHEAD);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::SECOND;

    #[test]
    fn credit_is_earned_twice_over_and_given_once_in_a_while() {
        let (mut credit, now, window) = (Credit::default(), Time(SECOND), 4000);
        let pay = |credit: &mut Credit, now| credit.pay(now, 1000, window);
        assert!(pay(&mut credit, now) && pay(&mut credit, now) && pay(&mut credit, now));
        assert!(!pay(&mut credit, now), "a window less what is around each fragment");
        credit.earn(500, window);
        assert!(pay(&mut credit, now) && !pay(&mut credit, now));
        let later = now.after(Credit::GIFT_NS);
        assert!(!pay(&mut credit, Time(later.0 - 1)) && pay(&mut credit, later));
        credit.earn(u64::MAX, window);
        let fragments = (0..100).filter(|_| pay(&mut credit, later)).count();
        assert!((6..8).contains(&fragments), "two windows at most: {fragments}");
    }
}
