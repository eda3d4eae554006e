//! Storms are named: more deaths within ten seconds than two failure domains have nodes, or a twentieth
//! of all, are one event, and fewer are none.

use crate::scenario::Scenario;
use crate::world::World;
use std::collections::BTreeMap;
use syncom_seam::SECOND;

/// Deaths are counted within this time, in ns.
const WINDOW_NS: u64 = 10 * SECOND;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    if world.options.scenario != Scenario::STORM {
        return;
    }
    let times = |kind: &str| {
        let of_kind = world.watch.events.values().filter(|event| event.kind == kind);
        of_kind.map(|event| event.time_ns).collect::<Vec<u64>>()
    };
    let (deaths, storms) = (times("deadPeer"), times("storm"));
    let nodes = world.options.nodes;
    let first = world.options.replicas + world.options.satellites;
    let mut domains: BTreeMap<usize, usize> = BTreeMap::new();
    for index in first..first + nodes {
        *domains.entry(index % 10).or_default() += 1;
    }
    let mut sizes: Vec<usize> = domains.into_values().collect();
    sizes.sort_unstable();
    let bearable = sizes.iter().rev().take(2).sum::<usize>().max(nodes / 20).max(2);
    let within = |at: &u64| deaths.iter().filter(|one| *one <= at && at - *one < WINDOW_NS).count();
    let most = deaths.iter().map(within).max().unwrap_or(0);
    let wanted = usize::from(most > bearable);
    if storms.len() != wanted {
        let named = storms.len();
        violations
            .push(format!("{most} deaths at once, {bearable} bearable, {named} storms named"));
    }
}
