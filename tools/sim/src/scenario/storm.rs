//! Many nodes die at one moment, perhaps with those who serve them.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{MS, Rng, SECOND};

/// How long a death may take to be announced when half of all die, in ns.
const NOTICE_NS: u64 = 8 * SECOND;
/// Views in which they may leave.
const VIEWS: usize = 12;

impl Scenario {
    /// Name of the scenario.
    pub(crate) const STORM: &'static str = "storm";

    /// From a twentieth to six tenths of the nodes lose their power at one moment; in some runs a
    /// satellite or a replica loses it with them, and comes back.
    pub(super) fn draw_storm(&mut self, rng: &mut Rng, options: &Options) {
        let Options { replicas, satellites, nodes, .. } = *options;
        let servers = replicas + satellites;
        let at = self.fault_from.after(rng.below(SECOND));
        let permille = 50 + rng.below(551);
        let mut left = (nodes as u64 * permille / 1_000).max(1);
        let mut struck = vec![false; nodes];
        while left > 0 {
            let node = usize::try_from(rng.below(nodes as u64)).unwrap_or(0);
            if !core::mem::replace(&mut struck[node], true) {
                self.faults.push((at, Fault::Crash { member: servers + node, down_ns: None }));
                left -= 1;
            }
        }
        let mut server = |rng: &mut Rng, from: usize, of: usize| {
            if rng.chance(1, 3) && of > 1 {
                let member = from + usize::try_from(rng.below(of as u64)).unwrap_or(0);
                let down_ns = Some(500 * MS + rng.below(3 * SECOND));
                self.faults.push((at, Fault::Crash { member, down_ns }));
            }
        };
        server(rng, 0, replicas);
        server(rng, replicas, satellites);
        (self.notice_ns, self.views_max) = (Some(NOTICE_NS), VIEWS);
    }
}
