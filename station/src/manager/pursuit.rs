//! Rules under way: what became of their orders, and what follows.

use super::thought::{Spot, Thought};
use crate::machine::events::Event;
use crate::machine::outcome::succeeded;
use crate::machine::recovery::{Case, Phase};
use syncom_group::SlotSet;
use syncom_wire::idset::IdSet;
use syncom_wire::order::Receipt;
use syncom_wire::policy::Rule;
use syncom_wire::{Frame, Frames, OrderId};

impl<'a> Thought<'a> {
    /// Goes on with every rule that has something to go on with.
    pub(super) fn pursue(&mut self) {
        for (seq, case) in &self.machine.recovery.cases {
            if self.is_full() {
                return;
            }
            let Some(event) = self.machine.events.get(*seq) else {
                self.step.changes.cases.push((*seq, None));
                continue;
            };
            if event.head.settled == 0 && event.head.count != case.count {
                // It happened again meanwhile: the rule fires anew, and this is forgotten.
                self.close(event);
                continue;
            }
            if !self.is_due(case) {
                continue;
            }
            let spot =
                self.machine.rules.all().find(|rule| rule.name == case.rule).and_then(|rule| {
                    let step = rule.steps().nth(usize::from(case.step))?;
                    Some(Spot { event, rule, step, index: case.step, attempt: case.attempt })
                });
            match spot {
                Some(spot) => self.go_on(&spot, case),
                None => self.give_up_unknown(event, case),
            }
        }
    }

    /// Whether there is anything to go on with: asked often, and cheap.
    fn is_due(&self, case: &Case) -> bool {
        let orders = &self.machine.orders;
        let is_open = |id: OrderId| orders.get(id).is_some_and(|entry| entry.is_open());
        match case.phase {
            Phase::Running => !case.orders.iter().any(|(id, _)| is_open(*id)),
            Phase::Waiting => self.now_ns >= case.due_ns,
            Phase::Held => !self.step.is_braked,
        }
    }

    fn go_on(&mut self, spot: &Spot<'a>, case: &Case) {
        let failed: &[(OrderId, String)] = match case.phase {
            Phase::Running => return self.look_at_orders(spot, case),
            Phase::Waiting => &case.orders,
            Phase::Held => &[],
        };
        self.run(spot.event, spot.rule, spot.index, spot.attempt, failed);
    }

    fn look_at_orders(&mut self, spot: &Spot<'a>, case: &Case) {
        let mut failed = Vec::new();
        let mut reasons = Vec::new();
        for (id, service) in &case.orders {
            if let Some(why) = self.failure(*id) {
                reasons.push(if service.is_empty() { why } else { format!("{service}: {why}") });
                failed.push((*id, service.clone()));
            }
        }
        if !failed.is_empty() {
            return self.fail(spot, &reasons.join("; "), failed);
        }
        let id = case.orders.first().map_or(OrderId(0), |(id, _)| *id);
        self.decide(spot.event, &spot.rule, id, format!("done: {}", spot.step.action().name()));
        self.run(spot.event, spot.rule, spot.index + 1, 0, &[]);
    }

    /// Why an order that has ended did not succeed; `None` when it did.
    fn failure(&self, id: OrderId) -> Option<String> {
        let Some(entry) = self.machine.orders.get(id) else {
            return Some("what became of the order is unknown".into());
        };
        let wanted = IdSet::parse(&entry.order.to).map_or(0, IdSet::len);
        if wanted > 0 && succeeded(&entry.outcomes).count() == wanted {
            return None;
        }
        let words = Frames::new(&entry.outcomes).filter_map(|frame| match frame {
            Ok(Frame::Outcome(outcome)) if outcome.code != 0 => {
                let first = outcome.nodes.iter().next()?;
                let name = self.machine.membership.members().agent(first)?.name.to_string();
                let more = outcome.nodes.len() - 1;
                let others = if more > 0 { format!(" and {more} more") } else { String::new() };
                Some(format!("{} on {name}{others}", reason(outcome.code)))
            }
            _ => None,
        });
        let words: Vec<String> = words.take(3).collect();
        Some(if words.is_empty() { "no answer in time".into() } else { words.join(", ") })
    }

    fn give_up_unknown(&mut self, event: &Event, case: &Case) {
        let Some(rule) = self.machine.rules.all().last() else { return };
        let text =
            format!("gave up: the policy has no rule {} with such a step any more", case.rule);
        self.decide(event, &Rule { name: &case.rule, ..rule }, OrderId(0), text);
        self.close(event);
    }

    /// Destinations of orders that did not do what was asked.
    pub(super) fn not_done(&self, orders: &[(OrderId, String)]) -> Option<SlotSet> {
        let mut slots = SlotSet::new();
        for (id, _) in orders {
            let entry = self.machine.orders.get(*id)?;
            slots.insert_all(IdSet::parse(&entry.order.to).ok()?);
            for slot in succeeded(&entry.outcomes) {
                slots.remove(slot);
            }
        }
        (!slots.is_empty()).then_some(slots)
    }
}

/// What an exit code or a refusal says.
fn reason(code: i32) -> String {
    match code {
        Receipt::STALE_TERM => "stale term".into(),
        Receipt::BUSY => "busy".into(),
        Receipt::BAD_PAYLOAD => "bad payload".into(),
        Receipt::NO_SERVICE => "no such service".into(),
        Receipt::NO_ANSWER => "no answer in time".into(),
        Receipt::NODE_DEAD => "node dead".into(),
        code => format!("exit {code}"),
    }
}
