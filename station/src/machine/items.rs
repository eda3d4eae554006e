//! What each item of a batch does: joins, leaves, and records of evidence.

use crate::machine::events::{Event, Grounds, Key};
use crate::machine::graph::{Relation, Type};
use crate::machine::machine::{Effect, Machine, Place};
use crate::machine::membership::Joined;
use std::collections::{BTreeMap, BTreeSet};
use syncom_wire::event::{EventHead, EvidenceHead, SlotItem};
use syncom_wire::join::{Join, Leave};
use syncom_wire::limits::OBSERVERS_MAX;
use syncom_wire::member::MemberState;
use syncom_wire::policy::PolicyHead;
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{ItemResult, Record};
use syncom_wire::{Frame, Incarnation, PeerId, Slot, Subject};

/// Subject of events about the whole.
const CLUSTER: &str = "cluster";

const fn result(code: u8, event: u64) -> ItemResult {
    ItemResult { event, incarnation: Incarnation(0), code, reserved: [0; 3] }
}

impl Machine {
    /// Takes one item of a batch of that satellite.
    pub(crate) fn item(
        &mut self,
        place: Place,
        by: PeerId,
        frame: &Frame<'_>,
        effects: &mut Vec<Effect>,
    ) -> ItemResult {
        match frame {
            Frame::Join(join) => self.on_join(place, join, effects),
            Frame::Leave(leave) => self.on_leave(place, leave, effects),
            Frame::Record(record) => self.on_record(place, by, record, effects),
            _ => result(ItemResult::REFUSED, 0),
        }
    }

    fn on_join(&mut self, place: Place, join: &Join<'_>, effects: &mut Vec<Effect>) -> ItemResult {
        let old = self.membership.members().with_uuid(join.head.uuid);
        let was_dead = old.is_some_and(|old| old.state() == MemberState::Dead);
        let (code, peer, incarnation) = match self.membership.join(join, place.view(), place.now_ns)
        {
            Joined::Refused => return result(ItemResult::REFUSED, 0),
            Joined::Already(peer, life) | Joined::Stale(peer, life) => {
                (ItemResult::KNOWN, peer, life)
            }
            Joined::Entered(peer, life) => {
                self.announce(place, join, peer, life, was_dead, effects);
                (ItemResult::DONE, peer, life)
            }
        };
        ItemResult { incarnation, ..result(code, u64::from(peer.0)) }
    }

    fn announce(
        &mut self,
        place: Place,
        join: &Join<'_>,
        peer: PeerId,
        incarnation: Incarnation,
        was_dead: bool,
        effects: &mut Vec<Effect>,
    ) {
        let cluster = (Type::Cluster, "syncom".to_owned());
        let Some(slot) = peer.slot() else {
            self.graph.set(Type::Satellite, join.name, "alive");
            let satellite = (Type::Satellite, join.name.to_owned());
            let _ = self.graph.relate(cluster, Relation::Has, satellite);
            let what = if was_dead { "is back" } else { "joined" };
            self.satellite_event(place, peer, what, 0, 0, effects);
            return;
        };
        self.graph.set(Type::Node, join.name, "alive");
        let node = (Type::Node, join.name.to_owned());
        self.graph.unrelate(&node, Relation::In);
        if !join.domain.is_empty() {
            let domain = (Type::Domain, join.domain.to_owned());
            self.graph.set(Type::Domain, join.domain, "known");
            let _ = self.graph.relate(cluster, Relation::Has, domain.clone());
            let _ = self.graph.relate(node, Relation::In, domain);
        }
        self.on_announced(join.name, &join.services);
        let now_ns = self.clock.at(place.now_ns);
        let is_damped = was_dead && self.recovery.flaps.on_return(slot, now_ns);
        let damped = if is_damped { ", too often back from the dead: no work for now" } else { "" };
        let detail = format!("incarnation {incarnation}{damped}");
        self.node_event(place, slot, EventKind::NEW, 0, detail, None, effects);
    }

    fn on_leave(&mut self, place: Place, leave: &Leave, effects: &mut Vec<Effect>) -> ItemResult {
        let Some(peer) = self.membership.leave(leave, place.view(), place.now_ns) else {
            return result(ItemResult::KNOWN, 0);
        };
        match peer.slot() {
            Some(slot) => {
                let name =
                    self.membership.members().agent(slot).map(|entry| entry.name.to_string());
                self.on_services_stopped(&name.unwrap_or_default());
                let detail = "left in good order".to_owned();
                self.node_event(place, slot, EventKind::LEFT, 0, detail, None, effects);
            }
            None => self.satellite_event(place, peer, "left in good order", 0, 0, effects),
        }
        result(ItemResult::DONE, u64::from(peer.0))
    }

    fn on_record(
        &mut self,
        place: Place,
        by: PeerId,
        record: &Record<'_>,
        effects: &mut Vec<Effect>,
    ) -> ItemResult {
        let head = &record.head;
        if !self.events.has_room(head.kind) {
            effects.push(Effect::NoRoom);
            return result(ItemResult::BUSY, 0);
        }
        match (head.kind, head.subject.slot()) {
            (EventKind::DEAD, Some(slot)) => {
                let result = self.on_verdict(place, slot, MemberState::Dead, record, effects);
                self.count_death(place, by, (slot, head.incarnation), result.code, effects);
                result
            }
            (EventKind::GRAY, Some(slot)) => {
                self.on_verdict(place, slot, MemberState::Gray, record, effects)
            }
            (EventKind::CLEARED, Some(slot)) => {
                self.on_verdict(place, slot, MemberState::Alive, record, effects)
            }
            (
                EventKind::SILENT
                | EventKind::NEW
                | EventKind::LEFT
                | EventKind::DEAD
                | EventKind::GRAY
                | EventKind::CLEARED,
                _,
            ) => result(ItemResult::REFUSED, 0),
            _ => self.on_report(place, record, effects),
        }
    }

    /// A home's verdict about a node: it counts when it changes what is believed of that life.
    fn on_verdict(
        &mut self,
        place: Place,
        slot: Slot,
        state: MemberState,
        record: &Record<'_>,
        effects: &mut Vec<Effect>,
    ) -> ItemResult {
        let head = &record.head;
        let changed =
            self.membership.mark(slot, head.incarnation, state, place.view(), place.now_ns);
        record.contributors.iter().for_each(|id| self.producers.note(&id));
        if !changed {
            return self.known(&(head.subject, head.incarnation, head.kind), effects);
        }
        let severity = if state == MemberState::Dead { 3 } else { 1 };
        let detail = record.detail.to_owned();
        let seq = self.node_event(place, slot, head.kind, severity, detail, Some(record), effects);
        result(ItemResult::DONE, seq)
    }

    /// Anything else that happened: repetitions join the event that is there.
    fn on_report(
        &mut self,
        place: Place,
        record: &Record<'_>,
        effects: &mut Vec<Effect>,
    ) -> ItemResult {
        let head = &record.head;
        let Some(subject) = self.subject_name(record) else {
            return result(ItemResult::REFUSED, 0);
        };
        let key = (head.subject, head.incarnation, head.kind);
        let named = !record.contributors.is_empty();
        if named && record.contributors.iter().all(|id| self.producers.knows(&id)) {
            return self.known(&key, effects);
        }
        record.contributors.iter().for_each(|id| self.producers.note(&id));
        if head.kind == EventKind::SERVICE {
            self.on_service_down(&subject);
        }
        if head.kind == EventKind::STORM {
            self.recovery.storm.rise(self.clock.at(place.now_ns), &self.rules.head());
        }
        if let Some(seq) = self.events.open_for(&key, place.now_ns) {
            let again = head.kind == EventKind::SERVICE;
            self.events.join(seq, head.reporters, head.count.max(1), head.domains, again);
            effects.push(Effect::Repeated);
            return result(ItemResult::DONE, seq);
        }
        let event = Event {
            head: event_head(place, record),
            subject,
            kind: kind_name(head.kind, record.kind),
            detail: record.detail.to_owned(),
            grounds: Some(reporters(record)),
        };
        let seq = self.events.push(event, true);
        effects.push(Effect::Event(seq));
        result(ItemResult::DONE, seq)
    }

    /// The answer to a record that changes nothing: the event that it repeats, if there is one.
    fn known(&self, key: &Key, effects: &mut Vec<Effect>) -> ItemResult {
        let seq = self.events.newest_of(key).map_or(0, |event| event.head.seq);
        if seq != 0 {
            effects.push(Effect::Repeated);
        }
        result(ItemResult::KNOWN, seq)
    }

    fn subject_name(&self, record: &Record<'_>) -> Option<String> {
        match record.head.subject.slot() {
            Some(slot) => Some(self.membership.members().agent(slot)?.name.to_string()),
            None if record.subject.is_empty() => None,
            None => Some(record.subject.to_owned()),
        }
    }

    /// Commits an event about a node that was just changed.
    #[expect(clippy::too_many_arguments, reason = "one line of a table, spelled out")]
    fn node_event(
        &mut self,
        place: Place,
        slot: Slot,
        kind: EventKind,
        severity: u8,
        detail: String,
        record: Option<&Record<'_>>,
        effects: &mut Vec<Effect>,
    ) -> u64 {
        let Some(entry) = self.membership.members().agent(slot) else { return 0 };
        let name = entry.name.to_string();
        let incarnation = entry.head.incarnation;
        self.graph.set(Type::Node, &name, entry.state().name());
        let observers = self.membership.rings().observers(slot);
        let observers = observers.iter().map(|slot| SlotItem { slot: *slot }).collect();
        let head = match record {
            Some(record) => EventHead { severity, ..event_head(place, record) },
            None => plain_head(place, Subject::node(slot), incarnation, kind, severity),
        };
        let grounds = record.map(|record| Grounds { head: evidence(record), observers });
        let kind_text = kind_name(kind, "");
        let event = Event { head, subject: name, kind: kind_text, detail, grounds };
        let queued =
            matches!(kind, EventKind::DEAD | EventKind::GRAY) || self.rules.names(&event.kind);
        let seq = self.events.push(event, queued);
        effects.push(Effect::Event(seq));
        seq
    }

    /// A satellite said that a node is dead, first or after others. When too many died at once, that is
    /// an event of its own.
    fn count_death(
        &mut self,
        place: Place,
        by: PeerId,
        (slot, incarnation): (Slot, Incarnation),
        code: u8,
        effects: &mut Vec<Effect>,
    ) {
        let (head, now_ns) = (self.rules.head(), self.clock.at(place.now_ns));
        if code != ItemResult::DONE {
            let entry = self.membership.members().agent(slot).map(|entry| entry.head);
            let entry = entry.filter(|it| it.incarnation == incarnation);
            let entry = entry.filter(|it| it.state() == MemberState::Dead);
            if let Some(entry) = entry {
                let ago_ns = place.now_ns.saturating_sub(entry.since_ns);
                self.recovery.storm.on_second(now_ns, by, ago_ns, &head);
            }
            return;
        }
        let was_one = self.recovery.storm.lasts(now_ns);
        let deaths = self.recovery.storm.on_death(now_ns, by, &head);
        if was_one || self.is_bearable(deaths, &head) {
            return;
        }
        self.recovery.storm.rise(now_ns, &head);
        let window = head.brake_window_ms / 1_000;
        let detail = format!(
            "{deaths} nodes died within {window} s, more than is believable: \
             automatic fencing, draining and moving wait until two thirds of the satellites \
             have seen it, too"
        );
        let kind = EventKind::STORM;
        let plain = plain_head(place, Subject::named(CLUSTER), Incarnation(0), kind, 3);
        let (subject, kind) = (CLUSTER.to_owned(), kind_name(kind, ""));
        let event = Event { head: plain, subject, kind, detail, grounds: None };
        let seq = self.events.push(event, true);
        effects.push(Effect::Event(seq));
    }

    /// Whether so many deaths at once are no storm: see [`PolicyHead`]. The sizes of domains take a walk
    /// over all members, and are asked for only when they decide: thousands may die in one entry.
    fn is_bearable(&self, deaths: usize, head: &PolicyHead) -> bool {
        let counts = self.membership.members().counts();
        let nodes = counts.present() + counts.dead;
        let part = nodes * usize::from(head.brake_permille) / 1_000;
        if deaths <= part.max(head.brake_deaths as usize) {
            return true;
        }
        let mut domains: BTreeMap<u16, usize> = BTreeMap::new();
        for entry in self.membership.members().agents() {
            if entry.state() != MemberState::Left && entry.head.domain != 0 {
                *domains.entry(entry.head.domain).or_default() += 1;
            }
        }
        let mut sizes: Vec<usize> = domains.into_values().collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        deaths <= sizes.iter().take(usize::from(head.brake_domains)).sum()
    }
}

pub(super) const fn plain_head(
    place: Place,
    subject: Subject,
    incarnation: Incarnation,
    kind: EventKind,
    severity: u8,
) -> EventHead {
    EventHead {
        seq: 0,
        time_ns: place.now_ns,
        subject,
        view: place.view(),
        domains: 0,
        incarnation,
        kind,
        reporters: 0,
        count: 1,
        severity,
        settled: 0,
        reserved: [0; 6],
    }
}

fn event_head(place: Place, record: &Record<'_>) -> EventHead {
    let head = &record.head;
    EventHead {
        domains: head.domains,
        reporters: head.reporters,
        count: head.count.max(1),
        ..plain_head(place, head.subject, head.incarnation, head.kind, head.severity.min(3))
    }
}

/// The grounds of what nobody is set to observe: the first who reported it.
fn reporters(record: &Record<'_>) -> Grounds {
    let slots: BTreeSet<Slot> = record.contributors.iter().map(|id| id.slot).collect();
    let observers: Vec<SlotItem> =
        slots.into_iter().take(OBSERVERS_MAX).map(|slot| SlotItem { slot }).collect();
    let reported = (1 << observers.len()) - 1;
    Grounds { head: EvidenceHead { reported, ..evidence(record) }, observers }
}

const fn evidence(record: &Record<'_>) -> EvidenceHead {
    let head = &record.head;
    EvidenceHead {
        seq: 0,
        first_ns: head.first_ns,
        last_ns: head.last_ns,
        heard_ago_us: head.heard_ago_us,
        score_x16: head.score_x16,
        needed_x16: head.needed_x16,
        reported: head.observers,
        probes: head.probes,
        homes_silent: head.homes_silent,
        health_max: head.health_max,
        reserved: [0; 5],
    }
}

fn kind_name(kind: EventKind, given: &str) -> String {
    match kind.builtin_name() {
        Some(name) => name.to_owned(),
        None if given.is_empty() => format!("kind-{:08x}", kind.0),
        None => given.to_owned(),
    }
}
