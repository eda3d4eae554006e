//! Going in good order: a leader lets another replica lead before it ends.
//!
//! Nobody has to find out by silence that it is gone, so writers wait for one round trip and an
//! election that nobody contests, not for an election timeout. A follower has nothing to hand over.

use crate::station::Station;
use syncom_seam::{Notice, Now, Outbox, SECOND, Time};
use syncom_wire::PeerId;

/// How long a leader tries to let another lead; then the others find out by themselves.
const PATIENCE_NS: u64 = SECOND;

/// Where a replica stands that was told to go.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    until: Time,
    /// Who was asked to lead, and when the last of them was.
    asked: Vec<u64>,
    asked_at: Option<Time>,
}

impl Station {
    /// The program wants this replica to go.
    pub(crate) fn begin_leaving<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let (until, asked) = (now.at.after(PATIENCE_NS), Vec::new());
        self.leaving.get_or_insert(Leaving { until, asked, asked_at: None });
        self.go_on_leaving(now, out);
    }

    /// Goes, once it does not lead or nobody else can.
    pub(crate) fn go_on_leaving<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(leaving) = &mut self.leaving else { return };
        let until = leaving.until;
        if self.node.is_leader() && now.at < until {
            // Raft gives the heir one election timeout, and then goes on itself.
            let again_ns = self.config.timing.election_max_ns() / 2;
            if leaving.asked_at.is_some_and(|at| now.at.since(at) < again_ns) {
                return;
            }
            // From here on somebody else may be elected at any moment.
            self.lease.surrender();
            let (replicas, seated) = (&self.machine.replicas, self.config.disk != 0);
            let fit = |id| replicas.may_inherit(id, seated);
            // Each in turn: one that was asked and does not lead may be hung, or cut off.
            let next = self.node.hand_over(|id| fit(id) && !leaving.asked.contains(&id));
            if next.is_none() {
                leaving.asked.clear();
            }
            if let Some(heir) = next.or_else(|| self.node.hand_over(fit)) {
                out.info(|| format!("leaving: asked replica {heir} to lead"));
                leaving.asked.push(heir);
                leaving.asked_at = Some(now.at);
                return self.pump(now, out);
            }
        }
        // Its vote may be the one that the heir needs, and waits for the disk.
        let asked = self.leaving.as_ref().is_some_and(|leaving| !leaving.asked.is_empty());
        if asked && now.at < until && self.node.leader() == PeerId::ANY {
            return;
        }
        self.stop_quietly();
        out.notify(Notice::Gone);
    }
}
