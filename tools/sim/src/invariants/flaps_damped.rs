//! Flaps are damped: a node that came back from the dead three times in a few minutes is a member
//! without work, and one that did so less often is not.

use crate::scenario::Scenario;
use crate::world::World;
use std::collections::BTreeMap;

/// Returns from which on a node is damped: at once three of them weigh a little less than three.
const RETURNS: usize = 4;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    if world.options.scenario != Scenario::FLAPPING {
        return;
    }
    // How often each was dead and new again, and whether its last return was damped.
    let mut nodes: BTreeMap<&str, (bool, usize, bool)> = BTreeMap::new();
    for event in world.watch.events.values() {
        let (is_dead, returns, is_damped) = nodes.entry(&event.subject).or_default();
        match event.kind.as_str() {
            "deadPeer" => *is_dead = true,
            "newPeer" if core::mem::take(is_dead) => {
                *returns += 1;
                *is_damped = event.detail.contains("no work for now");
                if *is_damped != (*returns >= RETURNS) && *returns != RETURNS - 1 {
                    let damped = if *is_damped { "damped" } else { "given work" };
                    let text = format!("{} is {damped} at return {returns}", event.subject);
                    violations.push(text);
                }
            }
            _ => {}
        }
    }
}
