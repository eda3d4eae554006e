//! When to stand for election, and when not to vote.
//!
//! The library draws timeouts from a random source of its own. We overwrite them by a pure function
//! of seed, replica and term after every call, so that a run can be repeated.

use crate::config::RaftTiming;
use syncom_seam::Time;
use syncom_wire::ids::mix;

/// A replica's part in elections.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    seed: u64,
    timing: RaftTiming,
    /// Until then no vote is given: a leader that this replica heard in its last life may live on.
    quiet_until: Time,
}

impl Election {
    pub(crate) const fn new(seed: u64, timing: RaftTiming) -> Self {
        Self { seed, timing, quiet_until: Time(0) }
    }

    /// Begins the silence after a restart.
    pub(crate) const fn keep_quiet(&mut self, now: Time) {
        self.quiet_until = now.after(self.timing.election_max_ns());
    }

    /// Whether requests for votes are ignored.
    pub(crate) const fn is_quiet(&self, now: Time) -> bool {
        now.0 < self.quiet_until.0
    }

    /// The timeout in ticks in a term: from `election_ticks` to below twice as many.
    pub(crate) fn timeout_ticks(&self, term: u64) -> usize {
        let spread = self.timing.election_ticks as u64;
        let draw = mix(self.seed ^ mix(term)) % spread;
        self.timing.election_ticks + usize::try_from(draw).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn timeouts_are_spread_over_the_range_and_repeat() {
        let election = Election::new(7, RaftTiming::SHARED);
        let draws: BTreeSet<usize> = (0..400).map(|term| election.timeout_ticks(term)).collect();
        assert_eq!(draws, (20..40).collect());
        assert_eq!(
            election.timeout_ticks(3),
            Election::new(7, RaftTiming::SHARED).timeout_ticks(3)
        );
    }

    #[test]
    fn a_restarted_replica_keeps_quiet_for_the_longest_timeout() {
        let mut election = Election::new(7, RaftTiming::FAST);
        election.keep_quiet(Time(1_000));
        assert!(election.is_quiet(Time(200_000_999)) && !election.is_quiet(Time(200_001_000)));
    }
}
