//! A burst at a time against one report at a time in the plainest way.

use super::{Due, Known, Said, Taken};
use crate::policy::{Policies, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;
use syncom_seam::{MS, Now, Rng, SECOND, Time, WallTime};
use syncom_wire::limits::CONTRIBUTORS_MAX;
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Addr, Incarnation, Slot, Subject};

const CAPACITY: usize = 24;

/// A report, and where it came from.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    from: Addr,
    report: Report<'a>,
}

impl<'a> Said<'a> for Arrival<'a> {
    fn id(&self) -> ReportId {
        self.report.head.id
    }

    fn from(&self) -> Addr {
        self.from
    }

    fn report(&self) -> Option<Report<'a>> {
        Some(self.report)
    }
}

type Key = (Subject, Incarnation, EventKind);

/// Equal reports, as a list.
#[derive(Clone, Debug)]
struct Pile {
    key: Key,
    reports: Vec<(ReportId, ReportHead)>,
    words: [String; 3],
    first: Now,
    last: Now,
    is_sent: bool,
}

/// What is known, as a list of piles, oldest first. Every question walks all of them.
#[derive(Debug, Default)]
struct Model {
    piles: Vec<Pile>,
    addrs: BTreeMap<(Slot, Incarnation), Addr>,
    /// The highest number of each, and which reports are over.
    highs: BTreeMap<(Slot, Incarnation), u64>,
    events: BTreeMap<Key, u64>,
    over: BTreeSet<(Slot, Incarnation, u64)>,
    recent: BTreeMap<Key, Time>,
}

const fn key(head: &ReportHead) -> Key {
    (head.subject, head.incarnation, head.kind)
}

const fn whole(id: &ReportId) -> (Slot, Incarnation, u64) {
    (id.slot, id.incarnation, id.seq)
}

impl Model {
    fn absorb(&mut self, now: Now, arrival: &Arrival<'_>) -> Taken {
        let Report { head, subject, kind, detail } = arrival.report;
        let who = (head.id.slot, head.id.incarnation);
        if self.piles.iter().any(|pile| pile.reports.iter().any(|(id, _)| *id == head.id)) {
            self.addrs.insert(who, arrival.from);
            return Taken::Repeated;
        }
        let high = self.highs.entry(who).or_default();
        if self.over.contains(&whole(&head.id))
            && *high - head.id.seq < 64
            && let Some(event) = self.events.get(&key(&head))
        {
            self.addrs.insert(who, arrival.from);
            return Taken::Over(*event);
        }
        let newest = self.piles.iter().rposition(|pile| pile.key == key(&head));
        let takes = |pile: &Pile| !pile.is_sent && pile.reports.len() < CONTRIBUTORS_MAX;
        let at = match newest.filter(|at| takes(&self.piles[*at])) {
            Some(at) => at,
            None if self.piles.len() == CAPACITY => return Taken::NoRoom,
            None => {
                self.piles.push(Pile {
                    key: key(&head),
                    reports: Vec::new(),
                    words: [subject, kind, detail].map(String::from),
                    first: now,
                    last: now,
                    is_sent: false,
                });
                self.piles.len() - 1
            }
        };
        let high = self.highs.entry(who).or_default();
        *high = head.id.seq.max(*high);
        self.piles[at].reports.push((head.id, head));
        self.piles[at].last = now;
        self.addrs.insert(who, arrival.from);
        Taken::Kept
    }

    /// What goes up and what is noise now.
    fn due(&mut self, now: Time, policies: &Policies, is_open: bool) -> Vec<(Due, Pile)> {
        let mut found = Vec::new();
        for at in 0..self.piles.len() {
            let pile = self.piles[at].clone();
            let policy = policies.of(pile.key.2);
            let is_full = pile.reports.len() == CONTRIBUTORS_MAX;
            let age_ns = self.recent.get(&pile.key).map(|sent| now.since(*sent));
            if pile.is_sent
                || !is_full && now.since(pile.first.at) < 5 * MS
                || !is_full && age_ns.is_some_and(|age| age < policy.spacing_ns())
            {
                continue;
            }
            let waiting = self.piles.iter().filter(|one| one.key == pile.key && !one.is_sent);
            let slots: BTreeSet<Slot> =
                waiting.flat_map(|one| one.reports.iter().map(|(id, _)| id.slot)).collect();
            let is_believed = age_ns.is_some_and(|age| age < policy.window_ns)
                || slots.len() >= policy.min_distinct as usize;
            if is_believed && is_open {
                self.piles[at].is_sent = true;
                self.recent.insert(pile.key, now);
                found.push((Due::Up, pile));
            } else if !is_believed && now.since(pile.first.at) >= policy.window_ns {
                // Taken from the list at the end, and no part of what others amount to.
                self.piles[at].is_sent = true;
                found.push((Due::Noise, pile));
            }
        }
        for (due, pile) in &found {
            if *due == Due::Noise {
                self.piles.retain(|one| one.reports != pile.reports);
            }
        }
        found
    }
}

fn report(rng: &mut Rng) -> (Addr, ReportHead, String) {
    let slot = u32::try_from(rng.below(12)).unwrap();
    // Numbers go on slowly, so that repeated ones are common, and jump at times.
    let seq = if rng.chance(1, 40) { rng.below(2_000) } else { 1 + rng.below(30) };
    // What a reporter said under a number, it says again.
    let about = syncom_wire::ids::mix(u64::from(slot) << 32 | seq);
    let head = ReportHead {
        id: ReportId { slot: Slot(slot), incarnation: Incarnation(u32::from(slot == 3)), seq },
        subject: Subject(about % 5),
        incarnation: Incarnation(0),
        kind: EventKind::named(if about >> 8 & 1 == 0 { "hot" } else { "wet" }),
        heard_ago_us: 0,
        domain: u16::try_from(about >> 16 & 0x7F).unwrap(),
        flags: 0,
        neighbours: 0,
        health: u8::try_from(about >> 24 & 7).unwrap(),
        severity: u8::try_from(about >> 32 & 3).unwrap(),
        reserved: 0,
        count: u32::try_from(about >> 40 & 3).unwrap(),
    };
    let port = u16::try_from(1 + rng.below(3)).unwrap();
    (Addr::v4([10, 0, 0, u8::try_from(slot).unwrap()], port), head, std::format!("said {about:x}"))
}

fn same(known: &super::Case<'_>, pile: &Pile) {
    let ids: Vec<ReportId> = pile.reports.iter().map(|(id, _)| *id).collect();
    assert_eq!(known.ids(), ids);
    let record = known.record();
    let heads = || pile.reports.iter().map(|(_, head)| head);
    assert_eq!((record.head.subject, record.head.incarnation, record.head.kind), pile.key);
    assert_eq!(record.head.reporters as usize, ids.len());
    assert_eq!(record.head.count, heads().map(|head| head.count.max(1)).sum::<u32>());
    assert_eq!(record.head.severity, heads().map(|head| head.severity).max().unwrap());
    assert_eq!(record.head.health_max, heads().map(|head| head.health).max().unwrap());
    let domains = heads().fold(0, |all, head| all | 1_u64 << (head.domain % 64));
    assert_eq!(record.head.domains, domains);
    assert_eq!(record.head.first_ns, pile.first.wall.0);
    assert_eq!(record.head.last_ns, pile.last.wall.0);
    assert_eq!([record.subject, record.kind, record.detail], pile.words.each_ref().map(|w| &**w));
}

/// One history: bursts, ticks and answers of the station.
fn live(seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let slow = Policy { min_distinct: 3, window_ns: 40 * MS, ..Policy::default() };
    let kinds = [(EventKind::named("wet"), slow)].into();
    let policies = Policies { default: Policy::default(), kinds };
    let (mut known, mut model) = (Known::new(CAPACITY), Model::default());
    let mut now = Now { at: Time(SECOND), wall: WallTime(77 * SECOND) };
    let (mut refused, mut over) = (0, 0);
    for _ in 0..300 {
        now.at = now.at.after(rng.below(12 * MS));
        now.wall = WallTime(now.wall.0 + rng.below(12 * MS));
        // At times more than a group.
        let most = if rng.chance(1, 30) { 600 } else { 50 };
        let burst: Vec<_> = (0..rng.below(most)).map(|_| report(&mut rng)).collect();
        let arrivals = burst.iter().map(|(from, head, detail)| Arrival {
            from: *from,
            report: Report { head: *head, subject: "it", kind: "", detail },
        });
        let mut taken = Vec::new();
        known.absorb_all(now, arrivals.clone(), |arrival, what| {
            taken.push((arrival.report.head.id, what));
        });
        let expected: Vec<_> =
            arrivals.map(|arrival| (arrival.report.head.id, model.absorb(now, &arrival))).collect();
        assert_eq!(taken, expected, "seed {seed}");
        refused += taken.iter().filter(|(_, what)| *what == Taken::NoRoom).count();
        over += taken.iter().filter(|(_, what)| matches!(what, Taken::Over(_))).count();

        let is_open = rng.chance(3, 4);
        let mut found = model.due(now.at, &policies, is_open).into_iter();
        known.due(now.at, &policies, (0, 0), |known, _, case, due| {
            if due == Due::Up && !is_open {
                return false;
            }
            let (expected, pile) = found.next().expect("the model has it, too");
            assert_eq!(due, expected, "seed {seed}");
            same(&case, &pile);
            for (id, _) in &pile.reports {
                assert_eq!(known.addr(id), model.addrs.get(&(id.slot, id.incarnation)).copied());
            }
            true
        });
        assert!(found.next().is_none(), "seed {seed}");
        for at in 0..u32::try_from(CAPACITY).unwrap() {
            if known.is_sent(at) && rng.chance(1, 3) {
                let ids = known.case(at).unwrap().ids().to_vec();
                model.piles.retain(|pile| pile.reports[0].0 != ids[0]);
                let event = if rng.chance(1, 2) { 1 + rng.below(1_000) } else { 0 };
                if event > 0 {
                    let head = known.case(at).unwrap().record().head;
                    let key = (head.subject, head.incarnation, head.kind);
                    if model.recent.contains_key(&key) {
                        model.events.insert(key, event);
                    }
                    model.over.extend(ids.iter().map(whole));
                }
                known.release(at, event);
            }
        }
        assert_eq!(known.len(), model.piles.len(), "seed {seed}");
        if rng.chance(1, 50) {
            now.at = now.at.after(11 * SECOND);
            known.sweep(now.at);
            model.recent.clear();
            model.events.clear();
        }
    }
    assert!(over > 0, "seed {seed}");
    refused as u64
}

#[test]
fn a_burst_does_what_its_reports_do_one_at_a_time() {
    let refused: u64 = (0..60).map(live).sum();
    assert!(refused > 0, "some history must meet a full table");
}
