//! Taking reports in, a burst at a time.
//!
//! Of each report three places are asked: who reports (its window tells a repetition), which thing it
//! is about, and that thing's newest case. In a large table each is far away, and one after the other
//! would wait for memory three times. So sixteen reports at a time are asked where they lead, then all
//! of these places are looked at, and only then they are merged, one by one and in order: the result
//! is that of one at a time.

use super::{Held, Known, NONE, Stage, Thing, reporters};
use crate::world::bit;
use syncom_seam::Now;
use syncom_wire::limits::CONTRIBUTORS_MAX;
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Addr, Incarnation, Slot, Subject};

/// Reports that are looked at together.
const GROUP: usize = 16;

/// A report, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Where an answer goes.
    pub from: Addr,
    /// What was said.
    pub report: Report<'a>,
}

const NO_ARRIVAL: Arrival<'static> = Arrival {
    from: Addr::NONE,
    report: Report {
        head: ReportHead {
            id: ReportId { slot: Slot::NONE, incarnation: Incarnation(0), seq: 0 },
            subject: Subject(0),
            incarnation: Incarnation(0),
            kind: EventKind(0),
            heard_ago_us: 0,
            domain: 0,
            flags: 0,
            neighbours: 0,
            health: 0,
            severity: 0,
            reserved: 0,
            count: 0,
        },
        subject: "",
        kind: "",
        detail: "",
    },
};

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in a case now.
    Kept,
    /// It was in one already.
    Repeated,
    /// There is no room for another case; its reporter must come again.
    NoRoom,
}

impl Known {
    /// Takes reports in, in order, and hands each on with what became of it.
    pub fn absorb_all<'a>(
        &mut self,
        now: Now,
        mut arrivals: impl Iterator<Item = Arrival<'a>>,
        mut each: impl FnMut(&Arrival<'a>, Taken),
    ) {
        let mut group = [NO_ARRIVAL; GROUP];
        loop {
            let mut len = 0;
            for (cell, arrival) in group.iter_mut().zip(arrivals.by_ref()) {
                *cell = arrival;
                len += 1;
            }
            let group = &group[..len];
            self.approach(group);
            for arrival in group {
                let taken = self.absorb(now, arrival);
                each(arrival, taken);
            }
            if len < GROUP {
                return;
            }
        }
    }

    /// Looks at every place that a group will need, all at once.
    #[inline]
    fn approach(&self, group: &[Arrival<'_>]) {
        let mut seen = 0;
        for arrival in group {
            let id = &arrival.report.head.id;
            if !self.reporters.is_latest(id) {
                seen ^= self.reporters.touch(reporters::hash(id));
            }
        }
        core::hint::black_box(seen);
    }

    /// Takes one report in.
    #[inline]
    pub fn absorb(&mut self, now: Now, arrival: &Arrival<'_>) -> Taken {
        let (from, head) = (arrival.from, &arrival.report.head);
        let mut held = Held::No;
        if let Some(reporter) = self.reporters.get_mut(&head.id) {
            held = reporter.holds(head.id.seq);
            if held == Held::Yes {
                reporter.addr = from;
                return Taken::Repeated;
            }
        }
        self.absorb_new(now, arrival, held)
    }

    fn absorb_new(&mut self, now: Now, arrival: &Arrival<'_>, held: Held) -> Taken {
        let (from, report) = (arrival.from, &arrival.report);
        let head = &report.head;
        let thing = Thing::of(head);
        let hash = thing.hash();
        let newest = self.newest(hash, &thing).unwrap_or(NONE);
        if held == Held::Unknown && self.names(newest, &head.id) {
            if let Some(reporter) = self.reporters.get_mut(&head.id) {
                reporter.addr = from;
            }
            return Taken::Repeated;
        }
        let takes_more = |at: u32| {
            let fact = self.facts.get(at as usize)?;
            let is_it = fact.stage == Stage::Waiting && usize::from(fact.len) < CONTRIBUTORS_MAX;
            is_it.then_some(at)
        };
        let Some(at) = takes_more(newest).or_else(|| self.open(now, hash, newest, report)) else {
            return Taken::NoRoom;
        };
        let (Some(fact), Some(ids)) =
            (self.facts.get_mut(at as usize), self.named.get_mut(at as usize))
        else {
            return Taken::NoRoom;
        };
        if let Some(id) = ids.get_mut(usize::from(fact.len)) {
            *id = head.id;
            fact.len += 1;
        }
        fact.domains |= bit(head.domain);
        fact.count = fact.count.saturating_add(head.count.max(1));
        fact.severity = fact.severity.max(head.severity);
        fact.health_max = fact.health_max.max(head.health);
        (fact.last, fact.last_wall_ns) = (now.at, now.wall.0);
        self.reporters.note(&head.id, from);
        Taken::Kept
    }
}
