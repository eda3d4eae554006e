//! What a seed means: which replica is struck when, how, and for how long.
//!
//! Blows may overlap, never two that last on one replica. A plan is drawn before anything is struck,
//! so a seed and what this process may do say all of it.

use syncom_seam::{MS, Rng, SECOND};

/// Replicas of the station under attack.
const REPLICAS: usize = 3;
/// The station finds a leader before the first blow.
const CALM_NS: u64 = 500 * MS;

/// From whom a replica is cut off. Clients reach it still: what it tells them is the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The others neither hear it nor are heard.
    Whole,
    /// The others do not hear it.
    Mute,
    /// It does not hear the others.
    Deaf,
    /// It and one other replica do not hear each other; the third hears both.
    Between(u16),
}

/// What is done to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGKILL, and a new start where the clocks that count from boot begin anew, or far ahead when
    /// `is_ahead`: as on a host that was reset, or one that slept for days.
    Reset { is_ahead: bool },
    /// SIGSTOP, then SIGCONT.
    Stop,
    /// Its datagrams are dropped.
    Cut(Cut),
    /// Its wall clock is set off by so much, in ns, while it runs; lasts for ever.
    Step(i64),
}

impl Blow {
    /// Names of the kinds, in the order of [`Self::kind`]: the keys of the results.
    pub(super) const KINDS: [&'static str; 5] = ["kills", "stops", "cuts", "resets", "clock_steps"];

    /// Which kind this is.
    pub(super) const fn kind(self) -> usize {
        match self {
            Self::Kill => 0,
            Self::Stop => 1,
            Self::Cut(_) => 2,
            Self::Reset { .. } => 3,
            Self::Step(_) => 4,
        }
    }
}

/// A blow, its victim, and its time since the campaign began, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
    /// Number of the replica, from 1.
    pub(super) replica: u16,
    pub(super) blow: Blow,
}

/// What this process may do to replicas, signals and their wall clocks aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Means {
    /// Cut them off: a network of our own, and nftables.
    pub(super) cuts: bool,
    /// Let their clocks begin anew: time namespaces.
    pub(super) resets: bool,
}

/// The strokes of a campaign of so many seconds, in order of their beginnings.
pub(super) fn draw(seed: u64, seconds: u32, means: Means) -> Vec<Stroke> {
    let mut rng = Rng::new(seed);
    let over_ns = u64::from(seconds) * SECOND;
    let mut busy_until = [0; REPLICAS];
    let mut strokes = Vec::new();
    let mut at_ns = CALM_NS;
    while at_ns < over_ns {
        let victim = usize::try_from(rng.below(REPLICAS as u64)).unwrap_or(0);
        let blow = draw_blow(&mut rng, victim, means);
        let lasts_ns = match blow {
            Blow::Step(_) => 0,
            Blow::Kill | Blow::Reset { .. } | Blow::Stop | Blow::Cut(_) => {
                100 * MS + rng.below(1_500 * MS)
            }
        };
        if busy_until[victim] <= at_ns {
            let until_ns = at_ns + lasts_ns;
            busy_until[victim] = until_ns;
            let replica = u16::try_from(victim).unwrap_or(0) + 1;
            strokes.push(Stroke { from_ns: at_ns, until_ns, replica, blow });
        }
        // One in three comes before the last one has ended.
        let wait_ns = if rng.chance(1, 3) { 0 } else { lasts_ns };
        at_ns += wait_ns + 100 * MS + rng.below(300 * MS);
    }
    strokes
}

fn draw_blow(rng: &mut Rng, victim: usize, means: Means) -> Blow {
    loop {
        match rng.below(10) {
            0 | 1 => return Blow::Kill,
            2 if means.resets => return Blow::Reset { is_ahead: rng.chance(1, 2) },
            3 | 4 => return Blow::Stop,
            5..=7 if means.cuts => return Blow::Cut(draw_cut(rng, victim)),
            8 | 9 => return Blow::Step(draw_step(rng)),
            // Not ours to do: another one.
            _ => {}
        }
    }
}

fn draw_cut(rng: &mut Rng, victim: usize) -> Cut {
    match rng.below(5) {
        0 | 1 => Cut::Whole,
        2 => Cut::Mute,
        3 => Cut::Deaf,
        _ => {
            let step = usize::try_from(1 + rng.below(REPLICAS as u64 - 1)).unwrap_or(1);
            let other = (victim + step) % REPLICAS;
            Cut::Between(u16::try_from(other).unwrap_or(0) + 1)
        }
    }
}

/// From a correction to a clock that was set by hand, as in the simulator.
fn draw_step(rng: &mut Rng) -> i64 {
    let most = if rng.chance(1, 2) { 10 * SECOND } else { 3_600 * SECOND };
    let by_ns = i64::try_from(1 + rng.below(most)).unwrap_or(1);
    if rng.chance(1, 2) { by_ns } else { -by_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Means = Means { cuts: true, resets: true };

    #[test]
    fn a_seed_draws_the_same_plan_again_and_another_seed_another() {
        assert_eq!(draw(7, 30, ALL), draw(7, 30, ALL));
        assert_ne!(draw(7, 30, ALL), draw(8, 30, ALL));
    }

    #[test]
    fn every_kind_of_blow_is_drawn_and_only_those_within_our_means() {
        for (means, kinds) in [(ALL, vec![0, 1, 2, 3, 4]), (Means::default(), vec![0, 1, 4])] {
            let strokes: Vec<Stroke> = (0..20).flat_map(|seed| draw(seed, 20, means)).collect();
            let drawn: std::collections::BTreeSet<usize> =
                strokes.iter().map(|stroke| stroke.blow.kind()).collect();
            assert_eq!(drawn.into_iter().collect::<Vec<_>>(), kinds);
        }
    }

    #[test]
    fn strokes_overlap_but_not_on_one_replica_nor_with_themselves() {
        let mut overlaps = 0;
        for seed in 0..50 {
            let strokes = draw(seed, 10, ALL);
            assert!(strokes.iter().all(|stroke| stroke.from_ns < 10 * SECOND));
            for (at, stroke) in strokes.iter().enumerate() {
                for later in &strokes[at + 1..] {
                    assert!(stroke.from_ns <= later.from_ns);
                    let overlap = later.from_ns < stroke.until_ns;
                    assert!(!overlap || stroke.replica != later.replica, "{stroke:?} {later:?}");
                    overlaps += u32::from(overlap);
                }
                if let Blow::Cut(Cut::Between(other)) = stroke.blow {
                    assert!((1..=3).contains(&other) && other != stroke.replica);
                }
            }
        }
        assert!(overlaps > 20);
    }
}
