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
use std::ops::RangeInclusive;
use syncom_seam::{SECOND, Time};

/// Nobody has said anything for so long, in ns: twice as long as any word, doubt, grudge or grayness is
/// kept.
const CALM_NS: u64 = 25 * SECOND;
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
        let since = self.present().0.saturating_sub(2 * RUN_NS);
        let beats = since / interval_ns..=until.0 / interval_ns;
        let (loss, run) = (self.plan.loss, u64::from(self.plan.profile.misses));
        let mut begin: Vec<Time> = Vec::new();
        for (from, to, phase_ns) in &paths {
            let path = dice.path(*from, *to);
            let sent = |number: u64| Time(number * interval_ns + phase_ns);
            let is_lost = |number| path.at(sent(number)).is_lost(loss);
            begin.extend(losses_in_a_row(beats.clone(), run, is_lost).map(sent));
        }
        begin.sort_unstable();
        *runs = Runs { paths, until, begin };
    }
}

/// The first of each `run` or more in a row that are lost, as far as one of these is among them whose
/// number `run` divides; of very long rows perhaps not the very first.
fn losses_in_a_row(
    numbers: RangeInclusive<u64>,
    run: u64,
    is_lost: impl Fn(u64) -> bool,
) -> impl Iterator<Item = u64> {
    let divided = numbers.start() / run..numbers.end() / run + 1;
    divided.map(move |part| part * run).filter_map(move |number| {
        if !is_lost(number) {
            return None;
        }
        let before = (1..run).take_while(|back| is_lost(number.saturating_sub(*back))).count();
        let after = (1..run).take_while(|on| is_lost(number + on)).count();
        (1 + before as u64 + after as u64 >= run).then(|| number - before as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use syncom_group::{Arrival, Profile};
    use syncom_seam::MS;

    #[test]
    fn after_living_for_a_while_nothing_is_left_of_what_was_expected_before() {
        let profile = Profile::DEFAULT;
        let beats = |ns: u64| ns / profile.interval_ns;
        for seed in 0..300 {
            let path = Dice::new(seed).path(0, 1);
            let heard = |number: u64| {
                let sent = Time(number * profile.interval_ns);
                let throw = path.at(sent);
                (!throw.is_lost(100)).then(|| sent.after(50_000 + throw.below(100_000)))
            };
            let mut calm = Arrival::new(Time(0), profile.interval_ns);
            let mut shaken = calm.clone();
            calm.on_heartbeat(1, profile.interval_ns, Time(profile.interval_ns));
            shaken.on_heartbeat(1, profile.interval_ns, Time(profile.interval_ns));
            // One of them has seen 150 ms of error, and then as much calm as is waited for.
            let (shock, ends) = (10, 10 + beats(CALM_NS) + beats(WARM_NS));
            for number in 2..=ends {
                let Some(heard) = heard(number) else { continue };
                let late_ns = if number == shock { 150 * MS } else { 0 };
                shaken.on_heartbeat(number, profile.interval_ns, heard.after(late_ns));
                if number > shock + beats(CALM_NS) {
                    calm.on_heartbeat(number, profile.interval_ns, heard);
                }
            }
            let deadline = |arrival: &Arrival| arrival.deadline(&profile, 0);
            assert_eq!(deadline(&calm), deadline(&shaken), "seed {seed}");
        }
    }

    #[test]
    fn whoever_looks_at_every_fourth_misses_no_four_in_a_row() {
        let mut found = 0;
        for to in 0..40 {
            let path = Dice::new(11).path(1, to);
            let is_lost = |number| path.at(Time(number)).is_lost(2_500);
            let quick: Vec<u64> = losses_in_a_row(1_000..=1_999, 4, is_lost).collect();
            let begins = |at: &u64| (0..4).all(|on| is_lost(at + on)) && !is_lost(at - 1);
            for at in (1_000..=1_996).filter(begins) {
                assert!(quick.contains(&at), "{to}: {at} is not among {quick:?}");
                found += 1;
            }
            let is_run = |at: &u64| (0..4).all(|on| is_lost(at + on));
            assert!(quick.iter().all(is_run), "{to}: not all of {quick:?} begin one");
        }
        assert!(found > 50, "only {found} there to be found");
    }
}
