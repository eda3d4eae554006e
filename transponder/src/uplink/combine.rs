//! Reports of everybody: equal ones become one record.
//!
//! [`Known`] holds them; here they are answered, put into batches, and told the station's word.

use crate::policy::Policies;
use crate::uplink::batch::{Batches, Tag};
use crate::uplink::known::{Case, Due, Known, Said, Taken};
use syncom_seam::{Counter, Now, Outbox, Time};
use syncom_wire::report::{AckItem, ReportAck, ReportId};
use syncom_wire::uplink::ItemResult;
use syncom_wire::{Addr, Incarnation, List};

/// Items of one acknowledgement to one reporter: as many as still share a datagram with others.
const ITEMS: usize = 24;

/// Tells one reporter what became of its report.
pub(crate) fn acknowledge<O: Outbox>(to: Addr, id: ReportId, level: u8, event: u64, out: &mut O) {
    let item = [AckItem { seq: id.seq, event, level, reserved: [0; 7] }];
    out.send(to, &ReportAck { incarnation: id.incarnation, items: List::new(&item) });
}

/// Answers to reports that came one after the other: those to one reporter are one frame.
struct Acks {
    to: Addr,
    incarnation: Incarnation,
    items: [AckItem; ITEMS],
    len: usize,
}

impl Acks {
    const fn new() -> Self {
        let nothing = AckItem { seq: 0, event: 0, level: 0, reserved: [0; 7] };
        Self { to: Addr::NONE, incarnation: Incarnation(0), items: [nothing; ITEMS], len: 0 }
    }

    fn push<O: Outbox>(&mut self, to: Addr, id: ReportId, word: (u8, u64), out: &mut O) {
        if self.len == ITEMS || (self.to, self.incarnation) != (to, id.incarnation) {
            self.send(out);
            (self.to, self.incarnation) = (to, id.incarnation);
        }
        if let Some(item) = self.items.get_mut(self.len) {
            (item.seq, (item.level, item.event)) = (id.seq, word);
            self.len += 1;
        }
    }

    fn send<O: Outbox>(&mut self, out: &mut O) {
        let items = self.items.get(..self.len).unwrap_or(&[]);
        if !items.is_empty() {
            out.send(
                self.to,
                &ReportAck { incarnation: self.incarnation, items: List::new(items) },
            );
        }
        self.len = 0;
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Combiner(Known);

impl Combiner {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Known::new(capacity))
    }

    /// Whether a case waits to go up, or for the station's word.
    pub(crate) const fn is_busy(&self) -> bool {
        !self.0.is_empty()
    }

    /// Takes one report and says so to its reporter.
    pub(crate) fn on_report<'a, O: Outbox>(&mut self, now: Now, said: &impl Said<'a>, out: &mut O) {
        let (counter, (level, event)) = answer(self.0.absorb(now, said));
        acknowledge(said.from(), said.id(), level, event, out);
        counter.into_iter().for_each(|counter| out.count(counter, 1));
    }

    /// Takes reports and says so to their reporters.
    pub(crate) fn on_reports<'a, O: Outbox>(
        &mut self,
        now: Now,
        reports: impl Iterator<Item = impl Said<'a>>,
        out: &mut O,
    ) {
        let mut acks = Acks::new();
        let mut counts = COUNTED.map(|counter| (counter, 0));
        self.0.absorb_all(now, reports, |said, taken| {
            let (counter, word) = answer(taken);
            for (counted, count) in &mut counts {
                *count += u64::from(counter == Some(*counted));
            }
            acks.push(said.from(), said.id(), word, out);
        });
        acks.send(out);
        for (counter, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            out.count(counter, count);
        }
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
        self.0.due(now, policies, population, |known, at, case, due| match due {
            Due::Up if batches.push(now, &case.record(), Tag::Combined(at)).is_err() => false,
            Due::Up => {
                out.count(Counter::UplinkRecords, 1);
                true
            }
            Due::Noise => {
                out.count(Counter::UplinkNoise, 1);
                tell(known, &case, ReportAck::COMMITTED, 0, out);
                true
            }
        });
    }

    /// The station's word on a case: tells its reporters and forgets it.
    pub(crate) fn on_result<O: Outbox>(&mut self, at: u32, result: &ItemResult, out: &mut O) {
        let Some(case) = self.0.case(at).filter(|_| self.0.is_sent(at)) else { return };
        let level = match result.code {
            ItemResult::BUSY => ReportAck::BUSY,
            // Done, known, or refused for good: no reporter need repeat it.
            _ => ReportAck::COMMITTED,
        };
        tell(&self.0, &case, level, result.event, out);
        let is_over = level == ReportAck::COMMITTED;
        self.0.release(at, if is_over { result.event } else { 0 });
    }

    /// Forgets paces of things that were quiet for long.
    pub(crate) fn sweep(&mut self, now: Time) {
        self.0.sweep(now);
    }
}

/// Counters of what is known already, and of what there was no room for.
const COUNTED: [Counter; 3] =
    [Counter::UplinkDuplicates, Counter::UplinkSuppressed, Counter::UplinkShed];

/// What is counted of a report, and the level and event that its reporter is told.
const fn answer(taken: Taken) -> (Option<Counter>, (u8, u64)) {
    match taken {
        Taken::Kept => (None, (ReportAck::RECEIVED, 0)),
        Taken::Repeated => (Some(Counter::UplinkDuplicates), (ReportAck::RECEIVED, 0)),
        Taken::Over(event) => (Some(Counter::UplinkSuppressed), (ReportAck::COMMITTED, event)),
        Taken::NoRoom => (Some(Counter::UplinkShed), (ReportAck::BUSY, 0)),
    }
}

/// Tells everybody in a case what became of the report.
fn tell<O: Outbox>(known: &Known, case: &Case<'_>, level: u8, event: u64, out: &mut O) {
    let mut acks = Acks::new();
    for id in case.ids() {
        if let Some(to) = known.addr(id) {
            acks.push(to, *id, (level, event), out);
        }
    }
    acks.send(out);
}
