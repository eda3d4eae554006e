//! Faults as they strike, and how a stopped member goes on.

use crate::disk::SimDisk;
use crate::fault::{DiskFault, Exchange, Fault};
use crate::member::{AnyRole, Member, Missed};
use crate::network::Cut;
use crate::scenario::Options;
use crate::schedule::Happening;
use crate::world::{World, address};
use syncom_seam::{Exit, Loss, MS};
use syncom_station::Station;

const SIGSEGV: i32 = 11;
/// What a replica says that has forgotten what it promised.
const REFUSED: &str = "must not come back under its number";
/// A node that was told who it is has shown itself to its homes after so long, in ns. Before, nobody
/// can say whether it is dead or still on its way in.
const SHOWN_NS: u64 = 250 * MS;

impl World {
    /// A stopped member goes on: first it hears what its socket held, then its timers expire.
    pub(crate) fn resume(&mut self, index: usize) {
        let now = self.now_at(index);
        let Some(missed) = self.members[index].paused.take() else { return };
        if !missed.is_short {
            self.members[index].trouble(self.now);
        }
        let Self { members, effects, .. } = self;
        let member = &mut members[index];
        for (heard, datagram) in &missed.frames {
            member.deliver(now, *heard, datagram, effects);
        }
        if let Some(role) = &mut member.role {
            if missed.lost > 0 {
                role.on_loss(now, Loss::Unheard(missed.lost), effects);
            }
            for timer in missed.timers {
                role.on_timer(now, timer, effects);
            }
            for done in missed.done {
                role.on_done(now, done, effects);
            }
            role.on_burst_end(now, effects);
        }
        self.carry_out(index);
    }

    /// A fault happens.
    pub(crate) fn strike(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        match fault {
            Fault::Crash { member, down_ns } => self.crash(member, down_ns),
            Fault::CrashAt { member, point, down_ns } => {
                if let Some(disk) = &mut self.members[member].disk {
                    disk.set_trap(point, down_ns);
                }
            }
            Fault::Leave { member, down_ns } => {
                if self.members[member].is_up() && self.members[member].paused.is_none() {
                    self.counts.leaves += 1;
                    self.members[member].returns_after_ns = Some(down_ns);
                    self.burst(member, AnyRole::on_leave);
                }
            }
            Fault::Disk { member, fault, down_ns } => self.spoil(member, fault, down_ns),
            Fault::BackUp { member } => {
                if let Some(disk) = &mut self.members[member].disk {
                    disk.back_up();
                }
            }
            Fault::Exchange { member, by, down_ns } => self.exchange(member, by, down_ns),
            Fault::Pause { member, for_ns } => {
                let struck = &mut self.members[member];
                if struck.is_up() && struck.paused.is_none() {
                    self.counts.pauses += 1;
                    let is_short = for_ns <= self.scenario.excused_ns;
                    struck.paused = Some(Box::new(Missed { is_short, ..Missed::default() }));
                    if !is_short {
                        struck.trouble(self.now);
                    }
                    self.rests(member);
                    let life = self.members[member].life;
                    let resume = Happening::Resume { member, life };
                    self.schedule.at(self.now.after(for_ns), resume);
                }
            }
            Fault::Cut { inside, one_way, for_ns } => self.cut(inside, one_way, for_ns),
            Fault::Split { inside, for_ns } => {
                self.counts.cuts += 1;
                let servers = self.options.replicas + self.options.satellites;
                let until = self.now.after(for_ns);
                self.network.cut(Cut { inside, one_way: false, servers, deaf: None, until });
            }
            Fault::Ignore { member, whom, for_ns } => {
                self.counts.cuts += 1;
                let until = self.now.after(for_ns);
                let deaf = Some(member);
                self.network.cut(Cut { inside: whom, one_way: true, servers: 0, deaf, until });
            }
            Fault::Mumble { member, loss } => self.network.muffle(member, loss),
            Fault::Deafen { member, loss } => self.network.deafen(member, loss),
            Fault::Replace { old, new } => self.replace(old, new),
            Fault::ServiceDeath { member } => self.kill_service(member),
            Fault::ClockJump { member, by_ns } => {
                self.counts.clock_jumps += 1;
                let struck = &mut self.members[member];
                struck.wall_shift_ns = struck.wall_shift_ns.saturating_add(by_ns);
            }
        }
    }

    /// A member dies, like `kill -9` or by a power cut, and starts again later, if ever.
    pub(crate) fn crash(&mut self, member: usize, down_ns: Option<u64>) {
        if !self.members[member].is_up() {
            return;
        }
        self.counts.crashes += 1;
        let Member { name, identified_at, .. } = &self.members[member];
        let age_ns = identified_at.map_or(0, |at| self.now.since(at));
        if age_ns >= SHOWN_NS {
            self.watch.on_crash(self.now, name, age_ns);
        }
        self.go_down(member, down_ns);
    }

    /// A member's life ends; what its disk was not told to keep may be lost.
    pub(crate) fn go_down(&mut self, member: usize, down_ns: Option<u64>) {
        self.rests(member);
        self.members[member].end(self.now);
        if let Some(disk) = &mut self.members[member].disk {
            disk.crash();
        }
        if let Some(down_ns) = down_ns {
            self.schedule.at(self.now.after(down_ns), Happening::Start { member });
        }
    }

    /// A member stops running: if it is a replica, what it believes counts for nothing meanwhile.
    fn rests(&mut self, member: usize) {
        let number = usize::from(self.station_number(member));
        self.watch.managers.rest(number);
    }

    /// A replica's disk breaks.
    fn spoil(&mut self, member: usize, fault: DiskFault, down_ns: u64) {
        let Some(disk) = &mut self.members[member].disk else { return };
        disk.fail(fault);
        match fault {
            DiskFault::Full | DiskFault::Io => disk.repair_ns = down_ns,
            // Nobody looks before the next start.
            DiskFault::BitFlip | DiskFault::Misdirected => self.crash(member, Some(down_ns)),
            DiskFault::LostSync => {}
        }
    }

    /// A replica dies, and comes back with another disk.
    fn exchange(&mut self, member: usize, by: Exchange, down_ns: u64) {
        if self.members[member].is_up() {
            self.crash(member, Some(down_ns));
        }
        let (number, seed) = (usize::from(self.station_number(member)), self.rng.below(u64::MAX));
        self.watch.raft.forget(number);
        if let Some(disk) = &mut self.members[member].disk {
            disk.exchange(by, seed);
        }
    }

    /// A replica says why it cannot go on. One whose disk was exchanged does so with right: its
    /// process ends, and nobody starts it before the faults are over.
    pub(crate) fn refuse(&mut self, member: usize, text: String) {
        let exchanged = |disk: &SimDisk| disk.exchanged.is_some();
        if self.members[member].disk.as_deref().is_some_and(exchanged) && text.contains(REFUSED) {
            self.counts.refused += u64::from(self.members[member].refused.is_none());
            self.members[member].refused = Some(text);
            return self.go_down(member, None);
        }
        self.members[member].fatal = Some(text);
    }

    /// A replica dies for good; another is started and ordered in its place.
    fn replace(&mut self, old: usize, new: usize) {
        if self.client.repeat_replacements().is_some() {
            // Two dead ones of three are no fault to survive: the first has to be replaced by then.
            let later = Happening::Fault(Fault::Replace { old, new });
            return self.schedule.at(self.now.after(200 * MS), later);
        }
        self.counts.replacements += 1;
        self.members[old].retired = true;
        self.go_down(old, None);
        let late = self.rng.below(2_000 * MS);
        self.schedule.at(self.now.after(late), Happening::Start { member: new });
        let (old, new) = (self.station_number(old), self.station_number(new));
        self.client.replace(old, new, address(self.index_of_station(new)));
    }

    /// Whether a replica is struck down right when its disk has caught up, before it hears so: while
    /// a replacement is under way each such moment is a step of it, and steps are few.
    pub(crate) fn ambush(&mut self, member: usize) -> bool {
        let changing = self.members[member].station().is_some_and(Station::is_changing);
        let struck = self.scenario.ambushes > 0 && changing && self.rng.chance(1, 8);
        if !struck || self.healed {
            return false;
        }
        self.scenario.ambushes -= 1;
        let down_ns = 20 * MS + self.rng.below(1_500 * MS);
        self.strike(Fault::Crash { member, down_ns: Some(down_ns) });
        true
    }

    /// Cuts some members off. A death is just when a satellite, which may be one of the two homes,
    /// could not hear the node: what the node's observers miss is then not refuted. Where every death is
    /// judged strictly, none could that can tell the station. That of a satellite or a replica is just
    /// when the leader, whoever that is, could not hear it.
    fn cut(&mut self, inside: Vec<bool>, one_way: bool, for_ns: u64) {
        self.counts.cuts += 1;
        let until = self.now.after(for_ns);
        let Options { replicas, satellites, .. } = self.options;
        let cut = Cut { inside, one_way, servers: 0, deaf: None, until };
        let tells = |home: &usize| {
            (0..replicas).filter(|replica| cut.parts(*home, *replica)).count() * 2 < replicas
        };
        let servers = replicas + satellites;
        let homes = replicas..servers;
        for (index, member) in self.members.iter_mut().enumerate() {
            let is_troubled = if index < servers {
                (0..servers).any(|server| cut.parts(index, server))
            } else if self.scenario.is_strict() {
                let mut able = homes.clone().filter(tells).peekable();
                able.peek().is_some() && able.all(|home| cut.parts(index, home))
            } else {
                homes.clone().any(|home| cut.parts(index, home))
            };
            if is_troubled {
                member.trouble(until);
            }
        }
        self.network.cut(cut);
    }

    /// A managed service dies; its agent learns of it at once.
    fn kill_service(&mut self, member: usize) {
        let struck = &self.members[member];
        let Some(token) = struck.children.service().filter(|_| struck.is_up()) else { return };
        self.counts.services_killed += 1;
        let life = struck.life;
        self.watch.on_service_death(member, life);
        let exit = Exit { code: 128 + SIGSEGV, output: Vec::new(), output_total: 0 };
        self.schedule.at(self.now, Happening::ChildEnded { member, life, token, exit });
    }
}
