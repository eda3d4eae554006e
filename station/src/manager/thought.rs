//! Thinking one step: which rules fire for which events, and how those under way go on.
//!
//! ```text
//!            fires            order out            all did it
//!   event ───────────▶ step ───────────▶ Running ─────────────▶ next step, or through
//!                       │ ▲                │ some did not
//!                 storm │ │ over           ▼
//!                       ▼ │  due         Waiting, while there are retries; else given up
//!                      Held  ◀─────────────┘
//! ```
//!
//! Everything is computed from the machine as it stands; the log takes the step only when nothing
//! was decided meanwhile, so limits and guards hold exactly.

use super::action::Taken;
use crate::machine::Machine;
use crate::machine::command::{NewDecision, NewOrder, Step as Entry};
use crate::machine::events::Event;
use crate::machine::outcome::clip;
use crate::machine::recovery::{CASES_MAX, Case, Firing, Phase};
use std::collections::BTreeSet;
use syncom_group::Entry as Member;
use syncom_seam::MS;
use syncom_wire::policy::{Action, Rule, Step};
use syncom_wire::selector::Facts;
use syncom_wire::{OrderId, Slot, Term};

/// Decisions of one step; a rule with several steps may add a few.
const DECISIONS_MAX: usize = 128;
/// Bytes of orders in one step, above which further events wait for the next one.
const BYTES_MAX: usize = 64 * 1024;

/// A step of the manager while it is thought.
#[derive(Debug)]
pub(super) struct Thought<'a> {
    pub(super) machine: &'a Machine,
    /// Time of the log, in ns.
    pub(super) now_ns: u64,
    pub(super) step: Entry,
    bytes: usize,
}

/// Where in a rule something happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) event: &'a Event,
    pub(super) rule: Rule<'a>,
    pub(super) step: Step<'a>,
    pub(super) index: u8,
    pub(super) attempt: u8,
}

/// One step about everything that is due.
pub(super) fn think(machine: &Machine, term: Term, wall_ns: u64) -> Entry {
    let mut thought = Thought::new(machine, term, wall_ns);
    thought.pursue();
    thought.begin();
    thought.step
}

impl<'a> Thought<'a> {
    fn new(machine: &'a Machine, term: Term, wall_ns: u64) -> Self {
        let now_ns = machine.clock.at(wall_ns);
        let step = Entry {
            term,
            after: machine.decisions.last(),
            policy: machine.rules.head().version,
            is_braked: machine.is_braked(now_ns),
            ..Entry::default()
        };
        Self { machine, now_ns, step, bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.step.decisions.len() >= DECISIONS_MAX
            || self.step.changes.cases.len() >= CASES_MAX / 2
            || self.bytes >= BYTES_MAX
    }

    /// Lets rules fire for events that nobody has dealt with.
    fn begin(&mut self) {
        for event in self.machine.events.unsettled() {
            if self.is_full() || !self.machine.recovery.has_room(self.step.settle.len()) {
                return;
            }
            let facts = self.facts_of(event);
            let fits = |rule: &Rule<'_>| {
                (rule.kind == "*" || rule.kind == event.kind)
                    && event.head.severity >= rule.head.severity
                    && rule.subject.holds(&facts)
            };
            // The last of the rules that are always there takes everything.
            let Some(rule) = self.machine.rules.all().find(fits) else { continue };
            self.fire(event, rule);
        }
    }

    fn fire(&mut self, event: &'a Event, rule: Rule<'a>) {
        let head = &rule.head;
        let window_ns = u64::from(head.subject_window_ms) * MS;
        let subject = Some(event.subject.as_str());
        let (times, last_ns) = self.fired(rule.name, subject, window_ns);
        let doubled = 1 << times.saturating_sub(1).min(16);
        let pause_ns = (u64::from(head.pause_ms) * MS).saturating_mul(doubled);
        let settle = (event.head.seq, event.head.count);
        if head.subject_limit > 0 && times >= head.subject_limit {
            let window = head.subject_window_ms / 1_000;
            self.step.settle.push(settle);
            let text = format!("gave up: {times} times within {window} s did not help");
            return self.decide(event, &rule, OrderId(0), text);
        }
        if times > 0 && self.now_ns.saturating_sub(last_ns) < pause_ns {
            return;
        }
        let rule_window_ns = u64::from(head.rule_window_ms) * MS;
        let (times, _) = self.fired(rule.name, None, rule_window_ns);
        self.step.settle.push(settle);
        if head.rule_limit > 0 && times >= head.rule_limit {
            let window = head.rule_window_ms / 1_000;
            let text = format!("refused: it fired {times} times within {window} s, its limit");
            return self.decide(event, &rule, OrderId(0), text);
        }
        let keep_ns = window_ns.max(rule_window_ns);
        if keep_ns > 0 {
            let (rule, subject) = (rule.name.to_owned(), event.subject.clone());
            self.step.changes.firings.push(Firing { keep_ns, rule, subject });
        }
        self.run(event, rule, 0, 0, &[]);
    }

    /// How often a rule fired lately, in this step or before, and when last.
    fn fired(&self, rule: &str, subject: Option<&str>, window_ns: u64) -> (u32, u64) {
        let now = self.step.changes.firings.iter().filter(|firing| {
            firing.rule == rule && subject.is_none_or(|subject| firing.subject == subject)
        });
        let before = self.machine.recovery.fired(rule, subject, window_ns, self.now_ns);
        let all = now.map(|_| self.now_ns).chain(before);
        all.fold((0, 0), |(times, last), at| (times + 1, last.max(at)))
    }

    /// Takes the steps of a rule from one on, until one needs time or does not succeed.
    pub(super) fn run(
        &mut self,
        event: &'a Event,
        rule: Rule<'a>,
        from: u8,
        attempt: u8,
        failed: &[(OrderId, String)],
    ) {
        for (index, step) in (0_u8..).zip(rule.steps()).skip(usize::from(from)) {
            let (attempt, failed) = if index == from { (attempt, failed) } else { (0, &[][..]) };
            let spot = Spot { event, rule, step, index, attempt };
            match self.take(&spot, failed) {
                Taken::Done(text) => self.decide(event, &rule, OrderId(0), text),
                Taken::Ordered(orders, text) => {
                    let id = orders.first().map_or(OrderId(0), |(order, _)| order.id);
                    self.decide(event, &rule, id, text);
                    return self.await_orders(&spot, orders);
                }
                Taken::Held(text) => return self.hold(&spot, text),
                Taken::Failed(text) => return self.fail(&spot, &text, failed.to_vec()),
                Taken::Refused(text) => {
                    self.decide(event, &rule, OrderId(0), text);
                    break;
                }
            }
        }
        self.close(event);
    }

    fn await_orders(&mut self, spot: &Spot<'a>, orders: Vec<(NewOrder, String)>) {
        let mut out = Vec::new();
        for (order, service) in orders {
            self.bytes += order.to.len() + order.payload.len() + 256;
            out.push((order.id, service));
            self.step.orders.push(order);
        }
        let is_last = spot.index + 1 == spot.rule.head.steps;
        let is_watched = matches!(spot.step.action(), Action::Fence | Action::Move);
        if is_last && spot.step.head.retries == 0 && !is_watched {
            return self.close(spot.event);
        }
        self.keep(spot, Phase::Running, 0, out);
    }

    fn hold(&mut self, spot: &Spot<'a>, text: String) {
        let case = self.machine.recovery.cases.get(&spot.event.head.seq);
        if case.is_none_or(|case| case.phase != Phase::Held) {
            self.decide(spot.event, &spot.rule, OrderId(0), text);
            self.keep(spot, Phase::Held, 0, Vec::new());
        }
    }

    /// A step did not succeed: once more after a pause, or never.
    pub(super) fn fail(&mut self, spot: &Spot<'a>, why: &str, failed: Vec<(OrderId, String)>) {
        let (retries, attempt) = (spot.step.head.retries, spot.attempt);
        if attempt >= retries {
            let text = format!("gave up after {} tries: {why}", u16::from(attempt) + 1);
            self.decide(spot.event, &spot.rule, OrderId(0), text);
            return self.close(spot.event);
        }
        let pause_ms = u64::from(spot.step.head.backoff_ms) << attempt.min(16);
        let text = format!(
            "failed: {why}; try {} of {} in {pause_ms} ms",
            u16::from(attempt) + 2,
            u16::from(retries) + 1
        );
        self.decide(spot.event, &spot.rule, OrderId(0), text);
        let due_ns = self.now_ns.saturating_add(pause_ms.saturating_mul(MS));
        let next = Spot { attempt: attempt + 1, ..*spot };
        self.keep(&next, Phase::Waiting, due_ns, failed);
    }

    fn keep(&mut self, spot: &Spot<'a>, phase: Phase, due_ns: u64, orders: Vec<(OrderId, String)>) {
        let case = Case {
            count: spot.event.head.count,
            rule: spot.rule.name.to_owned(),
            step: spot.index,
            attempt: spot.attempt,
            phase,
            due_ns,
            orders,
        };
        self.step.changes.cases.push((spot.event.head.seq, Some(case)));
    }

    /// The rule is through with the event.
    pub(super) fn close(&mut self, event: &Event) {
        if self.machine.recovery.cases.contains_key(&event.head.seq) {
            self.step.changes.cases.push((event.head.seq, None));
        }
    }

    pub(super) fn decide(&mut self, event: &Event, rule: &Rule<'_>, order: OrderId, text: String) {
        let (rule, action) = (rule.name.to_owned(), clip(text));
        self.step.decisions.push(NewDecision { event: event.head.seq, order, rule, action });
    }

    /// The node that an event is about: itself, or the one in front of `node/service`.
    pub(super) fn node_of(&self, event: &Event) -> Option<&'a Member> {
        let members = self.machine.membership.members();
        match event.head.subject.slot() {
            Some(slot) => members.agent(slot),
            None => {
                let name = event.subject.split_once('/').map_or(&*event.subject, |(node, _)| node);
                members.named(name).filter(|entry| entry.head.peer.slot().is_some())
            }
        }
    }

    fn facts_of(&self, event: &'a Event) -> Facts<'a> {
        let node = self.node_of(event);
        Facts { name: &event.subject, ..self.facts(node, None) }
    }

    /// What a selector is asked about a node.
    pub(super) fn facts(&self, node: Option<&'a Member>, subject: Option<Slot>) -> Facts<'a> {
        let Some(node) = node else { return Facts::default() };
        Facts {
            name: &node.name,
            domain: &node.domain,
            state: Some(node.state()),
            drained: self.is_drained(node.slot()),
            is_subject: subject == Some(node.slot()),
        }
    }

    pub(super) fn is_drained(&self, slot: Slot) -> bool {
        let now = self.step.changes.drains.iter().any(|(other, _)| *other == slot);
        now || self.machine.recovery.is_drained(slot)
    }

    /// Whether a node keeps dying and coming back.
    pub(super) fn is_damped(&self, slot: Slot) -> bool {
        self.machine.recovery.flaps.is_damped(slot, self.now_ns)
    }

    /// Whether a node may be given something new to run.
    pub(super) fn gets_work(&self, slot: Slot) -> bool {
        !self.is_drained(slot) && !self.is_damped(slot)
    }

    /// Nodes that rules fence or drain in this step or did within the window of the guard.
    pub(super) fn harmed(&self) -> BTreeSet<Slot> {
        let window_ns = u64::from(self.machine.rules.head().guard_window_ms) * MS;
        let mut harmed = self.machine.recovery.harmed(window_ns, self.now_ns);
        harmed.extend(&self.step.changes.harms);
        harmed
    }
}
