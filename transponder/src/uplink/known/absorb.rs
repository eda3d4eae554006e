//! Taking reports in, a burst at a time.
//!
//! Of each report three places are asked: who reports (its window tells a repetition), which thing it
//! is about, and that thing's newest case. In a large table the first is far away, and one after the
//! other would wait for memory each time. So many reports at a time are asked where they lead, then all
//! of these places are looked at, and only then they are merged, one by one and in order: the result
//! is that of one at a time.

use super::{Held, Known, NONE, Recent, Reporters, Stage, Thing};
use crate::world::bit;
use syncom_seam::Now;
use syncom_seam::bounded::BoundedMap;
use syncom_wire::Addr;
use syncom_wire::limits::CONTRIBUTORS_MAX;
use syncom_wire::report::{Report, ReportHead, ReportId};

/// Reports that are looked at together: a dozen full datagrams.
const GROUP: usize = 256;

/// A report as it is taken in: who asks most of them for their number only does not read the rest.
pub trait Said<'a>: Copy {
    /// Which report it is.
    fn id(&self) -> ReportId;
    /// Where an answer goes.
    fn from(&self) -> Addr;
    /// All of it; `None` when it cannot be read after all.
    fn report(&self) -> Option<Report<'a>>;
    /// Its fixed part, likewise.
    #[inline]
    fn head(&self) -> Option<ReportHead> {
        self.report().map(|report| report.head)
    }
}

fn is_same(one: &ReportId, other: &ReportId) -> bool {
    (one.slot, one.incarnation) == (other.slot, other.incarnation)
}

/// What becomes of a report that is known. One that is over goes up once more when its event is not
/// remembered here: the station knows it.
#[inline]
fn again<'a, S: Said<'a>>(held: Held, said: &S, recent: &BoundedMap<Recent>) -> Option<Taken> {
    match held {
        Held::Yes => Some(Taken::Repeated),
        Held::Over => {
            let event = recent.get(Thing::of(&said.head()?).hash())?.event;
            (event > 0).then_some(Taken::Over(event))
        }
        Held::No | Held::Unknown => None,
    }
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in a case now.
    Kept,
    /// It was in one already.
    Repeated,
    /// It was in one that is over: the station has told the event that it belongs to.
    Over(u64),
    /// There is no room for another case; its reporter must come again.
    NoRoom,
}

impl Known {
    /// Takes reports in, in order, and hands each on with what became of it.
    #[inline]
    pub fn absorb_all<'a, S: Said<'a>>(
        &mut self,
        now: Now,
        mut reports: impl Iterator<Item = S>,
        mut each: impl FnMut(&S, Taken),
    ) {
        let Some(first) = reports.next() else { return };
        let mut group_of = [first; GROUP];
        // Where reports of another reporter begin.
        let mut runs = [0_u16; GROUP];
        let mut len = 1;
        loop {
            let mut last = group_of[0].id();
            let mut run_count = 1;
            for (cell, said) in group_of[len..].iter_mut().zip(reports.by_ref()) {
                *cell = said;
                let id = said.id();
                if !is_same(&id, &last) {
                    last = id;
                    runs[run_count] = u16::try_from(len).unwrap_or(u16::MAX);
                    run_count += 1;
                }
                len += 1;
            }
            let (group, runs) = (&group_of[..len], &runs[..run_count]);
            self.approach(group, runs);
            let ends = runs[1..].iter().map(|end| usize::from(*end)).chain([len]);
            let mut at = 0;
            for end in ends {
                self.absorb_run(now, &group[at..end], &mut each);
                at = end;
            }
            if len < GROUP {
                return;
            }
            let Some(first) = reports.next() else { return };
            (group_of[0], len) = (first, 1);
        }
    }

    /// Looks at every place that a group will need, each kind of place for all of them at once.
    #[inline]
    fn approach<'a, S: Said<'a>>(&self, group: &[S], runs: &[u16]) {
        let mut seen = 0;
        for touch in [Reporters::touch, Reporters::touch_window] {
            for at in runs {
                if let Some(said) = group.get(usize::from(*at)) {
                    seen ^= touch(&self.reporters, &said.id());
                }
            }
        }
        core::hint::black_box(seen);
    }

    /// Takes in reports of one reporter.
    #[inline]
    fn absorb_run<'a, S: Said<'a>>(
        &mut self,
        now: Now,
        mut run: &[S],
        each: &mut impl FnMut(&S, Taken),
    ) {
        while let Some(said) = run.first() {
            if let Some(reporter) = self.reporters.get_mut(&said.id()) {
                while let Some((said, rest)) = run.split_first()
                    && let Some(taken) = again(reporter.holds(said.id().seq), said, &self.recent)
                {
                    reporter.addr = said.from();
                    each(said, taken);
                    run = rest;
                }
            }
            if let Some((said, rest)) = run.split_first() {
                let taken = self.absorb(now, said);
                each(said, taken);
                run = rest;
            }
        }
    }

    /// Takes one report in.
    #[inline]
    pub fn absorb<'a, S: Said<'a>>(&mut self, now: Now, said: &S) -> Taken {
        let id = said.id();
        let mut held = Held::No;
        if let Some(reporter) = self.reporters.get_mut(&id) {
            held = reporter.holds(id.seq);
            if let Some(taken) = again(held, said, &self.recent) {
                reporter.addr = said.from();
                return taken;
            }
        }
        // One that cannot be read was not checked, and is nobody's.
        let Some(report) = said.report() else { return Taken::NoRoom };
        self.absorb_new(now, said.from(), &report, held)
    }

    fn absorb_new(&mut self, now: Now, from: Addr, report: &Report<'_>, held: Held) -> Taken {
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
