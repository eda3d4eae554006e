//! The promises of the cluster, one per file. Some are watched all along, some are checked at rest,
//! when faults have stopped and the cluster has had time to heal.

mod dead_only_dead;
mod deaths_in_time;
mod decided_once;
mod disks_refused;
mod effects_once;
pub(crate) mod fences;
mod flaps_damped;
mod gray_in_time;
mod minority_freezes;
mod no_report_lost;
pub(crate) mod one_lease;
mod one_manager;
mod one_order_of_events;
mod one_view;
mod orders_end;
mod raft_safety;
mod replicas_replaced;
mod same_state;
mod servers_watched;
mod services_come_back;
mod storms_named;

use crate::child::SERVICE;
use crate::member::Member;
use crate::outbox::SeenEvent;
use crate::rules::Hook;
use crate::scenario::Options;
use crate::world::World;
use std::collections::BTreeMap;
use syncom_seam::{SECOND, Time};

/// A member that crashed.
#[derive(Debug)]
pub(crate) struct Crash {
    pub(crate) at: Time,
    /// How long it had been a member, in ns.
    age_ns: u64,
    /// When its death was announced first, and the view after it.
    pub(crate) announced: Option<(Time, u64)>,
}

/// What is watched all along.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Every event that any replica announced, by number.
    pub(crate) events: BTreeMap<u64, SeenEvent>,
    /// How often each order's command was started, by (argument, member, life).
    pub(crate) executions: BTreeMap<(String, usize, u32), u32>,
    /// How often a managed service was started, by (member, life).
    pub(crate) service_starts: BTreeMap<(usize, u32), u32>,
    /// How often it died of a fault.
    pub(crate) service_deaths: BTreeMap<(usize, u32), u32>,
    /// Fence scripts of rules.
    pub(crate) fences: fences::Fences,
    /// Nodes that crashed when they were known to be members, by name.
    pub(crate) crashed: BTreeMap<String, Crash>,
    /// What the replicas' disks were told.
    pub(crate) raft: raft_safety::RaftSafety,
    /// Who manages.
    pub(crate) managers: one_manager::OneManager,
    /// States of replicas by index.
    pub(crate) states: same_state::SameState,
    /// When the newest event was announced first.
    announced_at: Time,
    /// From when until when the station, which always has something to commit, committed nothing.
    stalls: Vec<(Time, Time)>,
    /// Broken promises.
    pub(crate) violations: Vec<String>,
}

/// Clients make several reports per second, so nothing committed for so long means no majority, in
/// ns.
const STALL_NS: u64 = SECOND;
/// Violations kept of one run: the first ones tell the story.
const VIOLATIONS_MAX: usize = 20;

impl Watch {
    pub(crate) fn on_event(
        &mut self,
        now: Time,
        replica: usize,
        event: &SeenEvent,
        members: &[Member],
        (options, just_for_ns): (&Options, u64),
    ) {
        if let Some(violation) =
            one_order_of_events::check(&self.events, &members[replica].name, event)
        {
            self.violation(now, &violation);
        }
        if self.events.insert(event.seq, event.clone()).is_some() {
            return;
        }
        if now.since(self.announced_at) > STALL_NS {
            self.stalls.push((self.announced_at, now));
        }
        self.announced_at = now;
        if let Some(crash) = self.crashed.get_mut(&event.subject)
            && event.kind == "deadPeer"
        {
            crash.announced.get_or_insert((now, event.view));
        }
        if let Some(violation) = servers_watched::check(self, now, event, members) {
            self.violation(now, &violation);
        }
        let subject = World::node_named(options, &event.subject).and_then(|at| members.get(at));
        if let Some(violation) =
            dead_only_dead::check(self, now, (replica, event), subject, members, just_for_ns)
        {
            self.violation(now, &violation);
        }
    }

    pub(crate) fn on_crash(&mut self, now: Time, name: &str, age_ns: u64) {
        self.crashed.insert(name.to_owned(), Crash { at: now, age_ns, announced: None });
    }

    /// How much of the time since `at` the station could commit, in ns.
    fn able_ns(&self, at: Time, now: Time) -> u64 {
        let stalled = |(from, to): &(Time, Time)| to.since((*from).max(at));
        now.since(at).saturating_sub(self.stalls.iter().map(stalled).sum())
    }

    pub(crate) fn on_spawn(&mut self, now: Time, member: usize, life: u32, argv: &[String]) {
        if let Some(hook) = Hook::of(argv)
            && let Some(violation) = self.fences.on_hook(&hook, (member, life), &self.events)
        {
            self.violation(now, &violation);
        }
        let [program, argument] = argv else { return };
        if program == "run" {
            *self.executions.entry((argument.clone(), member, life)).or_default() += 1;
        } else if program == SERVICE {
            *self.service_starts.entry((member, life)).or_default() += 1;
        }
    }

    pub(crate) fn on_service_death(&mut self, member: usize, life: u32) {
        *self.service_deaths.entry((member, life)).or_default() += 1;
    }

    /// Takes note of a promise that may have been broken.
    pub(crate) fn note(&mut self, now: Time, violation: Option<String>) {
        if let Some(text) = violation {
            self.violation(now, &text);
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
    deaths_in_time::check(world, &mut violations);
    gray_in_time::check(world, &mut violations);
    servers_watched::at_rest(world, &mut violations);
    minority_freezes::check(world, &mut violations);
    storms_named::check(world, &mut violations);
    flaps_damped::check(world, &mut violations);
    no_report_lost::check(world, &mut violations);
    effects_once::check(world, &mut violations);
    orders_end::check(world, &mut violations);
    decided_once::check(world, &mut violations);
    services_come_back::check(world, &mut violations);
    fences::check(world, &mut violations);
    replicas_replaced::check(world, &mut violations);
    disks_refused::check(world, &mut violations);
    violations.truncate(VIOLATIONS_MAX);
    violations
}
