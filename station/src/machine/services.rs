//! Services in the graph: what runs where, as nodes announce it, orders change it and reports say.

use crate::machine::Machine;
use crate::machine::command::NewOrder;
use crate::machine::graph::{Relation, Type};
use syncom_wire::Slot;
use syncom_wire::announced::Announced;
use syncom_wire::bytes::is_text;
use syncom_wire::limits::NAME_MAX;
use syncom_wire::order::Verb;
use syncom_wire::report::EventKind;

const UP: &str = "up";
const DOWN: &str = "down";
const STOPPED: &str = "stopped";

impl Machine {
    /// A new life of a node begins with what it says it runs; what orders had started in an earlier
    /// one it does not keep.
    pub(super) fn on_announced(&mut self, node: &str, services: &Announced<'_>) {
        for service in self.services_of(node) {
            self.graph.forget(&(Type::Service, format!("{node}/{service}")));
        }
        for (service, words) in services.iter().filter_map(service_of) {
            if !words.is_empty() {
                self.recovery.learn_command(service, words);
            }
            self.set_service(node, service, UP);
        }
    }

    /// A node that leaves in good order stops what it runs.
    pub(super) fn on_services_stopped(&mut self, node: &str) {
        for service in self.services_of(node) {
            self.set_service(node, &service, STOPPED);
        }
    }

    /// A report says that a service, named `node/service`, has died.
    pub(super) fn on_service_down(&mut self, subject: &str) {
        if let Some((node, service)) = subject.split_once('/')
            && self.membership.members().named(node).is_some()
        {
            self.set_service(node, service, DOWN);
        }
    }

    /// Services began or ended on these nodes.
    pub(super) fn note_service(&mut self, order: &NewOrder, verb: Verb, nodes: &[Slot]) {
        let Some((service, words)) = service_of(&order.payload) else { return };
        if nodes.is_empty() {
            return;
        }
        if verb == Verb::ServiceStart && !words.is_empty() {
            self.recovery.learn_command(service, words);
        }
        let state = if verb == Verb::ServiceStop { STOPPED } else { UP };
        let mut moved_from = self.moved_from(order, service);
        for slot in nodes {
            let Some(entry) = self.membership.members().agent(*slot) else { continue };
            let node = entry.name.to_string();
            self.set_service(&node, service, state);
            moved_from = moved_from.filter(|from| *from != format!("{node}/{service}"));
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

    fn services_of(&self, node: &str) -> Vec<String> {
        self.graph.services_of(node).map(|(service, _)| service.to_owned()).collect()
    }

    fn set_service(&mut self, node: &str, service: &str, state: &str) {
        let name = format!("{node}/{service}");
        self.graph.set(Type::Service, &name, state);
        let node = (Type::Node, node.to_owned());
        let _ = self.graph.relate(node, Relation::Runs, (Type::Service, name));
    }
}

/// The name in the payload of an order about a service, and the words behind it.
pub(super) fn service_of(payload: &[u8]) -> Option<(&str, &[u8])> {
    let end = payload.iter().position(|byte| *byte == 0).unwrap_or(payload.len());
    let (name, rest) = payload.split_at_checked(end)?;
    let name = core::str::from_utf8(name).ok()?;
    if name.is_empty() || name.contains('/') || !is_text(name, NAME_MAX) {
        return None;
    }
    Some((name, rest.get(1..).unwrap_or(&[])))
}
