//! Committed events: the history that people read, and the queue that the recovery manager works
//! off.
//!
//! Repetitions join the newest event of their key (subject, incarnation, kind) while it is not
//! settled or younger than [`JOIN_WINDOW_NS`]; that is what turns a storm into one event.

use crate::machine::command::{list, text};
use crate::machine::encoder::Encoder;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use syncom_seam::SECOND;
use syncom_seam::limits::{EVENTS_KEPT_MAX, QUEUE_MAX, QUEUE_RESERVED};
use syncom_wire::bytes::List;
use syncom_wire::event::{EventEntry, EventHead, Evidence, EvidenceHead, SlotItem};
use syncom_wire::limits::{DETAIL_MAX, KIND_MAX, NAME_MAX, OBSERVERS_MAX};
use syncom_wire::report::EventKind;
use syncom_wire::{Incarnation, Malformed, Reader, Subject};

/// A settled event older than this takes no further repetitions: the next one is news.
pub(crate) const JOIN_WINDOW_NS: u64 = 10 * SECOND;

/// Events kept at most: deaths and joins may still come while the oldest event waits.
const KEPT_MAX: usize = EVENTS_KEPT_MAX + QUEUE_RESERVED;

/// What makes two reports the same.
pub(crate) type Key = (Subject, Incarnation, EventKind);

/// Why an event was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grounds {
    pub(crate) head: EvidenceHead,
    pub(crate) observers: Vec<SlotItem>,
}

impl Grounds {
    pub(crate) fn as_frame(&self) -> Evidence<'_> {
        Evidence { head: self.head, observers: List::new(&self.observers) }
    }
}

/// A committed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) head: EventHead,
    pub(crate) subject: String,
    pub(crate) kind: String,
    pub(crate) detail: String,
    pub(crate) grounds: Option<Grounds>,
}

impl Event {
    pub(crate) const fn key(&self) -> Key {
        (self.head.subject, self.head.incarnation, self.head.kind)
    }

    pub(crate) fn as_frame(&self) -> EventEntry<'_> {
        EventEntry {
            head: self.head,
            subject: &self.subject,
            kind: &self.kind,
            detail: &self.detail,
        }
    }
}

/// The newest events, and which of them wait for the recovery manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    last: u64,
    kept: VecDeque<Event>,
    unsettled: BTreeSet<u64>,
    newest: BTreeMap<Key, u64>,
}

impl Events {
    /// Events since the cluster began.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Events that wait for the recovery manager, oldest first.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = &Event> {
        self.unsettled.iter().filter_map(|seq| self.get(*seq))
    }

    /// How many wait.
    pub(crate) fn queue_len(&self) -> usize {
        self.unsettled.len()
    }

    /// Whether an event of this kind finds room in the queue; a tenth is kept for deaths. There is
    /// none for others, either, while the oldest event kept still waits: it must not be forgotten.
    pub(crate) fn has_room(&self, kind: EventKind) -> bool {
        if kind != EventKind::DEAD && self.kept.len() >= EVENTS_KEPT_MAX && self.oldest_waits() {
            return false;
        }
        let reserved = if kind == EventKind::DEAD { 0 } else { QUEUE_RESERVED };
        self.unsettled.len() < QUEUE_MAX - reserved
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Event> {
        self.kept.get(self.place(seq)?)
    }

    /// Events from number `seq` on, oldest first.
    pub(crate) fn since(&self, seq: u64) -> impl Iterator<Item = &Event> {
        let at = self.kept.partition_point(|event| event.head.seq < seq);
        self.kept.range(at..)
    }

    /// The newest event about a subject of that name.
    pub(crate) fn newest_about(&self, subject: &str) -> Option<&Event> {
        self.kept.iter().rev().find(|event| event.subject == subject)
    }

    /// The newest event of a key.
    pub(crate) fn newest_of(&self, key: &Key) -> Option<&Event> {
        self.get(*self.newest.get(key)?)
    }

    /// The event that a repetition at `now_ns` joins, if there is one.
    pub(crate) fn open_for(&self, key: &Key, now_ns: u64) -> Option<u64> {
        let event = self.newest_of(key)?;
        let young = now_ns.saturating_sub(event.head.time_ns) < JOIN_WINDOW_NS;
        (young || event.head.settled == 0).then_some(event.head.seq)
    }

    /// Commits a new event and returns its number; `queued` says whether the recovery manager must
    /// deal with it.
    pub(crate) fn push(&mut self, mut event: Event, queued: bool) -> u64 {
        self.last += 1;
        event.head.seq = self.last;
        event.head.settled = u8::from(!queued);
        if let Some(grounds) = &mut event.grounds {
            grounds.head.seq = self.last;
        }
        if queued {
            self.unsettled.insert(self.last);
        }
        self.newest.insert(event.key(), self.last);
        while self.kept.len() >= EVENTS_KEPT_MAX
            && (!self.oldest_waits() || self.kept.len() >= KEPT_MAX)
        {
            self.drop_oldest();
        }
        self.kept.push_back(event);
        self.last
    }

    /// Adds a repetition to an event; `again` puts a settled one back into the queue.
    pub(crate) fn join(&mut self, seq: u64, reporters: u32, count: u32, domains: u64, again: bool) {
        let Some(at) = self.place(seq) else { return };
        let head = &mut self.kept[at].head;
        head.reporters = head.reporters.saturating_add(reporters);
        head.count = head.count.saturating_add(count);
        head.domains |= domains;
        if again {
            head.settled = 0;
            self.unsettled.insert(seq);
        }
    }

    /// The recovery manager has dealt with the event as it was when it had happened `count` times.
    pub(crate) fn settle(&mut self, seq: u64, count: u32) -> bool {
        let Some(at) = self.place(seq) else { return false };
        let head = &mut self.kept[at].head;
        if head.count != count && head.kind == EventKind::SERVICE {
            return false;
        }
        head.settled = 1;
        self.unsettled.remove(&seq)
    }

    fn place(&self, seq: u64) -> Option<usize> {
        let first = self.kept.front()?.head.seq;
        usize::try_from(seq.checked_sub(first)?).ok()
    }

    /// Whether the manager has not dealt with the oldest event kept.
    fn oldest_waits(&self) -> bool {
        self.kept.front().is_some_and(|event| event.head.settled == 0)
    }

    fn drop_oldest(&mut self) {
        let Some(event) = self.kept.pop_front() else { return };
        self.unsettled.remove(&event.head.seq);
        if self.newest.get(&event.key()) == Some(&event.head.seq) {
            self.newest.remove(&event.key());
        }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.last);
        out.count(self.kept.len());
        for event in &self.kept {
            out.fixed(&event.head);
            out.long(event.subject.as_bytes());
            out.long(event.kind.as_bytes());
            out.long(event.detail.as_bytes());
            out.field(u8::from(event.grounds.is_some()));
            if let Some(grounds) = &event.grounds {
                out.fixed(&grounds.head);
                out.count(grounds.observers.len());
                grounds.observers.iter().for_each(|slot| out.fixed(slot));
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let last = reader.field()?;
        let kept: VecDeque<Event> = list(reader, KEPT_MAX, decode_event)?.into();
        let first = kept.front().map_or(1, |event| event.head.seq);
        let mut events = Self { last, ..Self::default() };
        for (at, event) in kept.iter().enumerate() {
            if event.head.seq != first + at as u64 || event.head.seq > last {
                return Err(Malformed("events with a gap"));
            }
            events.newest.insert(event.key(), event.head.seq);
            if event.head.settled == 0 {
                events.unsettled.insert(event.head.seq);
            }
        }
        events.kept = kept;
        Ok(events)
    }
}

fn decode_event(reader: &mut Reader<'_>) -> Result<Event, Malformed> {
    Ok(Event {
        head: reader.fixed()?,
        subject: text(reader, NAME_MAX)?,
        kind: text(reader, KIND_MAX)?,
        detail: text(reader, DETAIL_MAX)?,
        grounds: match reader.field::<u8>()? {
            0 => None,
            _ => Some(Grounds {
                head: reader.fixed()?,
                observers: list(reader, OBSERVERS_MAX, Reader::fixed)?,
            }),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_wire::Fixed as _;

    fn event(number: u64) -> Event {
        let mut bytes = vec![0; EventHead::SIZE];
        bytes[0] = 1;
        let mut head: EventHead = Reader::new(&bytes).fixed().unwrap();
        (head.subject, head.kind) =
            (Subject::named(&number.to_string()), EventKind::named("smart"));
        let (subject, kind, detail) = (String::new(), String::new(), String::new());
        Event { head, subject, kind, detail, grounds: None }
    }

    #[test]
    fn an_event_that_waits_is_never_pushed_out_by_reports() {
        let mut events = Events::default();
        let waiting = events.push(event(0), true);
        for number in 1..EVENTS_KEPT_MAX as u64 {
            assert!(events.has_room(EventKind::named("smart")));
            events.push(event(number), false);
        }
        assert!(!events.has_room(EventKind::named("smart")) && events.has_room(EventKind::DEAD));
        for number in 0..QUEUE_RESERVED as u64 {
            events.push(event(1_000_000 + number), false);
        }
        assert!(events.get(waiting).is_some(), "deaths and joins push nothing out, either");
        events.settle(waiting, 0);
        assert!(events.has_room(EventKind::named("smart")));
        events.push(event(2_000_000), false);
        assert_eq!((events.get(waiting), events.kept.len()), (None, EVENTS_KEPT_MAX));
        let mut out = Encoder::default();
        events.encode(&mut out);
        assert_eq!(Events::decode(&mut Reader::new(&out.finish())).unwrap(), events);
    }
}
