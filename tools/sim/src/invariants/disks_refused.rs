//! Disks refused: a replica that comes back on an empty disk takes no part any more, and says so by
//! name. One with an old copy of its own is found out only by a leader that has not changed since;
//! that it does no harm either way is for the other promises to show.

use crate::disk::Exchange;
use crate::member::Member;
use crate::world::World;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    let emptied = |member: &&Member| {
        let exchanged = member.disk.as_ref().and_then(|disk| disk.exchanged);
        exchanged == Some(Exchange::Empty) && !member.retired
    };
    for member in world.members.iter().filter(emptied) {
        if member.refused.is_none() || member.is_up() {
            violations.push(format!("{} lost its disk and goes on", member.name));
        }
    }
}
