//! What each action does: a change of the machine, orders, or a reason why not.

use super::message::{command_name, number_of, payload};
use super::thought::{Spot, Thought};
use crate::machine::command::NewOrder;
use crate::machine::orders::order_number;
use syncom_group::{Entry as Member, SlotSet};
use syncom_seam::limits::SERVICES_MAX;
use syncom_wire::ids::{hash, mix};
use syncom_wire::member::MemberState;
use syncom_wire::order::{OrderHead, Verb};
use syncom_wire::policy::Action;
use syncom_wire::report::EventKind;
use syncom_wire::{OrderId, Slot};

/// What became of a step.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is done; the next one may follow.
    Done(String),
    /// It is what becomes of these orders, each with the service it is about.
    Ordered(Vec<(NewOrder, String)>, String),
    /// It waits for the end of a storm, or for satellites that have seen it, too.
    Held(String),
    /// It cannot be done now; later perhaps.
    Failed(String),
    /// It will not be done.
    Refused(String),
}

impl<'a> Thought<'a> {
    /// Takes a step; `failed` are the orders of the try before.
    pub(super) fn take(&mut self, spot: &Spot<'a>, failed: &[(OrderId, String)]) -> Taken {
        let action = spot.step.action();
        if action.is_braked() && self.step.is_braked {
            let what = action.name();
            return Taken::Held(format!(
                "held: {what} waits until the storm is over, or seen by two thirds of the satellites"
            ));
        }
        match action {
            Action::Nothing if spot.step.text.is_empty() => Taken::Done("nothing to do".into()),
            Action::Nothing => Taken::Done(spot.step.text.into()),
            Action::Restart => self.restart(spot),
            Action::Order => self.order(spot, failed),
            Action::Notify => self.notify(spot),
            Action::Drain => self.drain(spot),
            Action::Fence => self.fence(spot),
            Action::Move => self.move_services(spot, failed),
        }
    }

    fn restart(&self, spot: &Spot<'a>) -> Taken {
        let Some((node, service)) = spot.event.subject.split_once('/') else {
            return Taken::Refused("noted: a service is named node/service".into());
        };
        let Some(entry) = self.node_of(spot.event).filter(|entry| entry.is_present()) else {
            return Taken::Refused("its node is not there: nothing to restart".into());
        };
        let order = self.service_order(spot, Verb::ServiceRestart, entry.slot(), service.into());
        Taken::Ordered(vec![(order, service.into())], format!("restart {service} on {node}"))
    }

    fn order(&self, spot: &Spot<'a>, failed: &[(OrderId, String)]) -> Taken {
        let mut to = SlotSet::new();
        for node in self.candidates(spot) {
            to.insert(node.slot());
        }
        if let Some(again) = self.not_done(failed) {
            to.intersect(&again);
        }
        if to.is_empty() {
            return Taken::Failed("no living node is selected".into());
        }
        let what = command_name(spot.step.command);
        let text = format!("run {what} on {} nodes", to.len());
        Taken::Ordered(vec![(self.command_order(spot, &to), String::new())], text)
    }

    fn notify(&self, spot: &Spot<'a>) -> Taken {
        let Some(messenger) = self.one_of(spot) else {
            return Taken::Failed("no living node is selected".into());
        };
        let text = format!("notify by {} on {}", command_name(spot.step.command), messenger.name);
        let order = self.command_order(spot, &only(messenger.slot()));
        Taken::Ordered(vec![(order, String::new())], text)
    }

    fn drain(&mut self, spot: &Spot<'a>) -> Taken {
        let node = match self.accused(spot) {
            Ok(node) => node,
            Err(why) => return Taken::Refused(why),
        };
        if self.is_drained(node.slot()) {
            return Taken::Done(format!("{} is drained already", node.name));
        }
        if let Err(why) = self.harm(node) {
            return Taken::Refused(why);
        }
        let reason = match spot.step.text {
            "" => format!("rule {}, event {}", spot.rule.name, spot.event.head.seq),
            text => text.to_owned(),
        };
        let text = format!("drain {}: {reason}", node.name);
        self.step.changes.harms.push(node.slot());
        self.step.changes.drains.push((node.slot(), reason));
        Taken::Done(text)
    }

    fn fence(&mut self, spot: &Spot<'a>) -> Taken {
        let node = match self.accused(spot) {
            Ok(node) => node,
            Err(why) => return Taken::Refused(why),
        };
        if node.state() == MemberState::Gray {
            return Taken::Refused(format!("{} is gray: gray nodes are not fenced", node.name));
        }
        if let Err(why) = self.harm(node) {
            return Taken::Refused(why);
        }
        let Some(executor) = self.one_of(spot) else {
            return Taken::Failed("no living node is selected to fence from".into());
        };
        let what = command_name(spot.step.command);
        let text = format!("fence {} by {what} on {}", node.name, executor.name);
        if !self.harmed().contains(&node.slot()) {
            self.step.changes.harms.push(node.slot());
        }
        let order = self.command_order(spot, &only(executor.slot()));
        Taken::Ordered(vec![(order, String::new())], text)
    }

    fn move_services(&self, spot: &Spot<'a>, failed: &[(OrderId, String)]) -> Taken {
        let node = match self.accused(spot) {
            Ok(node) => node,
            Err(why) => return Taken::Refused(why),
        };
        let services: Vec<String> = match spot.event.subject.split_once('/') {
            Some((_, service)) => vec![service.into()],
            None if failed.is_empty() => {
                let all = self.machine.graph.services_of(&node.name);
                all.filter(|(_, state)| *state != "stopped").map(|(name, _)| name.into()).collect()
            }
            None => failed.iter().map(|(_, service)| service.clone()).collect(),
        };
        let wanted =
            |service: &String| spot.step.text.is_empty() || spot.step.text == service.as_str();
        let services: Vec<String> =
            services.into_iter().filter(wanted).take(SERVICES_MAX).collect();
        if services.is_empty() {
            return Taken::Refused(format!("nothing to move is known to run on {}", node.name));
        }
        let mut orders = Vec::new();
        let mut words = Vec::new();
        for service in services {
            let Some(target) = self.home_for(spot, node, &service) else {
                return Taken::Failed(format!("no selected node may take {service}"));
            };
            words.push(format!("{service} to {}", target.name));
            let command = match spot.step.command {
                [] => self.machine.recovery.command(&service).unwrap_or_default(),
                command => command,
            };
            // Whoever knows it from its own configuration starts it without being told how.
            let verb = if command.is_empty() { Verb::ServiceRestart } else { Verb::ServiceStart };
            let payload = [service.as_bytes(), b"\0", command].concat();
            orders.push((self.service_order(spot, verb, target.slot(), payload), service));
        }
        Taken::Ordered(orders, format!("move from {}: {}", node.name, words.join(", ")))
    }

    /// Where a service goes: the living node with the fewest services that does not run it yet;
    /// further tries go to the next ones.
    fn home_for(&self, spot: &Spot<'a>, from: &Member, service: &str) -> Option<&'a Member> {
        let graph = &self.machine.graph;
        let runs = |node: &Member| {
            graph.services_of(&node.name).any(|(name, state)| name == service && state == "up")
        };
        let may = |node: &&'a Member| {
            node.slot() != from.slot() && self.gets_work(node.slot()) && !runs(node)
        };
        let mut homes: Vec<&'a Member> = self.candidates(spot).filter(may).collect();
        homes.sort_by_cached_key(|node| (graph.services_of(&node.name).count(), node.slot()));
        let count = homes.len().max(1);
        homes.get(usize::from(spot.attempt) % count).copied()
    }

    /// The node that an event accuses. What was said of an earlier life of it counts no more.
    fn accused(&self, spot: &Spot<'a>) -> Result<&'a Member, String> {
        let event = spot.event;
        let Some(node) = self.node_of(event) else {
            return Err("refused: the event is about no node".into());
        };
        if event.head.kind == EventKind::DEAD && node.state() != MemberState::Dead {
            return Err(format!("{} is {} again: left alone", node.name, node.state().name()));
        }
        Ok(node)
    }

    /// Living nodes that the step selects, by slot. The subject is none of them unless it is named.
    fn candidates(&self, spot: &Spot<'a>) -> impl Iterator<Item = &'a Member> {
        let subject = self.node_of(spot.event).map(Member::slot);
        let living = self.machine.membership.members().agents();
        let on = spot.step.on;
        living.filter(move |node| {
            node.state() == MemberState::Alive && on.holds(&self.facts(Some(*node), subject))
        })
    }

    /// One of the selected nodes, another at each try, and never the one that the event is about.
    fn one_of(&self, spot: &Spot<'a>) -> Option<&'a Member> {
        let subject = self.node_of(spot.event).map(Member::slot);
        let named =
            spot.step.on.terms().any(|term| term.holds == syncom_wire::selector::Holds::Subject);
        let others: Vec<&'a Member> =
            self.candidates(spot).filter(|node| named || Some(node.slot()) != subject).collect();
        // Those that keep dying may not live to do it; they are better than nobody.
        let is_steady = |node: &&'a Member| !self.is_damped(node.slot());
        let steady: Vec<&'a Member> = others.iter().copied().filter(is_steady).collect();
        let others = if steady.is_empty() { others } else { steady };
        others.get(usize::from(spot.attempt) % others.len().max(1)).copied()
    }

    fn command_order(&self, spot: &Spot<'a>, to: &SlotSet) -> NewOrder {
        let id = order_id(spot, b"");
        let node = self.node_of(spot.event).map_or("", |node| &node.name);
        let payload = payload(spot, node, id, self.step.term);
        new_order(spot, id, Verb::Run, to, payload)
    }

    fn service_order(&self, spot: &Spot<'a>, verb: Verb, to: Slot, payload: Vec<u8>) -> NewOrder {
        new_order(spot, order_id(spot, &payload), verb, &only(to), payload)
    }
}

/// Numbers an order by what caused it, so that whoever decides the same gives the same order.
fn order_id(spot: &Spot<'_>, about: &[u8]) -> OrderId {
    order_number(mix(number_of(spot) ^ hash(about) ^ hash(&[spot.attempt])))
}

fn new_order(spot: &Spot<'_>, id: OrderId, verb: Verb, to: &SlotSet, payload: Vec<u8>) -> NewOrder {
    NewOrder {
        id,
        verb: verb as u8,
        policy: OrderHead::ALL,
        need: 0,
        deadline_ms: spot.step.head.timeout_ms,
        event: spot.event.head.seq,
        to: to.to_image(),
        payload,
    }
}

fn only(slot: Slot) -> SlotSet {
    let mut set = SlotSet::new();
    set.insert(slot);
    set
}
