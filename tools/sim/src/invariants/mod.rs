//! The promises of the cluster, one per file. Some are watched all along, some are checked at rest,
//! when faults have stopped and the cluster has had time to heal.

mod dead_only_dead;
mod effects_once;
mod no_report_lost;
mod one_order_of_events;
mod one_view;
mod orders_end;

use crate::member::Member;
use crate::outbox::SeenEvent;
use crate::world::World;
use std::collections::BTreeMap;
use syncom_seam::Time;

/// What is watched all along.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Every event that any replica announced, by number.
    pub(crate) events: BTreeMap<u64, SeenEvent>,
    /// How often each order's command was started, by (argument, member, life).
    pub(crate) executions: BTreeMap<(String, usize, u32), u32>,
    /// Broken promises.
    pub(crate) violations: Vec<String>,
}

/// Violations kept of one run: the first ones tell the story.
const VIOLATIONS_MAX: usize = 20;

impl Watch {
    pub(crate) fn on_event(
        &mut self,
        now: Time,
        replica: usize,
        event: &SeenEvent,
        members: &[Member],
    ) {
        if let Some(violation) = one_order_of_events::check(&self.events, replica, event) {
            self.violation(now, &violation);
        }
        if self.events.insert(event.seq, event.clone()).is_none()
            && let Some(violation) = dead_only_dead::check(now, event, members)
        {
            self.violation(now, &violation);
        }
    }

    pub(crate) fn on_spawn(&mut self, member: usize, life: u32, argv: &[String]) {
        if let [program, argument] = argv
            && program == "run"
        {
            *self.executions.entry((argument.clone(), member, life)).or_default() += 1;
        }
    }

    fn violation(&mut self, now: Time, text: &str) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{now}: {text}"));
        }
    }
}

/// Promises that must hold when the cluster has healed; empty when all do.
pub(crate) fn at_rest(world: &World) -> Vec<String> {
    let mut violations = Vec::new();
    one_view::check(world, &mut violations);
    no_report_lost::check(world, &mut violations);
    effects_once::check(world, &mut violations);
    orders_end::check(world, &mut violations);
    violations.truncate(VIOLATIONS_MAX);
    violations
}
