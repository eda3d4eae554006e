//! Satellites and replicas that die, stop, are cut off and come back, one at a time.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{MS, Rng, SECOND};

/// Time between two strikes, in ns: the one before is over, and everybody whole.
const APART_NS: u64 = 7 * SECOND;
/// Nodes of a hundred that a deaf satellite hears no longer at most: with more it suspects itself.
const DEAF_MAX: u64 = 60;
/// A pause up to this is no excuse for a death, in ns: less than any time-out.
const EXCUSED_NS: u64 = 600 * MS;
/// How long after a strike the death may be announced, in ns: the time-out of a satellite, or that of
/// a replica, by the slow timing that simulated stations have, and an election before.
const NOTICE_NS: u64 = 3_000 * MS;
/// Parts of 10,000 that a bad cable loses of what a satellite sends: it misses five heartbeats in a row
/// every few seconds, at each who listens.
const MUMBLE: u64 = 5_000;

impl Scenario {
    /// Name of the scenario in which satellites and replicas are struck.
    pub(crate) const SERVERS: &'static str = "servers";

    /// A satellite or a replica is killed, stopped for long or for a moment, or cut off, every few
    /// seconds, or a replica hears one of the others no longer, or a satellite many of its nodes; in
    /// half of the runs another satellite has a bad cable all along. Only the first kinds kill. The
    /// network loses up to one datagram in a hundred.
    pub(super) fn draw_servers(&mut self, rng: &mut Rng, options: &Options) {
        let Options { replicas, satellites, nodes, .. } = *options;
        self.loss = rng.below(100);
        (self.excused_ns, self.server_notice_ns) = (EXCUSED_NS, Some(NOTICE_NS));
        let last = replicas + satellites - 1;
        let mumbles = satellites > 1 && rng.chance(1, 2);
        if mumbles {
            self.faults.push((self.fault_from, Fault::Mumble { member: last, loss: MUMBLE }));
        }
        let servers = (replicas + satellites - usize::from(mumbles)) as u64;
        let mut at = self.fault_from.after(SECOND);
        while at.after(APART_NS) <= self.heal_at {
            let member = usize::try_from(rng.below(servers)).unwrap_or(0);
            let for_ns = 3 * SECOND + rng.below(SECOND);
            let members = replicas + satellites + nodes;
            let fault = match rng.below(6) {
                0 => Fault::Crash { member, down_ns: Some(for_ns) },
                1 => Fault::Pause { member, for_ns },
                2 => Fault::Pause { member, for_ns: 50 * MS + rng.below(EXCUSED_NS - 50 * MS) },
                3 => {
                    let inside = (0..members).map(|one| one == member);
                    Fault::Cut { inside: inside.collect(), one_way: rng.chance(1, 2), for_ns }
                }
                4 => {
                    let deaf = usize::try_from(rng.below(replicas as u64)).unwrap_or(0);
                    let whom = (0..members).map(|one| one == member && one != deaf);
                    Fault::Ignore { member: deaf, whom: whom.collect(), for_ns }
                }
                _ => {
                    let deaf =
                        replicas + usize::try_from(rng.below(satellites as u64)).unwrap_or(0);
                    let share = 1 + rng.below(DEAF_MAX);
                    let whom = (0..members).map(|one| one > last && rng.chance(share, 100));
                    let whom = whom.collect();
                    Fault::Ignore { member: deaf, whom, for_ns }
                }
            };
            self.faults.push((at.after(rng.below(500 * MS)), fault));
            at = at.after(APART_NS);
        }
    }
}
