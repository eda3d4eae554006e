//! Saying that we live.
//!
//! Two planes, each on a schedule of its own: one burst to all observers every η, and a slower
//! heartbeat to each home, which answers. Schedules keep to a grid, because observers expect
//! arrivals by number; where a node's grid begins is given by a hash of its slot, so that a cluster
//! that started at once does not beat at once.
//!
//! Old observers are kept for a while after they were replaced: they may hear of it later than we
//! did, and must not accuse us meanwhile.

use crate::node::{Identity, Node};
use crate::timers::TimerKind;
use alloc::vec::Vec;
use syncom_seam::{Counter, Now, Outbox, Time};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::ids::mix;
use syncom_wire::limits::NEIGHBOURS_MAX;
use syncom_wire::neighbours::Neighbours;
use syncom_wire::{Addr, Slot};

/// Observers at a time: the present ones and those that were replaced lately.
const OBSERVERS_KEPT_MAX: usize = 2 * NEIGHBOURS_MAX;

#[derive(Clone, Copy, Debug)]
struct Observer {
    slot: Slot,
    /// [`Time::NEVER`] while it is in the set; else when to stop.
    until: Time,
}

/// How the services of this node do, as heartbeats say it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServiceCounts {
    pub(crate) up: u16,
    pub(crate) down: u16,
}

/// Heartbeats to observers and homes.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    /// Epoch of the neighbour set that is held; 0 for none.
    pub(crate) epoch: u64,
    observers: Vec<Observer>,
    /// Addresses of `observers`, in the same order: what a burst goes to.
    addrs: Vec<Addr>,
    peer_seq: u64,
    home_seq: u64,
    /// Duty cycles of this process.
    progress: u32,
    /// When the next burst to observers should go; none before the first welcome.
    peers_due: Option<Time>,
    homes_due: Time,
}

impl Heartbeats {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 0,
            observers: Vec::with_capacity(OBSERVERS_KEPT_MAX),
            addrs: Vec::with_capacity(OBSERVERS_KEPT_MAX),
            peer_seq: 0,
            home_seq: 0,
            progress: 0,
            peers_due: None,
            homes_due: Time::NEVER,
        }
    }

    pub(crate) const fn on_duty_cycle(&mut self) {
        self.progress = self.progress.wrapping_add(1);
    }

    /// A new life begins: nobody watches it yet.
    pub(crate) fn on_new_life<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let Some(identity) = node.identity else { return };
        self.epoch = 0;
        self.observers.clear();
        self.addrs.clear();
        let hash = mix(u64::from(identity.slot.0));
        let peers_ns = node.pace.interval_ns();
        let peers_due = now.at.after(hash % peers_ns.max(1));
        self.peers_due = Some(peers_due);
        self.homes_due = now.at.after(hash % node.home_interval_ns().max(1));
        node.timers.set(TimerKind::Peers, peers_due, out);
        // Homes are to hear of us before observers can miss us.
        node.timers.set(TimerKind::Homes, self.homes_due.min(peers_due), out);
    }

    /// Takes the observers of a newer set.
    pub(crate) fn on_neighbours(&mut self, now: Time, set: &Neighbours<'_>, node: &Node) {
        self.epoch = set.head.epoch;
        let until = now.after(node.handover_ns());
        for observer in &mut self.observers {
            let stays = set.observers.iter().any(|one| one.slot == observer.slot);
            observer.until = if stays { Time::NEVER } else { observer.until.min(until) };
        }
        for one in set.observers.iter() {
            let at = self.observers.iter().position(|observer| observer.slot == one.slot);
            if let Some(addr) = at.and_then(|at| self.addrs.get_mut(at)) {
                *addr = one.addr;
                continue;
            }
            self.make_room();
            self.observers.push(Observer { slot: one.slot, until: Time::NEVER });
            self.addrs.push(one.addr);
        }
    }

    /// How late the burst to observers is by now, in ns: how long this process cannot have run.
    pub(crate) fn late_ns(&self, now: Time) -> u64 {
        self.peers_due.map_or(0, |due| now.since(due))
    }

    /// The lateness was noticed and dealt with.
    pub(crate) fn forgive(&mut self, now: Time) {
        self.peers_due = self.peers_due.map(|due| due.max(now));
    }

    /// The burst to observers is due.
    pub(crate) fn on_peers<O: Outbox>(
        &mut self,
        now: Now,
        services: ServiceCounts,
        node: &mut Node,
        out: &mut O,
    ) {
        let (Some(identity), Some(due)) = (node.identity, self.peers_due) else { return };
        self.drop_replaced(now.at);
        let interval_ns = node.pace.update(&node.config.profile, node.homes.srtt_max_ns(), now.at);
        self.peer_seq += 1;
        let beat = self.beat(Heartbeat::PEER, now, identity, services, node);
        out.send_all(&self.addrs, &beat);
        out.count(Counter::HeartbeatsSent, self.addrs.len() as u64);
        let next = grid(due, interval_ns, now.at);
        self.peers_due = Some(next);
        node.timers.set(TimerKind::Peers, next, out);
    }

    /// The heartbeat to the homes is due.
    pub(crate) fn on_homes<O: Outbox>(
        &mut self,
        now: Now,
        services: ServiceCounts,
        node: &mut Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        let is_regular = now.at >= self.homes_due;
        if is_regular {
            while node.homes.give_up_silent(now.at) {
                node.homes.choose(identity.slot, &node.roster, now.at);
            }
            node.homes.count_beat();
            self.homes_due = grid(self.homes_due, node.home_interval_ns(), now.at);
        }
        // Observers wait for a node that does not know them yet: until its first set arrives,
        // heartbeats ask for it more often.
        let is_asking = self.epoch == 0;
        if is_regular || is_asking {
            self.show(now, services, node, out);
        }
        let soon = if is_asking { now.at.after(node.pace.interval_ns()) } else { Time::NEVER };
        node.timers.set(TimerKind::Homes, self.homes_due.min(soon), out);
    }

    /// Shows this node to its homes, outside of any schedule.
    pub(crate) fn show<O: Outbox>(
        &mut self,
        now: Now,
        services: ServiceCounts,
        node: &Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        self.home_seq += 1;
        let beat = self.beat(Heartbeat::HOME, now, identity, services, node);
        for home in node.homes.iter() {
            out.send(home.addr, &Heartbeat { rtt_us: home.rtt.srtt_us(), ..beat });
            out.count(Counter::HeartbeatsSent, 1);
        }
    }

    /// Says the last heartbeat to the observers once more, outside of any schedule: some miss us. It
    /// keeps its number, so that it tells nothing new to those who have heard it.
    pub(crate) fn repeat<O: Outbox>(
        &self,
        now: Now,
        services: ServiceCounts,
        node: &Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity.filter(|_| self.peer_seq > 0) else { return };
        let beat = self.beat(Heartbeat::PEER, now, identity, services, node);
        out.send_all(&self.addrs, &beat);
        out.count(Counter::HeartbeatsSent, self.addrs.len() as u64);
    }

    /// Tells observers and homes that the next heartbeat will not come, and stops.
    pub(crate) fn on_leave<O: Outbox>(&mut self, now: Now, node: &Node, out: &mut O) {
        self.peers_due = None;
        let Some(identity) = node.identity else { return };
        self.peer_seq += 1;
        let beat = self.beat(Heartbeat::PEER, now, identity, ServiceCounts::default(), node);
        out.send_all(&self.addrs, &Heartbeat { flags: Heartbeat::LEAVING, ..beat });
    }

    fn beat(
        &self,
        plane: u8,
        now: Now,
        identity: Identity,
        services: ServiceCounts,
        node: &Node,
    ) -> Heartbeat {
        let (seq, interval_ns) = if plane == Heartbeat::PEER {
            (self.peer_seq, node.pace.interval_ns())
        } else {
            (self.home_seq, node.home_interval_ns())
        };
        Heartbeat {
            slot: identity.slot,
            incarnation: identity.incarnation,
            seq,
            interval_us: u32::try_from(interval_ns / 1_000).unwrap_or(u32::MAX),
            progress: self.progress,
            sent_ns: now.at.0,
            neighbours: self.epoch,
            rtt_us: 0,
            services_up: services.up,
            services_down: services.down,
            plane,
            health: node.health.level(),
            flags: 0,
            load: 0,
        }
    }

    fn drop_replaced(&mut self, now: Time) {
        let mut at = 0;
        while let Some(observer) = self.observers.get(at) {
            if observer.until <= now {
                self.observers.swap_remove(at);
                self.addrs.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Makes room for one more; the observer replaced longest goes first.
    fn make_room(&mut self) {
        if self.observers.len() < OBSERVERS_KEPT_MAX {
            return;
        }
        let oldest = self.observers.iter().enumerate().min_by_key(|(_, observer)| observer.until);
        if let Some(at) = oldest.map(|(at, _)| at) {
            self.observers.swap_remove(at);
            self.addrs.swap_remove(at);
        }
    }
}

/// The moment after `due` on a grid of `interval_ns`; after a long delay the grid begins anew.
fn grid(due: Time, interval_ns: u64, now: Time) -> Time {
    let next = due.after(interval_ns);
    if next > now { next } else { now.after(interval_ns) }
}
