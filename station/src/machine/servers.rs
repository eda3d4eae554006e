//! What is committed about satellites and replicas: that they came, went, died and are back.

use crate::machine::events::Event;
use crate::machine::graph::Type;
use crate::machine::items::plain_head;
use crate::machine::machine::{Effect, Machine, Place};
use crate::machine::replicas::name as replica_name;
use syncom_wire::event::EventHead;
use syncom_wire::limits::DETAIL_MAX;
use syncom_wire::report::EventKind;
use syncom_wire::{Boot, Incarnation, PeerId, Role, Subject};

/// Name of the events that tell of satellites.
const SATELLITE_KIND: &str = "satellite";
/// Name of the events that tell of replicas.
const REPLICA_KIND: &str = "replica";
/// What is said of a replica that nobody misses, because nobody has ever heard it.
pub(crate) const UNHEARD: &str = "has not been heard yet";

/// As much of a text as the detail of an event may hold.
pub(crate) fn clipped(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(DETAIL_MAX));
    text
}

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
        let detail = clipped(format!("{peer} {what}"));
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
                let (what, severity) = match reporters {
                    0 => (UNHEARD, 1),
                    _ => (what.as_str(), 2),
                };
                if self.replicas.set_down(peer, true) {
                    self.replica_event(place, peer, what, severity, reporters, effects);
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
        let detail = clipped(format!("{name} {what}"));
        let kind = REPLICA_KIND.to_owned();
        self.server_event(Event { head, subject: name, kind, detail, grounds: None }, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::command::{Command, begin};
    use crate::machine::encoder::Encoder;
    use crate::machine::replicas::Replicas;
    use proptest::prelude::*;
    use syncom_wire::Reader;
    use syncom_wire::limits::REPLICAS_MAX;

    fn machine() -> Machine {
        Machine::new(&[1, 2, 3].map(PeerId::station))
    }

    fn apply(machine: &mut Machine, command: &Command<'_>) -> Vec<Effect> {
        let (mut out, mut effects) = (begin(99), Vec::new());
        command.encode(&mut out);
        machine.apply(machine.applied + 1, 1, &out.finish(), &mut effects);
        effects
    }

    fn lost(number: u16, reporters: u16, detail: &str) -> Command<'static> {
        let (peer, detail) = (PeerId::station(number), detail.to_owned());
        Command::Lost { peer, boot: Boot(0), reporters, detail }
    }

    #[test]
    fn a_detail_that_is_too_long_is_cut_and_stops_nobody() {
        for shift in 0..3 {
            let mut machine = machine();
            let long = "x".repeat(shift) + &"€".repeat(DETAIL_MAX);
            assert_eq!(apply(&mut machine, &lost(2, 1, &long)), [Effect::Event(1)]);
            let detail = machine.events.get(1).unwrap().detail.clone();
            assert!(detail.starts_with("station2 is dead: "));
            assert!((DETAIL_MAX - 2..=DETAIL_MAX).contains(&detail.len()), "{}", detail.len());
            let copy = Machine::decode(&machine.encode()).unwrap();
            assert_eq!(copy.state_hash(), machine.state_hash());
        }
    }

    #[test]
    fn a_replica_that_nobody_has_ever_heard_is_not_called_dead() {
        let mut machine = machine();
        apply(&mut machine, &lost(2, 1, "silent"));
        apply(&mut machine, &lost(3, 0, "silent"));
        let told: Vec<_> =
            machine.events.since(0).map(|e| (e.detail.as_str(), e.head.severity)).collect();
        assert_eq!(told, [("station2 is dead: silent", 2), ("station3 has not been heard yet", 1)]);
    }

    /// Command 6 is what older logs hold in the place of 11.
    #[test]
    fn a_death_in_an_old_log_has_no_reporters() {
        let mut out = begin(99);
        out.field(6_u8);
        out.section(|out| {
            out.field(PeerId::satellite(1));
            out.field(Boot(5));
        });
        let bytes = out.finish();
        let mut entry = crate::machine::command::Entry::open(&bytes).unwrap().unwrap();
        let (peer, boot) = (PeerId::satellite(1), Boot(5));
        let death = Command::Lost { peer, boot, reporters: 0, detail: String::new() };
        assert_eq!(entry.next(), Ok(Some(death)));
    }

    proptest! {
        #[test]
        fn the_lost_survive_a_snapshot(turns in prop::collection::vec((1..=5_u16, any::<bool>()), 0..20)) {
            let all = [1, 2, 3, 4, 5].map(PeerId::station);
            prop_assert!(all.len() <= REPLICAS_MAX);
            let mut machine = Machine::new(&all);
            let mut model = std::collections::BTreeSet::new();
            for (number, is_lost) in turns {
                let command = if is_lost {
                    model.insert(number);
                    lost(number, 1, "silent")
                } else {
                    model.remove(&number);
                    Command::Back { peer: PeerId::station(number) }
                };
                apply(&mut machine, &command);
            }
            let copy = Machine::decode(&machine.encode()).unwrap();
            prop_assert_eq!(&copy.replicas, &machine.replicas);
            prop_assert_eq!(copy.state_hash(), machine.state_hash());
            for number in 1..=5 {
                prop_assert_eq!(copy.replicas.is_down(number), model.contains(&number));
            }
        }
    }

    #[test]
    fn a_snapshot_from_before_replicas_were_watched_is_read() {
        let machine = machine();
        let mut out = Encoder::default();
        machine.replicas.encode(&mut out);
        let bytes = out.finish();
        // Nobody is lost, so the section is its count alone.
        let old = &bytes[..bytes.len() - 4];
        assert_eq!(Replicas::decode(&mut Reader::new(old)), Ok(machine.replicas));
    }
}
