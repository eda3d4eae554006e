//! Replicas replaced: whatever was struck meanwhile, each replacement that an operator ordered ends,
//! and exactly those vote who should: everybody but the old ones, and the new ones.

use crate::world::World;
use std::collections::BTreeSet;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    let mut voters: BTreeSet<u64> = (1..=world.options.replicas as u64).collect();
    for replacing in world.client.replacements.values() {
        let (old, new) = (replacing.order.old, replacing.order.new);
        if !replacing.is_done {
            violations.push(format!("station{old} was never replaced by station{new}"));
            return;
        }
        voters.remove(&u64::from(old));
        voters.insert(u64::from(new));
    }
    for member in &world.members {
        let Some(station) = member.station() else { continue };
        if !voters.iter().eq(station.voters()) {
            let found = station.voters();
            violations.push(format!("{}: {found:?} vote, not {voters:?}", member.name));
        }
    }
}
