//! Cables that lose most of what a node sends.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{Rng, SECOND};

/// Parts of 10,000 of their datagrams that are lost.
const LOSS: u64 = 8_000;

impl Scenario {
    /// Name of the scenario in which nodes are gray and none may be dead.
    pub(crate) const GRAY: &'static str = "gray";

    /// One node of a hundred, at least one, each from another moment on.
    pub(super) fn draw_gray(&mut self, rng: &mut Rng, options: &Options) {
        let first = (options.replicas + options.satellites) as u64;
        for _ in 0..(options.nodes / 100).max(1) {
            let member = usize::try_from(first + rng.below(options.nodes as u64)).unwrap_or(0);
            let at = self.fault_from.after(rng.below(2 * SECOND));
            self.faults.push((at, Fault::Mumble { member, loss: LOSS }));
        }
    }
}
