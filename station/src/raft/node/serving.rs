//! What a leader keeps for followers that lag: entries that they lack, snapshots that they pull.

use super::Node;
use crate::config::Held;
use crate::raft::snapshot::Image;
use raft::{ProgressState, SnapshotStatus};
use syncom_seam::{SECOND, Time};

/// Who was heard within this time may need the entries that he lacks, and may lead.
const LATELY_NS: u64 = SECOND;

impl Node {
    /// Whether a replica was heard in the last second. The library's own sign of life is taken back at
    /// each check of the quorum, and says nothing until the next answer.
    pub(super) fn is_heard(&self, id: u64) -> bool {
        self.heard_at(id).is_some_and(|at| self.ticked_at.since(at) < LATELY_NS)
    }

    /// The first entry that some follower lacks who is heard by this leader.
    pub(super) fn lacking(&self) -> Option<u64> {
        let heard = |id: u64| id != self.me && self.is_heard(id);
        let others = self.raw.raft.prs().iter().filter(|(id, _)| heard(**id));
        let lacks = others.map(|(_, pr)| match pr.state {
            ProgressState::Snapshot => pr.pending_snapshot + 1,
            ProgressState::Probe | ProgressState::Replicate => pr.matched + 1,
        });
        if self.is_leader() { lacks.min() } else { None }
    }

    /// A snapshot is announced to a follower: it stays until that has it, or is given up.
    pub(crate) fn begin_sending(&mut self, id: u64, index: u64, now: Time) {
        self.sending.begin(id, index, now);
        self.raw.mut_store().pin(&self.sending.indexes());
    }

    /// A follower asks for a snapshot that is not here: Raft is to send it another.
    pub(crate) fn fail_sending(&mut self, id: u64) {
        if self.sending.fail(id) {
            self.raw.report_snapshot(id, SnapshotStatus::Failure);
            self.raw.mut_store().pin(&self.sending.indexes());
        }
    }

    /// Gives up on followers that stopped pulling their snapshot.
    pub(crate) fn give_up_snapshots(&mut self, now: Time) {
        self.ticked_at = now;
        let prs = self.raw.raft.prs();
        let done = |id| prs.get(id).is_none_or(|pr| pr.state != ProgressState::Snapshot);
        for id in self.sending.give_up(now, done) {
            self.raw.report_snapshot(id, SnapshotStatus::Failure);
        }
        self.raw.mut_store().pin(&self.sending.indexes());
    }

    pub(crate) fn image(&self, index: u64, term: u64) -> Option<&Image> {
        self.raw.store().image(index, term)
    }

    pub(crate) fn held(&self) -> Held {
        self.raw.store().held()
    }
}
