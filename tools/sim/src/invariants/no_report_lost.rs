//! No acknowledged report is lost: the event it was acknowledged with exists and is about it, and no
//! replica has gone back behind it. And a report whose agent lived on is acknowledged in the end.

use crate::world::World;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    for member in &world.members {
        let newest = world.client.reports.values().filter_map(|made| made.acknowledged).max();
        if let Some((station, newest)) = member.station().zip(newest)
            && station.events() < newest
        {
            let (name, events) = (&member.name, station.events());
            violations.push(format!("event {newest} was acknowledged, {name} has only {events}"));
        }
    }
    for made in world.client.reports.values() {
        let (agent, life) = made.agent;
        match made.acknowledged {
            Some(seq) => match world.watch.events.get(&seq) {
                Some(event) if event.kind == made.kind => {}
                other => violations.push(format!(
                    "report {} was acknowledged with event {seq}, which is {other:?}",
                    made.kind
                )),
            },
            None if world.members[agent].life == life => violations.push(format!(
                "report {} was never acknowledged although {} lived on",
                made.kind, world.members[agent].name
            )),
            None => {}
        }
    }
}
