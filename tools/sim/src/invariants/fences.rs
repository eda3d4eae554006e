//! Fences: only the dead are fenced, no more of them than the guard lets, none in a storm that fewer
//! than three satellites could agree to, each try on one node and once in a life of it, whoever managed
//! when; and every death is decided about.

use crate::invariants::Watch;
use crate::outbox::SeenEvent;
use crate::rules::{CALM_NS, FENCED_MAX, Hook, POWER};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use syncom_wire::event::Decision;

/// Fewer satellites than these agree to no storm.
const JURY_MIN: usize = 3;

/// Fence scripts that ran.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    /// Who ran each try of each event, in which life.
    tries: BTreeMap<(u64, u32), (String, usize, u32)>,
    nodes: BTreeSet<String>,
}

impl Fences {
    /// Nodes that were fenced, and tries it took.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.nodes.len(), self.tries.len())
    }

    /// A member starts a fence script.
    pub(super) fn on_hook(
        &mut self,
        hook: &Hook,
        (member, life): (usize, u32),
        events: &BTreeMap<u64, SeenEvent>,
    ) -> Option<String> {
        let Hook { event, attempt, node, order } = hook;
        let dead = |seen: &SeenEvent| seen.kind == "deadPeer" && seen.subject == *node;
        if !events.get(event).is_some_and(dead) {
            return Some(format!("{node} was fenced for event {event}, which is not its death"));
        }
        self.nodes.insert(node.clone());
        if self.nodes.len() > FENCED_MAX {
            return Some(format!("{} nodes were fenced, {FENCED_MAX} may be", self.nodes.len()));
        }
        let now = (order.clone(), member, life);
        let before = self.tries.insert((*event, *attempt), now.clone())?;
        let again = before.0 == now.0 && before.1 == now.1 && before.2 != now.2;
        (!again).then(|| format!("try {attempt} for event {event} ran as {before:?} and {now:?}"))
    }
}

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    if !world.scenario.has_policy {
        return;
    }
    let Some(station) = world.members.iter().find_map(|member| member.station()) else { return };
    if world.options.satellites < JURY_MIN {
        let fences = in_storms(&world.watch, station.decisions());
        violations.extend(fences.map(|it| format!("in a storm it was decided: {}", it.action)));
    }
    let decided: BTreeSet<u64> = station.decisions().map(|it| it.head.event).collect();
    let since = world.client.policy_at.unwrap_or(u64::MAX);
    for event in world.watch.events.values().filter(|event| event.kind == "deadPeer") {
        let is_due = event.seq > since && station.event_count(event.seq).is_some();
        if is_due && !decided.contains(&event.seq) {
            violations.push(format!("nothing was decided about the death of {}", event.subject));
        }
    }
}

/// What was newly fenced, or left to the guard, just after the event of a storm, while that lasts: the
/// brake is asked before the guard. No clock jumps in this scenario, so the times of the log are those of
/// the world.
fn in_storms<'a>(
    watch: &Watch,
    decisions: impl Iterator<Item = Decision<'a>>,
) -> impl Iterator<Item = Decision<'a>> {
    let storms: Vec<u64> =
        watch.events.values().filter(|it| it.kind == "storm").map(|it| it.time_ns).collect();
    let is_fence =
        |said: &str| said.starts_with("fence") || said.starts_with("refused, do no harm");
    let fences = decisions.filter(move |it| it.rule == POWER && is_fence(it.action));
    fences.filter(move |it| {
        let at = it.head.time_ns;
        storms.iter().any(|from| (from + 1..from + CALM_NS).contains(&at))
    })
}

/// How many fences no brake held up while a storm lasted.
pub(crate) fn count_in_storms(world: &World) -> usize {
    let station = world.members.iter().find_map(|member| member.station());
    station.map_or(0, |station| in_storms(&world.watch, station.decisions()).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(seq: u64, subject: &str) -> SeenEvent {
        SeenEvent { seq, kind: "deadPeer".into(), subject: subject.into(), ..SeenEvent::default() }
    }

    fn hook(event: u64, attempt: u32, order: &str) -> Hook {
        Hook { event, attempt, node: format!("node{event}"), order: order.into() }
    }

    #[test]
    fn whatever_must_not_happen_is_said() {
        let events = (1..=5).map(|seq| (seq, dead(seq, &format!("node{seq}")))).collect();
        let mut fences = Fences::default();
        let mut says = |hook: &Hook, by| fences.on_hook(hook, by, &events);
        assert_eq!(says(&hook(1, 1, "a"), (7, 1)), None);
        assert_eq!(says(&hook(1, 2, "b"), (8, 1)), None, "another try is another's");
        assert_eq!(says(&hook(1, 2, "b"), (8, 3)), None, "in a new life it may not know");
        assert!(says(&hook(1, 2, "b"), (8, 3)).is_some(), "twice in a life");
        assert!(says(&hook(1, 2, "b"), (9, 1)).is_some(), "on two nodes");
        assert!(says(&hook(1, 1, "c"), (7, 1)).is_some(), "by two orders");
        assert!(says(&hook(9, 1, "d"), (7, 1)).is_some(), "for no death");
        assert_eq!(says(&hook(2, 1, "e"), (7, 1)), None);
        assert_eq!(says(&hook(3, 1, "f"), (7, 1)), None);
        assert!(says(&hook(4, 1, "g"), (7, 1)).is_some(), "beyond the guard");
    }
}
