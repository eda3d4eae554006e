//! Snapshots that a leader has announced, kept until they have arrived or are given up.

use std::collections::{BTreeMap, BTreeSet};
use syncom_seam::{SECOND, Time};

/// A follower that asks for nothing for so long is given up; Raft then probes it anew. Without
/// this, one lost snapshot stops a follower for ever (etcd#10225).
const PATIENCE_NS: u64 = 5 * SECOND;

/// Who is sent what, and until when he must ask for the next part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending {
    /// By follower: index of the snapshot, and the deadline.
    announced: BTreeMap<u64, (u64, Time)>,
}

impl Sending {
    /// A snapshot was announced to a follower.
    pub(crate) fn begin(&mut self, follower: u64, index: u64, now: Time) {
        self.announced.insert(follower, (index, now.after(PATIENCE_NS)));
    }

    /// A follower has asked for a part.
    pub(crate) fn on_ask(&mut self, follower: u64, now: Time) {
        if let Some((_, deadline)) = self.announced.get_mut(&follower) {
            *deadline = now.after(PATIENCE_NS);
        }
    }

    /// Indexes of the snapshots that somebody is sent.
    pub(crate) fn indexes(&self) -> BTreeSet<u64> {
        self.announced.values().map(|(index, _)| *index).collect()
    }

    /// What this follower was sent is no longer here; whether he was sent anything.
    pub(crate) fn fail(&mut self, follower: u64) -> bool {
        self.announced.remove(&follower).is_some()
    }

    /// Followers that are given up, forgotten by this call; `done` names those that have finished.
    pub(crate) fn give_up(&mut self, now: Time, done: impl Fn(u64) -> bool) -> Vec<u64> {
        self.announced.retain(|follower, _| !done(*follower));
        let late = self.announced.iter().filter(|(_, (_, deadline))| *deadline <= now);
        let late: Vec<u64> = late.map(|(follower, _)| *follower).collect();
        self.announced.retain(|_, (_, deadline)| *deadline > now);
        late
    }

    pub(crate) fn clear(&mut self) {
        self.announced.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_a_transfer_and_questions_prolong_it() {
        let mut sending = Sending::default();
        sending.begin(2, 70, Time(0));
        sending.begin(3, 60, Time(0));
        sending.on_ask(4, Time(0));
        assert_eq!(sending.indexes(), BTreeSet::from([60, 70]));
        assert!(sending.give_up(Time(SECOND), |id| id == 3).is_empty());
        assert_eq!(sending.indexes(), BTreeSet::from([70]), "the other has finished");
        sending.on_ask(2, Time(3 * SECOND));
        assert!(sending.give_up(Time(6 * SECOND), |_| false).is_empty());
        assert_eq!(sending.give_up(Time(8 * SECOND), |_| false), [2]);
        assert!(sending.indexes().is_empty() && !sending.fail(2));
    }
}
