//! What is known of the things that were reported, until the station has answered.
//!
//! A **case** gathers reports of one thing (subject, incarnation, kind), names up to sixteen of them,
//! and goes up when the threshold of its kind is met; a seventeenth report opens another case. A case
//! is kept until the station has answered. Whoever repeats a report meanwhile is recognised.
//!
//! Nothing that is held makes room for anything else: when there is none, a report is refused and its
//! reporter comes again.
//!
//! What reports change lies together in one or two cache lines per case ([`Fact`]); who reported and
//! names lie elsewhere and are touched for what is new only. Reports are taken in by bursts
//! ([`absorb`]): each is in a few places that a burst looks at before it needs them.

mod absorb;
mod index;
mod reporters;
mod threshold;

#[cfg(test)]
mod tests;

pub use absorb::{Said, Taken};
pub use threshold::Due;

use alloc::string::String;
use alloc::vec::Vec;
use index::Index;
use reporters::{Held, Reporters};
use syncom_seam::bounded::BoundedMap;
use syncom_seam::{Now, Time};
use syncom_wire::ids::mix;
use syncom_wire::limits::CONTRIBUTORS_MAX;
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::uplink::{Record, RecordHead};
use syncom_wire::{Addr, Incarnation, List, Slot, Subject};

const NOBODY: ReportId = ReportId { slot: Slot::NONE, incarnation: Incarnation(0), seq: 0 };
/// No case.
const NONE: u32 = u32::MAX;

/// What reports are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thing {
    subject: Subject,
    incarnation: Incarnation,
    kind: EventKind,
}

impl Thing {
    #[inline]
    const fn of(head: &ReportHead) -> Self {
        Self { subject: head.subject, incarnation: head.incarnation, kind: head.kind }
    }

    #[inline]
    const fn hash(&self) -> u64 {
        let life = (self.incarnation.0 as u64) << 32 | self.kind.0 as u64;
        mix(self.subject.0 ^ mix(life))
    }
}

/// Equal reports on their way up together: what they say in sum.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Fact {
    thing: Thing,
    count: u32,
    len: u8,
    severity: u8,
    health_max: u8,
    stage: Stage,
    domains: u64,
    last: Time,
    last_wall_ns: u64,
    /// The older case of the same thing, and the newer one.
    older: u32,
    newer: u32,
    first: Time,
    first_wall_ns: u64,
}

/// How far a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No case: its cell is free.
    Free,
    /// Gathered, or not believed yet.
    Waiting,
    /// In a batch.
    Sent,
}

/// The words of the first report of a case.
#[derive(Clone, Debug, Default)]
struct Words {
    subject: String,
    kind: String,
    detail: String,
}

/// A case as others see it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    fact: &'a Fact,
    ids: &'a [ReportId],
    words: &'a Words,
}

impl<'a> Case<'a> {
    /// The reports in it, at most [`CONTRIBUTORS_MAX`].
    #[must_use]
    pub const fn ids(&self) -> &'a [ReportId] {
        self.ids
    }

    /// The record that goes up.
    #[must_use]
    pub fn record(&self) -> Record<'a> {
        let Fact { thing, .. } = *self.fact;
        let head = RecordHead {
            domains: self.fact.domains,
            first_ns: self.fact.first_wall_ns,
            last_ns: self.fact.last_wall_ns,
            reporters: u32::from(self.fact.len),
            count: self.fact.count,
            health_max: self.fact.health_max,
            severity: self.fact.severity,
            ..RecordHead::new(thing.subject, thing.incarnation, thing.kind)
        };
        let Words { subject, kind, detail } = self.words;
        Record { head, contributors: List::new(self.ids), subject, kind, detail }
    }
}

/// The last record of a thing.
#[derive(Clone, Copy, Debug)]
struct Recent {
    sent: Time,
    /// The event that the station told; 0 for none yet.
    event: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Known {
    /// Newest case of each thing.
    things: Index,
    facts: Vec<Fact>,
    named: Vec<[ReportId; CONTRIBUTORS_MAX]>,
    words: Vec<Words>,
    free: Vec<u32>,
    capacity: usize,
    reporters: Reporters,
    /// Cases that were not sent yet, oldest first.
    waiting: Vec<u32>,
    /// What went up of a thing last, by its hash.
    recent: BoundedMap<Recent>,
    /// Room to note what is forgotten.
    old: Vec<u64>,
}

impl Known {
    /// Room for `capacity` cases; most memory is taken as it is needed.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            things: Index::new(),
            facts: Vec::new(),
            named: Vec::new(),
            words: Vec::new(),
            free: Vec::with_capacity(capacity),
            capacity,
            reporters: Reporters::new(),
            waiting: Vec::with_capacity(capacity),
            recent: BoundedMap::new(capacity),
            old: Vec::new(),
        }
    }

    /// How many cases are held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.facts.len() - self.free.len()
    }

    /// Whether no case is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The case in a cell, if there is one.
    #[must_use]
    pub fn case(&self, at: u32) -> Option<Case<'_>> {
        let fact = self.facts.get(at as usize).filter(|fact| fact.stage != Stage::Free)?;
        let ids = self.named.get(at as usize)?.get(..usize::from(fact.len))?;
        Some(Case { fact, ids, words: self.words.get(at as usize)? })
    }

    /// Whether the case in a cell is under way to the station.
    #[must_use]
    pub fn is_sent(&self, at: u32) -> bool {
        self.facts.get(at as usize).is_some_and(|fact| fact.stage == Stage::Sent)
    }

    /// Where a reporter with reports under way was heard from last.
    #[must_use]
    pub fn addr(&self, id: &ReportId) -> Option<Addr> {
        self.reporters.addr(id)
    }

    #[inline]
    fn newest(&self, hash: u64, thing: &Thing) -> Option<u32> {
        self.things.find(hash, |at| self.facts[at as usize].thing == *thing)
    }

    /// Cases of a thing, newest first.
    fn chain(&self, newest: u32) -> impl Iterator<Item = (u32, &Fact)> {
        let mut at = newest;
        core::iter::from_fn(move || {
            let here = at;
            let fact = self.facts.get(here as usize)?;
            at = fact.older;
            Some((here, fact))
        })
    }

    fn ids(&self, at: u32) -> &[ReportId] {
        let len = self.facts.get(at as usize).map_or(0, |fact| usize::from(fact.len));
        self.named.get(at as usize).and_then(|ids| ids.get(..len)).unwrap_or(&[])
    }

    /// Whether a case of the thing names this report. Walks all of them.
    fn names(&self, newest: u32, id: &ReportId) -> bool {
        self.chain(newest).any(|(at, _)| self.ids(at).contains(id))
    }

    /// Opens a case with a report's words; `None` when there is no room.
    fn open(&mut self, now: Now, hash: u64, newest: u32, report: &Report<'_>) -> Option<u32> {
        let at = self.take_cell()?;
        let fact = self.facts.get_mut(at as usize)?;
        *fact = Fact {
            thing: Thing::of(&report.head),
            older: newest,
            stage: Stage::Waiting,
            first: now.at,
            first_wall_ns: now.wall.0,
            ..FREE
        };
        let words = self.words.get_mut(at as usize)?;
        for (held, said) in [
            (&mut words.subject, report.subject),
            (&mut words.kind, report.kind),
            (&mut words.detail, report.detail),
        ] {
            held.clear();
            held.push_str(said);
        }
        match self.facts.get_mut(newest as usize) {
            Some(older) => {
                older.newer = at;
                self.things.replace(hash, newest, at);
            }
            None => self.things.insert(hash, at),
        }
        self.waiting.push(at);
        Some(at)
    }

    fn take_cell(&mut self) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            return Some(at);
        }
        if self.facts.len() >= self.capacity {
            return None;
        }
        let at = u32::try_from(self.facts.len()).ok()?;
        self.facts.push(FREE);
        self.named.push([NOBODY; CONTRIBUTORS_MAX]);
        self.words.push(Words::default());
        Some(at)
    }

    /// Forgets a case. With the `event` that the station told, its reports are over; without one (0) they
    /// may come again.
    pub fn release(&mut self, at: u32, event: u64) {
        let Some(fact) = self.facts.get_mut(at as usize) else { return };
        if fact.stage == Stage::Free {
            return;
        }
        let was_waiting = fact.stage == Stage::Waiting;
        let Fact { thing, older, newer, len, .. } = *fact;
        fact.stage = Stage::Free;
        let ids = self.named.get(at as usize).and_then(|ids| ids.get(..usize::from(len)));
        for id in ids.unwrap_or(&[]) {
            self.reporters.forget(id, event > 0);
        }
        if event > 0
            && let Some(recent) = self.recent.get_mut(thing.hash())
        {
            recent.event = event;
        }
        if let Some(older) = self.facts.get_mut(older as usize) {
            older.newer = newer;
        }
        match self.facts.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None if older == NONE => self.things.remove(thing.hash(), at),
            None => self.things.replace(thing.hash(), at, older),
        }
        if was_waiting {
            self.waiting.retain(|other| *other != at);
        }
        self.free.push(at);
    }
}

const FREE: Fact = Fact {
    thing: Thing { subject: Subject(0), incarnation: Incarnation(0), kind: EventKind(0) },
    count: 0,
    len: 0,
    severity: 0,
    health_max: 0,
    stage: Stage::Free,
    domains: 0,
    last: Time(0),
    last_wall_ns: 0,
    older: NONE,
    newer: NONE,
    first: Time(0),
    first_wall_ns: 0,
};
