//! The table of senders: for each flow (sender, shard) its life, its key and its replay window.
//!
//! Nothing gets in that has not been authenticated, so a stranger can neither fill the table nor
//! push anybody out. When it is full, a new sender takes the place of one that has been quiet for a
//! while, clients first, because they come and go; when nobody is quiet, the new one is refused.

use super::keys::SessionKey;
use super::window::Window;
use syncom_seam::bounded::BoundedMap;
use syncom_seam::{SECOND, Time};
use syncom_wire::{Boot, PeerId, Role};

/// What is known of one flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) window: Window,
    pub(super) sender: PeerId,
    pub(super) shard: u16,
    pub(super) boot: Boot,
    pub(super) key: SessionKey,
    pub(super) heard: Time,
}

/// All flows that are known, up to a bound given at start.
#[derive(Debug)]
pub(super) struct SenderTable {
    index: BoundedMap<usize>,
    flows: Vec<Flow>,
    capacity: usize,
    hand: usize,
    /// Where the flow asked for last is kept: mostly it is asked for again.
    latest: usize,
}

impl SenderTable {
    /// Shards that one sender may have; datagrams of higher ones are refused.
    pub(super) const SHARDS_MAX: u16 = 16;
    /// A sender must have been silent this long to lose its place to a new one.
    const QUIET_NS: u64 = 10 * SECOND;
    /// Flows looked at to find a place: bounds the work that one datagram can cause.
    const PROBES: usize = 64;

    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            index: BoundedMap::new(capacity),
            flows: Vec::with_capacity(capacity),
            capacity,
            hand: 0,
            latest: 0,
        }
    }

    /// Where the flow of a datagram is kept, until the next one is admitted.
    #[inline]
    pub(super) fn find_next(&mut self, sender: PeerId, shard: u16) -> Option<usize> {
        let is_it = |flow: &Flow| flow.sender == sender && flow.shard == shard;
        if !self.flows.get(self.latest).is_some_and(is_it) {
            self.latest = self.find(sender, shard)?;
        }
        Some(self.latest)
    }

    /// Where a flow is kept, until the next one is admitted.
    fn find(&self, sender: PeerId, shard: u16) -> Option<usize> {
        self.index.get(flow_key(sender, shard)).copied()
    }

    /// The flow kept there.
    pub(super) fn flow(&self, at: usize) -> &Flow {
        &self.flows[at]
    }

    /// The flow kept there.
    pub(super) fn flow_mut(&mut self, at: usize) -> &mut Flow {
        &mut self.flows[at]
    }

    /// The highest boot seen of a sender on any of its shards.
    pub(super) fn boot_floor(&self, sender: PeerId) -> Option<Boot> {
        self.flows_of(sender).map(|at| self.flows[at].boot).max()
    }

    /// Takes in an authenticated flow, replacing what an earlier life left behind.
    ///
    /// Returns whether there was room.
    pub(super) fn admit(&mut self, flow: Flow, now: Time) -> bool {
        self.renew_siblings(&flow);
        let key = flow_key(flow.sender, flow.shard);
        let at = match self.index.get(key) {
            Some(at) => *at,
            None if self.flows.len() < self.capacity => self.flows.len(),
            None => match self.find_quiet(now) {
                Some(at) => {
                    let old = &self.flows[at];
                    self.index.remove(flow_key(old.sender, old.shard));
                    at
                }
                None => return false,
            },
        };
        let inserted = self.index.insert(key, at).is_ok();
        assert!(inserted, "the index has as much room as the flows");
        if at == self.flows.len() {
            self.flows.push(flow);
        } else {
            self.flows[at] = flow;
        }
        true
    }

    /// Ends the sender's earlier life on its other shards too: from now on they await the new one.
    fn renew_siblings(&mut self, flow: &Flow) {
        for shard in 0..Self::SHARDS_MAX {
            let Some(at) = self.find(flow.sender, shard) else { continue };
            let sibling = self.flow_mut(at);
            if sibling.boot < flow.boot {
                sibling.boot = flow.boot;
                sibling.key = flow.key.clone();
                sibling.window = Window::starting_at(0);
            }
        }
    }

    fn flows_of(&self, sender: PeerId) -> impl Iterator<Item = usize> {
        (0..Self::SHARDS_MAX).filter_map(move |shard| self.find(sender, shard))
    }

    /// Among the next few flows, the quietest client, or else the quietest of all.
    fn find_quiet(&mut self, now: Time) -> Option<usize> {
        let probes = Self::PROBES.min(self.flows.len());
        let best = (0..probes)
            .map(|step| (self.hand + step) % self.flows.len())
            .filter(|at| now.since(self.flows[*at].heard) >= Self::QUIET_NS)
            .min_by_key(|at| {
                let flow = &self.flows[*at];
                (flow.sender.role() != Role::Client, flow.heard)
            });
        self.hand = (self.hand + probes) % self.flows.len();
        best
    }
}

fn flow_key(sender: PeerId, shard: u16) -> u64 {
    u64::from(sender.0) << 16 | u64::from(shard)
}
