//! A network that is away for a moment: a switch that learns its paths anew.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{MS, Rng, SECOND, Time};

/// Shortest cut, and by how much one may be longer than another, in ns.
const STEP_NS: u64 = 50 * MS;
/// Lengths of cuts, in steps.
const STEPS: (u64, u64) = (2, 20);
/// Failure domains that nodes belong to: every tenth node is of the same.
const DOMAINS: usize = 10;
/// A death on its way to the station, and through its log, is still just after a cut for so long, in
/// ns: a round of questions, what a satellite and the station wait for more of a kind, and a commit.
const ON_ITS_WAY_NS: u64 = 200 * MS;

impl Scenario {
    /// Name of the scenario.
    pub(crate) const BLINK: &'static str = "blink";

    /// One cut: of a satellite from everybody, of some domains with or without some servers from the rest,
    /// or of the station from all satellites. In half of the runs a node really dies about that time, one
    /// that is not called dead already because it is cut off.
    pub(super) fn draw_blink(&mut self, rng: &mut Rng, options: &Options) {
        let Options { replicas, satellites, nodes, .. } = *options;
        let servers = replicas + satellites;
        let below =
            |rng: &mut Rng, most: usize| usize::try_from(rng.below(most as u64)).unwrap_or(0);
        let mut inside = vec![false; servers + nodes];
        match rng.below(4) {
            0 => inside[replicas + below(rng, satellites)] = true,
            1 | 2 => {
                let mut domains = [false; DOMAINS];
                for _ in 0..1 + rng.below(5) {
                    domains[below(rng, DOMAINS)] = true;
                }
                (servers..servers + nodes)
                    .for_each(|index| inside[index] = domains[index % DOMAINS]);
                if satellites > 1 && rng.chance(3, 4) {
                    let some = 1 + below(rng, satellites - 1);
                    inside[replicas..replicas + some].fill(true);
                    let first = below(rng, replicas);
                    let few = below(rng, replicas.div_ceil(2));
                    (first..first + few).for_each(|replica| inside[replica % replicas] = true);
                }
            }
            _ => {
                inside[..replicas].fill(true);
                if rng.chance(1, 2) {
                    inside[servers..].fill(true);
                }
            }
        }
        let for_ns = (STEPS.0 + rng.below(STEPS.1 - STEPS.0 + 1)) * STEP_NS;
        let at = self.fault_from.after(SECOND + rng.below(SECOND));
        let is_outside =
            |member: &usize| !inside[*member] || inside[..replicas].iter().all(|is| *is);
        let dying = Some(servers + below(rng, nodes)).filter(is_outside);
        self.faults.push((at, Fault::Cut { inside, one_way: false, for_ns }));
        if let Some(member) = dying.filter(|_| rng.chance(2, 3)) {
            let patience_ns = self.profile.interval_ns * u64::from(self.profile.misses);
            let early_ns = rng.below(2 * patience_ns).min(SECOND);
            let when = at.after(rng.below(for_ns + patience_ns)).0.saturating_sub(early_ns);
            let fault = Fault::Crash { member, down_ns: None };
            self.faults.push((Time(when), fault));
            // Whoever was accused wrongly during the cut is doubted, and dead after 3·m·η of silence.
            self.notice_ns = Some(for_ns + 3 * patience_ns + 2 * SECOND);
        }
        self.just_for_ns = ON_ITS_WAY_NS;
    }

    /// Whether a death is just only when every satellite that could tell the station was cut off from
    /// the node.
    pub(crate) const fn is_strict(&self) -> bool {
        self.just_for_ns <= ON_ITS_WAY_NS
    }
}
