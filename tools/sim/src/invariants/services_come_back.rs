//! Services come back: the death of a managed service becomes an event, and the service runs again.
//! Agents never restart what died by itself, so it was an order of the recovery manager that did.

use crate::make::SERVICE_NAME;
use crate::world::World;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    for ((index, life), deaths) in &world.watch.service_deaths {
        let member = &world.members[*index];
        if member.life != *life {
            // Its agent died, too: the next life starts all services itself.
            continue;
        }
        let subject = format!("{}/{SERVICE_NAME}", member.name);
        let is_event =
            |event: &&crate::outbox::SeenEvent| event.kind == "service" && event.subject == subject;
        if world.watch.events.values().find(is_event).is_none() {
            violations.push(format!("{subject} died and there is no event about it"));
        }
        let starts = world.watch.service_starts.get(&(*index, *life)).copied().unwrap_or(0);
        if member.children.service().is_none() {
            violations.push(format!("{subject} died {deaths} times and does not run"));
        } else if starts != deaths + 1 {
            violations
                .push(format!("{subject} died {deaths} times and was started {starts} times"));
        }
    }
}
