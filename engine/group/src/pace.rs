//! The interval that a sender keeps at present.

use crate::profile::Profile;
use syncom_seam::{SECOND, Time};

/// How long a shorter interval must have sufficed before it is taken.
const CALM_NS: u64 = 30 * SECOND;

/// A heartbeat interval that follows the round trip: up at once, down only after 30 s of calm, and
/// then to the longest interval that was wanted meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval_ns: u64,
    /// Longest interval wanted since `calm_since`; below `interval_ns`.
    wanted_ns: u64,
    calm_since: Time,
}

impl Pace {
    /// Begins at the interval of the profile.
    #[must_use]
    pub fn new(profile: &Profile, now: Time) -> Self {
        Self { interval_ns: profile.interval_for_ns(0), wanted_ns: 0, calm_since: now }
    }

    /// Takes note of the largest smoothed round trip (0 when unknown) and returns the interval to
    /// keep and to announce, in ns.
    pub fn update(&mut self, profile: &Profile, srtt_ns: u64, now: Time) -> u64 {
        let wanted_ns = profile.interval_for_ns(srtt_ns);
        if wanted_ns >= self.interval_ns {
            *self = Self { interval_ns: wanted_ns, wanted_ns: 0, calm_since: now };
            return wanted_ns;
        }
        self.wanted_ns = self.wanted_ns.max(wanted_ns);
        if now.since(self.calm_since) >= CALM_NS {
            *self = Self { interval_ns: self.wanted_ns, wanted_ns: 0, calm_since: now };
        }
        self.interval_ns
    }

    /// The interval, in ns, as of the last call.
    #[must_use]
    pub const fn interval_ns(&self) -> u64 {
        self.interval_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::MS;

    #[test]
    fn it_rises_at_once_and_falls_after_half_a_minute() {
        let profile = Profile::FAST;
        let at = |seconds| Time(seconds * SECOND);
        let mut pace = Pace::new(&profile, at(0));
        assert_eq!(pace.update(&profile, MS, at(1)), 50 * MS);
        assert_eq!(pace.update(&profile, 50 * MS, at(2)), 400 * MS);
        assert_eq!(pace.update(&profile, MS, at(31)), 400 * MS);
        assert_eq!(pace.update(&profile, 25 * MS, at(31)), 400 * MS);
        assert_eq!(pace.update(&profile, MS, at(32)), 200 * MS, "the longest wanted meanwhile");
        assert_eq!(pace.update(&profile, MS, at(61)), 200 * MS);
        assert_eq!(pace.update(&profile, MS, at(62)), 50 * MS);
    }
}
