//! Letting calm time pass without living through it.
//!
//! In a calm cluster nothing happens but heartbeats, on grids that never change. While it is calm the
//! world is *stopped* for as long as nothing can come of them, and goes on afterwards as if no time had
//! passed: no role notices, for all of them keep time by the same clock, and all that recurs does so
//! in a period that divides [`PERIOD_NS`]. What remains of a heartbeat's fate in those who hear it,
//! estimates of arrivals and round trips, is renewed by living through [`WARM_NS`] before the next
//! moment that matters: the mean is over 32 heartbeats, and two error estimates under the same
//! arrivals become equal, not only alike, because they are whole nanoseconds. So the next moment that
//! matters finds every observer in the state in which it would have been; that all that is said and
//! concluded from then on is the same is what `tests/hours.rs` compares.
//!
//! What matters: an observer accuses when it has heard nothing for (m − 1)·η + α past the expected
//! arrival, so when m heartbeats *in a row* of one node to one observer are lost. Fates are thrown by
//! [`Dice`], so they can be looked up: of m in a row, one has a number that m divides, and only those
//! are looked at first. Everything else that ends a calm (strikes, bad cables) is planned.
//!
//! [`Dice`]: crate::dice::Dice

use super::stages::Trial;
use crate::beats::Beats;
use syncom_seam::{SECOND, Time};

/// Nobody has said anything for so long, in ns: longer than any word, doubt, grace or grudge is kept.
const CALM_NS: u64 = 40 * SECOND;
/// How long the cluster lives before anything that matters, in ns: 200 heartbeats of the default
/// profile.
const WARM_NS: u64 = 40 * SECOND;
/// All that recurs in a calm cluster does so in a period that divides this, in ns: heartbeats (0.2 and
/// 1 s), ticks of replicas (20 ms, and 60), of satellites (0.2 s), their figures (2 s).
const PERIOD_NS: u64 = 6 * SECOND;
/// A run of losses, and what it leads to at first, takes less, in ns.
const RUN_NS: u64 = 3 * SECOND;

/// Moments at which heartbeats in a row begin to be lost, and for which heartbeats they were found.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// Who beats for whom, and where on the grid.
    paths: Vec<(usize, usize, u64)>,
    /// Up to when they were looked for.
    until: Time,
    /// In the cluster's time, ascending.
    begin: Vec<Time>,
}

impl Trial<'_> {
    /// The present, the time that was skipped included.
    pub(super) fn present(&self) -> Time {
        self.world.now.after(self.skipped_ns)
    }

    /// Lets time pass until `until`; with `runs`, without living through what does not matter.
    pub(super) fn pass(&mut self, until: Time, mut runs: Option<&mut Runs>) {
        while self.present() < until {
            let is_calm = self.is_calm();
            let mut live_ns = SECOND;
            if let Some(runs) = runs.as_deref_mut().filter(|_| is_calm) {
                self.find_runs(runs, until);
                let now = self.present();
                let recent = Time(now.0.saturating_sub(RUN_NS));
                let next = runs.begin.iter().find(|begin| **begin > recent);
                let next = next.map_or(until, |begin| until.min(*begin));
                let free_ns = next.since(now).saturating_sub(WARM_NS) / PERIOD_NS * PERIOD_NS;
                self.skip(free_ns);
                live_ns = next.after(RUN_NS).since(self.present());
            }
            let live_ns = live_ns.min(until.since(self.present()));
            self.world.run_until(self.world.now.after(live_ns));
        }
    }

    fn is_calm(&self) -> bool {
        let newest = self.world.transcript.as_ref().map(|transcript| transcript.newest());
        newest.is_some_and(|newest| self.world.now.since(newest) >= CALM_NS)
            && self.alive() == self.plan.nodes
    }

    /// Stops the world for so long.
    fn skip(&mut self, for_ns: u64) {
        self.skipped_ns += for_ns;
        if let Some(transcript) = &mut self.world.transcript {
            transcript.skipped_ns = self.skipped_ns;
        }
        if let Some((_, skipped_ns)) = &mut self.world.network.dice {
            *skipped_ns = self.skipped_ns;
        }
    }

    /// Listens for two intervals, and looks up what becomes of all heartbeats until `until`, unless
    /// that is known.
    fn find_runs(&mut self, runs: &mut Runs, until: Time) {
        let interval_ns = self.plan.profile.interval_ns;
        self.world.beats = Some(Beats::new(self.first_node()));
        self.world.run_until(self.world.now.after(2 * interval_ns));
        let Some(beats) = self.world.beats.take() else { return };
        let Some((dice, _)) = self.world.network.dice else { return };
        let grid = |at: Time| at.after(self.skipped_ns).0 % interval_ns;
        let paths: Vec<_> =
            beats.last.iter().map(|((from, to), at)| (*from, *to, grid(*at))).collect();
        if paths == runs.paths && runs.until >= until {
            return;
        }
        let (since, loss) = (self.present().0.saturating_sub(2 * RUN_NS), self.plan.loss);
        let (first, last) = (since / interval_ns, until.0 / interval_ns);
        let run = u64::from(self.plan.profile.misses);
        let mut begin = Vec::new();
        for (from, to, phase_ns) in &paths {
            let path = dice.path(*from, *to);
            let is_lost =
                |number: u64| path.at(Time(number * interval_ns + phase_ns)).is_lost(loss);
            let mut number = first;
            while number <= last {
                if is_lost(number) {
                    let before = (1..run).take_while(|back| is_lost(number - back)).count() as u64;
                    let after = (1..run).take_while(|on| is_lost(number + on)).count() as u64;
                    if before + 1 + after >= run {
                        begin.push(Time((number - before) * interval_ns + phase_ns));
                    }
                }
                number += run;
            }
        }
        begin.sort_unstable();
        *runs = Runs { paths, until, begin };
    }
}
