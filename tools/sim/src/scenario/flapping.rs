//! Nodes that keep dying and coming back.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{MS, Rng, SECOND};

/// Longer than a death takes to be announced, in ns.
const DOWN_NS: u64 = 2_500 * MS;
/// How often one of them dies, as far as there is time.
const DEATHS: u64 = 5;

impl Scenario {
    /// Name of the scenario.
    pub(crate) const FLAPPING: &'static str = "flapping";

    /// One node of twenty, at least one, dies again and again, as often as there is time for.
    pub(super) fn draw_flapping(&mut self, rng: &mut Rng, options: &Options) {
        let servers = options.replicas + options.satellites;
        for _ in 0..(options.nodes / 20).max(1) {
            let member = servers + usize::try_from(rng.below(options.nodes as u64)).unwrap_or(0);
            let mut at = self.fault_from.after(rng.below(SECOND));
            for _ in 0..DEATHS {
                let down_ns = DOWN_NS + rng.below(SECOND);
                self.faults.push((at, Fault::Crash { member, down_ns: Some(down_ns) }));
                at = at.after(down_ns + SECOND + rng.below(SECOND));
            }
        }
    }
}
