//! What follows from how an order ended, and from what an operator says of nodes.

use crate::machine::command::{Finish, NewDecision};
use crate::machine::machine::{Effect, Machine, Place};
use syncom_wire::idset::IdSet;
use syncom_wire::limits::DETAIL_MAX;
use syncom_wire::order::Verb;
use syncom_wire::{Frame, Frames, OrderId, Slot, Term};

/// Decisions of an operator stand under this name of a rule.
pub(super) const OPERATOR: &str = "operator";
/// Nodes of one drain that get a decision each; further ones are only counted in the answer.
const NAMED_MAX: u32 = 256;

impl Machine {
    pub(crate) fn on_finish(&mut self, finish: Finish, effects: &mut Vec<Effect>) {
        let id = finish.id;
        if !self.orders.finish(finish) {
            return;
        }
        effects.push(Effect::OrderClosed(id));
        let Some(entry) = self.orders.get(id) else { return };
        let verb = Verb::from_wire(entry.order.verb);
        let Some(verb @ (Verb::ServiceStart | Verb::ServiceStop | Verb::ServiceRestart)) = verb
        else {
            return;
        };
        let succeeded: Vec<Slot> = succeeded(&entry.outcomes).collect();
        let order = entry.order.clone();
        self.note_service(&order, verb, &succeeded);
    }

    /// An operator drains nodes, or lets them work again; how many that changes.
    pub(crate) fn on_drain(
        &mut self,
        place: Place,
        term: Term,
        drained: bool,
        nodes: &[u8],
        reason: &str,
    ) -> u32 {
        let Ok(nodes) = IdSet::parse(nodes) else { return 0 };
        let mut changed = 0;
        for slot in nodes.iter() {
            let Some(entry) = self.membership.members().agent(slot) else { continue };
            let name = entry.name.to_string();
            if !self.recovery.drain(slot, drained.then(|| reason.to_owned())) {
                continue;
            }
            changed += 1;
            if changed > NAMED_MAX {
                continue;
            }
            let what = if drained { "drained" } else { "works again" };
            let action = clip(format!("{name} {what}: {reason}"));
            let rule = OPERATOR.to_owned();
            let decision = NewDecision { event: 0, order: OrderId(0), rule, action };
            self.decisions.push(decision, term, place.now_ns);
        }
        changed
    }
}

/// Nodes that did what was asked: exit code 0.
pub(crate) fn succeeded(outcomes: &[u8]) -> impl Iterator<Item = Slot> {
    Frames::new(outcomes)
        .filter_map(|frame| match frame {
            Ok(Frame::Outcome(outcome)) if outcome.code == 0 => Some(outcome.nodes.iter()),
            _ => None,
        })
        .flatten()
}

/// A text that fits the log of decisions: printable, and no longer than it may be.
pub(crate) fn clip(text: String) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while text.len() > DETAIL_MAX {
        text.pop();
    }
    text
}
