//! Who sends heartbeats to whom, and when the last one left: overheard in a calm cluster, where agents
//! send each other nothing else.

use std::collections::BTreeMap;
use syncom_seam::Time;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beats {
    /// From and to which member, and when last, by the members' clocks.
    pub(crate) last: BTreeMap<(usize, usize), Time>,
    first_node: usize,
}

impl Beats {
    /// Listens to the members from this one on, which are agents.
    pub(crate) const fn new(first_node: usize) -> Self {
        Self { last: BTreeMap::new(), first_node }
    }

    pub(crate) fn on_sent(&mut self, now: Time, (from, to): (usize, usize)) {
        if from.min(to) >= self.first_node {
            self.last.insert((from, to), now);
        }
    }
}
