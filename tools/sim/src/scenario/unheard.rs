//! A satellite that a replica hears no longer, and everybody else does.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{Rng, SECOND};

/// How long a replica does not hear the satellite, and from one to the next, in ns.
const DEAF_NS: u64 = 6 * SECOND;
const APART_NS: u64 = 7 * SECOND;
/// How long after that begins a node dies, in ns: the satellite has noticed.
const NOTICED_NS: u64 = SECOND;
/// How long a death may take, in ns: before the satellite is heard again.
const NOTICE_NS: u64 = 3 * SECOND;

impl Scenario {
    /// Name of the scenario.
    pub(crate) const UNHEARD: &'static str = "unheard";

    /// One satellite is unheard by one replica after another, of which one leads, and each time a node
    /// dies: the other satellites can tell the station, and this one must not keep them from it.
    pub(super) fn draw_unheard(&mut self, rng: &mut Rng, options: &Options) {
        let Options { replicas, satellites, nodes, .. } = *options;
        let below =
            |rng: &mut Rng, most: usize| usize::try_from(rng.below(most as u64)).unwrap_or(0);
        if satellites < 2 {
            return;
        }
        let servers = replicas + satellites;
        let unheard = replicas + below(rng, satellites);
        let (first_replica, first_node) = (below(rng, replicas), below(rng, nodes));
        let mut at = self.fault_from.after(SECOND + rng.below(SECOND));
        for turn in 0..replicas {
            if at.after(APART_NS) > self.heal_at {
                break;
            }
            let member = (first_replica + turn) % replicas;
            let whom = (0..servers + nodes).map(|one| one == unheard).collect();
            self.faults.push((at, Fault::Ignore { member, whom, for_ns: DEAF_NS }));
            let dying = servers + (first_node + turn) % nodes;
            let dies = at.after(NOTICED_NS + rng.below(SECOND / 2));
            self.faults.push((dies, Fault::Crash { member: dying, down_ns: None }));
            at = at.after(APART_NS);
        }
        self.notice_ns = Some(NOTICE_NS);
        self.views_max = replicas;
    }
}
