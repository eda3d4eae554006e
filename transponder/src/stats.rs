//! Soft facts about the nodes whose first home this is, for people who ask the station.

use crate::feed::LANE;
use crate::homes::Homes;
use crate::world::World;
use alloc::vec::Vec;
use syncom_seam::{Outbox, SECOND, Time, US};
use syncom_stream::{Key, Streams};
use syncom_wire::uplink::{HomeStat, HomeStats};
use syncom_wire::{List, PeerId};

/// Interval of statistics, in ns.
pub(crate) const INTERVAL_NS: u64 = 2 * SECOND;

/// What was told when.
#[derive(Debug)]
pub(crate) struct Stats {
    me: PeerId,
    sent: Time,
    reports: u64,
    /// Of the last interval.
    reports_per_s: u32,
    /// The undecided cases that the station was told of last.
    undecided: u32,
    /// Who was told.
    told: Option<Key>,
    items: Vec<HomeStat>,
}

impl Stats {
    pub(crate) fn new(me: PeerId) -> Self {
        let items = Vec::with_capacity(HomeStats::PER_FRAME);
        Self { me, sent: Time(0), reports: 0, reports_per_s: 0, undecided: 0, told: None, items }
    }

    /// A report came.
    pub(crate) const fn on_reports(&mut self, count: u64) {
        self.reports += count;
    }

    /// Whether the station believes that there are undecided cases.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.undecided > 0
    }

    /// Tells the station at once when there are more undecided cases than it was told of, or none any
    /// more: while many satellites have some, it waits with deaths for those of the same cause.
    pub(crate) fn on_undecided<O: Outbox>(
        &mut self,
        now: Time,
        undecided: u32,
        leader: Key,
        streams: &mut Streams,
        out: &mut O,
    ) {
        self.begin_with(leader);
        if undecided <= self.undecided && (undecided > 0 || self.undecided == 0) {
            return;
        }
        let (peer, reports_per_s) = (self.me, self.reports_per_s);
        let frame = HomeStats { peer, reports_per_s, undecided, items: List::new(&[]) };
        if streams.send(now, leader, &frame, out).is_ok() {
            self.undecided = undecided;
        }
    }

    /// What was on its way to a leader is lost.
    pub(crate) const fn on_no_leader(&mut self) {
        self.told = None;
    }

    /// Whoever leads anew was told of nothing yet.
    fn begin_with(&mut self, leader: Key) {
        if self.told != Some(leader) {
            (self.told, self.undecided) = (Some(leader), 0);
        }
    }

    /// Tells the station when it is time, of `undecided` cases, too.
    pub(crate) fn on_slow_tick<O: Outbox>(
        &mut self,
        now: Time,
        (leader, undecided): (Key, u32),
        world: &World,
        homes: &Homes,
        streams: &mut Streams,
        out: &mut O,
    ) {
        debug_assert_eq!(leader.lane, LANE, "statistics go with everything else");
        if now.since(self.sent) < INTERVAL_NS {
            return;
        }
        self.begin_with(leader);
        let elapsed_s = (now.since(self.sent) / SECOND).clamp(1, 60);
        let reports_per_s = u32::try_from(self.reports / elapsed_s).unwrap_or(u32::MAX);
        self.reports_per_s = reports_per_s;
        (self.sent, self.reports) = (now, 0);
        let mut nodes = homes.heard_nodes().filter_map(|(slot, heard)| {
            let is_mine = world.is_first_home(slot);
            (is_mine && world.living(slot, heard.incarnation).is_some()).then(|| HomeStat {
                slot,
                rtt_us: heard.rtt_us,
                interval_us: heard.interval_us,
                heard_ago_us: u32::try_from(now.since(heard.heard) / US).unwrap_or(u32::MAX),
                services_up: heard.services_up,
                services_down: heard.services_down,
                addr: heard.addr,
            })
        });
        loop {
            self.items.clear();
            self.items.extend(nodes.by_ref().take(HomeStats::PER_FRAME));
            let items = List::new(&self.items);
            let frame = HomeStats { peer: self.me, reports_per_s, undecided, items };
            // A full stream has more urgent things to carry.
            if streams.send(now, leader, &frame, out).is_err() {
                return;
            }
            self.undecided = undecided;
            if self.items.len() < HomeStats::PER_FRAME {
                return;
            }
        }
    }
}
