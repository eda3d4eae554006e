//! When to ask for what is missing.
//!
//! A gap is watched for a while first, since datagrams overtake each other; what was asked for is
//! asked for again no sooner than after a round trip; and when the sender itself wants to know,
//! everything is told at once. Shared by both kinds of receiving ends.
//!
//! **One of many** must not ask at once, or a datagram that all have lost brings a thousand requests
//! for one repair. Each waits for a random time and does not ask if the repair has come meanwhile.
//! The time is drawn as RFC 5740 (section 5.3.2, and the algorithm of section 3.4.2 of RFC 5401)
//! says: between 0 and a few round trips, late moments exponentially more likely than early ones, the more so the more there are.
//! Then somebody asks early, however many they are, and few ask before its answer comes.

use crate::reassembly::Reassembly;
use syncom_seam::{SECOND, Time, US};
use syncom_wire::stream::{Gap, StreamNak};

/// More listeners than 2 to this power are not told from so many.
const CROWD_MAX: u8 = 20;
/// The longest back-off, in round trips: RFC 5740's K.
const BACK_OFF_ROUND_TRIPS: u64 = 4;
/// An answer to many has so many round trips before anybody asks again.
const ANSWER_ROUND_TRIPS: u64 = 2;

/// A random time up to [`BACK_OFF_ROUND_TRIPS`], or less among few: the truncated exponential
/// distribution whose density doubles `crowd + 2` times from its beginning to its end.
fn back_off_ns(rtt_ns: u64, crowd: u8, chance: u64) -> u64 {
    const ONE: u64 = 1 << 16;
    let doublings = u64::from(crowd.min(CROWD_MAX)) + 2;
    // Uniform between 1 and 2^doublings, in units of `ONE`; its logarithm is what we want.
    let span = ((1 << doublings) - 1) * ONE;
    let drawn = ONE + u64::try_from((u128::from(chance) * u128::from(span)) >> 64).unwrap_or(0);
    let whole = u64::from(drawn.ilog2());
    let part = ((drawn - (1 << whole)) << 16) >> whole;
    let logarithm = ((whole - 16) << 16) + part;
    let most_ns = rtt_ns * (1 + u64::from(crowd)).min(BACK_OFF_ROUND_TRIPS);
    most_ns * logarithm / (doublings << 16)
}

/// What was asked for, and when to ask next.
#[derive(Debug)]
pub(crate) struct Naks {
    pause_min_ns: u64,
    pause_ns: u64,
    round: Time,
    /// Gaps below this were asked for when the round began, or before.
    old_to: u64,
    /// Gaps below this were asked for.
    to: u64,
    /// Gaps from `to` up to this are watched until `due`: they may be mere reordering.
    watch_to: u64,
    due: Time,
    /// When what was asked for is asked for again, by one of many; else whoever flushes looks.
    again: Time,
    /// The binary logarithm of how many listen, rounded up; `None` if there is no other.
    crowd: Option<u8>,
    all: bool,
}

/// Gaps to ask for, oldest first.
#[derive(Debug)]
pub(crate) struct Asked {
    gaps: [Gap; StreamNak::GAPS_MAX],
    count: usize,
}

impl Asked {
    /// The gaps themselves.
    pub(crate) fn gaps(&self) -> &[Gap] {
        self.gaps.get(..self.count).unwrap_or_default()
    }
}

impl Naks {
    /// Nothing was asked for. The same gap is asked for at most once per `pause_min_ns`.
    pub(crate) const fn new(pause_min_ns: u64) -> Self {
        Self {
            pause_min_ns,
            pause_ns: pause_min_ns,
            round: Time(0),
            old_to: 0,
            to: 0,
            watch_to: 0,
            due: Time::NEVER,
            again: Time::NEVER,
            crowd: None,
            all: false,
        }
    }

    /// The same for one of many.
    pub(crate) const fn of_many(pause_min_ns: u64) -> Self {
        Self { crowd: Some(0), ..Self::new(pause_min_ns) }
    }

    /// Adopts the sender's round trip as the pause between two requests for the same bytes.
    pub(crate) fn pace(&mut self, rtt_us: u32) {
        self.pause_ns = (u64::from(rtt_us) * US).clamp(self.pause_min_ns, SECOND);
    }

    /// The sender says how many listen: 2 to this power at most.
    pub(crate) fn crowd(&mut self, crowd: u8) {
        self.crowd = self.crowd.map(|_| crowd.min(CROWD_MAX));
    }

    /// How long to wait before asking, at random: not at all when there is no other.
    fn back_off_ns(&self, chance: u64) -> u64 {
        self.crowd.map_or(0, |crowd| back_off_ns(self.pause_ns, crowd, chance))
    }

    /// The sender wants to know everything that is missing.
    pub(crate) const fn ask_all(&mut self) {
        self.all = true;
    }

    /// When [`Self::ask`] is due; `NEVER` when no gap is watched.
    pub(crate) fn due(&self) -> Time {
        self.due.min(self.again)
    }

    /// Whether gaps are watched that were not asked for yet.
    pub(crate) fn is_watching(&self) -> bool {
        self.due != Time::NEVER
    }

    /// Watches nothing any more.
    pub(crate) const fn stop(&mut self) {
        (self.due, self.again) = (Time::NEVER, Time::NEVER);
    }

    /// What to ask for now: new gaps when they have outlived reordering, old ones after one to two
    /// round trips, all of them when the sender asks. Gaps seen for the first time are watched for
    /// an eighth of the pause, by one of many for its back-off in addition, to which it adds `chance`.
    pub(crate) fn ask(&mut self, now: Time, runs: &Reassembly, seen: u64, chance: u64) -> Asked {
        let asks_all = core::mem::take(&mut self.all);
        let is_new_round = asks_all
            || match self.crowd {
                None => now.since(self.round) >= self.pause_ns,
                Some(_) => self.again <= now,
            };
        let is_due = asks_all || self.due <= now;
        let again_below = match (asks_all, is_new_round) {
            (true, _) => self.to,
            (false, true) => self.old_to,
            (false, false) => 0,
        };
        let new_from = self.to;
        let new_below = match (asks_all, is_due) {
            (true, _) => seen,
            (false, true) => self.watch_to,
            (false, false) => 0,
        };
        let wanted = runs.gaps(seen).flat_map(|(from, to)| {
            [(from, to.min(again_below)), (from.max(new_from), to.min(new_below))]
        });
        let mut asked =
            Asked { gaps: [Gap { position: 0, len: 0 }; StreamNak::GAPS_MAX], count: 0 };
        for (gap, (from, to)) in asked.gaps.iter_mut().zip(wanted.filter(|(from, to)| from < to)) {
            *gap = Gap { position: from, len: u32::try_from(to - from).unwrap_or(u32::MAX) };
            asked.count += 1;
            self.to = self.to.max(to);
        }
        if is_new_round {
            (self.round, self.old_to) = (now, self.to);
        }
        if is_due {
            self.due = Time::NEVER;
        }
        if self.due == Time::NEVER && runs.gaps(seen).any(|gap| gap.1 > self.to) {
            self.watch_to = seen;
            self.due = now.after(self.pause_ns / 8 + self.back_off_ns(chance));
        }
        if self.crowd.is_some() {
            self.watch_answers(now, runs, seen, chance);
        }
        asked
    }

    /// One of many asks again for what it asked for when the answer had its time and the back-off
    /// is over once more.
    fn watch_answers(&mut self, now: Time, runs: &Reassembly, seen: u64, chance: u64) {
        let is_owed = runs.gaps(seen).next().is_some_and(|gap| gap.0 < self.to);
        if !is_owed {
            self.again = Time::NEVER;
        } else if self.again <= now || self.again == Time::NEVER {
            let back_off_ns = self.back_off_ns(chance.rotate_left(32));
            self.again = now.after(ANSWER_ROUND_TRIPS * self.pause_ns + back_off_ns);
            self.old_to = self.to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;
    use syncom_seam::Rng;

    const RTT_NS: u64 = 1_000_000;

    #[test]
    fn however_many_wait_one_of_them_asks_early_and_few_before_its_answer() {
        let mut rng = Rng::new(4);
        for (listeners, crowd, most) in [(3, 2, 3), (16, 4, 8), (100, 7, 8), (1000, 10, 14)] {
            let (mut asked, rounds) = (0, 200);
            for _ in 0..rounds {
                let times: Vec<u64> =
                    (0..listeners).map(|_| back_off_ns(RTT_NS, crowd, rng.next_u64())).collect();
                let first = *times.iter().min().unwrap();
                assert!(times.iter().all(|time| *time <= 4 * RTT_NS));
                asked += times.iter().filter(|time| **time <= first + RTT_NS).count();
            }
            assert!(asked < most * rounds, "{asked} of {listeners} in {rounds} rounds");
        }
    }

    #[test]
    fn back_off_covers_its_range_and_grows_with_the_crowd() {
        let at = |crowd, chance| back_off_ns(RTT_NS, crowd, chance);
        assert_eq!(at(0, 0), 0);
        assert!(at(0, u64::MAX) > RTT_NS * 9 / 10 && at(0, u64::MAX) <= RTT_NS);
        assert!(at(20, u64::MAX) > RTT_NS * 39 / 10 && at(255, u64::MAX) <= 4 * RTT_NS);
        let median = |crowd| at(crowd, u64::MAX / 2);
        assert!((0..20).all(|crowd| median(crowd) < median(crowd + 1)));
    }
}
