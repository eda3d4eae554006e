//! The world: members, network, disks, clients, and the loop that lets virtual time pass.

use crate::client::Client;
use crate::disk::SimDisk;
use crate::fault::{Fault, FaultCounts};
use crate::invariants::Watch;
use crate::member::{AnyRole, Member, Missed, SOCKET_HOLDS};
use crate::network::Network;
use crate::outbox::Effects;
use crate::scenario::{Options, Scenario};
use crate::schedule::{Datagram, Happening, Schedule};
use crate::trace::Trace;
use std::rc::Rc;
use syncom_agent::{Agent, AgentConfig};
use syncom_seam::{Done, Loaded, MS, Now, Rng, Time, WallTime};
use syncom_station::{Station, StationConfig};
use syncom_transponder::{Transponder, TransponderConfig};
use syncom_wire::{Addr, Boot, PeerId, Uuid, ids};

/// Wall clock at the beginning of virtual time: 2026-01-01, in ns.
const WALL_NS: u64 = 1_767_225_600_000_000_000;
/// More than can honestly happen at one moment: some role arms timers for "now" for ever.
const CROWD_MAX: u64 = 200_000;
/// The client's place in the network.
const CLIENT: usize = 0xFF_FFFF;

/// A simulated cluster under way.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) options: Options,
    pub(crate) scenario: Scenario,
    pub(crate) members: Vec<Member>,
    pub(crate) client: Client,
    pub(crate) watch: Watch,
    pub(crate) counts: FaultCounts,
    pub(crate) trace: Trace,
    network: Network,
    schedule: Schedule,
    rng: Rng,
    seed: u64,
    effects: Effects,
    healed: bool,
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
            client: Client::new(seed),
            watch: Watch::default(),
            counts: FaultCounts::default(),
            trace: Trace::default(),
            network: Network::new(seed, &scenario),
            schedule: Schedule::default(),
            rng: Rng::new(seed ^ 0x776f_726c),
            seed,
            effects: Effects::new(options.log),
            healed: false,
            crowd: 0,
            scenario,
        };
        for index in 0..total {
            let disk = (index < options.replicas).then(|| SimDisk::new(seed ^ index as u64));
            let name = world.name_of(index);
            world.members.push(Member::new(name, address(index), disk));
            // Servers first, nodes within half a second: a machine room that is switched on.
            let servers = options.replicas + options.satellites;
            let late = if index < servers { 0 } else { world.rng.below(500 * MS) };
            let at = world.now.after(late);
            world.schedule.at(at, Happening::Start { member: index });
        }
        for (at, fault) in world.scenario.faults.clone() {
            world.schedule.at(at, Happening::Fault(fault));
        }
        world.schedule.at(world.now.after(2_000 * MS), Happening::Client);
        world
    }

    /// Lets virtual time pass until `until`.
    pub(crate) fn run_until(&mut self, until: Time) {
        while self.schedule.next_at().is_some_and(|at| at <= until) {
            let Some((at, what)) = self.schedule.next() else { break };
            self.crowd = if at > self.now { 0 } else { self.crowd + 1 };
            assert!(self.crowd < CROWD_MAX, "time stands still at {at}: {what:?}");
            self.now = at.max(self.now);
            self.happen(what);
        }
        self.now = until;
    }

    /// Ends all faults: everybody who may come back does so.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        for index in 0..self.members.len() {
            let server = index < self.options.replicas + self.options.satellites;
            if !self.members[index].is_up() && server {
                self.schedule.at(self.now, Happening::Start { member: index });
            }
        }
    }

    /// Whether clients have stopped asking for new things.
    pub(crate) fn is_quiet(&self) -> bool {
        self.healed && self.now > self.scenario.heal_at.after(3_000 * MS)
    }

    fn now_at(&self) -> Now {
        Now { at: self.now, wall: WallTime(WALL_NS + self.now.0) }
    }

    fn name_of(&self, index: usize) -> String {
        let Options { replicas, satellites, .. } = self.options;
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
                if self.members[member].life == life && self.members[member].children.ended(token)
                {
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
        }
    }

    fn deliver(&mut self, to: usize, datagram: &Datagram) {
        if to == CLIENT {
            self.client.on_datagram(&datagram.bytes);
            return;
        }
        let now = self.now_at();
        let Some(member) = self.members.get_mut(to) else { return };
        if !member.is_up() {
            return;
        }
        if let Some(missed) = &mut member.paused {
            if missed.frames.len() < SOCKET_HOLDS {
                missed.frames.push_back((now.at, datagram.clone()));
            } else {
                self.counts.overflows += 1;
            }
            return;
        }
        let mut effects = core::mem::take(&mut self.effects);
        member.deliver(now, now.at, datagram, &mut effects);
        if let Some(role) = &mut member.role {
            role.on_burst_end(now, &mut effects);
        }
        self.carry_out(to, effects);
    }

    fn finish(&mut self, member: usize, done: Done) {
        if let Some(missed) = &mut self.members[member].paused {
            missed.done.push(done);
            return;
        }
        self.burst(member, |role, now, out| role.on_done(now, done, out));
    }

    fn burst(&mut self, member: usize, call: impl FnOnce(&mut AnyRole, Now, &mut Effects)) {
        let now = self.now_at();
        let Some(role) = &mut self.members[member].role else { return };
        let mut effects = core::mem::take(&mut self.effects);
        call(role, now, &mut effects);
        role.on_burst_end(now, &mut effects);
        self.carry_out(member, effects);
    }

    /// Does what a role asked for and keeps the emptied lists for the next burst.
    fn carry_out(&mut self, index: usize, mut effects: Effects) {
        let life = self.members[index].life;
        if let Some(identity) = effects.identity.take() {
            self.members[index].identity = identity;
        }
        for (to, bytes) in effects.sends.drain(..) {
            self.transmit(index, to, &bytes);
        }
        for (timer, at) in effects.timers.drain(..) {
            let at = at.max(self.now);
            if at != Time::NEVER {
                self.schedule.at(at, Happening::Timer { member: index, life, timer });
            }
        }
        for record in effects.records.drain(..) {
            let flush_ns = 50_000 + self.rng.below(self.scenario.flush_ns);
            if let Some(disk) = &mut self.members[index].disk
                && disk.append(record)
            {
                let synced = Happening::DiskSynced { member: index, life };
                self.schedule.at(self.now.after(flush_ns), synced);
            }
        }
        for spawn in effects.spawns.drain(..) {
            self.watch.on_spawn(index, life, &spawn.argv);
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
            self.watch.on_event(self.now, index, &event, &self.members);
        }
        if let Some(log) = &mut effects.log {
            for line in log.drain(..) {
                eprintln!("{} {}: {line}", self.now, self.members[index].name);
            }
        }
        if let Some(text) = effects.fatal.take() {
            self.members[index].fatal = Some(text);
        }
        self.effects = effects;
    }

    fn transmit(&mut self, from: usize, to: Addr, bytes: &[u8]) {
        let member = &self.members[from];
        let datagram = Datagram {
            from: member.addr,
            peer: member.identity,
            boot: member.boot,
            bytes: Rc::from(bytes),
        };
        self.launch(from, index_of(to), datagram);
    }

    fn launch(&mut self, from: usize, to: usize, datagram: Datagram) {
        let arrivals = self.network.carry(self.now, from, to, &mut self.counts);
        for at in arrivals.into_iter().flatten() {
            self.schedule.at(at, Happening::Deliver { to, datagram: datagram.clone() });
        }
    }

    fn disk_synced(&mut self, member: usize) {
        let Some(disk) = &mut self.members[member].disk else { return };
        let done = disk.synced();
        self.trace.note(self.now.0, member, 0x6469_736b);
        self.finish(member, done);
    }

    fn start(&mut self, index: usize) {
        if self.members[index].is_up() {
            return;
        }
        let boot = Boot(WALL_NS + self.now.0 + index as u64);
        let (role, identity) = self.make(index, boot);
        self.members[index].begin(role, boot, identity);
        self.trace.note(self.now.0, index, 0x7374_6172);
        self.burst(index, |role, now, out| role.on_start(now, out));
    }

    fn make(&mut self, index: usize, boot: Boot) -> (AnyRole, PeerId) {
        let Options { replicas, satellites, .. } = self.options;
        let number = |n: usize| u16::try_from(n + 1).unwrap_or(u16::MAX);
        let stations: Vec<(PeerId, Addr)> =
            (0..replicas).map(|i| (PeerId::station(number(i)), address(i))).collect();
        let seed = ids::mix(self.seed ^ boot.0);
        let listen = address(index);
        let name = self.members[index].name.clone();
        if index < replicas {
            let disk = self.members[index].disk.as_mut();
            let loaded = disk.map_or(Ok(Loaded::default()), SimDisk::restart);
            let loaded = loaded.unwrap_or_else(|fault| panic!("nobody spoiled this disk: {fault}"));
            let mut config = StationConfig::new(number(index), stations);
            config.boot = boot;
            config.seed = seed;
            config.snapshot_every = 500;
            let station = Station::new(config, loaded)
                .unwrap_or_else(|fault| panic!("replica {} cannot go on: {fault}", index + 1));
            return (AnyRole::Station(Box::new(station)), PeerId::station(number(index)));
        }
        if index < replicas + satellites {
            let n = number(index - replicas);
            let mut config = TransponderConfig::new(n, boot, listen, stations);
            config.name = name;
            config.rng_seed = seed;
            return (
                AnyRole::Satellite(Box::new(Transponder::new(config))),
                PeerId::satellite(n),
            );
        }
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&ids::mix(index as u64 + 1).to_le_bytes());
        uuid[8..].copy_from_slice(&self.seed.to_le_bytes());
        let seeds = stations.iter().map(|(_, addr)| *addr).collect();
        let mut config = AgentConfig::new(Uuid(uuid), boot, &name, listen, seeds, seed);
        // Ten racks.
        config.domain = format!("rack{}", index % 10);
        (AnyRole::Agent(Box::new(Agent::new(config))), PeerId::client(ids::hash(&uuid)))
    }

    fn resume(&mut self, index: usize) {
        let now = self.now_at();
        let Some(missed) = self.members[index].paused.take() else { return };
        self.members[index].troubled_at = Some(self.now);
        let mut effects = core::mem::take(&mut self.effects);
        let member = &mut self.members[index];
        for (heard, datagram) in &missed.frames {
            member.deliver(now, *heard, datagram, &mut effects);
        }
        if let Some(role) = &mut member.role {
            for timer in missed.timers {
                role.on_timer(now, timer, &mut effects);
            }
            for done in missed.done {
                role.on_done(now, done, &mut effects);
            }
            role.on_burst_end(now, &mut effects);
        }
        self.carry_out(index, effects);
    }

    fn strike(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        match fault {
            Fault::Crash { member, down_ns } => {
                if !self.members[member].is_up() {
                    return;
                }
                self.counts.crashes += 1;
                self.members[member].end(self.now);
                if let Some(disk) = &mut self.members[member].disk {
                    disk.crash();
                }
                if let Some(down_ns) = down_ns {
                    self.schedule.at(self.now.after(down_ns), Happening::Start { member });
                }
            }
            Fault::Pause { member, for_ns } => {
                let struck = &mut self.members[member];
                if struck.is_up() && struck.paused.is_none() {
                    self.counts.pauses += 1;
                    struck.paused = Some(Missed::default());
                    struck.troubled_at = Some(self.now);
                    let life = struck.life;
                    let resume = Happening::Resume { member, life };
                    self.schedule.at(self.now.after(for_ns), resume);
                }
            }
            Fault::Cut { inside, one_way, for_ns } => {
                self.counts.cuts += 1;
                let until = self.now.after(for_ns);
                let servers = self.options.replicas + self.options.satellites;
                let serves = inside.iter().take(servers).any(|inside| *inside);
                for (index, member) in self.members.iter_mut().enumerate() {
                    if serves || inside.get(index) == Some(&true) {
                        member.troubled_at = Some(until.max(self.now));
                    }
                }
                self.network.cut(inside, one_way, until);
            }
        }
    }

    fn client_acts(&mut self) {
        let pace = 1_000 * MS / self.scenario.load_per_s.max(1);
        if !self.is_quiet() {
            let index = usize::try_from(self.rng.below(self.members.len() as u64)).unwrap_or(0);
            if self.members[index].is_agent() {
                let life = self.members[index].life;
                let question = self.client.report(self.now, (index, life));
                self.ask(index, &question);
            }
            if self.rng.chance(1, 8) {
                self.new_order();
            }
        }
        for ((agent, life), question) in
            self.client.repeat_reports(Time(self.now.0.saturating_sub(500 * MS)))
        {
            if self.members[agent].life == life {
                self.ask(agent, &question);
            }
        }
        for question in self.client.repeat_orders() {
            for replica in 0..self.options.replicas {
                self.ask(replica, &question);
            }
        }
        let next = pace.max(if self.is_quiet() { 500 * MS } else { 0 });
        self.schedule.at(self.now.after(next), Happening::Client);
    }

    fn new_order(&mut self) {
        let nodes = self.options.nodes as u64;
        let share = 1 + self.rng.below(100);
        let slots: Vec<u32> = (0..u32::try_from(nodes).unwrap_or(0))
            .filter(|_| self.rng.chance(share, 100))
            .collect();
        if slots.is_empty() {
            return;
        }
        let (_, question) = self.client.order(slots);
        for replica in 0..self.options.replicas {
            self.ask(replica, &question);
        }
    }

    fn ask(&mut self, to: usize, question: &[u8]) {
        let datagram = Datagram {
            from: address(CLIENT),
            peer: PeerId::client(self.seed),
            boot: Boot(WALL_NS),
            bytes: Rc::from(question),
        };
        self.launch(CLIENT, to, datagram);
    }
}

/// The address of the member with this index: its index in 10.0.0.0/8.
fn address(index: usize) -> Addr {
    let [_, _, _, _, _, a, b, c] = (index as u64).to_be_bytes();
    Addr::v4([10, a, b, c], 7_000)
}

fn index_of(addr: Addr) -> usize {
    let ip = addr.ip;
    usize::from(ip[13]) << 16 | usize::from(ip[14]) << 8 | usize::from(ip[15])
}
