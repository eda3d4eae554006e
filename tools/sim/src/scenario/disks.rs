//! What befalls the disks of replicas.

use super::{Options, Scenario};
use crate::fault::{DiskFault, Fault};
use crate::persist::PersistPoint;
use syncom_seam::{MS, Rng, SECOND, Time};

/// Entries after which a replica takes a snapshot where disks are struck: often, so that replicas
/// die while they take and install them.
const SNAPSHOT_EVERY: u64 = 40;

impl Scenario {
    /// Replicas die at persist points all along, some disks fail and are mended, the power fails, and
    /// the disks of a minority lie.
    pub(super) fn draw_disks(&mut self, rng: &mut Rng, options: &Options) {
        self.snapshot_every = SNAPSHOT_EVERY;
        self.load_per_s = 20 + rng.below(40);
        let seconds = self.heal_at.since(self.fault_from) / SECOND;
        self.draw_traps(rng, options, 4 + seconds);
        let failures = rng.below(4);
        self.draw_failures(rng, options, failures);
        let blackouts = rng.below(3);
        self.draw_blackouts(rng, options, blackouts);
        let lost = rng.below(minority(options) + 1);
        self.draw_liars(rng, options, lost);
    }

    /// A little of it, in one of four seeds, beside all other faults. Drawn apart, so that the other
    /// faults of a seed stay what they were.
    pub(super) fn draw_few_disks(&mut self, seed: u64, options: &Options) {
        let rng = &mut Rng::new(seed ^ 0x6469_736b);
        if rng.chance(3, 4) {
            return;
        }
        let (traps, failures, lost) = (1 + rng.below(3), rng.below(2), rng.below(2));
        let lost = lost.min(minority(options));
        self.draw_traps(rng, options, traps);
        self.draw_failures(rng, options, failures);
        self.draw_liars(rng, options, lost);
    }

    /// Every disk forgets what it said it had flushed, whenever the power fails.
    pub(super) fn draw_unsynced(&mut self, rng: &mut Rng, options: &Options) {
        self.trusting = true;
        self.load_per_s = 20 + rng.below(40);
        for member in 0..options.replicas {
            let fault = Fault::Disk { member, fault: DiskFault::LostSync, down_ns: 0 };
            self.faults.push((self.fault_from, fault));
        }
        self.draw_blackouts(rng, options, 3);
    }

    fn draw_traps(&mut self, rng: &mut Rng, options: &Options, count: u64) {
        for _ in 0..count {
            let point = rng.below(PersistPoint::ALL.len() as u64);
            let point = PersistPoint::ALL[usize::try_from(point).unwrap_or(0)];
            // Long enough, now and then, to need a snapshot afterwards.
            let most = if rng.chance(1, 3) { 6 * SECOND } else { SECOND };
            let (member, down_ns) = (replica(rng, options), 50 * MS + rng.below(most));
            self.faults.push((self.moment(rng), Fault::CrashAt { member, point, down_ns }));
        }
    }

    /// All replicas lose their power at one moment, and come back one by one.
    fn draw_blackouts(&mut self, rng: &mut Rng, options: &Options, count: u64) {
        for _ in 0..count {
            let at = self.moment(rng);
            for member in 0..options.replicas {
                let down_ns = Some(50 * MS + rng.below(SECOND));
                self.faults.push((at, Fault::Crash { member, down_ns }));
            }
        }
    }

    fn draw_failures(&mut self, rng: &mut Rng, options: &Options, count: u64) {
        for _ in 0..count {
            let fault = if rng.chance(1, 2) { DiskFault::Full } else { DiskFault::Io };
            let (member, down_ns) = (replica(rng, options), 200 * MS + rng.below(3 * SECOND));
            self.faults.push((self.moment(rng), Fault::Disk { member, fault, down_ns }));
        }
    }

    /// Disks that lie, of so many replicas: a minority.
    fn draw_liars(&mut self, rng: &mut Rng, options: &Options, count: u64) {
        let first = replica(rng, options);
        for number in 0..usize::try_from(count).unwrap_or(0) {
            let member = (first + number) % options.replicas.max(1);
            let (at, down_ns) = (self.moment(rng), 50 * MS + rng.below(SECOND));
            let fault = match rng.below(3) {
                0 => DiskFault::BitFlip,
                1 => DiskFault::Misdirected,
                _ => DiskFault::LostSync,
            };
            self.faults.push((at, Fault::Disk { member, fault, down_ns }));
            if fault == DiskFault::LostSync {
                let later = at.after(100 * MS + rng.below(SECOND));
                self.faults.push((later, Fault::Crash { member, down_ns: Some(down_ns) }));
            }
        }
    }

    fn moment(&self, rng: &mut Rng) -> Time {
        self.fault_from.after(rng.below(self.heal_at.since(self.fault_from) * 9 / 10))
    }
}

/// As many replicas may be lost for good.
const fn minority(options: &Options) -> u64 {
    (options.replicas as u64).saturating_sub(1) / 2
}

fn replica(rng: &mut Rng, options: &Options) -> usize {
    usize::try_from(rng.below(options.replicas as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is on the disk of the only replica is on no other.
    #[test]
    fn the_disk_of_a_lone_replica_never_lies() {
        let lies = |replicas| {
            let options = Options { replicas, ..Options::default() };
            let drawn = (0..400).filter_map(|seed| Scenario::draw(seed, &options).ok());
            let faults = drawn.flat_map(|scenario| scenario.faults);
            faults
                .filter(|(_, fault)| {
                    matches!(fault, Fault::Disk { fault, .. }
                if !matches!(fault, DiskFault::Full | DiskFault::Io))
                })
                .count()
        };
        assert_eq!(lies(1), 0);
        assert!(lies(3) > 0);
    }
}
