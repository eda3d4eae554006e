//! Trouble without death: nodes that are starved, stopped, or hardly heard.
//!
//! At any time 5 % of the nodes have just been struck: half of them are *starved*, which is to stand
//! still for less than any deadline again and again, the others are *stopped* for up to five seconds.
//! And 1 % of the nodes lose 80 % of what they send, for as long as the stage lasts. A death is
//! **false** when its subject ran at that moment, and had run for as long as a detection takes, or
//! never stood still for as long as a deadline.

use super::figures::{Figure, Finding, count};
use super::stages::{Mark, Stage, Trial};
use crate::fault::Fault;
use crate::schedule::Happening;
use std::collections::BTreeMap;
use syncom_seam::{MS, SECOND, Time};

/// One in so many nodes is in trouble at a time.
const STRUCK: usize = 20;
/// One in so many nodes is hardly heard.
const MUMBLING: usize = 100;
/// Parts of 10,000 lost of what those send.
const MUMBLING_LOSS: u64 = 8_000;
/// A starved node stands still for so long at most, in ns: observers wait for 650 ms at least.
const STARVED_MAX_NS: u64 = 400 * MS;
/// A stopped node stands still for so long at most, in ns.
const STOPPED_MAX_NS: u64 = 5 * SECOND;
/// What was concluded while a node stood still is committed so long after it, at the latest, in ns.
const COMMIT_NS: u64 = 500 * MS;
/// A node that is hardly heard is to be named within this, in ms.
const GRAY_MS: f64 = 3_000.0;

/// When somebody stood still.
type Stop = (Time, Time);

impl Trial<'_> {
    /// See the module.
    pub(super) fn trouble(&mut self, seconds: u64) -> Finding {
        let mark = self.mark();
        let mumbling = self.pick(self.plan.nodes.div_ceil(MUMBLING));
        for member in &mumbling {
            self.world.network.muffle(*member, MUMBLING_LOSS);
        }
        let mut stops: BTreeMap<usize, Vec<Stop>> = BTreeMap::new();
        for second in 0..seconds {
            for member in self.pick(self.plan.nodes / STRUCK) {
                let begins = mark.at.after(second * SECOND + self.rng.below(SECOND));
                let most_ns = if self.rng.chance(1, 2) { STARVED_MAX_NS } else { STOPPED_MAX_NS };
                let for_ns = self.rng.below(most_ns);
                let free = stops.get(&member).and_then(|all| all.last());
                if free.is_some_and(|(_, end)| begins < end.after(SECOND)) {
                    continue;
                }
                let pause = Happening::Fault(Fault::Pause { member, for_ns });
                self.world.schedule.at(begins, pause);
                stops.entry(member).or_default().push((begins, begins.after(for_ns)));
            }
        }
        self.world.run_until(mark.at.after(seconds * SECOND));
        let deaths = self.deaths(&mark, &stops);
        let named = self.named(&mark, &mumbling);
        let unnamed = mumbling.len() - named.len();
        let slowest = named.iter().copied().fold(0.0, f64::max);
        let node_hours = count(self.plan.nodes) * count(seconds) / 3_600.0;
        let figure = |name, value, most| Figure { name, value, most };
        let figures = vec![
            figure("node_hours", node_hours, None),
            figure("stops", count(stops.values().map(Vec::len).sum::<usize>()), None),
            figure("false_removals", count(deaths.1), Some(0.0)),
            figure("stopped_removed", count(deaths.0 - deaths.1), None),
            figure("mumbling", count(mumbling.len()), None),
            figure("gray_last_ms", slowest, Some(GRAY_MS)),
            figure("not_named", count(unnamed), None),
        ];
        self.finding(Stage::Trouble(seconds).name(), &mark, figures)
    }

    /// Deaths since, and how many of them were false.
    fn deaths(&self, mark: &Mark, stops: &BTreeMap<usize, Vec<Stop>>) -> (usize, usize) {
        let profile = &self.plan.profile;
        let deadline_ns = u64::from(profile.misses - 1) * profile.interval_ns;
        let (mut all, mut false_ones) = (0, 0);
        for (_, event) in self.world.watch.events.range(mark.event + 1..) {
            if event.kind != "deadPeer" {
                continue;
            }
            all += 1;
            let at = Time(event.time_ns.saturating_sub(crate::world::WALL_NS));
            let member = crate::world::World::node_named(&self.world.options, &event.subject);
            let stops = member.and_then(|member| stops.get(&member)).map_or(&[][..], Vec::as_slice);
            let is_just = |(from, to): &Stop| {
                to.since(*from) >= deadline_ns && at > *from && at < to.after(COMMIT_NS)
            };
            false_ones += usize::from(!stops.iter().any(is_just));
        }
        (all, false_ones)
    }

    /// How long it took to name each of those gray who were, in ms.
    fn named(&self, mark: &Mark, mumbling: &[usize]) -> Vec<f64> {
        let mut named: BTreeMap<&str, Time> = BTreeMap::new();
        for (_, event) in self.world.watch.events.range(mark.event + 1..) {
            if event.kind == "gray" {
                let at = Time(event.time_ns.saturating_sub(crate::world::WALL_NS));
                named.entry(event.subject.as_str()).or_insert(at);
            }
        }
        let name = |member: &usize| self.world.members[*member].name.as_str();
        let at = mumbling.iter().filter_map(|member| named.get(name(member)));
        at.map(|at| count(at.since(mark.at)) / count(MS)).collect()
    }
}
