//! What a replica can be asked without a message: where it stands and what it has applied.

use crate::config::Held;
use crate::raft::pull::Pull;
use crate::station::Station;
use syncom_seam::Time;
use syncom_wire::control::OrderState;
use syncom_wire::event::Decision;
use syncom_wire::{OrderId, PeerId, Term};

impl Station {
    /// Whether this replica leads; one that has stopped does not.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.stopped && self.node.is_leader()
    }

    /// Raft's current term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.node.term()
    }

    /// Index of the last applied entry.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.machine.applied
    }

    /// A number that two replicas share exactly when they hold the same state; costs as much as a
    /// snapshot, so it is for tests and checkpoints.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.machine.state_hash()
    }

    /// What this replica holds in memory beside its state; counted anew at each call.
    #[must_use]
    pub fn held(&self) -> Held {
        let held = self.node.held();
        let pulled = self.pull.as_ref().map_or(0, Pull::held_bytes);
        Held { snapshot_bytes: held.snapshot_bytes + pulled, ..held }
    }

    /// Number of the newest committed event.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.machine.events.last()
    }

    /// How far an order is, as far as this replica knows: of one under way, only the leader does.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderState> {
        let entry = self.machine.orders.get(id)?;
        Some(if entry.is_open() { self.order_state(id, entry.state) } else { entry.state })
    }

    /// The outcomes of an order that has ended, as frames; nothing of any other.
    #[must_use]
    pub fn outcomes(&self, id: OrderId) -> &[u8] {
        self.machine.orders.get(id).map_or(&[], |entry| &entry.outcomes)
    }

    /// What the recovery manager decided, oldest first, as far as it is kept.
    pub fn decisions(&self) -> impl Iterator<Item = Decision<'_>> {
        self.machine.decisions.since(0).map(|entry| entry.as_frame())
    }

    /// How often an event happened; `None` when it is not kept any more.
    #[must_use]
    pub fn event_count(&self, seq: u64) -> Option<u32> {
        self.machine.events.get(seq).map(|event| event.head.count)
    }

    /// Deaths that were taken back, since the cluster began.
    #[must_use]
    pub const fn false_deaths(&self) -> u64 {
        self.machine.membership.false_deaths()
    }

    /// The recovery manager of the newest claim that this replica has applied, and its term.
    #[must_use]
    pub const fn manager(&self) -> (Term, PeerId) {
        self.machine.manager
    }

    /// The term in which this replica's own recovery manager may act, if it may.
    #[must_use]
    pub fn managing(&self) -> Option<Term> {
        self.manager.acts_in().filter(|term| self.leading == Some(*term))
    }

    /// The member list as this replica has applied it.
    #[must_use]
    pub const fn members(&self) -> &syncom_group::Members {
        self.machine.membership.members()
    }

    /// Whether the recovery manager runs here and nobody else's can: it may do what no receiver can
    /// check.
    #[must_use]
    pub fn holds_lease(&self, now: Time) -> bool {
        self.is_settled() && self.lease.holds(now)
    }

    /// Whether this leader knows everything that was ever acknowledged, and its recovery manager
    /// has begun.
    pub(crate) fn is_settled(&self) -> bool {
        !self.stopped && self.node.is_settled() && self.leading.is_some()
    }
}
