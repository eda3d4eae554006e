//! What makes a watcher slow, deaf or forgetful while those it watches are well.

use super::{Options, Scenario};
use crate::fault::Fault;
use syncom_seam::{MS, Rng, SECOND, Time};

/// A pause up to this is no excuse for a death: a node that was starved for so long sends its next
/// heartbeat before the margin of any observer is used up, in ns.
const EXCUSED_NS: u64 = 500 * MS;
/// Datagrams that the socket of a stopped member holds here: a few seconds of heartbeats, so that
/// longer pauses lose some.
const SOCKET_HOLDS: usize = 128;

impl Scenario {
    /// A tenth of the nodes is stopped for 1 to 30 s, another tenth is starved all along, some hear
    /// nothing for a while though they are heard, and satellites are stopped; a node or two really
    /// die. The network loses up to one datagram in a hundred.
    pub(super) fn draw_watchers(&mut self, rng: &mut Rng, options: &Options) {
        self.loss = rng.below(100);
        (self.excused_ns, self.socket_holds) = (EXCUSED_NS, SOCKET_HOLDS);
        let tenth = (options.nodes / 10).max(1);
        for _ in 0..tenth {
            let (at, member) = (self.some_moment(rng), some_node(rng, options));
            self.faults
                .push((at, Fault::Pause { member, for_ns: SECOND + rng.below(29 * SECOND) }));
        }
        for _ in 0..tenth {
            let member = some_node(rng, options);
            for _ in 0..20 {
                let for_ns = 20 * MS + rng.below(EXCUSED_NS - 20 * MS);
                self.faults.push((self.some_moment(rng), Fault::Pause { member, for_ns }));
            }
        }
        for _ in 0..1 + rng.below(4) {
            let at = self.some_moment(rng);
            // Whoever is outside of the cut hears nobody inside, and is heard.
            let members = options.replicas + options.satellites + options.nodes;
            let mut inside = vec![true; members];
            for _ in 0..tenth {
                inside[some_node(rng, options)] = false;
            }
            let for_ns = SECOND + rng.below(9 * SECOND);
            self.faults.push((at, Fault::Cut { inside, one_way: true, for_ns }));
        }
        for _ in 0..1 + rng.below(3) {
            let member = options.replicas + below(rng, options.satellites);
            let for_ns = 200 * MS + rng.below(4 * SECOND);
            self.faults.push((self.some_moment(rng), Fault::Pause { member, for_ns }));
        }
        for _ in 0..rng.below(3) {
            let member = some_node(rng, options);
            self.faults.push((self.some_moment(rng), Fault::Crash { member, down_ns: None }));
        }
    }

    fn some_moment(&self, rng: &mut Rng) -> Time {
        let span = self.heal_at.since(self.fault_from);
        self.fault_from.after(rng.below(span * 9 / 10))
    }
}

fn some_node(rng: &mut Rng, options: &Options) -> usize {
    options.replicas + options.satellites + below(rng, options.nodes)
}

fn below(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below((count as u64).max(1))).unwrap_or(0)
}
