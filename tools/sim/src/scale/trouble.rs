//! Trouble without death: nodes that are starved, stopped, or hardly heard or hearing.
//!
//! At any time 5 % of the nodes are being struck: each is *starved* for some seconds, which is to stand
//! still for less than any deadline again and again, or *stopped* once, for 0.1 to 30 s. And 1 % of
//! the nodes have a bad cable, others every half minute: one that loses 80 % of what they send, or of
//! what is sent to them.

use crate::fault::Fault;
use crate::schedule::Happening;
use crate::world::World;
use std::collections::BTreeMap;
use std::ops::Range;
use syncom_seam::{MS, Rng, SECOND, Time};

/// One in so many nodes is struck at a time.
const STRUCK: usize = 20;
/// One in so many nodes has a bad cable at a time.
const BAD_CABLES: usize = 100;
/// Parts of 10,000 lost on a bad cable.
const BAD_CABLE_LOSS: u64 = 8_000;
/// How long a cable is bad, in ns.
pub(super) const BAD_CABLE_NS: u64 = 30 * SECOND;
/// A starved node stands still for so long at most, in ns: observers wait for 650 ms at least.
const STARVED_MAX_NS: u64 = 400 * MS;
/// Least time for which a node is stopped, in ns; doubled up to [`OCTAVES`] times.
const STOPPED_MIN_NS: u64 = 100 * MS;
/// Pauses of all sizes are equally frequent.
const OCTAVES: u64 = 9;
/// Most time for which a node is stopped, in ns.
const STOPPED_MAX_NS: u64 = 30 * SECOND;
/// A node is left alone for so long after it was struck, in ns: time to come back, if it was removed,
/// and to be cleared, if it was gray.
const LEFT_ALONE_NS: u64 = 20 * SECOND;

/// When somebody stood still, or had a bad cable.
pub(super) type Spell = (Time, Time);

/// A bad cable.
#[derive(Clone, Debug)]
pub(super) struct BadCable {
    pub(super) member: usize,
    pub(super) at: Spell,
    /// It loses what is sent to the node, not what the node sends.
    pub(super) is_deaf: bool,
}

/// What strikes whom and when: drawn before it happens, and kept to be judged by.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    pub(super) faults: Vec<(Time, Fault)>,
    /// When each node stands still.
    pub(super) stops: BTreeMap<usize, Vec<Spell>>,
    pub(super) cables: Vec<BadCable>,
    /// When each node is not to be struck otherwise.
    taken: BTreeMap<usize, Vec<Spell>>,
}

impl Trouble {
    /// Trouble for these members from one moment to another; all of it is over by then.
    pub(super) fn draw(rng: &mut Rng, nodes: &Range<usize>, during: Spell) -> Self {
        let mut trouble = Self::default();
        let (from, until) = during;
        let mut at = from;
        while at < until {
            let end = at.after(BAD_CABLE_NS).min(until);
            for _ in 0..nodes.len().div_ceil(BAD_CABLES) {
                trouble.draw_cable(rng, nodes, (at, end));
            }
            at = end;
        }
        for _ in 0..nodes.len().div_ceil(STRUCK) {
            let mut at = from.after(rng.below(SECOND));
            while let Some(end) = trouble.draw_strike(rng, nodes, (at, until)) {
                at = end;
            }
        }
        trouble
    }

    /// Hands it to the world, as faults that will strike.
    pub(super) fn schedule(&self, world: &mut World) {
        for (at, fault) in &self.faults {
            world.schedule.at(*at, Happening::Fault(fault.clone()));
        }
    }

    fn draw_cable(&mut self, rng: &mut Rng, nodes: &Range<usize>, at: Spell) {
        let Some(member) = self.somebody(rng, nodes, at) else { return };
        let is_deaf = rng.chance(1, 2);
        let fault = |loss| match is_deaf {
            true => Fault::Deafen { member, loss },
            false => Fault::Mumble { member, loss },
        };
        self.faults.extend([(at.0, fault(BAD_CABLE_LOSS)), (at.1, fault(0))]);
        self.cables.push(BadCable { member, at, is_deaf });
    }

    /// One node is struck; until when, if there is a strike that is over in time.
    fn draw_strike(
        &mut self,
        rng: &mut Rng,
        nodes: &Range<usize>,
        (from, until): Spell,
    ) -> Option<Time> {
        let is_starved = rng.chance(1, 2);
        let size = STOPPED_MIN_NS << rng.below(OCTAVES);
        let for_ns = match is_starved {
            true => SECOND + rng.below(4 * SECOND),
            false => (size + rng.below(size)).min(STOPPED_MAX_NS),
        };
        let end = from.after(for_ns);
        if from >= until {
            return None;
        }
        if end > until {
            // Too long for what is left: something shorter may fit.
            return Some(from.after(SECOND));
        }
        let Some(member) = self.somebody(rng, nodes, (from, end)) else { return Some(end) };
        if is_starved {
            let mut at = from;
            while at < end {
                let still_ns = 20 * MS + rng.below(STARVED_MAX_NS - 20 * MS);
                self.stop(member, at, still_ns);
                at = at.after(still_ns + 20 * MS + rng.below(STARVED_MAX_NS));
            }
        } else {
            self.stop(member, from, for_ns);
        }
        Some(end)
    }

    fn stop(&mut self, member: usize, at: Time, for_ns: u64) {
        self.faults.push((at, Fault::Pause { member, for_ns }));
        self.stops.entry(member).or_default().push((at, at.after(for_ns)));
    }

    /// A node to which nothing else happens at that time, or shortly before or after.
    fn somebody(&mut self, rng: &mut Rng, nodes: &Range<usize>, at: Spell) -> Option<usize> {
        let spell = (at.0, at.1.after(LEFT_ALONE_NS));
        for _ in 0..8 {
            let chosen = usize::try_from(rng.below(nodes.len() as u64)).unwrap_or(0);
            let member = nodes.start + chosen;
            let taken = self.taken.entry(member).or_default();
            if !taken.iter().any(|(from, until)| spell.0 < *until && *from < spell.1) {
                taken.push(spell);
                return Some(member);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_is_struck_at_any_time_and_nobody_twice_at_once() {
        let (mut rng, nodes) = (Rng::new(3), 10..1_010);
        let (from, until) = (Time(SECOND), Time(301 * SECOND));
        let trouble = Trouble::draw(&mut rng, &nodes, (from, until));
        assert!(trouble.stops.keys().all(|member| nodes.contains(member)));
        assert!(trouble.faults.iter().all(|(at, _)| (from..=until).contains(at)));
        for (member, taken) in &trouble.taken {
            let mut taken = taken.clone();
            taken.sort_unstable();
            let apart = taken.windows(2).all(|two| two[0].1 <= two[1].0);
            assert!(apart, "{member} is struck twice at once: {taken:?}");
        }
        let struck = |at: Time| {
            let is_now = |spell: &&Spell| spell.0 <= at && at.after(LEFT_ALONE_NS) < spell.1;
            trouble.taken.values().flatten().filter(is_now).count()
        };
        for second in [30, 100, 200] {
            let now = struck(from.after(second * SECOND));
            assert!((50..=60).contains(&now), "{now} of 1,000 in trouble after {second} s");
        }
        let of = |is_it: fn(u64) -> bool| {
            let all = trouble.stops.values().flatten();
            all.filter(|(from, to)| is_it(to.since(*from))).count()
        };
        assert!(of(|ns| ns > 10 * SECOND) > 100 && of(|ns| ns > STOPPED_MAX_NS) == 0);
        assert_eq!(trouble.cables.len(), 100);
        assert!((30..70).contains(&trouble.cables.iter().filter(|one| one.is_deaf).count()));
    }
}
