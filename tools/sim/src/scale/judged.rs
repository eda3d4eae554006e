//! What became of nodes in trouble, and what should have.
//!
//! A death is **false** when its subject ran at that moment, and had run for as long as a commit
//! takes, or stood still for less than any deadline. Whoever stood still for long must come out as
//! dead or gray, whoever is hardly heard as gray and never as dead, and whoever hears hardly anything
//! must lose neither its own place nor that of others.

use super::figures::count;
use super::stages::{Mark, Trial};
use super::trouble::{BadCable, Spell, Trouble};
use crate::outbox::SeenEvent;
use crate::transcript::Said;
use crate::world::{WALL_NS, World};
use std::collections::BTreeMap;
use syncom_seam::{MS, SECOND, Time};

/// What was concluded while a node stood still is committed so long after it, at the latest, in ns.
const COMMIT_NS: u64 = 500 * MS;
/// Whoever stands still for so long is dead or gray meanwhile, in ns.
const NOTICED_NS: u64 = 4 * SECOND;
/// A cable that is bad for less need not be noticed, in ns.
const CABLE_NOTICED_NS: u64 = 10 * SECOND;
/// What was held against a node may make it gray for so long after it, in ns.
const GRUDGE_NS: u64 = 10 * SECOND;
/// Whoever is hardly heard is gray within this, in ns, 99 times of 100.
pub(super) const GRAY_NS: u64 = 3 * SECOND;
/// Words of the transcript that are shown with a false death: those of so long before it, in ns.
const STORY_NS: u64 = 4 * SECOND;
/// Most of them.
const STORY_MAX: usize = 60;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    /// Times that a node stood still.
    pub(super) stops: usize,
    /// Deaths of nodes that stood still for as long as a deadline.
    pub(super) just: usize,
    /// Deaths of nodes that did not, each with its story.
    pub(super) false_ones: Vec<String>,
    /// Nodes that stood still for long, which nobody noticed.
    pub(super) unnoticed: Vec<String>,
    /// How long each node that was hardly heard was so before it was named gray, in ms.
    pub(super) named_ms: Vec<f64>,
    /// How many were gray before.
    pub(super) named_before: usize,
    /// How many were never named.
    pub(super) unnamed: usize,
    /// Nodes that were hardly heard and named late or never, each with its story.
    pub(super) late: Vec<String>,
    /// Nodes that were called gray though all could hear them, each with its story.
    pub(super) slandered: Vec<String>,
    /// Nodes that hardly heard anybody.
    pub(super) deaf: usize,
}

fn committed(event: &SeenEvent) -> Time {
    Time(event.time_ns.saturating_sub(WALL_NS))
}

impl Trial<'_> {
    /// Judges all that was committed since the mark.
    pub(super) fn judge(&self, mark: &Mark, trouble: &Trouble) -> Judged {
        let mut judged = Judged {
            stops: trouble.stops.values().map(Vec::len).sum(),
            deaf: trouble.cables.iter().filter(|cable| cable.is_deaf).count(),
            ..Judged::default()
        };
        let profile = &self.plan.profile;
        let deadline_ns = u64::from(profile.misses - 1) * profile.interval_ns;
        let mut noticed: BTreeMap<usize, Vec<(Time, bool)>> = BTreeMap::new();
        let mut cleared: BTreeMap<usize, Vec<Time>> = BTreeMap::new();
        for (_, event) in self.world.watch.events.range(mark.event + 1..) {
            let Some(member) = World::node_named(&self.world.options, &event.subject) else {
                continue;
            };
            let (at, is_death) = (committed(event), event.kind == "deadPeer");
            if is_death || event.kind == "gray" {
                noticed.entry(member).or_default().push((at, is_death));
            } else if event.kind == "cleared" || event.kind == "newPeer" {
                cleared.entry(member).or_default().push(at);
            }
            let is_just = |(from, to): &Spell| {
                to.since(*from) >= deadline_ns && at > *from && at < to.after(COMMIT_NS)
            };
            let stops = trouble.stops.get(&member).map_or(&[][..], Vec::as_slice);
            let is_held = |(from, to): &Spell| *from < at && at < to.after(GRUDGE_NS);
            let is_mumbled = |cable: &BadCable| !cable.is_deaf && is_held(&cable.at);
            let mut cables = trouble.cables.iter().filter(|cable| cable.member == member);
            match is_death {
                true if stops.iter().any(is_just) => judged.just += 1,
                true => judged.false_ones.push(self.case(event, member, stops)),
                false if event.kind != "gray" => {}
                false if stops.iter().any(is_held) || cables.any(is_mumbled) => {}
                false => judged.slandered.push(self.case(event, member, stops)),
            }
        }
        let of = |member: usize| noticed.get(&member).map_or(&[][..], Vec::as_slice);
        for (member, stops) in &trouble.stops {
            for (from, to) in stops.iter().filter(|(from, to)| to.since(*from) >= NOTICED_NS) {
                let in_time = |(at, _): &(Time, bool)| at > from && *at < to.after(COMMIT_NS);
                if !of(*member).iter().any(in_time) {
                    let name = &self.world.members[*member].name;
                    judged.unnoticed.push(format!("{name}, which stood still from {from} to {to}"));
                }
            }
        }
        let newest = |moments: &mut dyn Iterator<Item = Time>, until| {
            moments.take_while(|at| *at <= until).last()
        };
        for cable in trouble.cables.iter().filter(|cable| !cable.is_deaf) {
            let (from, to) = cable.at;
            let said = newest(&mut of(cable.member).iter().map(|(at, _)| *at), from);
            let unsaid =
                newest(&mut cleared.get(&cable.member).into_iter().flatten().copied(), from);
            if said > unsaid {
                // It was gray before its cable went bad.
                judged.named_before += 1;
                continue;
            }
            let named = of(cable.member).iter().find(|(at, _)| *at > from && *at < to);
            let named_ns = named.map(|(at, _)| at.since(from));
            match named_ns {
                Some(ns) => judged.named_ms.push(count(ns) / count(MS)),
                None if to.since(from) >= CABLE_NOTICED_NS => judged.unnamed += 1,
                None => continue,
            }
            if named_ns.is_none_or(|ns| ns > GRAY_NS) {
                judged.late.push(self.late(cable, named_ns));
            }
        }
        judged
    }

    /// All that is known of what was falsely said.
    fn case(&self, event: &SeenEvent, member: usize, stops: &[Spell]) -> String {
        let at = committed(event);
        let what = format!("{} at {at}: {}", event.kind, event.detail);
        self.story(&what, member, at, stops)
    }

    /// All that is known of a node that was hardly heard and named late or never.
    fn late(&self, cable: &BadCable, named_ns: Option<u64>) -> String {
        let (from, to) = cable.at;
        let what = match named_ns {
            Some(ns) => format!("named {} ms after {from}, when its cable went bad", ns / MS),
            None => format!("never named, though its cable was bad from {from} to {to}"),
        };
        let at = from.after(named_ns.unwrap_or(0).max(GRAY_NS));
        self.story(&what, cable.member, at, &[])
    }

    /// What happened to a member shortly before `at`, under the sentence `what`.
    fn story(&self, what: &str, member: usize, at: Time, stops: &[Spell]) -> String {
        let skipped_ns = self.skipped_ns;
        let (name, seed) = (&self.world.members[member].name, self.plan.seed);
        let mut story = format!("seed {seed}: {name}: {what}");
        let near = |spell: &&Spell| spell.0 < at && at.since(spell.1) < 10 * SECOND;
        for (from, to) in stops.iter().filter(near) {
            story.push_str(&format!("\n    it stood still from {from} to {to}"));
        }
        let entry = self.leader().and_then(|leader| leader.members().named(name));
        let slot = entry.map(|entry| entry.slot());
        let is_its = |said: &Said| match said.path {
            Some((from, to)) => {
                from == member || to == member || slot.is_some() && said.about == slot
            }
            None => said.words.contains(name.as_str()),
        };
        let said = self.world.transcript.iter().flat_map(|transcript| transcript.said());
        let before = said.filter(|said| {
            let then = Time(said.at.0.saturating_sub(skipped_ns));
            then <= at && at.since(then) < STORY_NS && is_its(said)
        });
        let lines: Vec<String> = before
            .map(|said| format!("\n    {}: {:?} {}", said.at, said.path, said.words))
            .collect();
        let from = lines.len().saturating_sub(STORY_MAX);
        story.extend(lines[from..].iter().map(String::as_str));
        story
    }
}
