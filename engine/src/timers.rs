//! Timers of all members of a host, in order of their moments.
//!
//! Roles arm and never cancel: a stale timer comes back and is ignored by its generation. So all
//! that is needed is a heap. Timers of the same moment come back in the order in which they were
//! armed, which makes a run depend on nothing but its input.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use syncom_seam::{Time, Timer};

/// Timers of many members; memory grows to the most that were ever armed at once and stays there.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Time, u64, usize, Timer)>>,
    armed: u64,
}

impl Timers {
    /// No timers, with room for `capacity`.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { heap: BinaryHeap::with_capacity(capacity), armed: 0 }
    }

    /// Arms a timer of a member for `at`.
    pub fn arm(&mut self, member: usize, timer: Timer, at: Time) {
        self.armed += 1;
        self.heap.push(Reverse((at, self.armed, member, timer)));
    }

    /// When the next timer is due; [`Time::NEVER`] when there is none.
    #[must_use]
    pub fn next(&self) -> Time {
        self.heap.peek().map_or(Time::NEVER, |Reverse((at, ..))| *at)
    }

    /// How many timers have ever been armed.
    #[must_use]
    pub const fn armed(&self) -> u64 {
        self.armed
    }

    /// Takes the next timer that is due at `now` and among the first `armed_max` ever armed: when
    /// it was due, whose it is, and what it is.
    pub fn pop_due(&mut self, now: Time, armed_max: u64) -> Option<(Time, usize, Timer)> {
        let Reverse((at, armed, ..)) = self.heap.peek()?;
        if *at > now || *at == Time::NEVER || *armed > armed_max {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, member, timer))| (at, member, timer))
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(key: u64) -> Timer {
        Timer { kind: 1, generation: 1, key }
    }

    #[test]
    fn timers_come_back_by_moment_and_then_as_they_were_armed() {
        let mut timers = Timers::with_capacity(4);
        for (member, key, at) in [(0, 1, 20), (1, 9, 10), (0, 3, 10), (2, 2, 30)] {
            timers.arm(member, timer(key), Time(at));
        }
        assert_eq!(timers.next(), Time(10));
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(Time(20), 4)).collect();
        let keys: Vec<_> = due.iter().map(|(at, member, t)| (at.0, *member, t.key)).collect();
        assert_eq!(keys, [(10, 1, 9), (10, 0, 3), (20, 0, 1)]);
        assert_eq!((timers.len(), timers.next()), (1, Time(30)));
    }

    #[test]
    fn a_timer_armed_meanwhile_waits_for_the_next_turn() {
        let mut timers = Timers::default();
        timers.arm(0, timer(1), Time(5));
        let before = timers.armed();
        timers.arm(0, timer(2), Time(6));
        assert!(timers.pop_due(Time(9), before).is_some());
        assert_eq!(timers.pop_due(Time(9), before), None);
        assert!(timers.pop_due(Time(9), timers.armed()).is_some());
    }

    #[test]
    fn a_timer_armed_for_never_does_not_come() {
        let mut timers = Timers::default();
        timers.arm(0, timer(1), Time::NEVER);
        assert_eq!(timers.pop_due(Time::NEVER, 1), None);
    }
}
