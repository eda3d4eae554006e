//! What happens next: a calendar of moments, ties broken by order of scheduling.
//!
//! A heap of a million timers is a walk through memory for each of them. So time is cut into days of
//! [`DAY_NS`]: what lies within the coming year of days hangs in the list of its day, unsorted; only
//! the present day is a heap, of a few dozen events, and what lies beyond the year waits in another
//! (Brown, Calendar queues, CACM 1988). The order is exact: the moment, then the order of scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use syncom_seam::{Exit, Time, Timer};
use syncom_wire::{Addr, Boot, PeerId};

/// A datagram under way: opened frames and who sealed them.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: Addr,
    pub(crate) peer: PeerId,
    pub(crate) boot: Boot,
    /// It has the short header, which says less of the life than opens it.
    pub(crate) is_brief: bool,
    pub(crate) bytes: std::rc::Rc<[u8]>,
}

/// Something that is going to happen to a member. `life` voids what was meant for an earlier life.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Deliver { to: usize, datagram: Datagram },
    Timer { member: usize, life: u32, timer: Timer },
    DiskSynced { member: usize, life: u32 },
    ChildEnded { member: usize, life: u32, token: u64, exit: Exit },
    Start { member: usize },
    Resume { member: usize, life: u32 },
    Fault(crate::fault::Fault),
    Client,
    Askers,
}

/// Length of a day, in ns: 16 µs, in which 100,000 nodes have less than a hundred events.
const DAY_NS: u64 = 1 << 14;
/// Days of a year: one second, longer than most timers.
const YEAR: u64 = 1 << 16;
/// No entry: the end of a list.
const NONE: u32 = u32::MAX;

/// When something happens, what came first among equals, and where it is kept.
type Place = Reverse<(Time, u64, u32)>;

#[derive(Debug)]
struct Cell {
    at: Time,
    order: u64,
    /// The next of the same day, or the next free one.
    next: u32,
    what: Option<Happening>,
}

/// The calendar. Events of the same moment come in the order in which they were scheduled.
#[derive(Debug)]
pub(crate) struct Schedule {
    cells: Vec<Cell>,
    free: u32,
    /// First cell of each day of the coming year.
    days: Vec<u32>,
    /// Bit per day: whether it has any.
    busy: Vec<u64>,
    /// The day whose events are in `present`.
    today: u64,
    present: BinaryHeap<Place>,
    /// Whom the events of a day that has just begun are for.
    callers: Vec<usize>,
    /// Beyond the coming year.
    later: BinaryHeap<Place>,
    scheduled: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        let days = usize::try_from(YEAR).unwrap_or(0);
        Self {
            cells: Vec::new(),
            free: NONE,
            days: vec![NONE; days],
            busy: vec![0; days / 64],
            today: 0,
            present: BinaryHeap::new(),
            callers: Vec::new(),
            later: BinaryHeap::new(),
            scheduled: 0,
        }
    }
}

impl Schedule {
    pub(crate) fn at(&mut self, at: Time, what: Happening) {
        self.scheduled += 1;
        let index = self.keep(at, what);
        self.file(at, self.scheduled, index);
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Happening)> {
        self.advance();
        let Reverse((at, _, index)) = self.present.pop()?;
        let cell = self.cells.get_mut(index as usize)?;
        cell.next = std::mem::replace(&mut self.free, index);
        cell.what.take().map(|what| (at, what))
    }

    pub(crate) fn next_at(&mut self) -> Option<Time> {
        self.advance();
        self.present.peek().map(|Reverse((at, ..))| *at)
    }

    fn keep(&mut self, at: Time, what: Happening) -> u32 {
        let cell = Cell { at, order: self.scheduled, next: NONE, what: Some(what) };
        if let Some(place) = self.cells.get_mut(self.free as usize) {
            let index = self.free;
            self.free = place.next;
            *place = cell;
            return index;
        }
        self.cells.push(cell);
        let index = self.cells.len() - 1;
        u32::try_from(index).unwrap_or_else(|_| panic!("{index} events wait at one time"))
    }

    fn file(&mut self, at: Time, order: u64, index: u32) {
        let day = at.0 / DAY_NS;
        if day <= self.today {
            self.present.push(Reverse((at, order, index)));
        } else if day < self.today + YEAR {
            let slot = slot(day);
            self.cells[index as usize].next = std::mem::replace(&mut self.days[slot], index);
            self.busy[slot / 64] |= 1 << (slot % 64);
        } else {
            self.later.push(Reverse((at, order, index)));
        }
    }

    /// Goes on to the next day that has events, when today has no more.
    fn advance(&mut self) {
        while self.present.is_empty() {
            let later = self.later.peek().map(|Reverse((at, ..))| at.0 / DAY_NS);
            let Some(day) = self.next_busy().into_iter().chain(later).min() else { return };
            self.today = day;
            while let Some(Reverse((at, order, index))) = self.later.peek().copied() {
                if at.0 / DAY_NS >= self.today + YEAR {
                    break;
                }
                self.later.pop();
                self.file(at, order, index);
            }
            self.open_today();
        }
    }

    /// Whom the events of today are for, once, when a day has begun since it was last asked.
    pub(crate) fn take_callers(&mut self) -> Option<Vec<usize>> {
        (!self.callers.is_empty()).then(|| std::mem::take(&mut self.callers))
    }

    /// Gives the room for them back.
    pub(crate) fn recycle(&mut self, mut callers: Vec<usize>) {
        callers.clear();
        self.callers = callers;
    }

    /// Moves the list of today into the heap.
    fn open_today(&mut self) {
        let slot = slot(self.today);
        let mut index = std::mem::replace(&mut self.days[slot], NONE);
        self.busy[slot / 64] &= !(1 << (slot % 64));
        while let Some(cell) = self.cells.get_mut(index as usize) {
            self.present.push(Reverse((cell.at, cell.order, index)));
            if let Some(Happening::Deliver { to: member, .. } | Happening::Timer { member, .. }) =
                &cell.what
            {
                self.callers.push(*member);
            }
            index = std::mem::replace(&mut cell.next, NONE);
        }
    }

    /// The first day after today, within the coming year, that has events.
    fn next_busy(&self) -> Option<u64> {
        let mut day = self.today + 1;
        let end = self.today + YEAR;
        while day < end {
            let slot = slot(day);
            let word = self.busy[slot / 64] >> (slot % 64);
            if word != 0 {
                return Some(day + u64::from(word.trailing_zeros()));
            }
            day += 64 - (slot % 64) as u64;
        }
        None
    }
}

fn slot(day: u64) -> usize {
    usize::try_from(day % YEAR).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::Rng;

    /// A heap decides what is right.
    #[test]
    fn it_is_a_heap_whatever_lies_however_far_ahead() {
        let mut rng = Rng::new(7);
        let mut schedule = Schedule::default();
        let mut heap = BinaryHeap::new();
        let (mut now, mut member) = (Time(0), 0);
        for _ in 0..40_000 {
            for _ in 0..rng.below(3) {
                let far = [0, 100, DAY_NS, 100 * DAY_NS, YEAR * DAY_NS, 5 * YEAR * DAY_NS];
                let most = far[usize::try_from(rng.below(6)).unwrap()];
                let at = now.after(rng.below(most + 1));
                member += 1;
                schedule.at(at, Happening::Start { member });
                heap.push(Reverse((at, member)));
            }
            assert_eq!(schedule.next_at(), heap.peek().map(|Reverse((at, _))| *at));
            if rng.chance(1, 2) {
                let due = schedule.next().map(|(at, what)| match what {
                    Happening::Start { member } => (at, member),
                    other => panic!("{other:?} was never scheduled"),
                });
                assert_eq!(due, heap.pop().map(|Reverse(one)| one));
                now = due.map_or(now, |(at, _)| at);
            }
        }
        while let Some((at, Happening::Start { member })) = schedule.next() {
            assert_eq!(heap.pop(), Some(Reverse((at, member))));
        }
        assert!(heap.is_empty());
    }
}
