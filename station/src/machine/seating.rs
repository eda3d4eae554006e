//! What an operator's replacement of a replica does, and each change of the configuration.

use crate::machine::command::NewDecision;
use crate::machine::graph::{Relation, Type};
use crate::machine::machine::{Effect, Machine, Place};
use crate::machine::outcome::OPERATOR;
use crate::machine::replicas::name;
use crate::raft::conf::{Change, Conf};
use syncom_wire::replica::Replace;
use syncom_wire::{OrderId, Term};

impl Machine {
    pub(super) fn on_replace(
        &mut self,
        place: Place,
        term: Term,
        order: &Replace,
        effects: &mut Vec<Effect>,
    ) {
        if !self.replicas.order(order, place.index) {
            return;
        }
        let (old, new) = (name(order.old), name(order.new));
        let action = if order.flags & Replace::CANCEL != 0 {
            format!("{new} is not to replace {old} any more")
        } else {
            self.set_replica(order.new, "learner");
            format!("{new} at {} is to replace {old}", order.addr)
        };
        self.decide(action, term, place.now_ns);
        self.on_seats(effects);
    }

    pub(super) fn on_seat(&mut self, number: u16, disk: u64, effects: &mut Vec<Effect>) {
        if self.replicas.take_seat(number, disk) {
            effects.push(Effect::Seats);
        }
    }

    /// Takes the entry of a change, of which the library has made `conf`; nothing but the place in
    /// the log when the change has no effect.
    pub(crate) fn apply_change(
        &mut self,
        index: u64,
        term: u64,
        changed: Option<(Change, Conf)>,
        effects: &mut Vec<Effect>,
    ) {
        self.apply(index, term, &[], effects);
        let Some((change, conf)) = changed else { return };
        let cancelled = self.replicas.under_way().is_some_and(|now| now.cancelled);
        if let (Change::Swap { .. }, Some(now)) = (change, self.replicas.under_way()) {
            self.set_replica(now.new, "voter");
        }
        if let Some(done) = self.replicas.change(conf, index) {
            let (old, new) = (name(done.old), name(done.new));
            let (leaves, action) = if cancelled {
                (done.new, format!("{new} was called off at index {index}"))
            } else {
                (done.old, format!("{old} was replaced by {new} at index {index}"))
            };
            self.set_replica(leaves, "replaced");
            let now_ns = self.clock.wall_ns();
            self.decide(action, Term(term), now_ns);
        }
        self.on_seats(effects);
    }

    fn on_seats(&mut self, effects: &mut Vec<Effect>) {
        self.membership.renew_roster();
        effects.push(Effect::Seats);
    }

    pub(super) fn set_replica(&mut self, number: u16, state: &str) {
        let name = format!("station-{number}");
        self.graph.set(Type::Replica, &name, state);
        let cluster = (Type::Cluster, "syncom".to_owned());
        let _ = self.graph.relate(cluster, Relation::Has, (Type::Replica, name));
    }

    fn decide(&mut self, action: String, term: Term, now_ns: u64) {
        let (rule, order) = (OPERATOR.to_owned(), OrderId(0));
        self.decisions.push(NewDecision { event: 0, order, rule, action }, term, now_ns);
    }
}
