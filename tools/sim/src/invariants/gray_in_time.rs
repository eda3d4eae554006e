//! Gray in time: a node that most of its observers hear now and then is named gray soon, and is never
//! declared dead; that is for [`super::dead_only_dead`] to say, for which it is well.

use crate::fault::Fault;
use crate::world::{WALL_NS, World};
use std::collections::BTreeMap;
use syncom_seam::{MS, SECOND, Time};

/// How long it may take, in ns: 3 m intervals of silence, and what chance adds, for its observers do
/// hear it now and then. Of 400 nodes 395 are named within 3 s, the last after 4.8.
const NAMED_NS: u64 = 6 * SECOND;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    let mut mumbling: BTreeMap<usize, Time> = BTreeMap::new();
    for (at, fault) in &world.scenario.faults {
        let servers = world.options.replicas + world.options.satellites;
        if let Fault::Mumble { member, .. } = fault
            && *member >= servers
        {
            mumbling.entry(*member).or_insert(*at);
        }
    }
    for (member, since) in mumbling {
        let name = &world.members[member].name;
        let events = || world.watch.events.values().filter(|event| event.subject == *name);
        if events().any(|event| event.kind == "deadPeer") {
            violations.push(format!("{name} was declared dead while some heard it"));
        }
        let named = events().find(|event| event.kind == "gray").map(|event| event.time_ns);
        let took_ns = named.map(|at| at.saturating_sub(WALL_NS + since.0));
        match took_ns {
            None => violations.push(format!("{name} was never named gray")),
            Some(took_ns) if took_ns > NAMED_NS => {
                violations.push(format!("{name} was named gray after {} ms", took_ns / MS));
            }
            Some(_) => {}
        }
    }
}
