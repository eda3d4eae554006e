//! Round trip and retransmission timeout, as in RFC 6298.
//!
//! Samples come from stamps that the receiver echoes, so a repair gives a true sample as well
//! (Karn's problem does not arise). Pure: the same samples give the same timeouts.

use crate::config::Config;
use syncom_seam::{MS, SECOND, Time, US};

/// An estimate of the round trip.
#[derive(Debug, Default)]
pub(crate) struct Rtt {
    smoothed_ns: u64,
    variation_ns: u64,
}

impl Rtt {
    /// Timeout before the first sample.
    const FIRST_RTO_NS: u64 = 50 * MS;
    /// Longer samples are stamps of another life, or lies.
    const SAMPLE_MAX_NS: u64 = 60 * SECOND;

    /// The stamp that a fragment carries; never 0.
    pub(crate) fn stamp_us(now: Time) -> u32 {
        u32::try_from((now.0 / US) & u64::from(u32::MAX)).unwrap_or(1).max(1)
    }

    /// Learns from a stamp that came back; 0 is none. Returns the sample in ns.
    pub(crate) fn on_echo(&mut self, now: Time, echo_us: u32) -> Option<u64> {
        self.on_echo_below(now, echo_us, Self::SAMPLE_MAX_NS)
    }

    /// The same from one of many, who may have been stopped while all others were heard: a sample
    /// counts for at most a little more than twice what was known.
    pub(crate) fn on_echo_of_many(&mut self, now: Time, echo_us: u32) -> Option<u64> {
        let most_ns = match self.smoothed_ns {
            0 => Self::SAMPLE_MAX_NS,
            smoothed => 2 * smoothed + MS,
        };
        self.on_echo_below(now, echo_us, most_ns)
    }

    fn on_echo_below(&mut self, now: Time, echo_us: u32, most_ns: u64) -> Option<u64> {
        let sample = u64::from(Self::stamp_us(now).wrapping_sub(echo_us)) * US;
        if echo_us == 0 || sample > Self::SAMPLE_MAX_NS {
            return None;
        }
        let sample = sample.min(most_ns);
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.variation_ns) = (sample.max(1), sample / 2);
        } else {
            let error = self.smoothed_ns.abs_diff(sample);
            self.variation_ns = (3 * self.variation_ns + error) / 4;
            self.smoothed_ns = ((7 * self.smoothed_ns + sample) / 8).max(1);
        }
        Some(sample)
    }

    /// The smoothed round trip in ns; 0 before the first sample.
    pub(crate) const fn smoothed_ns(&self) -> u64 {
        self.smoothed_ns
    }

    /// The same in µs.
    pub(crate) fn smoothed_us(&self) -> u32 {
        u32::try_from(self.smoothed_ns / US).unwrap_or(u32::MAX)
    }

    /// The timeout after `doublings` fruitless ones.
    pub(crate) fn rto_ns(&self, config: &Config, doublings: u32) -> u64 {
        self.rto_between(config.rto_min_ns, config.rto_max_ns, doublings)
    }

    /// The timeout after `doublings` fruitless ones, within the bounds given.
    pub(crate) fn rto_between(&self, min_ns: u64, max_ns: u64, doublings: u32) -> u64 {
        let base = match self.smoothed_ns {
            0 => Self::FIRST_RTO_NS,
            smoothed => smoothed + (4 * self.variation_ns).max(MS),
        };
        let rto = base.clamp(min_ns, max_ns.max(min_ns));
        rto.saturating_mul(1 << doublings.min(20)).min(max_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_round_trip_and_doubles_up_to_its_bound() {
        let (config, mut rtt) = (Config::default(), Rtt::default());
        assert_eq!(rtt.rto_ns(&config, 0), 50 * MS);
        for n in 1..100 {
            let sent = Time(n * SECOND);
            rtt.on_echo(sent.after(20 * MS), Rtt::stamp_us(sent));
        }
        assert_eq!(rtt.smoothed_ns(), 20 * MS);
        assert_eq!(rtt.rto_ns(&config, 0), 21 * MS);
        assert_eq!(rtt.rto_ns(&config, 3), 168 * MS);
        assert_eq!(rtt.rto_ns(&config, 99), SECOND);
    }

    #[test]
    fn one_of_many_that_was_stopped_moves_the_estimate_a_little_only() {
        let mut rtt = Rtt::default();
        let stamp = |ago| Rtt::stamp_us(Time(100 * SECOND - ago));
        for _ in 0..100 {
            rtt.on_echo_of_many(Time(100 * SECOND), stamp(MS));
        }
        rtt.on_echo_of_many(Time(100 * SECOND), stamp(2 * SECOND));
        assert!(rtt.smoothed_ns() < 2 * MS);
        for _ in 0..200 {
            rtt.on_echo_of_many(Time(100 * SECOND), stamp(80 * MS));
        }
        assert!(rtt.smoothed_ns() > 75 * MS, "a way that became longer is believed in the end");
    }

    #[test]
    fn absent_and_absurd_echoes_teach_nothing() {
        let mut rtt = Rtt::default();
        rtt.on_echo(Time(5 * SECOND), 0);
        rtt.on_echo(Time(5 * SECOND), u32::MAX / 2);
        assert_eq!(rtt.smoothed_ns(), 0);
    }
}
