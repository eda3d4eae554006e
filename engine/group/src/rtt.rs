//! How long an answer takes, and when to stop waiting for it (RFC 6298).

use syncom_seam::{MS, SECOND};

/// Time-out before the first sample. RFC 6298 2.1 says 1 s for the internet; inside a cluster a
/// needless repetition costs one idempotent datagram.
const RTO_FIRST_NS: u64 = 200 * MS;
/// Least allowance for variation (the clock granularity G of RFC 6298 2.3).
const VARIATION_MIN_NS: u64 = MS;
/// Longest time-out after back-off.
const RTO_MAX_NS: u64 = 10 * SECOND;
/// Longest believable sample.
const SAMPLE_MAX_NS: u64 = 60 * SECOND;

/// A smoothed round trip, its variation, and the time-out that follows, all in ns.
///
/// Samples must come from echoed timestamps, which belong to one transmission by construction, so
/// Karn's rule is met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    srtt_ns: u64,
    variation_ns: u64,
}

impl RoundTrip {
    /// Nothing measured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { srtt_ns: 0, variation_ns: 0 }
    }

    /// Takes one measurement (RFC 6298 2.2 and 2.3, gains 1/8 and 1/4).
    pub fn sample(&mut self, round_trip_ns: u64) {
        let sample_ns = round_trip_ns.clamp(1, SAMPLE_MAX_NS);
        if self.srtt_ns == 0 {
            *self = Self { srtt_ns: sample_ns, variation_ns: sample_ns / 2 };
            return;
        }
        let error_ns = self.srtt_ns.abs_diff(sample_ns);
        self.variation_ns = (3 * self.variation_ns + error_ns) / 4;
        self.srtt_ns = ((7 * self.srtt_ns + sample_ns) / 8).max(1);
    }

    /// The smoothed round trip, in ns; `None` before the first sample.
    #[must_use]
    pub const fn srtt_ns(&self) -> Option<u64> {
        if self.srtt_ns == 0 { None } else { Some(self.srtt_ns) }
    }

    /// The smoothed round trip in µs as heartbeats carry it, rounded up; 0 when unknown.
    #[must_use]
    pub fn srtt_us(&self) -> u32 {
        u32::try_from(self.srtt_ns.div_ceil(1_000)).unwrap_or(u32::MAX)
    }

    /// The time-out of a first transmission: SRTT + max(4·RTTVAR, 1 ms), in ns.
    #[must_use]
    pub fn rto_ns(&self) -> u64 {
        if self.srtt_ns == 0 {
            return RTO_FIRST_NS;
        }
        (self.srtt_ns + (4 * self.variation_ns).max(VARIATION_MIN_NS)).min(RTO_MAX_NS)
    }

    /// The time-out after `repeats` repetitions: doubled for each, at most 10 s, in ns. The caller
    /// adds jitter ([`syncom_seam::Rng::jitter`]).
    #[must_use]
    pub fn backed_off_ns(&self, repeats: u32) -> u64 {
        self.rto_ns().saturating_mul(1 << repeats.min(20)).min(RTO_MAX_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_sets_both_estimates() {
        let mut rtt = RoundTrip::new();
        assert_eq!((rtt.srtt_ns(), rtt.rto_ns()), (None, 200 * MS));
        rtt.sample(8 * MS);
        assert_eq!((rtt.srtt_ns(), rtt.rto_ns()), (Some(8 * MS), 24 * MS));
    }

    #[test]
    fn steady_samples_shrink_the_time_out_to_the_granularity() {
        let mut rtt = RoundTrip::new();
        for _ in 0..100 {
            rtt.sample(2 * MS);
        }
        assert_eq!(rtt.rto_ns(), 3 * MS);
        rtt.sample(10 * MS);
        assert_eq!(rtt.srtt_ns(), Some(3 * MS));
        assert!(rtt.rto_ns() >= 11 * MS);
    }

    #[test]
    fn back_off_doubles_up_to_its_bound() {
        let mut rtt = RoundTrip::new();
        rtt.sample(2 * MS);
        let first = rtt.rto_ns();
        assert_eq!(rtt.backed_off_ns(3), 8 * first);
        assert_eq!(rtt.backed_off_ns(u32::MAX), 10 * SECOND);
        rtt.sample(u64::MAX);
        assert!(rtt.rto_ns() <= 10 * SECOND);
    }
}
