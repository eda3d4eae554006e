//! Each effect once: a report makes at most one event, an order runs at most once in each life of
//! a node.

use crate::world::World;
use std::collections::BTreeMap;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for event in world.watch.events.values().filter(|event| event.kind.starts_with("sim-")) {
        if let Some(first) = kinds.insert(&event.kind, event.seq) {
            violations
                .push(format!("report {} made two events, {first} and {}", event.kind, event.seq));
        }
    }
    for ((argument, member, _), times) in &world.watch.executions {
        if *times > 1 {
            let name = &world.members[*member].name;
            violations.push(format!("{name} executed {argument} {times} times in one life"));
        }
    }
}
