//! Less than half of a cluster is cut off for a while, and comes back by itself.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{Rng, SECOND};

/// Failure domains that nodes belong to: every tenth node is of the same.
const DOMAINS: usize = 10;
/// How long before the end of the faults the cut is over at the latest, in ns: what was cut off comes
/// back while faults may still happen.
const BACK_NS: u64 = SECOND;

impl Scenario {
    /// Name of the scenario.
    pub(crate) const MINORITY: &'static str = "minority";

    /// Up to four of ten domains are cut off. In half of the runs with some satellites and a minority
    /// of the replicas; in the others only from the nodes outside, so that what they say of these
    /// leaks out. Now and then somebody on either side really dies.
    pub(super) fn draw_minority(&mut self, rng: &mut Rng, options: &Options) {
        let Options { replicas, satellites, nodes, .. } = *options;
        let servers = replicas + satellites;
        let mut domains = [false; DOMAINS];
        for _ in 0..1 + rng.below(4) {
            domains[usize::try_from(rng.below(DOMAINS as u64)).unwrap_or(0)] = true;
        }
        let mut inside: Vec<bool> = (0..servers + nodes)
            .map(|index| index >= servers && domains[index % DOMAINS])
            .collect();
        let span = self.heal_at.since(self.fault_from).saturating_sub(BACK_NS);
        let at = self.fault_from.after(rng.below(span / 4));
        let for_ns = span / 4 + rng.below(span / 2);
        if rng.chance(1, 2) {
            let below = |rng: &mut Rng, most| usize::try_from(rng.below(most)).unwrap_or(0);
            let few = below(rng, (replicas as u64).div_ceil(2));
            let some = below(rng, satellites as u64);
            inside[..few].fill(true);
            inside[replicas..replicas + some].fill(true);
            self.faults.push((at, Fault::Cut { inside, one_way: false, for_ns }));
        } else {
            self.faults.push((at, Fault::Split { inside, for_ns }));
        }
        for _ in 0..rng.below(3) {
            let member = servers + usize::try_from(rng.below(nodes as u64)).unwrap_or(0);
            let when = self.fault_from.after(rng.below(span));
            self.faults.push((when, Fault::Crash { member, down_ns: None }));
        }
    }
}
