//! Who has reports under way, or had some lately, and which.
//!
//! A reporter numbers its reports, so that which of them are held here is a window of bits below its
//! highest number, and which of them are over with a second one: a repeated report is known by one bit,
//! however many others reported the same thing. A cache line holds it all, and a datagram with twenty
//! reports of one reporter asks for it once. A number too old for the window is looked for where it
//! would be held. Of those who have nothing under way any more, so many are remembered as fit; who is
//! forgotten may report again what is over: the station knows it.

use super::index::Index;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use syncom_wire::ids::mix;
use syncom_wire::report::ReportId;
use syncom_wire::{Addr, Incarnation, Slot};

/// Numbers of one reporter that its window tells of: as many as the station remembers.
const WINDOW: u64 = u64::BITS as u64;
/// Reporters with nothing under way that are remembered.
const IDLE_MAX: usize = 1 << 16;

/// One life of a node that reports.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Reporter {
    /// Bit n: the report with number `high` - n is held.
    bits: u64,
    /// Bit n: it is over.
    over: u64,
    high: u64,
    slot: Slot,
    incarnation: Incarnation,
    /// How many of its reports are held; without any it may be forgotten.
    held: u32,
    /// Whether it is among those that may be.
    is_idle: bool,
    /// Where it was heard from last.
    pub(super) addr: Addr,
}

const _: () = assert!(size_of::<Reporter>() == 64, "a cache line");

/// Whether a report is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    /// No more: its reporter was told so.
    Over,
    No,
    /// The window does not reach so far back.
    Unknown,
}

impl Reporter {
    /// Whether this report of its is held.
    #[inline]
    pub(super) const fn holds(&self, seq: u64) -> Held {
        if seq > self.high {
            return Held::No;
        }
        match self.high - seq {
            age @ 0..WINDOW if self.bits >> age & 1 == 1 => Held::Yes,
            age @ 0..WINDOW if self.over >> age & 1 == 1 => Held::Over,
            0..WINDOW => Held::No,
            _ => Held::Unknown,
        }
    }

    #[inline]
    const fn is_of(&self, id: &ReportId) -> bool {
        self.slot.0 == id.slot.0 && self.incarnation.0 == id.incarnation.0
    }

    fn note(&mut self, seq: u64) {
        self.held += 1;
        if seq > self.high {
            let ahead = seq - self.high;
            let shift = |bits: u64| if ahead < WINDOW { bits << ahead } else { 0 };
            (self.bits, self.over, self.high) = (shift(self.bits), shift(self.over), seq);
        }
        let age = self.high - seq;
        if age < WINDOW {
            self.bits |= 1 << age;
        }
    }

    fn forget(&mut self, seq: u64, is_over: bool) {
        self.held = self.held.saturating_sub(1);
        let age = self.high.saturating_sub(seq);
        if age < WINDOW {
            self.bits &= !(1 << age);
            self.over |= u64::from(is_over) << age;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reporters {
    index: Index,
    lives: Vec<Reporter>,
    free: Vec<u32>,
    /// Those that had nothing under way at some time since they came here, the oldest first.
    idle: VecDeque<u32>,
    /// Who reported last: mostly it goes on.
    latest: u32,
}

#[inline]
const fn hash(id: &ReportId) -> u64 {
    mix((id.slot.0 as u64) << 32 | id.incarnation.0 as u64)
}

impl Reporters {
    /// Nobody; memory is taken as they come.
    pub(super) fn new() -> Self {
        let (index, idle) = (Index::new(), VecDeque::new());
        Self { index, lives: Vec::new(), free: Vec::new(), idle, latest: 0 }
    }

    /// Whether the reporter of `id` is the one that was asked for last.
    #[inline]
    pub(super) fn is_latest(&self, id: &ReportId) -> bool {
        self.lives.get(self.latest as usize).is_some_and(|latest| latest.is_of(id))
    }

    /// Looks where the reporter of `id` would be found.
    #[inline]
    pub(super) fn touch(&self, id: &ReportId) -> u64 {
        self.index.touch(hash(id))
    }

    /// Looks at the window of the reporter of `id`.
    #[inline]
    pub(super) fn touch_window(&self, id: &ReportId) -> u64 {
        self.find(id).map_or(0, |at| self.lives[at as usize].high)
    }

    /// The reporter of `id`, if it is remembered.
    #[inline]
    pub(super) fn get_mut(&mut self, id: &ReportId) -> Option<&mut Reporter> {
        if !self.is_latest(id) {
            self.latest = self.find(id)?;
        }
        self.lives.get_mut(self.latest as usize)
    }

    fn find(&self, id: &ReportId) -> Option<u32> {
        self.index.find(hash(id), |at| self.lives[at as usize].is_of(id))
    }

    /// Where a reporter that is remembered was heard from last.
    pub(super) fn addr(&self, id: &ReportId) -> Option<Addr> {
        self.find(id).map(|at| self.lives[at as usize].addr)
    }

    /// A report of its is held from now on.
    pub(super) fn note(&mut self, id: &ReportId, from: Addr) {
        if let Some(reporter) = self.get_mut(id) {
            reporter.addr = from;
            return reporter.note(id.seq);
        }
        let mut reporter = Reporter {
            bits: 0,
            over: 0,
            high: 0,
            slot: id.slot,
            incarnation: id.incarnation,
            held: 0,
            is_idle: false,
            addr: from,
        };
        reporter.note(id.seq);
        let at = match self.free.pop() {
            Some(at) => {
                self.lives[at as usize] = reporter;
                at
            }
            None => {
                let at = u32::try_from(self.lives.len()).unwrap_or(u32::MAX);
                self.lives.push(reporter);
                at
            }
        };
        self.index.insert(hash(id), at);
        self.latest = at;
    }

    /// A report of its is held no more; `is_over` when its reporter was told that it need not come again.
    pub(super) fn forget(&mut self, id: &ReportId, is_over: bool) {
        let Some(at) = self.find(id) else { return };
        let reporter = &mut self.lives[at as usize];
        reporter.forget(id.seq, is_over);
        if reporter.held == 0 && !reporter.is_idle {
            reporter.is_idle = true;
            self.idle.push_back(at);
        }
        while self.idle.len() > IDLE_MAX {
            self.forget_oldest();
        }
    }

    /// Forgets who has been idle for longest, unless it has reports under way again.
    fn forget_oldest(&mut self) {
        let Some(at) = self.idle.pop_front() else { return };
        let reporter = &mut self.lives[at as usize];
        reporter.is_idle = false;
        if reporter.held == 0 {
            let id = ReportId { slot: reporter.slot, incarnation: reporter.incarnation, seq: 0 };
            // Of a free cell nobody is the reporter.
            reporter.slot = Slot::NONE;
            self.index.remove(hash(&id), at);
            self.free.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(slot: u32, seq: u64) -> ReportId {
        ReportId { slot: Slot(slot), incarnation: Incarnation(1), seq }
    }

    #[test]
    fn a_window_tells_what_is_held_and_what_it_cannot_tell() {
        let mut reporters = Reporters::new();
        let from = Addr::v4([10, 0, 0, 1], 1);
        for seq in [5, 3, 9] {
            reporters.note(&id(1, seq), from);
        }
        let held =
            |reporters: &mut Reporters, seq| reporters.get_mut(&id(1, seq)).unwrap().holds(seq);
        assert_eq!(held(&mut reporters, 3), Held::Yes);
        assert_eq!(held(&mut reporters, 4), Held::No);
        assert_eq!(held(&mut reporters, 10), Held::No);
        reporters.forget(&id(1, 3), false);
        assert_eq!(held(&mut reporters, 3), Held::No);
        reporters.forget(&id(1, 5), true);
        assert_eq!(held(&mut reporters, 5), Held::Over);
        reporters.note(&id(1, 5 + 63), from);
        assert_eq!(held(&mut reporters, 9), Held::Yes);
        assert_eq!(held(&mut reporters, 5), Held::Over, "the oldest of the window");
        assert_eq!(held(&mut reporters, 4), Held::Unknown);
        reporters.note(&id(1, 1_000), from);
        assert_eq!(held(&mut reporters, 999), Held::No);
    }

    #[test]
    fn who_has_nothing_under_way_is_remembered_as_long_as_there_is_room() {
        let mut reporters = Reporters::new();
        let from = Addr::v4([10, 0, 0, 1], 1);
        let most = u32::try_from(IDLE_MAX).unwrap();
        for slot in 0..most + 10 {
            reporters.note(&id(slot, 1), from);
        }
        (0..most).for_each(|slot| reporters.forget(&id(slot, 1), true));
        assert_eq!(reporters.get_mut(&id(0, 1)).unwrap().holds(1), Held::Over);
        // The oldest reports again, and is not forgotten for those who come after it.
        reporters.note(&id(0, 2), from);
        (most..most + 3).for_each(|slot| reporters.forget(&id(slot, 1), true));
        assert!(reporters.get_mut(&id(0, 2)).is_some());
        assert!((1..3).all(|slot| reporters.get_mut(&id(slot, 1)).is_none()));
        assert!(reporters.get_mut(&id(3, 1)).is_some());
        reporters.forget(&id(0, 2), true);
        assert_eq!(reporters.idle.len(), IDLE_MAX, "it is the youngest now");
        let cells = reporters.lives.len();
        reporters.note(&id(most + 20, 1), from);
        assert_eq!(reporters.lives.len(), cells, "their places are used again");
    }
}
