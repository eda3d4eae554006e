//! The interval that a sender keeps at present, and whether it speaks to its observers all at once.
//!
//! Where a budget lets a node speak to all of them at the interval of its profile, it does. Where it
//! does not, to speak rarely to all would make its death known late. So it speaks to one at a time,
//! round and round: something of it is due to somebody all the time, and whoever misses that asks the
//! node itself before it accuses it. All others are on call: they are asked by the homes, and ask the
//! node in turn, as members of SWIM do who get a ping-req (Das, Gupta, Motivala, DSN 2002). A step of
//! that round is what `interval` means here then; what is announced to observers, and holds for each
//! of them, is the whole round.

use crate::profile::{INTERVAL_MAX_NS, Profile};
use syncom_seam::{SECOND, Time};
use syncom_wire::beat::Beat;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::limits::{HOMES, OBSERVERS_MAX};
use syncom_wire::probe::{Probe, ProbeAnswer};
use syncom_wire::{Brief, Fixed, FrameHeader, Header};

/// How long a shorter interval must have sufficed before it is taken.
const CALM_NS: u64 = 30 * SECOND;
/// How much shorter an interval must be to be worth a change: observers begin a new schedule.
const HYSTERESIS: u64 = 2;
/// Bytes around a datagram: the headers of UDP, IPv6 and Ethernet.
const AROUND_BYTES: u64 = 62;
/// Bytes around a frame, seal included.
const SEALED_BYTES: u64 = (FrameHeader::SIZE + Header::OVERHEAD) as u64 + AROUND_BYTES;
/// Bytes of a heartbeat on the wire, in full and in short.
const FULL_BYTES: u64 = Heartbeat::SIZE as u64 + SEALED_BYTES;
const SHORT_BYTES: u64 = (Beat::SIZE + Brief::OVERHEAD) as u64 + AROUND_BYTES;
/// Bytes of a question to a node that was missed, and of its answer.
const QUESTION_BYTES: u64 = (Probe::SIZE + ProbeAnswer::SIZE) as u64 + 2 * SEALED_BYTES;
/// Of so many heartbeats one is lost, and asked for, on a network that a budget reckons with.
const LOST_ONE_IN: u64 = 100;
/// Longest step of a round, in ns: one of eight takes 20 s.
const STEP_MAX_NS: u64 = 2_500_000_000;
/// Steps from one heartbeat to the homes to the next: they matter less, for each round of theirs asks
/// the node anyhow.
const HOME_STEPS: u64 = 32;
/// Longest time between two of those, in ns.
const HOME_MAX_NS: u64 = 20 * SECOND;
/// The least budget that can be kept, in bytes per second: something is said at least every 2.5 s.
pub const BUDGET_MIN: u64 = step_bytes_per_s(STEP_MAX_NS, HOME_MAX_NS);

/// Bytes per interval at most, of a node with all its observers, all at once: to them, now and then in
/// full, and to its homes and back.
const fn interval_bytes(interval_ns: u64) -> u64 {
    let in_full_every = Beat::in_full_every(interval_ns / 1_000);
    OBSERVERS_MAX as u64 * SHORT_BYTES
        + (OBSERVERS_MAX as u64 * (FULL_BYTES - SHORT_BYTES)).div_ceil(in_full_every)
        + 2 * HOMES as u64 * FULL_BYTES
}

/// The shortest interval that a budget allows, in bytes per second, all at once, in ns; 0 is no
/// budget. The rarer heartbeats are, the more of them go in full: each step asks for a longer
/// interval than the last, until one suffices.
fn burst_floor_ns(budget: u64) -> u64 {
    let mut floor_ns = 0;
    loop {
        let next_ns = (interval_bytes(floor_ns) * SECOND).checked_div(budget).unwrap_or(0);
        if next_ns <= floor_ns || next_ns >= INTERVAL_MAX_NS {
            return next_ns.max(floor_ns).min(INTERVAL_MAX_NS);
        }
        floor_ns = next_ns;
    }
}

/// Bytes per second at most, of a node that speaks to one observer each step: in short, now and then
/// in full, with what is asked and answered when it is lost; to its homes and back.
const fn step_bytes_per_s(step_ns: u64, home_interval_ns: u64) -> u64 {
    let step_bytes = SHORT_BYTES
        + (FULL_BYTES - SHORT_BYTES).div_ceil(Beat::IN_FULL_IN_TURN)
        + QUESTION_BYTES.div_ceil(LOST_ONE_IN);
    (step_bytes * SECOND).div_ceil(step_ns)
        + (2 * HOMES as u64 * FULL_BYTES * SECOND).div_ceil(home_interval_ns)
}

/// The interval of heartbeats to the homes at this step, in ns.
fn home_interval_ns(step_ns: u64, profile: &Profile) -> u64 {
    (HOME_STEPS * step_ns).min(HOME_MAX_NS).max(profile.home_interval_ns)
}

/// The shortest step that a budget allows, in ns.
fn step_floor_ns(budget: u64, profile: &Profile) -> u64 {
    let (mut low_ns, mut high_ns) = (1, STEP_MAX_NS);
    while low_ns < high_ns {
        let step_ns = low_ns.midpoint(high_ns);
        if step_bytes_per_s(step_ns, home_interval_ns(step_ns, profile)) <= budget {
            high_ns = step_ns;
        } else {
            low_ns = step_ns + 1;
        }
    }
    high_ns
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
    /// `None` when all observers hear it at once.
    rounds: Option<Rounds>,
}

/// The present round of a node that speaks in turn, and the next one. What is wanted now holds from
/// the next one on: everybody must have been told before that its turn comes later.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    present: Round,
    next: Round,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    turns: u64,
    step_ns: u64,
}

impl Pace {
    /// Begins at the interval of the profile, or at what `budget` allows, in bytes per second and
    /// node; 0 is no budget. Where it does not allow the interval of the profile for all observers at
    /// once (ALGORITHMS.md 4.2: η ≥ (K + 2r)·F / B), they hear of the node in turn.
    #[must_use]
    pub fn new(profile: &Profile, budget: u64, now: Time) -> Self {
        let is_in_turn = burst_floor_ns(budget) > profile.interval_for_ns(0);
        let floor_ns = if is_in_turn { step_floor_ns(budget, profile) } else { 0 };
        // As long as nobody is told in turn, it may be that many.
        let round = Round { turns: OBSERVERS_MAX as u64, step_ns: 0 };
        let rounds = is_in_turn.then_some(Rounds { present: round, next: round });
        let mut pace = Self { interval_ns: 0, floor_ns, wanted_ns: 0, calm_since: now, rounds };
        pace.interval_ns = pace.wanted_for_ns(profile, 0);
        let step_ns = pace.interval_ns;
        if let Some(rounds) = &mut pace.rounds {
            (rounds.present.step_ns, rounds.next.step_ns) = (step_ns, step_ns);
        }
        pace
    }

    /// What this round trip asks for, in ns. A step is half of what an interval would be at the most:
    /// each observer hears one in eight.
    fn wanted_for_ns(&self, profile: &Profile, srtt_ns: u64) -> u64 {
        let interval_ns = profile.interval_for_ns(srtt_ns);
        if self.is_in_turn() { (interval_ns / 2).max(self.floor_ns) } else { interval_ns }
    }

    /// Takes note of the largest smoothed round trip (0 when unknown) and returns the interval to
    /// keep, in ns.
    pub fn update(&mut self, profile: &Profile, srtt_ns: u64, now: Time) -> u64 {
        let wanted_ns = self.wanted_for_ns(profile, srtt_ns);
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

    /// From one time that something is said to observers to the next, in ns, as of the last call.
    #[must_use]
    pub fn interval_ns(&self) -> u64 {
        self.rounds.map_or(self.interval_ns, |rounds| rounds.present.step_ns)
    }

    /// Whether observers hear the node in turn, and not all at once.
    #[must_use]
    pub const fn is_in_turn(&self) -> bool {
        self.rounds.is_some()
    }

    /// A round ends: the next one begins as it was announced, and the one after it is to suffice for so
    /// many observers. Returns its turns, one at least.
    pub fn begin_round(&mut self, observers: usize) -> usize {
        let Some(rounds) = &mut self.rounds else { return observers };
        let turns = u64::try_from(observers.clamp(1, OBSERVERS_MAX)).unwrap_or(1);
        rounds.present = rounds.next;
        rounds.next = Round { turns, step_ns: self.interval_ns };
        usize::try_from(rounds.present.turns).unwrap_or(1)
    }

    /// What each observer is told to expect at most, in ns: the interval, or a whole round.
    #[must_use]
    pub fn announced_ns(&self) -> u64 {
        self.rounds.map_or(self.interval_ns, |Rounds { present, next }| {
            present.turns.max(next.turns) * present.step_ns.max(next.step_ns)
        })
    }

    /// The interval of heartbeats to the homes, in ns: the profile's, and never below the one towards
    /// observers.
    #[must_use]
    pub fn home_interval_ns(&self, profile: &Profile) -> u64 {
        if self.is_in_turn() {
            home_interval_ns(self.interval_ns, profile)
        } else {
            profile.home_interval_ns.max(self.interval_ns)
        }
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
        for profile in Profile::ALL {
            for budget in (BUDGET_MIN..5_000).step_by(7).chain([5_000, 9_000, 20_000, 100_000]) {
                let pace = Pace::new(&profile, budget, Time(0));
                let interval_ns = pace.interval_ns();
                let bytes_per_s = if pace.is_in_turn() {
                    step_bytes_per_s(interval_ns, pace.home_interval_ns(&profile))
                } else {
                    interval_bytes(interval_ns) * SECOND / interval_ns
                };
                assert!(bytes_per_s <= budget, "{budget}: {bytes_per_s}");
                let is_least =
                    interval_ns == profile.interval_ns / if pace.is_in_turn() { 2 } else { 1 };
                assert!(is_least || bytes_per_s * 101 / 100 >= budget, "{budget}: {bytes_per_s}");
            }
        }
    }

    #[test]
    fn what_does_not_suffice_for_all_at_once_goes_to_one_after_the_other() {
        let profile = Profile::DEFAULT;
        for budget in [0, 20_000] {
            let mut pace = Pace::new(&profile, budget, Time(0));
            pace.begin_round(8);
            assert!(!pace.is_in_turn());
            assert_eq!((pace.interval_ns(), pace.announced_ns()), (200 * MS, 200 * MS));
            assert_eq!(pace.home_interval_ns(&profile), SECOND);
        }
        let mut pace = Pace::new(&profile, 300, Time(0));
        assert!(pace.is_in_turn());
        let step_ns = pace.interval_ns();
        assert!((400 * MS..500 * MS).contains(&step_ns), "{step_ns}");
        assert_eq!(pace.update(&profile, 0, Time(100 * SECOND)), step_ns, "nor falls below it");
        assert_eq!(pace.update(&profile, 200 * MS, Time(200 * SECOND)), 800 * MS, "it is far away");
        assert_eq!(
            (pace.interval_ns(), pace.announced_ns()),
            (step_ns, 8 * step_ns),
            "not told yet"
        );
        assert_eq!(pace.begin_round(8), 8);
        assert_eq!((pace.interval_ns(), pace.announced_ns()), (step_ns, 6_400 * MS), "it is now");
        assert_eq!(pace.begin_round(1), 8);
        assert_eq!((pace.interval_ns(), pace.announced_ns()), (800 * MS, 6_400 * MS));
        assert_eq!(pace.begin_round(3), 1);
        assert_eq!(pace.announced_ns(), 2_400 * MS);
        assert_eq!(pace.begin_round(0), 3);
        assert_eq!((pace.begin_round(0), pace.announced_ns()), (1, 800 * MS));
        assert_eq!(pace.home_interval_ns(&profile), HOME_MAX_NS);
        assert_eq!(Pace::new(&profile, 1, Time(0)).interval_ns(), STEP_MAX_NS);
    }
}
