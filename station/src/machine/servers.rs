//! What is committed about satellites and replicas: that they came, went, died and are back.

use crate::machine::events::Event;
use crate::machine::graph::Type;
use crate::machine::items::plain_head;
use crate::machine::machine::{Effect, Machine, Place};
use crate::machine::replicas::name as replica_name;
use syncom_wire::event::EventHead;
use syncom_wire::report::EventKind;
use syncom_wire::{Boot, Incarnation, PeerId, Role, Subject};

/// Name of the events that tell of satellites.
const SATELLITE_KIND: &str = "satellite";
/// Name of the events that tell of replicas.
const REPLICA_KIND: &str = "replica";

impl Machine {
    /// Commits an event about a satellite.
    pub(crate) fn satellite_event(
        &mut self,
        place: Place,
        peer: PeerId,
        what: &str,
        severity: u8,
        reporters: u16,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.membership.members().get(peer) else { return };
        let (name, incarnation) = (entry.name.to_string(), entry.head.incarnation);
        self.graph.set(Type::Satellite, &name, entry.state().name());
        let kind = EventKind::named(SATELLITE_KIND);
        let head = plain_head(place, Subject::named(&name), incarnation, kind, severity);
        let head = EventHead { reporters: u32::from(reporters), ..head };
        let detail = format!("{peer} {what}");
        self.server_event(
            Event { head, subject: name, kind: SATELLITE_KIND.to_owned(), detail, grounds: None },
            effects,
        );
    }

    fn server_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let queued = self.rules.names(&event.kind);
        let seq = self.events.push(event, queued);
        effects.push(Effect::Event(seq));
    }

    /// A satellite or a replica no longer shows itself to anybody.
    pub(crate) fn on_lost(
        &mut self,
        place: Place,
        (peer, boot): (PeerId, Boot),
        reporters: u16,
        detail: &str,
        effects: &mut Vec<Effect>,
    ) {
        let what =
            if detail.is_empty() { "is dead".to_owned() } else { format!("is dead: {detail}") };
        match peer.role() {
            Role::Satellite => {
                if self.membership.satellite_dead(peer, boot, place.view(), place.now_ns) {
                    self.satellite_event(place, peer, &what, 2, reporters, effects);
                }
            }
            Role::Station => {
                if self.replicas.set_down(peer, true) {
                    self.replica_event(place, peer, &what, 2, reporters, effects);
                }
            }
            Role::Agent | Role::Client => {}
        }
    }

    /// A replica speaks again.
    pub(crate) fn on_back(&mut self, place: Place, peer: PeerId, effects: &mut Vec<Effect>) {
        if self.replicas.set_down(peer, false) {
            self.replica_event(place, peer, "is back", 0, 0, effects);
        }
    }

    /// Commits an event about a replica.
    fn replica_event(
        &mut self,
        place: Place,
        peer: PeerId,
        what: &str,
        severity: u8,
        reporters: u16,
        effects: &mut Vec<Effect>,
    ) {
        let number = u16::try_from(peer.number()).unwrap_or(0);
        self.set_replica(number, if self.replicas.is_down(number) { "dead" } else { "alive" });
        let name = replica_name(number);
        let kind = EventKind::named(REPLICA_KIND);
        let head = plain_head(place, Subject::named(&name), Incarnation(0), kind, severity);
        let head = EventHead { reporters: u32::from(reporters), ..head };
        let detail = format!("{name} {what}");
        let kind = REPLICA_KIND.to_owned();
        self.server_event(Event { head, subject: name, kind, detail, grounds: None }, effects);
    }
}
