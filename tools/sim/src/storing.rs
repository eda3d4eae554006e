//! Replicas and their disks: what is written and flushed, where a replica dies on the way, and which
//! disks no replica comes back from.

use crate::disk::Written;
use crate::invariants::one_lease;
use crate::member::{AnyRole, Member};
use crate::persist::{Moment, Write};
use crate::scenario::Options;
use crate::schedule::Happening;
use crate::world::World;
use std::sync::Arc;
use syncom_seam::{Done, Loaded, Record};

impl World {
    /// A replica asks for a record to be made durable, and may die of it.
    pub(crate) fn persist(&mut self, index: usize, record: Record) {
        let flush_ns = 50_000
            + match self.network.dice {
                Some((dice, skipped_ns)) => {
                    let throw = dice.path(index, index).at(self.now.after(skipped_ns));
                    throw.below(self.scenario.flush_ns)
                }
                None => self.rng.below(self.scenario.flush_ns),
            };
        let life = self.members[index].life;
        let Some(disk) = &mut self.members[index].disk else { return };
        let write = Write::of(&record);
        self.installs += u64::from(write == Write::Install);
        if let Some((point, down_ns)) = disk.springs(Moment::Before, Some(write)) {
            self.counts.died_at(point);
            return self.crash(index, Some(down_ns));
        }
        if disk.append(record) {
            let synced = Happening::DiskSynced { member: index, life };
            self.schedule.at(self.now.after(flush_ns), synced);
        }
        if let Some((point, down_ns)) = disk.springs(Moment::Taken, None) {
            self.counts.died_at(point);
            self.crash(index, Some(down_ns));
        }
    }

    /// The time of a flush is over.
    pub(crate) fn disk_synced(&mut self, member: usize) {
        let Some(disk) = &mut self.members[member].disk else { return };
        if let Some((point, down_ns)) = disk.springs(Moment::Torn, None) {
            self.counts.died_at(point);
            return self.crash(member, Some(down_ns));
        }
        let sprung = disk.springs(Moment::Done, None);
        let (done, written) = disk.synced();
        self.trace.note(self.now.0, member, 0x6469_736b);
        self.watch_durable(member, &written);
        if let Some((point, down_ns)) = sprung {
            self.counts.died_at(point);
            return self.crash(member, Some(down_ns));
        }
        if self.ambush(member) {
            return;
        }
        let failed = match &done {
            Done::DiskFailed(fault) => Some(fault.to_string()),
            _ => None,
        };
        self.finish(member, done);
        if let Some(fault) = failed {
            self.disk_failed(member, &fault);
        }
    }

    /// A process whose disk failed says so and ends; somebody mends the disk and starts it again.
    fn disk_failed(&mut self, member: usize, fault: &str) {
        let said = self.members[member].fatal.take();
        if self.members[member].paused.is_none()
            && said.as_deref().is_none_or(|said| !said.contains(fault))
        {
            let name = &self.members[member].name;
            let text = format!("{name} had a \"{fault}\" and said {said:?}");
            self.watch.note(self.now, Some(text));
        }
        let Some(disk) = &mut self.members[member].disk else { return };
        let repair_ns = disk.repair_ns;
        self.counts.disk_failures += 1;
        self.crash(member, Some(repair_ns));
        if let Some(disk) = &mut self.members[member].disk {
            disk.heal();
        }
    }

    fn watch_durable(&mut self, member: usize, written: &[Written]) {
        let number = usize::from(self.station_number(member));
        for written in written {
            let violation = self.watch.raft.on_durable(number, written);
            self.watch.note(self.now, violation);
        }
    }

    /// What a member's new life finds on its disk; `None` if that must not be served.
    pub(crate) fn load(&mut self, index: usize) -> Option<Loaded> {
        let number = usize::from(self.station_number(index));
        let Some(disk) = &mut self.members[index].disk else { return Some(Loaded::default()) };
        match disk.restart() {
            Ok(loaded) => {
                let violation = self.watch.raft.on_load(number, &loaded);
                self.watch.note(self.now, violation);
                Some(loaded)
            }
            Err(fault) => {
                if !disk.spoiled {
                    let text = format!("station{number} was refused its own disk: {fault}");
                    self.watch.note(self.now, Some(text));
                }
                self.counts.refused += u64::from(self.members[index].refused.is_none());
                self.members[index].refused = Some(fault.to_string());
                None
            }
        }
    }

    /// A hundred satellites would hold, and make, the same atlas of each view: the first one that
    /// makes it offers it to the others.
    fn share(&mut self, index: usize) {
        let Some(satellite) = self.members.get(index).and_then(Member::satellite) else { return };
        if satellite.view() <= self.shared {
            return;
        }
        self.shared = satellite.view();
        let atlas = Arc::clone(satellite.atlas());
        let Options { replicas, satellites, .. } = self.options;
        for other in (replicas..replicas + satellites).filter(|other| *other != index) {
            if let Some(AnyRole::Satellite(satellite)) = &mut self.members[other].role {
                satellite.offer(Arc::clone(&atlas));
            }
        }
    }

    /// Looks at a member after each burst.
    pub(crate) fn observe(&mut self, index: usize) {
        self.share(index);
        let Some(station) = self.members.get(index).and_then(Member::station) else { return };
        let number = usize::from(self.station_number(index));
        let leads = station.is_leader().then(|| station.term());
        let violation = self.watch.raft.on_leader(number, leads);
        self.watch.note(self.now, violation);
        let managing = station.managing().filter(|_| self.members[index].paused.is_none());
        let violation = self.watch.managers.observe(self.now, number, managing, station.manager());
        self.watch.note(self.now, violation);
        let replicas = self.replicas().filter_map(|index| self.members.get(index));
        let violation = one_lease::check(self.now, replicas);
        self.watch.note(self.now, violation);
        let Some(station) = self.members.get(index).and_then(Member::station) else { return };
        let applied = station.applied();
        if applied.is_multiple_of(self.scenario.compared_every)
            && self.watch.states.is_new(number, applied)
        {
            let violation = self.watch.states.compare(number, applied, station.state_hash());
            self.watch.note(self.now, violation);
        }
    }
}
