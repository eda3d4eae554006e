//! Decided once: whoever managed when, an event made no more orders than it happened times, no order
//! was decided about twice, and no manager decided after it was replaced.

use crate::rules::POWER;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use syncom_wire::Term;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    let Some(station) = world.members.iter().find_map(|member| member.station()) else { return };
    let mut orders = BTreeSet::new();
    let mut of_event: BTreeMap<u64, u32> = BTreeMap::new();
    let mut newest = Term(0);
    for decision in station.decisions() {
        let head = &decision.head;
        if head.term < newest {
            let (seq, term) = (head.seq, head.term);
            violations.push(format!("decision {seq} is of term {term}, after term {newest}"));
        }
        newest = head.term;
        if head.order.0 == 0 || decision.action.starts_with("done") {
            continue;
        }
        if !orders.insert(head.order) {
            violations.push(format!("order {:x} was decided twice", head.order.0));
        }
        // That rule has two steps and tries them again.
        if decision.rule != POWER {
            *of_event.entry(head.event).or_default() += 1;
        }
    }
    for (event, orders) in of_event {
        if let Some(count) = station.event_count(event)
            && orders > count
        {
            violations
                .push(format!("event {event} happened {count} times and made {orders} orders"));
        }
    }
}
