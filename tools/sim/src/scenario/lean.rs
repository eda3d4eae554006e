//! Nodes whose budget makes them speak to their observers in turn, and everything that may befall them.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{MS, Rng, SECOND, Time};

/// Least budget, and how much more it is at most, in bytes per second and node: from a step every 2 s
/// to what the default profile can nearly afford.
const BUDGET: (u64, u64) = (150, 3_000);
/// A pause up to this is no excuse for a death, in ns: who asks does so for half a second, and the
/// homes ask after that.
const EXCUSED_NS: u64 = 500 * MS;
/// How long the death of a node may take to be announced when nothing else is wrong but that a tenth
/// of all die at one moment, in ns: some of its observers have to be missed themselves before it, and a
/// round takes up to 20 s.
const NOTICE_NS: u64 = 20 * SECOND;
/// How long all may take to be well again, in ns: a home hears a node every 10 s.
const HEAL_NS: u64 = 120 * SECOND;

impl Scenario {
    /// Name of the scenario in which heartbeats have a budget.
    pub(crate) const LEAN: &'static str = "lean";

    /// In one run of three only some nodes die, one by one and a tenth at one moment, and that must be
    /// known in time. Else the network loses up to two datagrams in a hundred, nodes are stopped for
    /// long or starved, whom they watch among them, some hear nothing for a while though they are heard
    /// or the other way round, satellites stop or die and come back, and some nodes really die.
    pub(super) fn draw_lean(&mut self, rng: &mut Rng, options: &Options) {
        (self.budget, self.excused_ns) = (BUDGET.0 + rng.below(BUDGET.1), EXCUSED_NS);
        self.end_at = self.heal_at.after(HEAL_NS);
        let tenth = (options.nodes / 10).max(1);
        if rng.chance(1, 3) {
            (self.notice_ns, self.views_max) = (Some(NOTICE_NS), options.nodes);
            // Everybody knows everybody by then.
            let settled = self.heal_at.since(self.fault_from) / 2;
            let at = |rng: &mut Rng| self.fault_from.after(settled + rng.below(settled / 2));
            let mut faults = Vec::new();
            for _ in 0..3 {
                let member = node(rng, options);
                faults.push((at(rng), Fault::Crash { member, down_ns: None }));
            }
            let moment = at(rng);
            for _ in 0..tenth {
                let member = node(rng, options);
                faults.push((moment, Fault::Crash { member, down_ns: None }));
            }
            self.faults.extend(faults);
            return;
        }
        self.loss = rng.below(200);
        for _ in 0..tenth {
            let member = node(rng, options);
            let for_ns = SECOND + rng.below(9 * SECOND);
            self.faults.push((self.any_moment(rng), Fault::Pause { member, for_ns }));
            let member = node(rng, options);
            for _ in 0..20 {
                let for_ns = 20 * MS + rng.below(EXCUSED_NS - 20 * MS);
                self.faults.push((self.any_moment(rng), Fault::Pause { member, for_ns }));
            }
            let member = node(rng, options);
            let down_ns = rng.chance(1, 2).then(|| SECOND + rng.below(5 * SECOND));
            self.faults.push((self.any_moment(rng), Fault::Crash { member, down_ns }));
        }
        for _ in 0..1 + rng.below(4) {
            // Whoever is outside of the cut hears nobody inside, and is heard; or the other way round.
            let members = options.replicas + options.satellites + options.nodes;
            let mut inside = vec![rng.chance(1, 2); members];
            for _ in 0..tenth {
                let one = node(rng, options);
                inside[one] = !inside[one];
            }
            let for_ns = SECOND + rng.below(9 * SECOND);
            self.faults.push((self.any_moment(rng), Fault::Cut { inside, one_way: true, for_ns }));
        }
        for _ in 0..rng.below(3) {
            let satellite = rng.below((options.satellites as u64).max(1));
            let member = options.replicas + usize::try_from(satellite).unwrap_or(0);
            let for_ns = 200 * MS + rng.below(4 * SECOND);
            let fault = if rng.chance(1, 2) {
                Fault::Pause { member, for_ns }
            } else {
                Fault::Crash { member, down_ns: Some(for_ns) }
            };
            self.faults.push((self.any_moment(rng), fault));
        }
    }

    fn any_moment(&self, rng: &mut Rng) -> Time {
        let span = self.heal_at.since(self.fault_from);
        self.fault_from.after(rng.below(span * 9 / 10))
    }
}

fn node(rng: &mut Rng, options: &Options) -> usize {
    let nth = rng.below((options.nodes as u64).max(1));
    options.replicas + options.satellites + usize::try_from(nth).unwrap_or(0)
}
