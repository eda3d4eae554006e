//! Orders complete or name the laggards: every order that was taken ends, and its numbers add up.

use crate::world::World;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    for order in world.client.orders.values() {
        match (order.id, order.complete) {
            (_, Some((done, failed, missing))) => {
                let total = (done + failed + missing) as usize;
                if total != order.slots.len() {
                    violations.push(format!(
                        "{} went to {} nodes but accounts for {total}",
                        order.argument,
                        order.slots.len()
                    ));
                }
            }
            (Some(id), None) => {
                violations.push(format!("{} (order {id:x}) never ended", order.argument));
            }
            (None, None) => {
                violations.push(format!("{} was never taken by a leader", order.argument));
            }
        }
    }
}
