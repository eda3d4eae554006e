//! Letting calm time pass without living through it.
//!
//! In a calm cluster nothing happens but heartbeats, on grids that never change. While it is calm the
//! world is *stopped* for as long as nothing can come of them, and goes on afterwards as if no time had
//! passed: no role notices, for all of them keep time by the same clock, and all that recurs does so
//! in a period that divides [`PERIOD_NS`]. Two things remain of heartbeats in those who hear them. What
//! observers expect of their subjects follows from the last few hundred arrivals: these are looked up,
//! and [relived](syncom_group::Arrival::relive) by the expectation alone. All else is forgotten within
//! [`WARM_NS`], for which the cluster lives before the next moment that matters. So that moment
//! finds every observer in the state in which it would have been; that all that is said and
//! concluded from then on is the same is what `tests/hours.rs` compares.
//!
//! What matters: an observer accuses when it has heard nothing for (m − 1)·η + α past the expected
//! arrival, so when m heartbeats *in a row* of one node to one observer are lost; and it says so when
//! five of eight are. Fates are thrown by [`Dice`], so they can be looked up: of either, one has an even
//! number, and only those are looked at first. Everything else that ends a calm (strikes, bad cables) is
//! planned.
//!
//! [`Dice`]: crate::dice::Dice

use super::stages::Trial;
use crate::beats::Beats;
use crate::dice::Path;
use crate::world::World;
use std::ops::RangeInclusive;
use syncom_agent::Agent;
use syncom_group::Arrival;
use syncom_seam::{SECOND, Time};

/// Nobody has said anything for so long, in ns. Words, doubts and what was combined of them are kept
/// for 10 s after they were said last (`WORD_LIFE_NS`, `DOUBT_NS`), an accusation that stands is said
/// again every 8 s, settled cases are forgotten after 5 s, and local health is whole again after 7 s.
/// Only grayness is kept for longer, and while anybody is gray it is not calm.
const CALM_NS: u64 = 12 * SECOND;
/// How long the cluster lives before anything that matters, in ns: three times as long as lost heartbeats
/// leave a trace elsewhere than in what is expected of their sender. The longest is that of three to one
/// home, 3 s, which the node then avoids for 5 s. It is not half of that because of *when* observers look:
/// each timer follows from the one before it, until losses bring two histories together, and a node that
/// blamed itself a moment ago waits by what it thought of itself when it last looked.
const WARM_NS: u64 = 24 * SECOND;
/// So many heartbeats are relived by those who expect them: the mean is over 32, and two estimates of
/// error under the same arrivals become equal, not only alike, because they are whole nanoseconds.
const RELIVED: u64 = 256;
/// How often that is tried, once a second: less than [`WARM_NS`].
const RELIVE_TRIES: u64 = 5;
/// Less than this is not worth skipping, in ns; all that is relived was skipped (51.2 s by the default
/// profile).
const SKIP_MIN_NS: u64 = 54 * SECOND;
/// All that recurs in a calm cluster does so in a period that divides this, in ns: heartbeats (0.2 and
/// 1 s), ticks of replicas (20 ms, and 60), of satellites (0.2 s), their figures (2 s).
const PERIOD_NS: u64 = 6 * SECOND;
/// A run of losses, and what it leads to at first, takes less, in ns.
const RUN_NS: u64 = 3 * SECOND;

/// Moments at which heartbeats begin to be lost that matter, and for which heartbeats they were found.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// Who beats for whom, and where on the grid.
    paths: Vec<(usize, usize, u64)>,
    /// Up to when they were looked for.
    until: Time,
    /// In the cluster's time, ascending.
    begin: Vec<Time>,
}

/// [`Arrival::PATCHY`], to count with.
const PATCHY: usize = Arrival::PATCHY as usize;

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
                if free_ns >= SKIP_MIN_NS.max(RELIVED * self.plan.profile.interval_ns) {
                    self.skip(free_ns);
                    self.relive_all(runs);
                }
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

    /// Lets all observers expect what they would, had they heard what was sent while the world stood
    /// still. Not at once: what was under way then arrives by its old fate. And somebody may just have
    /// been asked by its home whether it lives, and have repeated its heartbeat.
    fn relive_all(&mut self, runs: &Runs) {
        for _ in 0..RELIVE_TRIES {
            self.world.run_until(self.world.now.after(SECOND));
            if self.relive(runs) {
                return;
            }
        }
    }

    /// The same; false when somebody has heard something else last than a heartbeat of the grid, and
    /// expects what it did before.
    fn relive(&mut self, runs: &Runs) -> bool {
        let (skipped_ns, interval_ns) = (self.skipped_ns, self.plan.profile.interval_ns);
        let World { members, network, .. } = &mut self.world;
        let mut is_all = true;
        for (from, to, phase_ns) in &runs.paths {
            let sender = members[*from].agent().and_then(Agent::identity);
            let Some(slot) = sender.map(|sender| sender.slot) else { continue };
            let observer = members[*to].agent_mut();
            let Some(arrival) = observer.and_then(|agent| agent.arrival_mut(slot)) else {
                continue;
            };
            let Some(heard) = arrival.heard().map(|heard| heard.after(skipped_ns)) else {
                continue;
            };
            let newest = heard.0.saturating_sub(*phase_ns) / interval_ns;
            let fate = |back: u64| {
                let sent = Time((newest - back) * interval_ns + phase_ns);
                network.fate(sent, (*from, *to))
            };
            if fate(0) != Some(heard) {
                is_all = false;
                continue;
            }
            let arrivals = (0..RELIVED).rev();
            arrival.relive(skipped_ns, arrivals.filter_map(|back| Some((back, fate(back)?))));
        }
        is_all
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
            let grid = (interval_ns, *phase_ns);
            begin.extend(losses_that_matter(path, grid, beats.clone(), (run, loss)));
        }
        begin.sort_unstable();
        *runs = Runs { paths, until, begin };
    }
}

/// When the first leave of those that are lost in a row, `run` or more of them, or of [`Arrival::PATCHY`]
/// lost ones among [`Arrival::RECENT`]; of very long rows perhaps not the very first.
fn losses_that_matter(
    path: Path,
    (interval_ns, phase_ns): (u64, u64),
    numbers: RangeInclusive<u64>,
    (run, loss): (u64, u64),
) -> impl Iterator<Item = Time> {
    let sent = move |number: u64| Time(number * interval_ns + phase_ns);
    let is_lost = move |number| path.at(sent(number)).is_lost(loss);
    let (first, last) = (numbers.start() / 2, numbers.end() / 2);
    let even = path.lost(sent(first * 2), interval_ns * 2, last - first + 1, loss);
    even.map(move |half| (first + half) * 2).filter_map(move |number| {
        let recent = u64::from(Arrival::RECENT);
        let from = number.saturating_sub(recent - 1);
        let matters = |begin: &u64| {
            let in_a_row = (0..run).all(|on| is_lost(begin + on));
            let patchy = || (0..recent).filter(|on| is_lost(begin + on)).count();
            is_lost(*begin) && (in_a_row || patchy() >= PATCHY)
        };
        (from..=number).find(matters).map(sent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn whoever_looks_at_every_second_misses_nothing_that_matters() {
        let (mut rows, mut patches) = (0, 0);
        for to in 0..40 {
            let path = Dice::new(11).path(1, to);
            let is_lost = |number| path.at(Time(number)).is_lost(2_500);
            let quick = losses_that_matter(path, (1, 0), 1_000..=1_999, (4, 2_500));
            let quick: Vec<u64> = quick.map(|begin| begin.0).collect();
            let is_row = |at: &u64| (0..4).all(|on| is_lost(at + on));
            let is_patch = |at: &u64| (0..8).filter(|on| is_lost(at + on)).count() >= 5;
            let begins = |at: &u64| is_lost(*at) && (is_row(at) || is_patch(at));
            for at in (1_000..=1_992).filter(begins) {
                let near = |begin: &u64| *begin <= at && at - begin < 8;
                assert!(quick.iter().any(near), "{to}: {at} is not among {quick:?}");
                (rows, patches) =
                    (rows + u32::from(is_row(&at)), patches + u32::from(!is_row(&at)));
            }
            assert!(quick.iter().all(begins), "{to}: not all of {quick:?} begin one");
        }
        assert!(rows > 50 && patches > 50, "only {rows} and {patches} there to be found");
    }
}
