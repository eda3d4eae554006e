//! Snapshots on their way to replicas that have been away, over paths that are narrow and lossy.

use super::{Options, Scenario};
use crate::fault::{Exchange, Fault};
use crate::persist::{Moment, PersistPoint, Write};
use syncom_seam::{MS, Rng, SECOND, Time, US};

/// Entries after which a replica takes a snapshot: whoever is away for a moment needs one.
const SNAPSHOT_EVERY: u64 = 10;
/// How long an old copy of a disk is left alone with the others, in ns: only a leader that has not
/// changed since knows what is missing on it.
const ALONE_NS: u64 = 6 * SECOND;

impl Scenario {
    /// Replicas are away again and again, and die while they pull and install. In two of three runs
    /// one comes back on an empty disk or on an old copy of its own; in half of those it is replaced.
    pub(super) fn draw_catchup(&mut self, rng: &mut Rng, options: &Options) {
        (self.snapshot_every, self.load_per_s) = (SNAPSHOT_EVERY, 40 + rng.below(60));
        self.loss = rng.below(501);
        (self.duplication, self.reordering) = (rng.below(201), rng.below(501));
        (self.delay_ns, self.jitter_ns) = (100 * US + rng.below(5 * MS), rng.below(2 * MS));
        self.bytes_per_s = 300_000 + rng.below(3_000_000);
        let from = match rng.below(if options.replicas > 1 { 3 } else { 1 }) {
            1 => self.draw_exchange(rng, options, Exchange::Empty),
            2 => self.draw_exchange(rng, options, Exchange::Backup).after(ALONE_NS),
            _ => self.fault_from,
        };
        let span = self.heal_at.since(from) * 9 / 10;
        let newcomer = options.replicas + options.satellites + options.nodes;
        for _ in 0..6 + span / SECOND {
            let at = from.after(rng.below(span));
            let most = if rng.chance(1, 2) { 4 * SECOND } else { 300 * MS };
            let down_ns = 50 * MS + rng.below(most);
            let replica = usize::try_from(rng.below(options.replicas as u64)).unwrap_or(0);
            let is_new = self.newcomers > 0 && rng.chance(1, 3);
            let member = if is_new { newcomer } else { replica };
            let moment = [Moment::Before, Moment::Taken, Moment::Torn, Moment::Done];
            let moment = moment[usize::try_from(rng.below(4)).unwrap_or(0)];
            let fault = match rng.below(4) {
                0 => {
                    let point = PersistPoint { write: Write::Install, moment };
                    Fault::CrashAt { member, point, down_ns }
                }
                1 => Fault::Pause { member, for_ns: down_ns },
                _ => Fault::Crash { member, down_ns: Some(down_ns) },
            };
            self.faults.push((at, fault));
        }
    }

    /// One replica's disk is exchanged, and the replica perhaps replaced; says when it comes back.
    fn draw_exchange(&mut self, rng: &mut Rng, options: &Options, by: Exchange) -> Time {
        let member = usize::try_from(rng.below(options.replicas as u64)).unwrap_or(0);
        let down_ns = 100 * MS + rng.below(3 * SECOND);
        let backed_up = self.fault_from.after(rng.below(SECOND));
        let at = backed_up.after(SECOND + rng.below(2 * SECOND));
        if by == Exchange::Backup {
            self.faults.push((backed_up, Fault::BackUp { member }));
        }
        self.faults.push((at, Fault::Exchange { member, by, down_ns }));
        if rng.chance(1, 2) {
            self.newcomers = 1;
            let new = options.replicas + options.satellites + options.nodes;
            let later = at.after(down_ns + ALONE_NS);
            self.faults.push((later, Fault::Replace { old: member, new }));
        }
        if by == Exchange::Empty { self.fault_from } else { at.after(down_ns) }
    }
}
