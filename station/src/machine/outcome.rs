//! What follows from how an order ended, and from what an operator says of nodes.

use crate::machine::command::{Finish, NewDecision, NewOrder};
use crate::machine::graph::{Relation, Type};
use crate::machine::machine::{Effect, Machine, Place};
use syncom_wire::bytes::is_text;
use syncom_wire::idset::IdSet;
use syncom_wire::limits::{DETAIL_MAX, NAME_MAX};
use syncom_wire::order::Verb;
use syncom_wire::report::EventKind;
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

    /// Services began or ended on these nodes.
    fn note_service(&mut self, order: &NewOrder, verb: Verb, nodes: &[Slot]) {
        let Some((service, words)) = service_of(&order.payload) else { return };
        if nodes.is_empty() {
            return;
        }
        if verb == Verb::ServiceStart && !words.is_empty() {
            self.recovery.learn_command(service, words);
        }
        let state = if verb == Verb::ServiceStop { "stopped" } else { "up" };
        let mut moved_from = self.moved_from(order, service);
        for slot in nodes {
            let Some(entry) = self.membership.members().agent(*slot) else { continue };
            let node = entry.name.to_string();
            let name = format!("{node}/{service}");
            self.graph.set(Type::Service, &name, state);
            let _ = self.graph.relate(
                (Type::Node, node),
                Relation::Runs,
                (Type::Service, name.clone()),
            );
            moved_from = moved_from.filter(|from| *from != name);
        }
        if let Some(name) = moved_from {
            self.graph.forget(&(Type::Service, name));
        }
    }

    /// The service that this order replaces, as `node/service`, if it was given to replace one.
    fn moved_from(&self, order: &NewOrder, service: &str) -> Option<String> {
        let event = self.events.get(order.event)?;
        match event.head.kind {
            EventKind::DEAD => Some(format!("{}/{service}", event.subject)),
            _ => event.subject.contains('/').then(|| event.subject.clone()),
        }
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

/// The name in the payload of an order about a service, and the words behind it.
pub(crate) fn service_of(payload: &[u8]) -> Option<(&str, &[u8])> {
    let end = payload.iter().position(|byte| *byte == 0).unwrap_or(payload.len());
    let (name, rest) = payload.split_at_checked(end)?;
    let name = core::str::from_utf8(name).ok()?;
    if name.is_empty() || name.contains('/') || !is_text(name, NAME_MAX) {
        return None;
    }
    Some((name, rest.get(1..).unwrap_or(&[])))
}

/// A text that fits the log of decisions: printable, and no longer than it may be.
pub(crate) fn clip(text: String) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while text.len() > DETAIL_MAX {
        text.pop();
    }
    text
}
