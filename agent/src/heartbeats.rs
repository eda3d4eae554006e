//! Saying that we live.
//!
//! Two planes: one burst to all observers every η, and a slower heartbeat to each home, which
//! answers. Both keep to a grid, because arrivals are expected by number; where a node's grid begins
//! is given by a hash of its slot, so that a cluster that started at once does not beat at once. A
//! heartbeat to the homes goes with the burst next to its turn: one wake-up serves both. Where a budget
//! does not suffice for that, the burst is to one observer at a time ([`Turns`]).
//!
//! An observer that was replaced is kept until all new ones have said that they hear us, and is
//! then told so: at no moment do fewer watch than should. Where a new one never says so, the old one
//! is kept for a while, longer than it may take to learn that it was replaced: it must not accuse us
//! meanwhile.

use crate::node::{Identity, Node};
use crate::timers::TimerKind;
use crate::turns::{Turns, UNTURNED};
use alloc::vec::Vec;
use syncom_seam::{Counter, Now, Outbox, Time};
use syncom_wire::beat::Beat;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::ids::mix;
use syncom_wire::limits::{NEIGHBOURS_MAX, OBSERVERS_MAX};
use syncom_wire::neighbours::{Neighbour, Neighbours};
use syncom_wire::{Addr, Incarnation, Slot};

/// Observers at a time: the present ones and those that were replaced lately.
const OBSERVERS_KEPT_MAX: usize = 2 * NEIGHBOURS_MAX;

/// How often an observer is told that it is released. Once would do on a network without loss; where
/// one in five is lost, eight in a row are not.
const RELEASES: u8 = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer {
    slot: Slot,
    incarnation: Incarnation,
    /// [`Time::NEVER`] while it is in the set; else when to stop.
    until: Time,
    /// It has said that it watches us.
    is_armed: bool,
    /// How often it was told that it is released.
    releases: u8,
    /// When in a round it hears us, where observers do so in turn.
    pub(crate) turn: u8,
}

impl Observer {
    fn new(one: &Neighbour) -> Self {
        let (slot, incarnation) = (one.slot, one.incarnation);
        let (until, turn) = (Time::NEVER, UNTURNED);
        Self { slot, incarnation, until, is_armed: false, releases: 0, turn }
    }

    pub(crate) fn is_present(&self) -> bool {
        self.until == Time::NEVER
    }
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
    turns: Turns,
    peer_seq: u64,
    home_seq: u64,
    /// Duty cycles of this process.
    progress: u32,
    /// When the next burst to observers should go; none before the first welcome.
    peers_due: Option<Time>,
    /// Lateness up to then was noticed and dealt with.
    forgiven: Time,
    homes_due: Time,
}

impl Heartbeats {
    pub(crate) fn new() -> Self {
        Self {
            epoch: 0,
            observers: Vec::with_capacity(OBSERVERS_KEPT_MAX),
            addrs: Vec::with_capacity(OBSERVERS_KEPT_MAX),
            turns: Turns::default(),
            peer_seq: 0,
            home_seq: 0,
            progress: 0,
            peers_due: None,
            forgiven: Time(0),
            homes_due: Time::NEVER,
        }
    }

    /// Bytes that the observers take here.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.observers.as_slice()) + size_of_val(self.addrs.as_slice())
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
    }

    /// Takes the observers of a newer set.
    pub(crate) fn on_neighbours(&mut self, now: Time, set: &Neighbours<'_>, node: &Node) {
        self.epoch = set.head.epoch;
        let until = now.after(node.handover_ns(node.pace.announced_ns()));
        for observer in &mut self.observers {
            let is_same = |one: &Neighbour| one.slot == observer.slot;
            match set.observers.iter().find(is_same) {
                // A new life, or one that was replaced, has to say anew that it watches.
                Some(one) if one.incarnation != observer.incarnation || !observer.is_present() => {
                    *observer = Observer::new(&one);
                }
                Some(_) => observer.until = Time::NEVER,
                None => observer.until = observer.until.min(until),
            }
        }
        for one in set.observers.iter() {
            let at = self.observers.iter().position(|observer| observer.slot == one.slot);
            let held = at.and_then(|at| self.observers.get_mut(at).zip(self.addrs.get_mut(at)));
            if let Some((observer, addr)) = held {
                (observer.incarnation, *addr) = (one.incarnation, one.addr);
                continue;
            }
            self.make_room();
            self.observers.push(Observer::new(&one));
            self.addrs.push(one.addr);
        }
    }

    /// The observer at `to`, when the heartbeat that came back from there has the number of one of the
    /// last two: an older one says nothing of the present.
    pub(crate) fn on_returned(&self, to: Addr, seq: u64) -> Option<(Slot, Incarnation)> {
        let is_fresh = seq.saturating_add(1) >= self.peer_seq;
        let at = self.addrs.iter().position(|addr| *addr == to).filter(|_| is_fresh)?;
        self.observers.get(at).map(|observer| (observer.slot, observer.incarnation))
    }

    /// How late the burst to observers is by now, in ns: how long this process cannot have run.
    pub(crate) fn late_ns(&self, now: Time) -> u64 {
        self.peers_due.map_or(0, |due| now.since(due.max(self.forgiven)))
    }

    /// The lateness was noticed and dealt with. Whoever speaks in turn keeps to its grid all the same: the
    /// others' turns are not over.
    pub(crate) fn forgive(&mut self, now: Time, node: &Node) {
        if node.pace.is_in_turn() {
            self.forgiven = now;
        } else {
            self.peers_due = self.peers_due.map(|due| due.max(now));
        }
    }

    /// The next in turn is to hear us.
    fn on_turn<O: Outbox>(
        &mut self,
        now: Now,
        services: ServiceCounts,
        identity: Identity,
        node: &mut Node,
        out: &mut O,
    ) {
        if self.turns.is_over() {
            node.pace.update(&node.config.profile, node.homes.srtt_max_ns(), now.at);
            let present = self.observers.iter().filter(|observer| observer.is_present()).count();
            self.turns.begin(node.pace.begin_round(present), &mut self.observers);
            self.peer_seq += 1;
        }
        let beat = self.beat(Heartbeat::PEER, now, identity, services, node);
        let turn = self.turns.next();
        self.send_to(&beat, |observer| observer.turn == turn, out);
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
        let mut due = due;
        if node.pace.is_in_turn() {
            // Whose turn has passed while we stood still hears us now, and next time when it is due.
            let mut turns = OBSERVERS_MAX;
            loop {
                self.on_turn(now, services, identity, node, out);
                turns -= 1;
                if turns == 0 || due.after(node.pace.interval_ns()) > now.at {
                    break;
                }
                due = due.after(node.pace.interval_ns());
            }
        } else {
            node.pace.update(&node.config.profile, node.homes.srtt_max_ns(), now.at);
            self.peer_seq += 1;
            let beat = self.beat(Heartbeat::PEER, now, identity, services, node);
            self.send_burst(&beat, out);
        }
        let next = grid(due, node.pace.interval_ns(), now.at);
        self.peers_due = Some(next);
        node.timers.set(TimerKind::Peers, next, out);
    }

    /// Whether the homes are to hear from us with the burst of this moment. Observers wait for a node
    /// that does not know them yet: until its first set arrives, every burst asks for it.
    pub(crate) fn is_home_turn(&self, now: Time, node: &Node) -> bool {
        self.is_regular_turn(now, node) || self.epoch == 0
    }

    /// Whether the turn of the homes is nearer to the burst of this moment than to the next one.
    fn is_regular_turn(&self, now: Time, node: &Node) -> bool {
        self.homes_due <= now.after(node.pace.interval_ns() / 2)
    }

    /// Sends a burst: one and the same to all, but while observers change, to each what it should
    /// know. Those who have said that they watch us know who we are: what they hear is short.
    fn send_burst<O: Outbox>(&mut self, beat: &Heartbeat, out: &mut O) {
        let present = || self.observers.iter().filter(|observer| observer.is_present());
        let all_armed = present().all(|observer| observer.is_armed);
        if all_armed && present().count() == self.addrs.len() {
            let brief = Beat::of(beat).filter(|_| !is_in_full(beat));
            say(&self.addrs, beat, brief.as_ref(), out);
            out.count(Counter::HeartbeatsSent, self.addrs.len() as u64);
        } else {
            self.send_to(beat, |_| true, out);
        }
    }

    /// Tells each of these observers what it should know.
    fn send_to<O: Outbox>(
        &mut self,
        beat: &Heartbeat,
        is_meant: impl Fn(&Observer) -> bool,
        out: &mut O,
    ) {
        let mut present = self.observers.iter().filter(|observer| observer.is_present());
        let all_armed = present.all(|observer| observer.is_armed);
        let brief = Beat::of(beat).filter(|_| !is_in_full(beat));
        let mut sent = 0;
        for (observer, addr) in self.observers.iter_mut().zip(&self.addrs) {
            if !is_meant(observer) {
                continue;
            }
            let flags = match (observer.is_present(), observer.is_armed) {
                (true, true) => 0,
                (true, false) => Heartbeat::ARM,
                (false, _) if all_armed => {
                    observer.releases += 1;
                    Heartbeat::RELEASED
                }
                (false, _) => 0,
            };
            let brief = brief.as_ref().filter(|_| flags == 0 && observer.is_armed);
            let beat = Heartbeat { flags: beat.flags | flags, ..*beat };
            say(core::slice::from_ref(addr), &beat, brief, out);
            sent += 1;
        }
        out.count(Counter::HeartbeatsSent, sent);
    }

    /// An observer says that it watches us.
    pub(crate) fn on_armed(&mut self, slot: Slot, incarnation: Incarnation) {
        let is_it = |one: &&mut Observer| (one.slot, one.incarnation) == (slot, incarnation);
        if let Some(observer) = self.observers.iter_mut().find(is_it) {
            observer.is_armed = true;
        }
    }

    /// Tells a node that we hear it, and watch it.
    pub(crate) fn arm<O: Outbox>(&self, now: Now, subject: Addr, node: &Node, out: &mut O) {
        let Some(identity) = node.identity else { return };
        let beat = self.beat(Heartbeat::PEER, now, identity, ServiceCounts::default(), node);
        let beat = Heartbeat { flags: beat.flags | Heartbeat::ARMED, ..beat };
        out.send_all(core::slice::from_ref(&subject), &beat);
    }

    /// Asks those whom we are to watch and have never heard how often they speak: nobody may be missed
    /// by a measure that is not its own.
    pub(crate) fn call<O: Outbox>(
        &self,
        now: Now,
        subjects: impl Iterator<Item = Addr>,
        node: &Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        let beat = self.beat(Heartbeat::PEER, now, identity, ServiceCounts::default(), node);
        for subject in subjects {
            out.send(subject, &Heartbeat { flags: beat.flags | Heartbeat::CALL, ..beat });
            out.count(Counter::HeartbeatsSent, 1);
        }
    }

    /// The newest heartbeat that every observer was sent: what is said outside of any schedule must not
    /// take the place of one that is still to come.
    fn heard_seq(&self, node: &Node) -> u64 {
        self.peer_seq.saturating_sub(u64::from(node.pace.is_in_turn()))
    }

    /// Tells an observer that has never heard us how often we speak. It may know of us before we
    /// know of it.
    pub(crate) fn on_call<O: Outbox>(
        &self,
        now: Now,
        observer: Addr,
        services: ServiceCounts,
        node: &Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        let beat = self.beat(Heartbeat::PEER, now, identity, services, node);
        let flags = beat.flags | Heartbeat::HERE | Heartbeat::ARM;
        out.send(observer, &Heartbeat { flags, seq: self.heard_seq(node), ..beat });
        out.count(Counter::HeartbeatsSent, 1);
    }

    /// Tells the homes that we live.
    pub(crate) fn on_homes<O: Outbox>(
        &mut self,
        now: Now,
        services: ServiceCounts,
        node: &mut Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        if self.is_regular_turn(now.at, node) {
            // Nobody answered the last one: perhaps it is us.
            if node.homes.are_all_silent() {
                node.health.blame(now.at);
            }
            while node.homes.give_up_silent(now.at) {
                node.homes.choose(identity.slot, &node.roster, now.at);
            }
            node.homes.count_beat();
            self.homes_due = grid(self.homes_due, node.home_interval_ns(), now.at);
        }
        self.show(now, services, node, out);
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
        out.send_all(&self.addrs, &Heartbeat { seq: self.heard_seq(node), ..beat });
        out.count(Counter::HeartbeatsSent, self.addrs.len() as u64);
    }

    /// Tells observers and homes that the next heartbeat will not come, and stops.
    pub(crate) fn on_leave<O: Outbox>(&mut self, now: Now, node: &Node, out: &mut O) {
        self.peers_due = None;
        let Some(identity) = node.identity else { return };
        self.peer_seq += 1;
        let beat = self.beat(Heartbeat::PEER, now, identity, ServiceCounts::default(), node);
        out.send_all(&self.addrs, &Heartbeat { flags: beat.flags | Heartbeat::LEAVING, ..beat });
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
            (self.peer_seq, node.pace.announced_ns())
        } else {
            (self.home_seq, node.home_interval_ns())
        };
        Heartbeat {
            slot: identity.slot,
            incarnation: identity.incarnation,
            seq,
            interval_us: micros(interval_ns),
            progress: self.progress,
            sent_ns: now.at.0,
            neighbours: self.epoch,
            rtt_us: 0,
            services_up: services.up,
            services_down: services.down,
            plane,
            health: node.health.level(),
            flags: if node.pace.is_in_turn() { Heartbeat::IN_TURN } else { 0 },
            load: 0,
            peers_interval_us: micros(node.pace.announced_ns()),
        }
    }

    fn drop_replaced(&mut self, now: Time) {
        let mut at = 0;
        while let Some(observer) = self.observers.get(at) {
            if observer.until <= now || observer.releases >= RELEASES {
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

fn micros(ns: u64) -> u32 {
    u32::try_from(ns / 1_000).unwrap_or(u32::MAX)
}

/// Whether this is one of those that go in full in any case; each node has its own.
fn is_in_full(beat: &Heartbeat) -> bool {
    let turn = beat.seq.wrapping_add(u64::from(beat.slot.0));
    let every = match beat.flags & Heartbeat::IN_TURN {
        0 => Beat::in_full_every(beat.interval_us.into()),
        _ => Beat::IN_FULL_IN_TURN,
    };
    turn.is_multiple_of(every)
}

/// Says a heartbeat, in short where that is enough.
fn say<O: Outbox>(to: &[Addr], beat: &Heartbeat, brief: Option<&Beat>, out: &mut O) {
    match brief {
        Some(brief) => out.send_all(to, brief),
        None => out.send_all(to, beat),
    }
}

/// The moment after `due` on a grid of `interval_ns`; after a long delay the grid begins anew.
fn grid(due: Time, interval_ns: u64, now: Time) -> Time {
    let next = due.after(interval_ns);
    if next > now { next } else { now.after(interval_ns) }
}
