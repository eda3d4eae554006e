//! The world: members, network, disks, clients, and the loop that lets virtual time pass.

use crate::askers::Askers;
use crate::beats::Beats;
use crate::client::Client;
use crate::disk::SimDisk;
use crate::fault::FaultCounts;
use crate::invariants::Watch;
use crate::member::{AnyRole, Member};
use crate::meter::Meter;
use crate::network::Network;
use crate::outbox::{Effects, Payload};
use crate::scenario::{Options, START_SPREAD_NS, Scenario};
use crate::schedule::{Datagram, Happening, Schedule};
use crate::trace::Trace;
use crate::transcript::Transcript;
use std::rc::Rc;
use syncom_seam::{Done, MS, Now, Rng, Time, WallTime};
use syncom_wire::{Addr, Boot, Brief, Header, View};

/// Wall clock at the beginning of virtual time: 2026-01-01, in ns.
pub(crate) const WALL_NS: u64 = 1_767_225_600_000_000_000;
/// More than can honestly happen at one moment: some role arms timers for "now" for ever.
const CROWD_MAX: u64 = 200_000;
/// From so many members on, a cluster fits no cache.
const LARGE: usize = 2_000;
/// The client's place in the network.
pub(crate) const CLIENT: usize = 0xFF_FFFF;

/// A simulated cluster under way.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) options: Options,
    pub(crate) scenario: Scenario,
    pub(crate) members: Vec<Member>,
    pub(crate) client: Client,
    pub(crate) askers: Askers,
    pub(crate) watch: Watch,
    pub(crate) meter: Meter,
    pub(crate) counts: FaultCounts,
    pub(crate) trace: Trace,
    /// What was said, when somebody wants to know.
    pub(crate) transcript: Option<Transcript>,
    /// Who beats, when somebody wants to know.
    pub(crate) beats: Option<Beats>,
    pub(crate) network: Network,
    pub(crate) schedule: Schedule,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
    pub(crate) effects: Effects,
    pub(crate) healed: bool,
    /// Snapshots that replicas have pulled and put in the place of their logs.
    pub(crate) installs: u64,
    /// The newest view whose atlas was offered to all satellites.
    pub(crate) shared: View,
    /// Things that happened at this very moment.
    crowd: u64,
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options, scenario: Scenario) -> Self {
        let total = options.replicas + options.satellites + options.nodes;
        let mut world = Self {
            now: Time(1_000 * MS),
            options: options.clone(),
            members: Vec::with_capacity(total),
            client: Client::default(),
            askers: Askers::new(seed, scenario.askers, scenario.freshness, options.replicas),
            watch: Watch::default(),
            meter: Meter::new(options),
            counts: FaultCounts::default(),
            trace: Trace::default(),
            transcript: None,
            beats: None,
            network: Network::new(seed, &scenario),
            schedule: Schedule::default(),
            rng: Rng::new(seed ^ 0x776f_726c),
            seed,
            effects: Effects::new(options.log),
            healed: false,
            installs: 0,
            shared: View(0),
            crowd: 0,
            scenario,
        };
        for index in 0..total + world.scenario.newcomers {
            let is_replica = index < options.replicas || index >= total;
            let trusting = world.scenario.trusting;
            let number = u64::from(world.station_number(index));
            let disk = is_replica.then(|| SimDisk::new(seed ^ index as u64, number, trusting));
            let name = world.name_of(index);
            world.members.push(Member::new(name, address(index), disk));
            if index >= total {
                continue;
            }
            // Servers first.
            let servers = options.replicas + options.satellites;
            let late = if index < servers { 0 } else { world.rng.below(START_SPREAD_NS) };
            let is_of_surge = index >= servers + options.nodes - world.scenario.surge_of;
            let surge_at = world.scenario.surge_at.filter(|_| is_of_surge);
            let at = surge_at.unwrap_or(world.now).after(late);
            world.schedule.at(at, Happening::Start { member: index });
        }
        for (at, fault) in world.scenario.faults.clone() {
            world.schedule.at(at, Happening::Fault(fault));
        }
        if world.scenario.load_per_s > 0 {
            world.schedule.at(world.now.after(2_000 * MS), Happening::Client);
        }
        if world.scenario.askers > 0 {
            world.schedule.at(world.now.after(2_000 * MS), Happening::Askers);
        }
        world
    }

    /// Lets virtual time pass until `until`.
    pub(crate) fn run_until(&mut self, until: Time) {
        while self.schedule.next_at().is_some_and(|at| at <= until) {
            if let Some(callers) = self.schedule.take_callers() {
                if self.members.len() >= LARGE {
                    self.warm(&callers);
                }
                self.schedule.recycle(callers);
            }
            let Some((at, what)) = self.schedule.next() else { break };
            self.crowd = if at > self.now { 0 } else { self.crowd + 1 };
            assert!(self.crowd < CROWD_MAX, "time stands still at {at}: {what:?}");
            self.now = at.max(self.now);
            self.happen(what);
        }
        self.now = until;
    }

    /// Fetches what the coming events need from memory, for all of them at once. A large cluster fits
    /// no cache, and an event alone waits for one line after the other; the lines of a hundred events
    /// come side by side.
    fn warm(&self, callers: &[usize]) {
        for round in 0..2 {
            let members = callers.iter().filter_map(|member| self.members.get(*member));
            std::hint::black_box(members.map(|member| member.warm(round)).sum::<usize>());
        }
    }

    /// Ends all faults: everybody who may come back does so.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        for index in 0..self.members.len() {
            if let Some(disk) = &mut self.members[index].disk {
                disk.heal();
            }
            let founder = index < self.options.replicas + self.options.satellites;
            let ordered = self.is_newcomer(index) && self.members[index].life > 0;
            let server = (founder || ordered) && !self.members[index].retired;
            if !self.members[index].is_up() && server {
                self.schedule.at(self.now, Happening::Start { member: index });
            }
        }
    }

    /// Whether clients have stopped asking for new things.
    pub(crate) fn is_quiet(&self) -> bool {
        self.healed && self.now > self.scenario.heal_at.after(3_000 * MS)
    }

    /// The present, as the clocks of a member's host show it.
    pub(crate) fn now_at(&self, member: usize) -> Now {
        let shift_ns = self.members.get(member).map_or(0, |member| member.wall_shift_ns);
        let wall_ns = (WALL_NS + self.now.0).saturating_add_signed(shift_ns);
        Now { at: self.now, wall: WallTime(wall_ns) }
    }

    /// Whether the member is a replica that was not there from the beginning.
    pub(crate) const fn is_newcomer(&self, index: usize) -> bool {
        let Options { replicas, satellites, nodes, .. } = self.options;
        index >= replicas + satellites + nodes
    }

    /// The number of the replica that is the member with this index.
    pub(crate) fn station_number(&self, index: usize) -> u16 {
        let Options { satellites, nodes, .. } = self.options;
        let at = if self.is_newcomer(index) { index - satellites - nodes } else { index };
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }

    /// The member that is the replica with this number.
    pub(crate) fn index_of_station(&self, number: u16) -> usize {
        let Options { replicas, satellites, nodes, .. } = self.options;
        let at = usize::from(number) - 1;
        if at < replicas { at } else { at + satellites + nodes }
    }

    /// All members that are or may become replicas.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = usize> + use<> {
        let newcomers = self.options.replicas + self.options.satellites + self.options.nodes;
        (0..self.options.replicas).chain(newcomers..newcomers + self.scenario.newcomers)
    }

    fn is_replica(&self, index: usize) -> bool {
        index < self.options.replicas || self.is_newcomer(index) && index < self.members.len()
    }

    /// The member that is the node with this name, if there can be one.
    pub(crate) fn node_named(options: &Options, name: &str) -> Option<usize> {
        let number: usize = name.strip_prefix("node")?.parse().ok()?;
        Some(number.checked_sub(1)? + options.replicas + options.satellites)
    }

    fn name_of(&self, index: usize) -> String {
        let Options { replicas, satellites, .. } = self.options;
        if self.is_newcomer(index) {
            return format!("station{}", self.station_number(index));
        }
        match index {
            i if i < replicas => format!("station{}", i + 1),
            i if i < replicas + satellites => format!("sat{}", i - replicas + 1),
            i => format!("node{}", i - replicas - satellites + 1),
        }
    }

    fn happen(&mut self, what: Happening) {
        let at = self.now.0;
        match what {
            Happening::Deliver { to, datagram } => {
                self.trace.note_bytes(at, to, &datagram.bytes);
                self.deliver(to, &datagram);
            }
            Happening::Timer { member, life, timer } => {
                if self.members[member].life != life || !self.members[member].is_up() {
                    return;
                }
                self.trace.note(at, member, u64::from(timer.kind) << 48 ^ timer.key);
                if let Some(missed) = &mut self.members[member].paused {
                    missed.timers.push(timer);
                    return;
                }
                self.burst(member, |role, now, out| role.on_timer(now, timer, out));
            }
            Happening::DiskSynced { member, life } => {
                if self.members[member].life == life {
                    self.disk_synced(member);
                }
            }
            Happening::ChildEnded { member, life, token, exit } => {
                if self.members[member].life == life && self.members[member].children.ended(token) {
                    self.trace.note(at, member, token);
                    self.finish(member, Done::Exited { token, exit });
                }
            }
            Happening::Start { member } => self.start(member),
            Happening::Resume { member, life } => {
                if self.members[member].life == life {
                    self.resume(member);
                }
            }
            Happening::Fault(fault) => self.strike(fault),
            Happening::Client => self.client_acts(),
            Happening::Askers => self.askers_act(),
        }
    }

    fn deliver(&mut self, to: usize, datagram: &Datagram) {
        if to == CLIENT {
            let last_event = self.watch.events.keys().next_back().copied().unwrap_or(0);
            self.client.on_datagram(&datagram.bytes, last_event);
            return;
        }
        if let Some(asker) = self.askers.at(to) {
            return self.answer_asker(asker, &datagram.bytes);
        }
        let now = self.now_at(to);
        let Self { members, effects, .. } = self;
        let Some(member) = members.get_mut(to) else { return };
        if !member.is_up() {
            return;
        }
        if let Some(missed) = &mut member.paused {
            if missed.frames.len() < self.scenario.socket_holds {
                missed.frames.push_back((now.at, datagram.clone()));
            } else {
                missed.lost += 1;
                self.counts.overflows += 1;
            }
            return;
        }
        member.deliver(now, now.at, datagram, effects);
        if let Some(role) = &mut member.role {
            role.on_burst_end(now, effects);
        }
        self.carry_out(to);
    }

    pub(crate) fn finish(&mut self, member: usize, done: Done) {
        if let Some(missed) = &mut self.members[member].paused {
            missed.done.push(done);
            return;
        }
        self.burst(member, |role, now, out| role.on_done(now, done, out));
    }

    pub(crate) fn burst(
        &mut self,
        member: usize,
        call: impl FnOnce(&mut AnyRole, Now, &mut Effects),
    ) {
        let now = self.now_at(member);
        let Some(role) = &mut self.members[member].role else { return };
        call(role, now, &mut self.effects);
        role.on_burst_end(now, &mut self.effects);
        self.carry_out(member);
    }

    /// Does what a role asked for and keeps the emptied lists for the next burst.
    pub(crate) fn carry_out(&mut self, index: usize) {
        self.observe(index);
        let life = self.members[index].life;
        if let Some(identity) = self.effects.identity.take() {
            self.members[index].identity = identity;
            self.members[index].identified_at = Some(self.now);
        }
        let mut sends = core::mem::take(&mut self.effects.sends);
        for (to, bytes) in sends.drain(..) {
            self.transmit(index, to, bytes);
        }
        self.effects.sends = sends;
        for (timer, at) in self.effects.timers.drain(..) {
            let at = at.max(self.now);
            if at != Time::NEVER {
                self.schedule.at(at, Happening::Timer { member: index, life, timer });
            }
        }
        // Most bursts ask for nothing else.
        if !self.effects.are_done() {
            self.carry_out_rest(index, life);
        }
    }

    /// Does all but to send and to arm timers.
    fn carry_out_rest(&mut self, index: usize, life: u32) {
        let mut effects = core::mem::take(&mut self.effects);
        for record in effects.records.drain(..) {
            if self.members[index].life == life {
                self.persist(index, record);
            }
        }
        for spawn in effects.spawns.drain(..) {
            self.watch.on_spawn(self.now, index, life, &spawn.argv);
            if let Some((after, exit)) = self.members[index].children.start(&spawn, &mut self.rng) {
                let token = spawn.token;
                let ended = Happening::ChildEnded { member: index, life, token, exit };
                self.schedule.at(self.now.after(after), ended);
            }
        }
        for (token, signal) in effects.kills.drain(..) {
            if let Some(exit) = self.members[index].children.kill(token, signal) {
                let ended = Happening::ChildEnded { member: index, life, token, exit };
                self.schedule.at(self.now.after(MS), ended);
            }
        }
        for event in effects.events.drain(..) {
            let rules = (&self.options, self.scenario.just_for_ns);
            self.watch.on_event(self.now, index, &event, &self.members, rules);
            if let Some(transcript) = &mut self.transcript {
                transcript.on_event(&event);
            }
        }
        if let Some(log) = &mut effects.log {
            for line in log.drain(..) {
                eprintln!("{} {}: {line}", self.now, self.members[index].name);
            }
        }
        if let Some(text) = effects.fatal.take()
            && self.members[index].life == life
        {
            self.refuse(index, text);
        }
        let gone = core::mem::take(&mut effects.gone);
        self.effects = effects;
        if gone {
            let down_ns = self.members[index].returns_after_ns.take();
            self.go_down(index, down_ns);
        }
    }

    fn transmit(&mut self, from: usize, to: Addr, payload: Payload) {
        let member = &self.members[from];
        let (from_addr, peer, boot) = (member.addr, member.identity, member.boot);
        let is_brief = matches!(payload, Payload::Brief(_));
        let bytes: Rc<[u8]> = payload.into();
        let overhead = if is_brief { Brief::OVERHEAD } else { Header::OVERHEAD };
        self.meter.note(from, bytes.len() + overhead);
        let path = (from, index_of(to));
        if let Some(transcript) = self.transcript.as_mut().filter(|_| !is_brief) {
            transcript.on_sent(self.now, path, &bytes);
        }
        if let Some(beats) = &mut self.beats {
            beats.on_sent(self.now, path);
        }
        let datagram = Datagram { from: from_addr, peer, boot, is_brief, bytes };
        self.launch(from, path.1, datagram);
    }

    pub(crate) fn launch(&mut self, from: usize, to: usize, datagram: Datagram) {
        let narrow = self.is_replica(from) && self.is_replica(to);
        let bytes = if narrow { datagram.bytes.len() } else { 0 };
        let arrivals = self.network.carry(self.now, (from, to), bytes, &mut self.counts);
        for at in arrivals.into_iter().flatten() {
            self.schedule.at(at, Happening::Deliver { to, datagram: datagram.clone() });
        }
    }

    fn start(&mut self, index: usize) {
        if self.members[index].is_up() || self.members[index].retired {
            return;
        }
        let boot = Boot(WALL_NS + self.now.0 + index as u64);
        let Some(loaded) = self.load(index) else { return };
        let (role, identity) = self.make(index, boot, loaded);
        self.members[index].begin(role, boot, identity);
        self.trace.note(self.now.0, index, 0x7374_6172);
        self.burst(index, |role, now, out| role.on_start(now, out));
    }
}

/// The address of the member with this index: its index in 10.0.0.0/8.
pub(crate) fn address(index: usize) -> Addr {
    let [_, _, _, _, _, a, b, c] = (index as u64).to_be_bytes();
    Addr::v4([10, a, b, c], 7_000)
}

fn index_of(addr: Addr) -> usize {
    let ip = addr.ip;
    usize::from(ip[13]) << 16 | usize::from(ip[14]) << 8 | usize::from(ip[15])
}
