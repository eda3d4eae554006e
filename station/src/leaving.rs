//! Going in good order: a leader lets another replica lead before it ends.
//!
//! Nobody has to find out by silence that it is gone, so writers wait for one round trip and an
//! election that nobody contests, not for an election timeout. A follower has nothing to hand over.

use crate::station::Station;
use syncom_seam::{Notice, Now, Outbox, SECOND, Time};

/// How long a leader tries to let another lead; then the others find out by themselves.
const PATIENCE_NS: u64 = SECOND;

/// Where a replica stands that was told to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    until: Time,
    asked_at: Option<Time>,
}

impl Station {
    /// The program wants this replica to go.
    pub(crate) fn begin_leaving<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.leaving.get_or_insert(Leaving { until: now.at.after(PATIENCE_NS), asked_at: None });
        self.go_on_leaving(now, out);
    }

    /// Goes, once it does not lead or nobody else can.
    pub(crate) fn go_on_leaving<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(leaving) = self.leaving else { return };
        if self.node.is_leader() && now.at < leaving.until {
            // Raft gives the heir one election timeout, and then goes on itself.
            let again_ns = self.config.timing.election_max_ns() / 2;
            if leaving.asked_at.is_some_and(|at| now.at.since(at) < again_ns) {
                return;
            }
            // From here on somebody else may be elected at any moment.
            self.lease.surrender();
            let (replicas, seated) = (&self.machine.replicas, self.config.disk != 0);
            if let Some(heir) = self.node.hand_over(|id| replicas.may_inherit(id, seated)) {
                out.info(|| format!("leaving: asked replica {heir} to lead"));
                self.leaving = Some(Leaving { asked_at: Some(now.at), ..leaving });
                return self.pump(now, out);
            }
        }
        self.stop_quietly();
        out.notify(Notice::Gone);
    }
}
