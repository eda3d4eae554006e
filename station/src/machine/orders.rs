//! Orders: what was asked of which nodes, and how it ended.
//!
//! The log holds an order when it is given and when it has ended; what happens in between is the
//! leader's business, and a new leader simply starts open orders again.

use crate::machine::command::{Finish, NewOrder, list};
use crate::machine::encoder::Encoder;
use std::collections::{BTreeMap, VecDeque};
use syncom_seam::limits::{ORDERS_MAX, OUTCOMES_KEPT_MAX};
use syncom_wire::control::OrderState;
use syncom_wire::idset::IdSet;
use syncom_wire::limits::MESSAGE_MAX;
use syncom_wire::order::Receipt;
use syncom_wire::{Frame, Frames, Malformed, OrderId, Reader, Term};

/// The bits of an order's number that are zero: a cursor uses them to count its outcomes, so that
/// one number says which order and from which outcome on.
const PAGE_BITS: u64 = 0xFFFF;

/// The number of an order, from a hash of what caused it.
pub(crate) const fn order_number(hash: u64) -> OrderId {
    OrderId(hash & !PAGE_BITS)
}

/// Which order a cursor means, and from which outcome on.
pub(crate) const fn split_cursor(cursor: u64) -> (OrderId, u64) {
    (OrderId(cursor & !PAGE_BITS), cursor & PAGE_BITS)
}

/// An order and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderEntry {
    pub(crate) order: NewOrder,
    /// Term of the leader under which it was given.
    pub(crate) term: Term,
    pub(crate) state: OrderState,
    /// Outcome frames, once it has ended.
    pub(crate) outcomes: Vec<u8>,
}

impl OrderEntry {
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state.state, OrderState::WAITING | OrderState::UNDER_WAY)
    }
}

/// All orders that are held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    by_id: BTreeMap<OrderId, OrderEntry>,
    /// In the order in which they were given.
    sequence: VecDeque<OrderId>,
    outcome_bytes: usize,
}

impl Orders {
    pub(crate) fn get(&self, id: OrderId) -> Option<&OrderEntry> {
        self.by_id.get(&id)
    }

    /// Orders that have not ended, by number.
    pub(crate) fn open(&self) -> impl Iterator<Item = &OrderEntry> {
        self.by_id.values().filter(|entry| entry.is_open())
    }

    /// Takes an order; false when it is known already or there is no room.
    pub(crate) fn submit(&mut self, order: NewOrder, term: Term, now_ns: u64) -> bool {
        if self.by_id.contains_key(&order.id) || !self.make_room() {
            return false;
        }
        let destinations = IdSet::parse(&order.to).map_or(0, IdSet::len);
        let destinations = u32::try_from(destinations).unwrap_or(u32::MAX);
        let state = OrderState {
            id: order.id,
            destinations,
            done: 0,
            failed: 0,
            missing: destinations,
            state: OrderState::WAITING,
            reserved: [0; 7],
            since_ns: now_ns,
            first_us: 0,
            last_us: 0,
        };
        self.sequence.push_back(order.id);
        let entry = OrderEntry { order, term, state, outcomes: Vec::new() };
        self.by_id.insert(entry.order.id, entry);
        true
    }

    /// Ends an open order; false when it is not open.
    pub(crate) fn finish(&mut self, finish: Finish) -> bool {
        let Some(entry) = self.by_id.get_mut(&finish.id).filter(|entry| entry.is_open()) else {
            return false;
        };
        let (done, failed) = tally(&finish.outcomes);
        let state = &mut entry.state;
        (state.done, state.failed) = (done, failed);
        state.missing = state.destinations.saturating_sub(done.saturating_add(failed));
        state.state = finish.state.clamp(OrderState::COMPLETE, OrderState::CANCELLED);
        (state.first_us, state.last_us) = (finish.first_us, finish.last_us);
        self.outcome_bytes += finish.outcomes.len();
        entry.outcomes = finish.outcomes;
        while self.outcome_bytes > OUTCOMES_KEPT_MAX && self.drop_oldest_finished() {}
        true
    }

    fn make_room(&mut self) -> bool {
        self.by_id.len() < ORDERS_MAX || self.drop_oldest_finished()
    }

    fn drop_oldest_finished(&mut self) -> bool {
        let finished = |id: &OrderId| self.by_id.get(id).is_none_or(|entry| !entry.is_open());
        let Some(at) = self.sequence.iter().position(finished) else { return false };
        if let Some(entry) = self.sequence.remove(at).and_then(|id| self.by_id.remove(&id)) {
            self.outcome_bytes -= entry.outcomes.len();
        }
        true
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.sequence.len());
        for entry in self.sequence.iter().filter_map(|id| self.by_id.get(id)) {
            entry.order.encode(out);
            out.field(entry.term);
            out.fixed(&entry.state);
            out.long(&entry.outcomes);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut orders = Self::default();
        let entries = list(reader, ORDERS_MAX, |r| {
            Ok(OrderEntry {
                order: NewOrder::parse(r)?,
                term: r.field()?,
                state: r.fixed()?,
                outcomes: r.long(MESSAGE_MAX)?.into(),
            })
        })?;
        for entry in entries {
            orders.outcome_bytes += entry.outcomes.len();
            orders.sequence.push_back(entry.order.id);
            orders.by_id.insert(entry.order.id, entry);
        }
        Ok(orders)
    }
}

/// Nodes that did it and nodes that did not, according to outcomes.
pub(crate) fn tally(outcomes: &[u8]) -> (u32, u32) {
    let (mut done, mut failed) = (0_u32, 0_u32);
    for frame in Frames::new(outcomes) {
        let Ok(Frame::Outcome(outcome)) = frame else { continue };
        let nodes = u32::try_from(outcome.nodes.len()).unwrap_or(u32::MAX);
        if outcome.code == Receipt::NO_ANSWER {
            continue;
        }
        if outcome.code < 0 {
            failed = failed.saturating_add(nodes);
        } else {
            done = done.saturating_add(nodes);
        }
    }
    (done, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: u64) -> NewOrder {
        NewOrder {
            id: OrderId(id),
            verb: 1,
            policy: 0,
            need: 0,
            deadline_ms: 1000,
            event: 0,
            to: vec![0, 0, 1],
            payload: b"true\0".to_vec(),
        }
    }

    fn finish(id: u64) -> Finish {
        let state = OrderState::COMPLETE;
        Finish { id: OrderId(id), state, first_us: 1, last_us: 2, outcomes: Vec::new() }
    }

    #[test]
    fn the_same_order_twice_is_one() {
        let mut orders = Orders::default();
        assert!(orders.submit(order(1), Term(1), 5));
        assert!(!orders.submit(order(1), Term(2), 6));
        assert_eq!(orders.get(OrderId(1)).unwrap().state.destinations, 2);
        assert!(orders.finish(finish(1)) && !orders.finish(finish(1)));
    }

    #[test]
    fn finished_orders_make_room_and_open_ones_do_not() {
        let mut orders = Orders::default();
        for id in 0..ORDERS_MAX as u64 {
            assert!(orders.submit(order(id), Term(1), 0));
        }
        assert!(!orders.submit(order(9_999), Term(1), 0), "all are open");
        assert!(orders.finish(finish(7)));
        assert!(orders.submit(order(9_999), Term(1), 0));
        assert!(orders.get(OrderId(7)).is_none());
    }
}
