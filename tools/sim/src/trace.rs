//! The trace of a run, as a running hash: two runs are the same when their hashes are.

use syncom_wire::ids::{hash, mix};

/// A hash over everything that happened, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
}

impl Trace {
    pub(crate) fn note(&mut self, at: u64, member: usize, what: u64) {
        self.events += 1;
        self.hash = mix(self.hash ^ at).wrapping_add(mix(what ^ (member as u64) << 40));
    }

    pub(crate) fn note_bytes(&mut self, at: u64, member: usize, bytes: &[u8]) {
        self.note(at, member, hash(bytes));
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }
}
