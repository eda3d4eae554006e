//! The trace of a run, as a running hash: two runs are the same when their hashes are.

use syncom_wire::ids::{hash, mix};

/// A hash over everything that happened, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    /// Only events are counted: nobody compares this run with another by its hash.
    counts_only: bool,
}

impl Trace {
    /// Counts events from now on, and hashes none.
    pub(crate) const fn count_only(&mut self) {
        self.counts_only = true;
    }

    pub(crate) fn note(&mut self, at: u64, member: usize, what: u64) {
        self.events += 1;
        if self.counts_only {
            return;
        }
        self.hash = mix(self.hash ^ at).wrapping_add(mix(what ^ (member as u64) << 40));
    }

    pub(crate) fn note_bytes(&mut self, at: u64, member: usize, bytes: &[u8]) {
        let what = if self.counts_only { 0 } else { hash(bytes) };
        self.note(at, member, what);
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }
}
