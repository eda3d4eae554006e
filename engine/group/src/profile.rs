//! How fast a cluster wants to know, by name.

use core::fmt;
use syncom_seam::{MS, SECOND};

/// Shortest heartbeat interval: below it, timers and schedulers are the noise that is measured.
pub const INTERVAL_MIN_NS: u64 = 10 * MS;
/// Longest heartbeat interval: beyond it, nobody would call the result detection.
pub const INTERVAL_MAX_NS: u64 = 10 * SECOND;

/// What all members of a cluster agree on about heartbeats.
///
/// Detection after a crash takes between (m − 1)·η + α and m·η + α. A shorter interval costs
/// datagrams: (K/η + r/η_s) of about 100 bytes per node and second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in the configuration.
    pub name: &'static str,
    /// η: interval of heartbeats to observers, in ns, 10 ms to 10 s. Round trips above an eighth
    /// of it stretch it ([`Self::interval_for_ns`]).
    pub interval_ns: u64,
    /// m: heartbeats that may be missed, 2 to 16. With independent loss p an edge raises a false
    /// alarm with probability p^m per interval.
    pub misses: u32,
    /// α_min: the least margin on top, in ns, 1 ms to 1 s: what a scheduler may take on an
    /// ordinary bad day.
    pub margin_min_ns: u64,
    /// η_s: interval of heartbeats to homes, in ns, from `interval_ns` to 60 s. Homes vote when a
    /// node was silent for twice this.
    pub home_interval_ns: u64,
}

/// Why a profile is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileError(pub &'static str);

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile refused: {}", self.0)
    }
}

impl core::error::Error for ProfileError {}

impl Profile {
    /// A quarter of a second to a verdict, for 17 KB/s per node: small clusters, quiet machines.
    pub const FAST: Self = Self {
        name: "fast",
        interval_ns: 50 * MS,
        misses: 4,
        margin_min_ns: 30 * MS,
        home_interval_ns: 200 * MS,
    };

    /// Below one second to a verdict, for 4 KB/s per node: what suits almost everybody.
    pub const DEFAULT: Self = Self {
        name: "default",
        interval_ns: 200 * MS,
        misses: 4,
        margin_min_ns: 50 * MS,
        home_interval_ns: SECOND,
    };

    /// About three seconds to a verdict, for 1 KB/s per node and one wake-up a second: machines
    /// whose jobs suffer from every interruption.
    pub const QUIET: Self = Self {
        name: "quiet",
        interval_ns: SECOND,
        misses: 3,
        margin_min_ns: 100 * MS,
        home_interval_ns: 2 * SECOND,
    };

    /// All profiles that ship.
    pub const ALL: [Self; 3] = [Self::FAST, Self::DEFAULT, Self::QUIET];

    /// The profile with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Checks every field against its range and its neighbours.
    ///
    /// # Errors
    /// [`ProfileError`] with the first broken rule.
    pub const fn validate(&self) -> Result<(), ProfileError> {
        if self.interval_ns < INTERVAL_MIN_NS || self.interval_ns > INTERVAL_MAX_NS {
            return Err(ProfileError("the heartbeat interval must be 10 ms to 10 s"));
        }
        if self.misses < 2 || self.misses > 16 {
            return Err(ProfileError(
                "2 to 16 heartbeats may be missed: with 1, one lost datagram accuses",
            ));
        }
        if self.margin_min_ns < MS || self.margin_min_ns > SECOND {
            return Err(ProfileError("the least margin must be 1 ms to 1 s"));
        }
        if self.margin_min_ns > self.interval_ns {
            return Err(ProfileError(
                "the least margin must not exceed the interval: allow one more miss instead",
            ));
        }
        if self.home_interval_ns < self.interval_ns || self.home_interval_ns > 60 * SECOND {
            return Err(ProfileError(
                "the home interval must be at least the heartbeat interval and at most 60 s",
            ));
        }
        Ok(())
    }

    /// The interval that a smoothed round trip asks for: max(η, 8·SRTT), between 10 ms and 10 s.
    #[must_use]
    pub fn interval_for_ns(&self, srtt_ns: u64) -> u64 {
        self.interval_ns.max(srtt_ns.saturating_mul(8)).clamp(INTERVAL_MIN_NS, INTERVAL_MAX_NS)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_ships_is_valid_and_found_by_name() {
        for profile in Profile::ALL {
            assert_eq!(profile.validate(), Ok(()));
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("slow"), None);
    }

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        let good = Profile::DEFAULT;
        for bad in [
            Profile { interval_ns: 9 * MS, ..good },
            Profile { misses: 1, ..good },
            Profile { margin_min_ns: 0, ..good },
            Profile { margin_min_ns: 201 * MS, ..good },
            Profile { home_interval_ns: 100 * MS, ..good },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_round_trips_stretch_the_interval_within_bounds() {
        let profile = Profile::FAST;
        assert_eq!(profile.interval_for_ns(MS), 50 * MS);
        assert_eq!(profile.interval_for_ns(20 * MS), 160 * MS);
        assert_eq!(profile.interval_for_ns(u64::MAX), 10 * SECOND);
    }
}
