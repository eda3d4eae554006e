//! Years of node life: whole clusters live on in trouble, one after the other.
//!
//! A **life** is one cluster of whole roles: all join, then spans of trouble and of calm take turns, and
//! all the while the network loses one datagram of a hundred. What becomes of everybody is judged
//! after each span (see `judged`). Lives are short, so memory is bounded, and each has its own seed:
//! what is wrong in one is seen again by living that one again.
//!
//! Calm can be lived through, or *skipped* where nothing comes of it (see `still`). Trouble is lived
//! through in any case, by the same roles.

use super::Plan;
use super::figures::{Figure, Finding, count, percentile};
use super::judged::{GRAY_NS, Judged};
use super::stages::Trial;
use super::still::Runs;
use super::trouble::Trouble;
use crate::dice::Dice;
use crate::scenario::Options;
use crate::transcript::{Said, Transcript};
use crate::world::World;
use std::collections::VecDeque;
use std::thread;
use syncom_seam::{MS, SECOND};

/// What is kept of what was said, for the story of what should not have happened.
const STORY_MAX: usize = 1 << 14;
/// All that is said in a life.
const ALL: usize = 1 << 22;
/// How long a cluster may take until all are back after trouble, in ns.
const RETURN_NS: u64 = 30 * SECOND;
/// The last of all within this, in ms: of 14,314 it came after 3,885.
const GRAY_LAST_MS: f64 = 4_000.0;

/// What lives are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Nodes of each cluster.
    pub nodes: usize,
    /// Parts of 10,000 datagrams lost.
    pub loss: u64,
    /// Length of a span of trouble, in s.
    pub trouble_s: u64,
    /// Length of the calm after each, in s.
    pub calm_s: u64,
    /// Spans of a life.
    pub spans: u64,
    /// Whether calm is skipped where nothing comes of it.
    pub skips: bool,
}

impl Hours {
    /// Trouble all the time, but for a moment in ten minutes: every heartbeat is delivered.
    #[must_use]
    pub const fn whole(nodes: usize) -> Self {
        Self { nodes, loss: 100, trouble_s: 600, calm_s: 0, spans: 1, skips: false }
    }

    /// Half a minute of trouble every six hours; calm is skipped.
    #[must_use]
    pub const fn skipping(nodes: usize) -> Self {
        Self { nodes, loss: 100, trouble_s: 30, calm_s: 6 * 3_600, spans: 8, skips: true }
    }

    /// Lives through one cluster's life. Keeps `words` of what was said last.
    #[must_use]
    pub fn live(&self, seed: u64, words: usize) -> (Life, Vec<Said>) {
        let plan = Plan { seed, loss: self.loss, stages: Vec::new(), ..Plan::of(self.nodes) };
        let options = Options {
            nodes: plan.nodes,
            satellites: plan.satellites,
            replicas: plan.replicas,
            scenario: "hours".into(),
            ..Options::default()
        };
        let mut world = World::new(seed, &options, plan.scenario());
        world.trace.count_only();
        world.network.dice = Some((Dice::new(seed), 0));
        world.transcript = Some(Transcript::new(words.max(STORY_MAX)));
        let mut trial = Trial::new(world, &plan);
        trial.joins();
        let mut life = Life::default();
        let mut runs = Runs::default();
        let began = trial.present();
        for _ in 0..self.spans {
            self.span(&mut trial, &mut life, &mut runs);
        }
        life.lived_ns = trial.present().since(began);
        life.skipped_ns = trial.skipped_ns;
        life.node_hours = count(life.lived_ns / MS) / 3_600_000.0 * count(self.nodes);
        life.events = trial.world.trace.events();
        life.violations.clone_from(&trial.world.watch.violations);
        let said = trial.world.transcript.map(|transcript| transcript.said().cloned().collect());
        (life, said.unwrap_or_default())
    }

    fn span(&self, trial: &mut Trial<'_>, life: &mut Life, runs: &mut Runs) {
        let mark = trial.mark();
        let first = trial.first_node();
        let nodes = first..first + self.nodes;
        let from = trial.world.now.after(SECOND);
        let until = from.after(self.trouble_s * SECOND);
        let ends = trial.present().after((self.trouble_s + self.calm_s) * SECOND);
        let trouble = Trouble::draw(&mut trial.rng, &nodes, (from, until));
        trouble.schedule(&mut trial.world);
        trial.world.run_until(until.after(SECOND));
        let all = self.nodes;
        trial.look_until(RETURN_NS, |trial| trial.alive() == all);
        life.missing += all - trial.alive();
        trial.pass(ends, self.skips.then_some(runs));
        life.take(trial.judge(&mark, &trouble));
    }

    /// Lives one life after the other, from this seed on, until there are so many node-hours; says after
    /// each what was found so far. Returns the whole, with the figures of `stage`.
    ///
    /// So many `threads` live at one time, each another life. What is said and summed goes by seed, and
    /// whatever was lived beyond the last that counts is forgotten, so it is the same with any number.
    pub fn run(
        &self,
        seed: u64,
        node_hours: f64,
        threads: usize,
        mut said: impl FnMut(&Life, u64),
    ) -> Finding {
        let mut all = Life::default();
        let mut next = seed;
        thread::scope(|scope| {
            let mut under_way: VecDeque<_> = VecDeque::new();
            while all.node_hours < node_hours {
                while under_way.len() < threads.max(1) {
                    let seed = next + under_way.len() as u64;
                    under_way.push_back(scope.spawn(move || self.whole_story(seed)));
                }
                let Some(first) = under_way.pop_front() else { return };
                let life = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                said(&life, next);
                all.add(life);
                next += 1;
            }
        });
        all.finding(if self.skips { "skipped" } else { "whole" }, next - seed)
    }

    /// A life; once more, with all that was said, when a node was removed in it.
    fn whole_story(&self, seed: u64) -> Life {
        let (life, _) = self.live(seed, 0);
        if life.false_removals() == 0 { life } else { self.live(seed, ALL).0 }
    }
}

/// What was found in one life, or in many.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Virtual time after the joins, in ns.
    pub lived_ns: u64,
    /// How much of it was skipped, in ns.
    pub skipped_ns: u64,
    /// The same, of all nodes.
    pub node_hours: f64,
    /// Datagrams, timers and other things that happened.
    pub events: u64,
    /// Nodes that had not come back some time after the trouble.
    pub missing: usize,
    /// Promises that were broken, and all that should not have become of somebody, as sentences.
    pub violations: Vec<String>,
    /// How often somebody was called gray though nothing was wrong with it.
    gray_falsely: usize,
    judged: Judged,
}

impl Life {
    fn take(&mut self, judged: Judged) {
        self.gray_falsely += judged.slandered.len();
        let all = &mut self.judged;
        all.stops += judged.stops;
        all.just += judged.just;
        all.deaf += judged.deaf;
        all.unnamed += judged.unnamed;
        all.named_before += judged.named_before;
        all.false_ones.extend(judged.false_ones);
        all.unnoticed.extend(judged.unnoticed);
        all.named_ms.extend(judged.named_ms);
        all.late.extend(judged.late);
        all.slandered.extend(judged.slandered);
    }

    fn add(&mut self, life: Self) {
        self.lived_ns += life.lived_ns;
        self.skipped_ns += life.skipped_ns;
        self.node_hours += life.node_hours;
        self.events += life.events;
        self.missing += life.missing;
        self.violations.extend(life.violations);
        self.gray_falsely += life.gray_falsely;
        // Told when that life was over, and only counted from then on: years are full of them.
        let judged = Judged { late: Vec::new(), slandered: Vec::new(), ..life.judged };
        self.take(judged);
    }

    /// Deaths of nodes that ran.
    #[must_use]
    pub const fn false_removals(&self) -> usize {
        self.judged.false_ones.len()
    }

    /// All that is wrong, as sentences, false deaths with their stories.
    pub fn wrongs(&self) -> impl Iterator<Item = &str> {
        let Judged { false_ones, unnoticed, .. } = &self.judged;
        false_ones.iter().chain(unnoticed).chain(&self.violations).map(String::as_str)
    }

    /// Nodes that were called gray though all could hear them, or late or never though hardly anybody
    /// could, with their stories: of one life.
    pub fn misjudged(&self) -> impl Iterator<Item = &str> {
        let Judged { late, slandered, .. } = &self.judged;
        slandered.iter().chain(late).map(String::as_str)
    }

    /// The figures, and what is promised of them.
    #[must_use]
    pub fn finding(&self, stage: &'static str, lives: u64) -> Finding {
        let judged = &self.judged;
        let mut named_ms = judged.named_ms.clone();
        named_ms.sort_unstable_by(f64::total_cmp);
        // Of fewer than a hundred, the last of a hundred is the last one.
        let many = named_ms.len() >= 100;
        let gray_ms = count(GRAY_NS / MS);
        let late = named_ms.iter().filter(|ms| **ms > gray_ms).count();
        let figure = |name, value, most| Figure { name, value, most };
        let figures = vec![
            figure("node_hours", self.node_hours, None),
            figure("lives", count(lives), None),
            figure("skipped_percent", count(self.skipped_ns) * 100.0 / count(self.lived_ns), None),
            figure("stops", count(judged.stops), None),
            figure("stopped_removed", count(judged.just), None),
            figure("false_removals", count(self.false_removals()), Some(0.0)),
            figure("stopped_unnoticed", count(judged.unnoticed.len()), Some(0.0)),
            figure("not_back", count(self.missing), Some(0.0)),
            figure("deaf", count(judged.deaf), None),
            figure("mumbling", count(judged.named_ms.len() + judged.unnamed), None),
            figure("gray_before", count(judged.named_before), None),
            figure("not_named", count(judged.unnamed), None),
            figure("gray_falsely", count(self.gray_falsely), None),
            figure("gray_p50_ms", percentile(&named_ms, 50), Some(gray_ms)),
            figure("gray_p95_ms", percentile(&named_ms, 95), None),
            figure("gray_p99_ms", percentile(&named_ms, 99), many.then_some(gray_ms)),
            figure("gray_late", count(late), None),
            figure("gray_last_ms", percentile(&named_ms, 100), Some(GRAY_LAST_MS)),
        ];
        let violations = self.wrongs().map(str::to_owned).collect();
        Finding { stage, virtual_ms: self.lived_ns / MS, events: self.events, figures, violations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_of_the_slandered_are_told_with_their_life_and_only_counted_in_years() {
        let mut years = Life::default();
        for _ in 0..3 {
            let mut life = Life::default();
            let story = |name: &str| vec![format!("{name} was called gray")];
            for name in ["node1", "node2"] {
                life.take(Judged { slandered: story(name), ..Judged::default() });
            }
            assert!(life.misjudged().eq(["node1 was called gray", "node2 was called gray"]));
            years.add(life);
        }
        assert_eq!(years.misjudged().count(), 0);
        let finding = years.finding("whole", 3);
        let figure = finding.figures.iter().find(|figure| figure.name == "gray_falsely");
        assert_eq!(figure.map(|figure| figure.value), Some(6.0));
    }
}
