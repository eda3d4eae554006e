//! What is known of satellites beyond the log: whether they show themselves, and what they tell of
//! their nodes.
//!
//! Every replica listens, so that a new leader already knows who lives; only the leader judges.

use crate::config::StationConfig;
use crate::machine::Machine;
use crate::station::Station;
use crate::transport::LANE_FABRIC;
use crate::watch::Missed;
use std::collections::BTreeMap;
use syncom_group::{Arrival, Profile};
use syncom_seam::{MS, Now, Origin, Outbox, SECOND, Time};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::limits::{NODES_MAX, SATELLITES_MAX};
use syncom_wire::uplink::{HomeStat, HomeStats};
use syncom_wire::{Addr, Boot, PeerId, Role, Slot};

/// Heartbeats that a satellite may miss.
const MISSES: u32 = 5;
/// A satellite that is overdue for so long at the leader alone, in ns, cannot serve: with the time that
/// it may miss that makes some 10 s. Its nodes have other homes.
const DEAF_NS: u64 = 9 * SECOND;
/// What an overdue satellite works on is given to others again after this long.
const AGAIN_NS: u64 = SECOND;

/// What a satellite said of undecided cases counts so long, in ns: longer than it holds deaths itself.
const UNDECIDED_NS: u64 = 500 * MS;

/// One satellite as it is heard.
#[derive(Debug)]
struct Heard {
    boot: Boot,
    arrival: Arrival,
    /// When it is expected first; what it was told of before counts for nothing.
    began: Time,
    /// Until then nothing is taken from it again.
    relieved: Time,
    reports_per_s: u32,
    /// Cases that it has not decided, and until when they count.
    undecided: (u32, Time),
}

/// All satellites as they are heard, and the soft facts about nodes.
#[derive(Debug)]
pub(crate) struct Satellites {
    profile: Profile,
    heard: BTreeMap<PeerId, Heard>,
    addresses: BTreeMap<PeerId, Addr>,
    stats: BTreeMap<Slot, (PeerId, HomeStat)>,
}

impl Satellites {
    pub(crate) fn new(config: &StationConfig) -> Self {
        let profile = Profile {
            name: "satellites",
            interval_ns: config.satellite_interval_ns,
            misses: MISSES,
            margin_min_ns: config.satellite_interval_ns / 2,
            home_interval_ns: config.satellite_interval_ns,
        };
        Self { profile, heard: BTreeMap::new(), addresses: BTreeMap::new(), stats: BTreeMap::new() }
    }

    /// This replica leads from now on: everybody gets the time to show himself to it.
    pub(crate) fn begin(&mut self, now: Time, machine: &Machine) {
        self.heard.clear();
        for entry in machine.membership.members().satellites_serving() {
            self.heard.insert(entry.head.peer, self.fresh(entry.head.boot, now));
        }
    }

    fn fresh(&self, boot: Boot, now: Time) -> Heard {
        let arrival = Arrival::new(now, self.profile.interval_ns);
        let undecided = (0, Time(0));
        Heard { boot, arrival, began: now, relieved: Time(0), reports_per_s: 0, undecided }
    }

    /// This replica was late itself: nobody else is blamed for it.
    pub(crate) fn forgive(&mut self, late_ns: u64, tick_ns: u64) {
        if late_ns > tick_ns {
            for heard in self.heard.values_mut() {
                heard.arrival.shift(late_ns);
            }
        }
    }

    /// When this life of a satellite, or a newer one that will replace it, was last heard.
    pub(crate) fn heard_at(&self, peer: PeerId, life: Boot) -> Option<Time> {
        self.heard.get(&peer).filter(|heard| heard.boot >= life)?.arrival.heard()
    }

    /// Where a satellite was last heard from.
    pub(crate) fn addr(&self, peer: PeerId) -> Option<Addr> {
        self.addresses.get(&peer).copied()
    }

    pub(crate) fn on_stats(&mut self, now: Time, peer: PeerId, stats: &HomeStats<'_>) {
        if stats.peer != peer {
            return;
        }
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.reports_per_s = stats.reports_per_s;
            heard.undecided = (stats.undecided, now.after(UNDECIDED_NS));
        }
        for stat in stats.items.iter().filter(|stat| (stat.slot.0 as usize) < NODES_MAX) {
            self.stats.insert(stat.slot, (peer, stat));
        }
    }

    /// The soft facts about a node, and who told them.
    pub(crate) fn stat(&self, slot: Slot) -> Option<&(PeerId, HomeStat)> {
        self.stats.get(&slot)
    }

    /// Cases that satellites have not decided, as far as they have said so lately.
    pub(crate) fn undecided(&self, now: Time) -> u32 {
        let fresh = self.heard.values().filter(|heard| now < heard.undecided.1);
        fresh.fold(0, |sum, heard| sum.saturating_add(heard.undecided.0))
    }

    /// Reports that all satellites took in the last second.
    pub(crate) fn reports_per_s(&self) -> u32 {
        self.heard.values().fold(0, |sum, heard| sum.saturating_add(heard.reports_per_s))
    }
}

impl Station {
    /// Keeps the stream to a satellite pointed at where it was last heard.
    pub(crate) fn note_address(&mut self, from: &Origin) {
        let number = from.peer.number() as usize;
        if from.peer.role() != Role::Satellite || !(1..=SATELLITES_MAX).contains(&number) {
            return;
        }
        if self.satellites.addresses.insert(from.peer, from.addr) != Some(from.addr) {
            // The table of streams has room for every satellite that there can be.
            let _ = self.streams.connect(from.peer, from.addr, LANE_FABRIC);
        }
    }

    /// A satellite shows itself; the leader answers.
    pub(crate) fn on_heartbeat<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        heartbeat: &Heartbeat,
        out: &mut O,
    ) {
        if heartbeat.plane != Heartbeat::GROUP {
            return;
        }
        let satellites = &mut self.satellites;
        let known = satellites.heard.get(&from.peer).map(|heard| heard.boot);
        if known.is_none_or(|boot| boot < from.boot) {
            let fresh = satellites.fresh(from.boot, from.heard);
            satellites.heard.insert(from.peer, fresh);
        }
        if let Some(heard) = satellites.heard.get_mut(&from.peer)
            && heard.boot == from.boot
        {
            let interval_ns = u64::from(heartbeat.interval_us) * 1_000;
            heard.arrival.on_heartbeat(heartbeat.seq, interval_ns, from.heard);
        }
        if self.is_settled() {
            let hold_us = u32::try_from(now.at.since(from.heard) / 1_000).unwrap_or(u32::MAX);
            let answer = self.home_answer(now, from.peer, from.boot);
            out.send(from.addr, &HomeAnswer { echo_ns: heartbeat.sent_ns, hold_us, ..answer });
        }
    }

    /// A new leader shows itself at once to every satellite that it has heard, which would else find
    /// it with its next heartbeat.
    pub(crate) fn announce<O: Outbox>(&self, now: Now, out: &mut O) {
        for (peer, heard) in &self.satellites.heard {
            if let Some(addr) = self.satellites.addresses.get(peer) {
                out.send(*addr, &self.home_answer(now, *peer, heard.boot));
            }
        }
    }

    /// Who leads, for a satellite. It answers no heartbeat yet: see [`HomeAnswer::echo_ns`].
    fn home_answer(&self, now: Now, peer: PeerId, boot: Boot) -> HomeAnswer {
        let members = self.machine.membership.members();
        let present = |entry: &syncom_group::Entry| entry.is_present() && entry.head.boot == boot;
        let known = members.get(peer).is_some_and(present);
        HomeAnswer {
            echo_ns: 0,
            hold_us: 0,
            flags: if known { 0 } else { HomeAnswer::UNKNOWN },
            reserved: 0,
            roster: self.machine.membership.roster(),
            view: members.view(),
            neighbours: 0,
            term: self.node.term(),
            wall_ns: now.wall.0,
        }
    }

    /// Looks after satellites that no longer show themselves.
    pub(crate) fn miss_satellites<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut all = Vec::new();
        let satellites = &mut self.satellites;
        for entry in self.machine.membership.members().satellites_serving() {
            let (peer, boot) = (entry.head.peer, entry.head.boot);
            if satellites.heard.get(&peer).is_none_or(|heard| heard.boot < boot) {
                let fresh = satellites.fresh(boot, now.at);
                satellites.heard.insert(peer, fresh);
            }
            let Some(heard) = satellites.heard.get(&peer) else { continue };
            // A newer life that shows itself is no proof of life of the one that is a member; it
            // will join, and replaces it.
            let due = heard.arrival.deadline(&satellites.profile, 0);
            let heard = heard.arrival.heard().unwrap_or(heard.began);
            let incarnation = entry.head.incarnation;
            let given_up = due.after(DEAF_NS);
            all.push(Missed { peer, boot, incarnation, heard, due, given_up });
        }
        // Where no other one serves, nothing is gained by giving it up.
        if !all.iter().any(|missed| now.at <= missed.due) {
            all.iter_mut().for_each(|missed| missed.given_up = Time::NEVER);
        }
        self.watch.forget_satellites_but(&all);
        for missed in all {
            if self.look_after(now, &missed, out) {
                self.relieve(now, missed.peer, out);
            }
        }
    }

    /// Whatever a satellite that is overdue works on is given to others, dead or not.
    fn relieve<O: Outbox>(&mut self, now: Now, peer: PeerId, out: &mut O) {
        let Some(heard) = self.satellites.heard.get_mut(&peer) else { return };
        if now.at >= heard.relieved {
            heard.relieved = now.at.after(AGAIN_NS);
            self.give_up_shards(now, peer, out);
        }
    }
}
