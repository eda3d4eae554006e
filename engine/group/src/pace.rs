//! The interval that a sender keeps at present.

use crate::profile::{INTERVAL_MAX_NS, Profile};
use syncom_seam::{SECOND, Time};
use syncom_wire::beat::Beat;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::limits::{HOMES, OBSERVERS_MAX};
use syncom_wire::{Brief, Fixed, FrameHeader, Header};

/// How long a shorter interval must have sufficed before it is taken.
const CALM_NS: u64 = 30 * SECOND;
/// How much shorter an interval must be to be worth a change: observers begin a new schedule.
const HYSTERESIS: u64 = 2;
/// Bytes around a datagram: the headers of UDP, IPv6 and Ethernet.
const AROUND_BYTES: u64 = 62;
/// Bytes of a heartbeat on the wire, in full and in short.
const FULL_BYTES: u64 =
    (FrameHeader::SIZE + Heartbeat::SIZE + Header::OVERHEAD) as u64 + AROUND_BYTES;
const SHORT_BYTES: u64 = (Beat::SIZE + Brief::OVERHEAD) as u64 + AROUND_BYTES;
/// The least budget that can be kept, in bytes per second: heartbeats are never rarer than every 10 s.
pub const BUDGET_MIN: u64 = (interval_bytes(INTERVAL_MAX_NS) * SECOND).div_ceil(INTERVAL_MAX_NS);

/// Bytes per interval at most, of a node with all its observers: to them, now and then in full, and to
/// its homes and back.
const fn interval_bytes(interval_ns: u64) -> u64 {
    let in_full_every = Beat::in_full_every(interval_ns / 1_000);
    OBSERVERS_MAX as u64 * SHORT_BYTES
        + (OBSERVERS_MAX as u64 * (FULL_BYTES - SHORT_BYTES)).div_ceil(in_full_every)
        + 2 * HOMES as u64 * FULL_BYTES
}

/// The shortest interval that a budget allows, in bytes per second, in ns; 0 is no budget. The rarer
/// heartbeats are, the more of them go in full: each step asks for a longer interval than the last,
/// until one suffices.
fn floor_ns(budget: u64) -> u64 {
    let mut floor_ns = 0;
    loop {
        let next_ns = (interval_bytes(floor_ns) * SECOND).checked_div(budget).unwrap_or(0);
        if next_ns <= floor_ns || next_ns >= INTERVAL_MAX_NS {
            return next_ns.max(floor_ns).min(INTERVAL_MAX_NS);
        }
        floor_ns = next_ns;
    }
}

/// A heartbeat interval that follows the round trip and a budget: up at once, down only after 30 s
/// of calm, and then to the longest interval that was wanted meanwhile, if that is at most half.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval_ns: u64,
    /// What the budget allows at least, in ns.
    floor_ns: u64,
    /// Longest interval wanted since `calm_since`; below `interval_ns`.
    wanted_ns: u64,
    calm_since: Time,
}

impl Pace {
    /// Begins at the interval of the profile, or at what `budget` allows, in bytes per second and
    /// node (ALGORITHMS.md 4.2: η ≥ (K + 2r)·F / B); 0 is no budget.
    #[must_use]
    pub fn new(profile: &Profile, budget: u64, now: Time) -> Self {
        let floor_ns = floor_ns(budget);
        let interval_ns = profile.interval_for_ns(0).max(floor_ns);
        Self { interval_ns, floor_ns, wanted_ns: 0, calm_since: now }
    }

    /// Takes note of the largest smoothed round trip (0 when unknown) and returns the interval to
    /// keep and to announce, in ns.
    pub fn update(&mut self, profile: &Profile, srtt_ns: u64, now: Time) -> u64 {
        let wanted_ns = profile.interval_for_ns(srtt_ns).max(self.floor_ns);
        let fresh = |interval_ns| Self { interval_ns, wanted_ns: 0, calm_since: now, ..*self };
        if wanted_ns >= self.interval_ns {
            *self = fresh(wanted_ns);
            return wanted_ns;
        }
        self.wanted_ns = self.wanted_ns.max(wanted_ns);
        if now.since(self.calm_since) >= CALM_NS {
            let is_worth_it = self.wanted_ns <= self.interval_ns / HYSTERESIS;
            *self = fresh(if is_worth_it { self.wanted_ns } else { self.interval_ns });
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
        let mut pace = Pace::new(&profile, 0, at(0));
        assert_eq!(pace.update(&profile, MS, at(1)), 50 * MS);
        assert_eq!(pace.update(&profile, 50 * MS, at(2)), 400 * MS);
        assert_eq!(pace.update(&profile, MS, at(31)), 400 * MS);
        assert_eq!(pace.update(&profile, 25 * MS, at(31)), 400 * MS);
        assert_eq!(pace.update(&profile, MS, at(32)), 200 * MS, "the longest wanted meanwhile");
        assert_eq!(pace.update(&profile, MS, at(61)), 200 * MS);
        assert_eq!(pace.update(&profile, MS, at(62)), 50 * MS);
    }

    #[test]
    fn it_does_not_fall_for_less_than_half() {
        let profile = Profile::FAST;
        let at = |seconds| Time(seconds * SECOND);
        let mut pace = Pace::new(&profile, 0, at(0));
        assert_eq!(pace.update(&profile, 50 * MS, at(2)), 400 * MS);
        for second in 3..300 {
            assert_eq!(pace.update(&profile, 26 * MS, at(second)), 400 * MS);
        }
        // Calm is counted anew from when it was last seen that nothing is to be gained.
        assert_eq!(pace.update(&profile, 20 * MS, at(331)), 400 * MS);
        assert_eq!(pace.update(&profile, 20 * MS, at(340)), 400 * MS);
        assert_eq!(pace.update(&profile, 20 * MS, at(361)), 160 * MS);
    }

    #[test]
    fn it_never_costs_more_than_the_budget_nor_more_than_it_has_to() {
        let profile = Profile::DEFAULT;
        for budget in (BUDGET_MIN..5_000).step_by(7).chain([5_000, 9_000, 20_000, 100_000]) {
            let pace = Pace::new(&profile, budget, Time(0));
            let interval_ns = pace.interval_ns();
            let bytes_per_s = interval_bytes(interval_ns) * SECOND / interval_ns;
            assert!(bytes_per_s <= budget, "{budget}: {bytes_per_s}");
            let is_least = pace.interval_ns() == profile.interval_ns;
            assert!(is_least || bytes_per_s * 101 / 100 >= budget, "{budget}: {bytes_per_s}");
        }
        assert_eq!(Pace::new(&profile, 1, Time(0)).interval_ns(), INTERVAL_MAX_NS);
        let mut pace = Pace::new(&profile, 5_000, Time(0));
        let floor_ns = pace.interval_ns();
        assert!(floor_ns > profile.interval_ns);
        assert_eq!(pace.update(&profile, 0, Time(100 * SECOND)), floor_ns, "nor falls below it");
    }
}
