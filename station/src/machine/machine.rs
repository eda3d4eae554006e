//! What each command does.

use crate::machine::clock::Clock;
use crate::machine::command::{Command, Entry, NewOrder, Step};
use crate::machine::decisions::Decisions;
use crate::machine::events::Events;
use crate::machine::graph::{Graph, Relation, Type};
use crate::machine::membership::Membership;
use crate::machine::orders::Orders;
use crate::machine::policy::Rules;
use crate::machine::producers::Producers;
use crate::machine::recovery::Recovery;
use crate::machine::replicas::Replicas;
use crate::machine::sessions::{Sessions, Turn};
use syncom_wire::uplink::{Batch, BatchAck};
use syncom_wire::{Boot, Malformed, OrderId, PeerId, Term, View};

/// Something that the replica may have to tell somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A new event was committed.
    Event(u64),
    /// A record repeated a known event, or belongs to one.
    Repeated,
    /// A record found no room in the queue.
    NoRoom,
    /// The member list has changed.
    View,
    /// A satellite's batch was dealt with: see [`BatchAck`] for the status.
    Batch { peer: PeerId, boot: Boot, seq: u64, status: u8 },
    /// An order was given and is to be carried out.
    OrderOpened(OrderId),
    /// An order has ended.
    OrderClosed(OrderId),
    /// A recovery manager has begun.
    Claimed(Term),
    /// A step of the recovery manager was taken.
    Stepped(Term),
    /// A step of a recovery manager was refused because a newer one has begun.
    Stale(Term),
    /// A step was refused because something happened since it was thought of: think again.
    Overtaken(Term),
    /// An operator's policy holds.
    PolicyHolds(OrderId),
    /// An operator's drain, or the end of one, is done, for so many nodes.
    Drained(OrderId, u32),
    /// An operator's replacement of the first replica by the second is in the log, or cannot be.
    Replacing(OrderId, u16, u16),
    /// Who sits where has changed.
    Seats,
    /// The entry cannot be read: it was written by a newer program.
    Unreadable(Malformed),
}

/// Where and when in the log an entry stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) now_ns: u64,
}

impl Place {
    pub(crate) const fn view(&self) -> View {
        View(self.index)
    }
}

/// Everything that the cluster believes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// Index and term of the last applied entry.
    pub(crate) applied: u64,
    pub(crate) applied_term: u64,
    /// Term and replica of the recovery manager.
    pub(crate) manager: (Term, PeerId),
    pub(crate) membership: Membership,
    pub(crate) sessions: Sessions,
    pub(crate) producers: Producers,
    pub(crate) events: Events,
    pub(crate) orders: Orders,
    pub(crate) decisions: Decisions,
    pub(crate) graph: Graph,
    pub(crate) clock: Clock,
    pub(crate) rules: Rules,
    pub(crate) recovery: Recovery,
    pub(crate) replicas: Replicas,
}

impl Machine {
    /// The machine before the first entry: a cluster with its replicas and nothing else.
    pub(crate) fn new(replicas: &[PeerId]) -> Self {
        let manager = (Term(0), PeerId::ANY);
        let founders = Replicas::founded_by(replicas);
        let mut machine = Self { manager, replicas: founders, ..Self::default() };
        let graph = &mut machine.graph;
        let cluster = (Type::Cluster, "syncom".to_owned());
        graph.set(Type::Cluster, &cluster.1, "up");
        for peer in replicas {
            let name = format!("station-{}", peer.number());
            graph.set(Type::Replica, &name, "configured");
            let _ = graph.relate(cluster.clone(), Relation::Has, (Type::Replica, name));
        }
        machine
    }

    /// Applies the entry at `index`, which must be the next one; appends what follows to `effects`.
    ///
    /// # Panics
    /// When entries are applied out of order: that would be a bug that forks the state.
    pub(crate) fn apply(&mut self, index: u64, term: u64, data: &[u8], effects: &mut Vec<Effect>) {
        assert!(index == self.applied + 1, "entry {index} after entry {}", self.applied);
        (self.applied, self.applied_term) = (index, term);
        if let Err(malformed) = self.apply_commands(Term(term), data, effects) {
            effects.push(Effect::Unreadable(malformed));
        }
        if self.membership.seal(View(index)) {
            effects.push(Effect::View);
        }
    }

    fn apply_commands(
        &mut self,
        term: Term,
        data: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Malformed> {
        let Some(mut entry) = Entry::open(data)? else { return Ok(()) };
        self.clock.advance(entry.wall_ns);
        let place = Place { index: self.applied, now_ns: entry.wall_ns };
        while let Some(command) = entry.next()? {
            match command {
                Command::Batch(batch) => self.on_batch(place, &batch, effects),
                Command::Claim { term, node } => self.on_claim(term, node, effects),
                Command::Step(step) => self.on_step(place, step, effects),
                Command::Submit(order) => self.on_submit(place, term, order, effects),
                Command::Finish(finish) => self.on_finish(finish, effects),
                Command::Lost { peer, boot, reporters, detail } => {
                    self.on_lost(place, (peer, boot), reporters, &detail, effects);
                }
                Command::Back { peer } => self.on_back(place, peer, effects),
                Command::Policy { asked_by, image } => {
                    // The leader has checked it; what is refused here changes nothing.
                    let _ = self.rules.install(&image, asked_by.0, place.index);
                    effects.push(Effect::PolicyHolds(asked_by));
                }
                Command::Drain { asked_by, drained, nodes, reason } => {
                    let changed = self.on_drain(place, term, drained, &nodes, &reason);
                    effects.push(Effect::Drained(asked_by, changed));
                }
                Command::Replace { asked_by, order } => {
                    self.on_replace(place, term, &order, effects);
                    effects.push(Effect::Replacing(asked_by, order.old, order.new));
                }
                Command::Seat { number, disk } => self.on_seat(number, disk, effects),
            }
        }
        Ok(())
    }

    fn on_batch(&mut self, place: Place, batch: &Batch<'_>, effects: &mut Vec<Effect>) {
        let head = batch.head;
        let status = match self.sessions.turn(&head) {
            Turn::Refused(status) => status,
            Turn::Known => BatchAck::COMMITTED,
            Turn::Next => {
                let results = batch
                    .iter()
                    .flatten()
                    .map(|frame| self.item(place, head.peer, &frame, effects));
                let results = results.collect();
                self.sessions.note(&head, place.index, results);
                BatchAck::COMMITTED
            }
        };
        effects.push(Effect::Batch { peer: head.peer, boot: head.boot, seq: head.seq, status });
    }

    fn on_claim(&mut self, term: Term, node: PeerId, effects: &mut Vec<Effect>) {
        if term > self.manager.0 {
            self.manager = (term, node);
            effects.push(Effect::Claimed(term));
        }
    }

    /// All of a step, or nothing: a manager of an older term has no say any more.
    fn on_step(&mut self, place: Place, step: Step, effects: &mut Vec<Effect>) {
        if step.term != self.manager.0 {
            effects.push(Effect::Stale(step.term));
            return;
        }
        let is_braked = self.is_braked(self.clock.at(place.now_ns));
        if step.after != self.decisions.last()
            || step.policy != self.rules.head().version
            || (is_braked && !step.is_braked)
        {
            effects.push(Effect::Overtaken(step.term));
            return;
        }
        self.recovery.change(step.changes, self.clock.at(place.now_ns));
        for (event, count) in step.settle {
            self.events.settle(event, count);
        }
        for decision in step.decisions {
            self.decisions.push(decision, step.term, place.now_ns);
        }
        for order in step.orders {
            self.on_submit(place, step.term, order, effects);
        }
        effects.push(Effect::Stepped(step.term));
    }

    /// Whether rules take nothing away now: a storm lasts that too few satellites have seen.
    pub(crate) fn is_braked(&self, now_ns: u64) -> bool {
        let serving = self.membership.members().satellites_serving();
        let serving = serving.map(|entry| (entry.head.peer, entry.head.weight));
        self.recovery.storm.brakes(now_ns, serving)
    }

    fn on_submit(&mut self, place: Place, term: Term, order: NewOrder, effects: &mut Vec<Effect>) {
        let id = order.id;
        if self.orders.submit(order, term, place.now_ns) {
            effects.push(Effect::OrderOpened(id));
        }
    }
}
