//! A minority freezes: whoever is cut off with less than half of the cluster evicts nobody of the
//! rest, leaks what it says or not, and is a member again soon after the cut, without a restart.

use crate::fault::Fault;
use crate::scenario::Scenario;
use crate::world::{WALL_NS, World};
use std::collections::BTreeSet;
use syncom_seam::{MS, SECOND, Time};

/// How long after the cut everybody inside is a member again, in ns: homes are asked once a second,
/// and a node joins when both do not know it.
const BACK_NS: u64 = 8 * SECOND;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    if world.options.scenario != Scenario::MINORITY {
        return;
    }
    let faults = || world.scenario.faults.iter();
    let crashed: BTreeSet<usize> = faults()
        .filter_map(|(_, fault)| match fault {
            Fault::Crash { member, .. } => Some(*member),
            _ => None,
        })
        .collect();
    let cut = faults().find_map(|(at, fault)| match fault {
        Fault::Cut { inside, for_ns, .. } => Some((inside, at.after(*for_ns), true)),
        Fault::Split { inside, for_ns } => Some((inside, at.after(*for_ns), false)),
        _ => None,
    });
    let Some((inside, end, is_whole)) = cut else { return };
    let servers = world.options.replicas + world.options.satellites;
    for index in (servers..inside.len()).filter(|index| !crashed.contains(index)) {
        let member = &world.members[index];
        let events = || world.watch.events.values().filter(|event| event.subject == member.name);
        let died = events().filter(|event| event.kind == "deadPeer").map(|event| event.time_ns);
        let Some(died) = died.max() else { continue };
        if !is_whole || !inside[index] {
            let side = if inside[index] { "inside" } else { "outside" };
            let at = Time(died.saturating_sub(WALL_NS));
            let text = format!("{} was evicted at {at}, which was well {side}", member.name);
            violations.push(text);
        }
        if member.life != 1 {
            violations.push(format!("{} was started anew", member.name));
        }
        let back = events().filter(|event| event.kind == "newPeer" && event.time_ns > died);
        match back.map(|event| Time(event.time_ns.saturating_sub(WALL_NS))).max() {
            None => violations.push(format!("{} did not come back", member.name)),
            Some(back) if back > end.after(BACK_NS) => {
                let late_ms = back.since(end) / MS;
                violations.push(format!("{} came back {late_ms} ms after the cut", member.name));
            }
            Some(_) => {}
        }
    }
}
