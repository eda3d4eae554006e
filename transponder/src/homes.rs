//! The home table: what this satellite heard from nodes, and when.
//!
//! Soft state, rebuilt within one interval of heartbeats; nothing here is ever sent to another
//! satellite. Only nodes that were heard or told something here have an entry: one in a hundred,
//! where there are a hundred satellites.

use crate::world::World;
use alloc::collections::BTreeMap;
use core::ops::Bound;
use syncom_group::Profile;
use syncom_seam::{Now, Origin, Time, US};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::limits::NODES_MAX;
use syncom_wire::{Addr, Incarnation, Slot};

/// Heartbeats to a home that may be missed before it misses the node.
pub(crate) const HOME_MISSES: u64 = 3;

/// What was heard of one node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HomeEntry {
    pub(crate) incarnation: Incarnation,
    /// By the kernel's clock; 0 when never.
    pub(crate) heard: Time,
    pub(crate) interval_us: u32,
    /// What it keeps towards its observers; 0 when it has not said.
    pub(crate) peers_interval_us: u32,
    pub(crate) rtt_us: u32,
    pub(crate) services_up: u16,
    pub(crate) services_down: u16,
    pub(crate) addr: Addr,
    /// When its neighbour set was last pushed to it.
    pub(crate) pushed: Time,
    /// How often it was pushed since a heartbeat last named the present one.
    pub(crate) pushes: u8,
    /// Since when it is gray and accused by nobody; 0 when it is not.
    pub(crate) gray_since: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    entries: BTreeMap<Slot, HomeEntry>,
    /// From when on this satellite may count its own silence from nodes.
    mature: Option<Time>,
    /// Most of its own nodes are silent: more likely it than they.
    is_unheard: bool,
}

impl Homes {
    /// What was heard of this life of a node, if anything.
    pub(crate) fn get(&self, slot: Slot, incarnation: Incarnation) -> Option<&HomeEntry> {
        self.entries
            .get(&slot)
            .filter(|entry| entry.heard > Time(0) && entry.incarnation == incarnation)
    }

    /// When this life of a node was last heard here; 0 when never.
    pub(crate) fn heard(&self, slot: Slot, incarnation: Incarnation) -> Time {
        self.get(slot, incarnation).map_or(Time(0), |entry| entry.heard)
    }

    /// Notes a heartbeat of a node that the view holds.
    pub(crate) fn on_heartbeat(&mut self, from: &Origin, beat: &Heartbeat) {
        let Some(entry) = self.entry(beat.slot) else { return };
        let heard = from.heard.max(Time(1));
        if entry.incarnation != beat.incarnation {
            *entry = HomeEntry { incarnation: beat.incarnation, ..HomeEntry::default() };
        }
        if heard < entry.heard {
            return;
        }
        *entry = HomeEntry {
            heard,
            interval_us: beat.interval_us,
            peers_interval_us: beat.peers_interval_us,
            rtt_us: beat.rtt_us,
            services_up: beat.services_up,
            services_down: beat.services_down,
            addr: from.addr,
            ..*entry
        };
    }

    /// When its neighbour set was last pushed to a node; 0 when never.
    pub(crate) fn pushed(&self, slot: Slot) -> Time {
        self.entries.get(&slot).map_or(Time(0), |entry| entry.pushed)
    }

    /// Notes that a node's neighbour set was pushed.
    pub(crate) fn on_push(&mut self, slot: Slot, now: Time) {
        if let Some(entry) = self.entry(slot) {
            entry.pushed = now;
            entry.pushes = entry.pushes.saturating_add(1);
        }
    }

    /// How often a node's neighbour set was pushed in vain.
    pub(crate) fn pushes(&self, slot: Slot) -> u8 {
        self.entries.get(&slot).map_or(0, |entry| entry.pushes)
    }

    /// A node has named its present neighbour set.
    pub(crate) fn on_confirmed(&mut self, slot: Slot) {
        if let Some(entry) = self.entry(slot) {
            entry.pushes = 0;
        }
    }

    /// Every life of a node that was heard here, by slot.
    pub(crate) fn heard_nodes(&self) -> impl Iterator<Item = (Slot, &HomeEntry)> {
        let heard = self.entries.iter().filter(|(_, entry)| entry.heard > Time(0));
        heard.map(|(slot, entry)| (*slot, entry))
    }

    /// The next node with an entry after `slot`; the first one after `None`.
    pub(crate) fn next_after(&self, slot: Option<Slot>) -> Option<Slot> {
        let from = slot.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((from, Bound::Unbounded)).next().map(|(slot, _)| *slot)
    }

    /// Notes whether a node is gray without a cause at present; since when it is.
    pub(crate) fn gray_since(&mut self, slot: Slot, is_so: bool, now: Time) -> Option<Time> {
        let entry = self.entries.get_mut(&slot)?;
        if !is_so {
            entry.gray_since = Time(0);
        } else if entry.gray_since == Time(0) {
            entry.gray_since = now;
        }
        is_so.then_some(entry.gray_since)
    }

    fn entry(&mut self, slot: Slot) -> Option<&mut HomeEntry> {
        ((slot.0 as usize) < NODES_MAX).then(|| self.entries.entry(slot).or_default())
    }

    /// Notes whether most of this satellite's own nodes are silent.
    pub(crate) const fn set_unheard(&mut self, is_unheard: bool) {
        self.is_unheard = is_unheard;
    }

    /// Whether most of its own nodes were silent at the last look.
    pub(crate) const fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    /// This satellite's silence counts from `at` on, and not before.
    pub(crate) fn set_mature(&mut self, at: Time) {
        self.mature = Some(at);
    }

    /// Whether this satellite has listened long enough to count its own silence.
    pub(crate) fn is_mature(&self, now: Time) -> bool {
        self.mature.is_some_and(|at| now >= at)
    }

    /// Whether nothing was heard of a node for `intervals` of its heartbeats.
    pub(crate) fn is_silent(
        &self,
        slot: Slot,
        incarnation: Incarnation,
        intervals: u64,
        now: Time,
    ) -> bool {
        self.is_mature(now) && !self.is_on_schedule(slot, incarnation, intervals, now)
    }

    /// Whether something was heard of a node within `intervals` of its heartbeats.
    pub(crate) fn is_on_schedule(
        &self,
        slot: Slot,
        incarnation: Incarnation,
        intervals: u64,
        now: Time,
    ) -> bool {
        self.get(slot, incarnation).is_some_and(|entry| {
            now.since(entry.heard) < u64::from(entry.interval_us) * US * intervals
        })
    }

    /// Where to send to a node: where it was heard from, else where it says it listens.
    pub(crate) fn addr(&self, world: &World, slot: Slot) -> Option<Addr> {
        let entry = world.members().agent(slot)?;
        let heard = self.get(slot, entry.head.incarnation).map(|heard| heard.addr);
        heard.or_else(|| entry.head.addr.is_some().then_some(entry.head.addr))
    }

    /// The smoothed round trip to a node, as it measured it, in ns; 0 when unknown.
    pub(crate) fn rtt_ns(&self, slot: Slot) -> u64 {
        self.entries.get(&slot).map_or(0, |entry| u64::from(entry.rtt_us) * US)
    }

    /// η of a node, in ns: the interval that it keeps towards its observers, as it says itself; one
    /// that has said nothing yet keeps what the profile asks of its round trip.
    pub(crate) fn interval_ns(&self, slot: Slot, profile: &Profile) -> u64 {
        match self.entries.get(&slot) {
            Some(entry) if entry.peers_interval_us > 0 => u64::from(entry.peers_interval_us) * US,
            Some(_) | None => profile.interval_for_ns(self.rtt_ns(slot)),
        }
    }
}

/// A home's answer to a heartbeat, as the world stands.
pub(crate) fn answer(now: Now, from: &Origin, beat: &Heartbeat, world: &World) -> HomeAnswer {
    let is_known = world.living(beat.slot, beat.incarnation).is_some();
    HomeAnswer {
        echo_ns: beat.sent_ns,
        hold_us: u32::try_from(now.at.since(from.heard) / US).unwrap_or(u32::MAX),
        flags: if is_known { 0 } else { HomeAnswer::UNKNOWN },
        reserved: 0,
        roster: world.roster().epoch(),
        view: world.view(),
        neighbours: if is_known { world.epoch(beat.slot) } else { 0 },
        term: world.roster().term(),
        wall_ns: now.wall.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::MS;
    use syncom_wire::{Boot, PeerId};

    #[test]
    fn a_node_is_judged_by_the_interval_that_it_announces() {
        let (mut homes, profile) = (Homes::default(), Profile::DEFAULT);
        let mut hear = |slot, peers_interval_us, rtt_us| {
            let (boot, addr, heard) = (Boot(1), Addr::v4([10, 0, 0, 1], 7), Time(9));
            let origin = Origin { peer: PeerId::agent(Slot(slot)), boot, addr, heard };
            let beat = Heartbeat {
                slot: Slot(slot),
                plane: Heartbeat::HOME,
                peers_interval_us,
                rtt_us,
                ..Heartbeat::of_satellite(1, 1_000_000, 1)
            };
            homes.on_heartbeat(&origin, &beat);
        };
        hear(1, 2_500_000, 100);
        hear(2, 0, 100_000);
        hear(3, 50_000, 100_000);
        let of = |slot| homes.interval_ns(Slot(slot), &profile) / MS;
        assert_eq!(of(1), 2_500, "it has a budget");
        assert_eq!(of(2), 800, "it has not said, but is far away");
        assert_eq!(of(3), 50, "whatever the profile here says");
        assert_eq!(of(4), 200, "nobody has heard it");
    }
}
