//! Reports of everybody: equal ones become one record.
//!
//! A **case** gathers reports of one (subject, incarnation, kind) for a few milliseconds, names up to
//! sixteen of them, and goes up when the threshold of its kind is met; a seventeenth report opens
//! another case. A case is kept until the station has answered, and then every reporter in it is
//! told. Whoever repeats a report meanwhile is recognised.

use crate::policy::{Policies, Support};
use crate::uplink::batch::{Batches, Tag};
use crate::world::bit;
use alloc::string::String;
use alloc::vec::Vec;
use syncom_seam::bounded::BoundedMap;
use syncom_seam::{Counter, MS, Now, Outbox, SECOND, Time};
use syncom_wire::ids::mix;
use syncom_wire::limits::CONTRIBUTORS_MAX;
use syncom_wire::report::{AckItem, EventKind, Report, ReportAck, ReportId};
use syncom_wire::uplink::{ItemResult, Record, RecordHead};
use syncom_wire::{Addr, Incarnation, List, Slot, Subject};

/// How long equal reports are gathered, in ns.
const GATHER_NS: u64 = 5 * MS;

const NOBODY: ReportId = ReportId { slot: Slot::NONE, incarnation: Incarnation(0), seq: 0 };

/// Equal reports on their way up together.
#[derive(Clone, Debug)]
struct Case {
    key: u64,
    /// The older case of the same key.
    next: Option<u32>,
    subject: Subject,
    incarnation: Incarnation,
    kind: EventKind,
    contributors: [ReportId; CONTRIBUTORS_MAX],
    addrs: [Addr; CONTRIBUTORS_MAX],
    len: usize,
    domains: u64,
    count: u32,
    severity: u8,
    health_max: u8,
    first: Time,
    last: Time,
    first_wall_ns: u64,
    last_wall_ns: u64,
    /// In a batch, or waiting for one.
    is_sent: bool,
    is_live: bool,
    subject_name: String,
    kind_name: String,
    detail: String,
}

impl Case {
    fn ids(&self) -> &[ReportId] {
        self.contributors.get(..self.len).unwrap_or(&[])
    }

    fn is_full(&self) -> bool {
        self.len == CONTRIBUTORS_MAX
    }

    /// Tells every contributor what became of its report.
    fn acknowledge<O: Outbox>(&self, level: u8, event: u64, out: &mut O) {
        for (id, addr) in self.ids().iter().zip(&self.addrs) {
            acknowledge(*addr, *id, level, event, out);
        }
    }
}

/// Tells one reporter what became of its report.
pub(crate) fn acknowledge<O: Outbox>(to: Addr, id: ReportId, level: u8, event: u64, out: &mut O) {
    let item = [AckItem { seq: id.seq, event, level, reserved: [0; 7] }];
    out.send(to, &ReportAck { incarnation: id.incarnation, items: List::new(&item) });
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Combiner {
    /// Newest case of each key.
    heads: BoundedMap<u32>,
    cases: Vec<Case>,
    free: Vec<u32>,
    capacity: usize,
    /// When the last record of a key went up.
    recent: BoundedMap<Time>,
}

fn key(subject: Subject, incarnation: Incarnation, kind: EventKind) -> u64 {
    mix(mix(subject.0) ^ (u64::from(incarnation.0) << 32 | u64::from(kind.0)))
}

impl Combiner {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            heads: BoundedMap::new(capacity),
            cases: Vec::new(),
            free: Vec::with_capacity(capacity),
            capacity,
            recent: BoundedMap::new(capacity),
        }
    }

    /// Whether a case waits to go up.
    pub(crate) fn is_busy(&self) -> bool {
        self.free.len() < self.cases.len()
    }

    /// Takes a report and says so to its reporter.
    pub(crate) fn on_report<O: Outbox>(
        &mut self,
        now: Now,
        from: Addr,
        report: &Report<'_>,
        out: &mut O,
    ) {
        let head = &report.head;
        let key = key(head.subject, head.incarnation, head.kind);
        if let Some((at, place)) = self.find(key, head.id) {
            self.cases[at as usize].addrs[place] = from;
            out.count(Counter::UplinkDuplicates, 1);
            acknowledge(from, head.id, ReportAck::RECEIVED, 0, out);
            return;
        }
        let Some(case) = self.gathering(now, key, report) else {
            out.count(Counter::UplinkShed, 1);
            acknowledge(from, head.id, ReportAck::BUSY, 0, out);
            return;
        };
        case.contributors[case.len] = head.id;
        case.addrs[case.len] = from;
        case.len += 1;
        case.domains |= bit(head.domain);
        case.count = case.count.saturating_add(head.count.max(1));
        case.severity = case.severity.max(head.severity);
        case.health_max = case.health_max.max(head.health);
        (case.last, case.last_wall_ns) = (now.at, now.wall.0);
        acknowledge(from, head.id, ReportAck::RECEIVED, 0, out);
    }

    /// Cases of a key, newest first.
    fn chain(&self, key: u64) -> impl Iterator<Item = (u32, &Case)> {
        let mut at = self.heads.get(key).copied();
        core::iter::from_fn(move || {
            let here = at?;
            let case = self.cases.get(here as usize)?;
            at = case.next;
            Some((here, case))
        })
    }

    fn find(&self, key: u64, id: ReportId) -> Option<(u32, usize)> {
        self.chain(key).find_map(|(at, case)| {
            case.ids().iter().position(|held| *held == id).map(|place| (at, place))
        })
    }

    /// The case that takes the next report of a key; `None` when there is no room for a new one.
    fn gathering(&mut self, now: Now, key: u64, report: &Report<'_>) -> Option<&mut Case> {
        let head = self.heads.get(key).copied();
        if let Some(at) = head
            && self.cases.get(at as usize).is_some_and(|case| !case.is_sent && !case.is_full())
        {
            return self.cases.get_mut(at as usize);
        }
        if head.is_none() && self.heads.is_full() {
            return None;
        }
        let at = self.take_cell()?;
        self.heads.insert(key, at).ok()?;
        let case = self.cases.get_mut(at as usize)?;
        case.key = key;
        case.next = head;
        case.subject = report.head.subject;
        case.incarnation = report.head.incarnation;
        case.kind = report.head.kind;
        (case.len, case.domains, case.count) = (0, 0, 0);
        (case.severity, case.health_max) = (0, 0);
        (case.first, case.first_wall_ns) = (now.at, now.wall.0);
        (case.is_sent, case.is_live) = (false, true);
        for (held, said) in [
            (&mut case.subject_name, report.subject),
            (&mut case.kind_name, report.kind),
            (&mut case.detail, report.detail),
        ] {
            held.clear();
            held.push_str(said);
        }
        Some(case)
    }

    fn take_cell(&mut self) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            return Some(at);
        }
        if self.cases.len() >= self.capacity {
            return None;
        }
        let at = u32::try_from(self.cases.len()).ok()?;
        self.cases.push(Case {
            key: 0,
            next: None,
            subject: Subject(0),
            incarnation: Incarnation(0),
            kind: EventKind(0),
            contributors: [NOBODY; CONTRIBUTORS_MAX],
            addrs: [Addr::NONE; CONTRIBUTORS_MAX],
            len: 0,
            domains: 0,
            count: 0,
            severity: 0,
            health_max: 0,
            first: Time(0),
            last: Time(0),
            first_wall_ns: 0,
            last_wall_ns: 0,
            is_sent: false,
            is_live: false,
            subject_name: String::new(),
            kind_name: String::new(),
            detail: String::new(),
        });
        Some(at)
    }

    fn release(&mut self, at: u32) {
        let Some(case) = self.cases.get_mut(at as usize).filter(|case| case.is_live) else {
            return;
        };
        case.is_live = false;
        let (key, next) = (case.key, case.next);
        self.free.push(at);
        if self.heads.get(key) == Some(&at) {
            match next {
                // The key has a cell in the table, so this cannot be refused.
                Some(next) => drop(self.heads.insert(key, next)),
                None => drop(self.heads.remove(key)),
            }
            return;
        }
        let newer = self.chain(key).find(|(_, case)| case.next == Some(at)).map(|(newer, _)| newer);
        if let Some(case) = newer.and_then(|newer| self.cases.get_mut(newer as usize)) {
            case.next = next;
        }
    }

    /// What the cases of a key say together that still wait.
    fn support(&self, key: u64, population: (usize, u64)) -> Support {
        let mut support = Support {
            population: population.0,
            population_domains: population.1,
            ..Support::default()
        };
        for (at, case) in self.chain(key).filter(|(_, case)| !case.is_sent) {
            support.domains |= case.domains;
            for (place, id) in case.ids().iter().enumerate() {
                let before = case.ids().iter().take(place).any(|other| other.slot == id.slot);
                let older = self
                    .chain(key)
                    .skip_while(|(other, _)| *other != at)
                    .skip(1)
                    .filter(|(_, other)| !other.is_sent)
                    .any(|(_, other)| other.ids().iter().any(|one| one.slot == id.slot));
                support.distinct += u32::from(!before && !older);
            }
        }
        support
    }

    /// Sends up what is gathered and believed; drops what stayed below its threshold.
    /// `population` is how many nodes are present, and a bit per failure domain of theirs.
    pub(crate) fn on_tick<O: Outbox>(
        &mut self,
        now: Time,
        policies: &Policies,
        population: (usize, u64),
        batches: &mut Batches,
        out: &mut O,
    ) {
        for at in 0..self.cases.len() {
            let case = &self.cases[at];
            let is_gathered = now.since(case.first) >= GATHER_NS || case.is_full();
            if !case.is_live || case.is_sent || !is_gathered {
                continue;
            }
            let policy = policies.of(case.kind);
            let age_ns = self.recent.get(case.key).map(|sent| now.since(*sent));
            if age_ns.is_some_and(|age_ns| age_ns < policy.spacing_ns()) && !case.is_full() {
                continue;
            }
            // What is believed already stays believed for a window: later reporters join it.
            let is_believed = age_ns.is_some_and(|age_ns| age_ns < policy.window_ns)
                || policy.is_met(&self.support(case.key, population));
            if is_believed {
                self.send(now, at, batches, out);
            } else if now.since(case.first) >= policy.window_ns {
                out.count(Counter::UplinkNoise, 1);
                case.acknowledge(ReportAck::COMMITTED, 0, out);
                self.release(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    fn send<O: Outbox>(&mut self, now: Time, at: usize, batches: &mut Batches, out: &mut O) {
        let Some(case) = self.cases.get_mut(at) else { return };
        let head = RecordHead {
            domains: case.domains,
            first_ns: case.first_wall_ns,
            last_ns: case.last_wall_ns,
            reporters: u32::try_from(case.len).unwrap_or(u32::MAX),
            count: case.count,
            health_max: case.health_max,
            severity: case.severity,
            ..RecordHead::new(case.subject, case.incarnation, case.kind)
        };
        let record = Record {
            head,
            contributors: List::new(case.ids()),
            subject: &case.subject_name,
            kind: &case.kind_name,
            detail: &case.detail,
        };
        let tag = Tag::Combined(u32::try_from(at).unwrap_or(u32::MAX));
        if batches.push(now, &record, tag).is_err() {
            return;
        }
        out.count(Counter::UplinkRecords, 1);
        case.is_sent = true;
        let key = case.key;
        // Without room the pace of this key is not kept for once, and nothing else suffers.
        let _ = self.recent.insert(key, now);
    }

    /// The station's word on a case: tells its reporters and forgets it.
    pub(crate) fn on_result<O: Outbox>(&mut self, at: u32, result: &ItemResult, out: &mut O) {
        let is_ours = |case: &&Case| case.is_live && case.is_sent;
        let Some(case) = self.cases.get(at as usize).filter(is_ours) else { return };
        let level = match result.code {
            ItemResult::BUSY => ReportAck::BUSY,
            // Done, known, or refused for good: no reporter need repeat it.
            _ => ReportAck::COMMITTED,
        };
        case.acknowledge(level, result.event, out);
        self.release(at);
    }

    /// Forgets paces of keys that were quiet for long.
    pub(crate) fn sweep(&mut self, now: Time) {
        loop {
            let mut old = self.recent.iter().filter(|(_, sent)| now.since(**sent) > 10 * SECOND);
            let Some(key) = old.next().map(|(key, _)| key) else { return };
            drop(old);
            self.recent.remove(key);
        }
    }
}
