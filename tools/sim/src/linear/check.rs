//! Can a history be explained by one thing that does one operation at a time?
//!
//! Concurrent clients saw certain results between certain moments. The history is linearizable when
//! each operation can be given a moment between its call and its return so that, done one after the
//! other at those moments, they have just those results (Herlihy and Wing, 1990). The search is the
//! one of Wing and Gong (1993) with the memory of Lowe (2017): take any operation that was called
//! before the first return that is still open, try it, go on; step back when a return comes whose
//! operation found no place; never try the same set of done operations in the same state twice.

use std::collections::HashSet;
use std::hash::Hash;

/// An operation and when it was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed<O> {
    /// What was done, and its result.
    pub operation: O,
    /// When it was called, by one clock for all.
    pub called: u64,
    /// When it returned; [`u64::MAX`] when its outcome is unknown: it may still take effect.
    pub returned: u64,
}

/// Searches for an explanation. `step` gives the state after an operation, or nothing when its result
/// is impossible in that state.
///
/// # Errors
/// The number of the operation at whose return no explanation is left, in the attempt that got
/// furthest.
pub fn check<S: Clone + Eq + Hash, O>(
    start: S,
    history: &[Timed<O>],
    step: impl Fn(&S, &O) -> Option<S>,
) -> Result<(), usize> {
    let mut search = Search::new(history);
    let mut state = start;
    let mut seen: HashSet<(Vec<u64>, S)> = HashSet::new();
    let mut done = vec![0_u64; history.len().div_ceil(64)];
    let mut trail: Vec<(usize, S)> = Vec::new();
    let (mut at, mut furthest) = (search.first(), (0, 0));
    while let Some(edge) = at {
        let number = search.edges[edge].number;
        if search.edges[edge].is_call {
            let after = step(&state, &history[number].operation).filter(|after| {
                done[number / 64] |= 1 << (number % 64);
                let is_new = seen.insert((done.clone(), after.clone()));
                if !is_new {
                    done[number / 64] &= !(1 << (number % 64));
                }
                is_new
            });
            if let Some(after) = after {
                trail.push((edge, std::mem::replace(&mut state, after)));
                search.lift(edge);
                at = search.first();
            } else {
                at = search.after(edge);
            }
            continue;
        }
        if trail.len() >= furthest.0 {
            furthest = (trail.len(), number);
        }
        let Some((call, before)) = trail.pop() else { return Err(furthest.1) };
        let number = search.edges[call].number;
        done[number / 64] &= !(1 << (number % 64));
        state = before;
        search.unlift(call);
        at = search.after(call);
    }
    Ok(())
}

/// A call or a return.
#[derive(Clone, Copy, Debug)]
struct Edge {
    number: usize,
    is_call: bool,
    /// Where the same operation's return is.
    partner: usize,
}

/// Calls and returns in order of time, as a list from which operations can be taken out and put
/// back. Place 0 is the list's head.
struct Search {
    edges: Vec<Edge>,
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Search {
    fn new<O>(history: &[Timed<O>]) -> Self {
        // A return and a call at one moment overlap: the call goes first, which allows more.
        let mut times: Vec<(u64, bool, usize)> = (0..)
            .zip(history)
            .flat_map(|(number, timed)| {
                [(timed.called, false, number), (timed.returned, true, number)]
            })
            .collect();
        times.sort_unstable();
        let head = Edge { number: usize::MAX, is_call: false, partner: 0 };
        let mut edges = vec![head];
        let mut calls = vec![0; history.len()];
        for (_, is_return, number) in times {
            let place = edges.len();
            edges.push(Edge { number, is_call: !is_return, partner: place });
            if is_return {
                edges[calls[number]].partner = place;
            } else {
                calls[number] = place;
            }
        }
        let len = edges.len();
        let next = (1..=len).map(|place| place % len).collect();
        let previous = (0..len).map(|place| (place + len - 1) % len).collect();
        Self { edges, next, previous }
    }

    fn first(&self) -> Option<usize> {
        self.after(0)
    }

    fn after(&self, place: usize) -> Option<usize> {
        Some(self.next[place]).filter(|next| *next != 0)
    }

    fn lift(&mut self, call: usize) {
        for place in [call, self.edges[call].partner] {
            let (previous, next) = (self.previous[place], self.next[place]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    fn unlift(&mut self, call: usize) {
        for place in [self.edges[call].partner, call] {
            let (previous, next) = (self.previous[place], self.next[place]);
            self.next[previous] = place;
            self.previous[next] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::Rng;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Op {
        Write(u64),
        Read(u64),
    }

    fn register(state: &u64, op: &Op) -> Option<u64> {
        match *op {
            Op::Write(value) => Some(value),
            Op::Read(value) => (value == *state).then_some(value),
        }
    }

    const fn timed(called: u64, returned: u64, operation: Op) -> Timed<Op> {
        Timed { operation, called, returned }
    }

    #[test]
    fn what_overlaps_may_be_seen_or_not_but_never_unseen() {
        let write = timed(0, 10, Op::Write(1));
        assert_eq!(
            check(0, &[write, timed(1, 2, Op::Read(0)), timed(3, 4, Op::Read(1))], register),
            Ok(())
        );
        let back = [write, timed(1, 2, Op::Read(1)), timed(3, 4, Op::Read(0))];
        assert_eq!(check(0, &back, register), Err(2), "seen, and then not");
        let stale = [write, timed(11, 12, Op::Read(0))];
        assert_eq!(check(0, &stale, register), Err(1), "acknowledged before it was read");
    }

    #[test]
    fn an_unknown_outcome_may_take_effect_late_or_never() {
        let unknown = timed(0, u64::MAX, Op::Write(1));
        let late = [unknown, timed(5, 6, Op::Read(0)), timed(7, 8, Op::Read(1))];
        assert_eq!(check(0, &late, register), Ok(()));
        assert_eq!(check(0, &[unknown, timed(5, 6, Op::Read(0))], register), Ok(()));
        let twice = [unknown, timed(5, 6, Op::Read(1)), timed(7, 8, Op::Read(0))];
        assert_eq!(check(0, &twice, register), Err(2));
    }

    /// Tries every order.
    fn brute(state: u64, history: &[Timed<Op>]) -> bool {
        let first = history.iter().map(|timed| timed.returned).min();
        let Some(first) = first else { return true };
        (0..history.len()).any(|at| {
            let mut rest = history.to_vec();
            let next = rest.remove(at);
            next.called <= first
                && register(&state, &next.operation).is_some_and(|state| brute(state, &rest))
        })
    }

    #[test]
    fn it_agrees_with_trying_every_order() {
        let mut rng = Rng::new(3);
        let (mut sound, mut broken) = (0, 0);
        for _ in 0..3_000 {
            let history: Vec<_> = (0..6)
                .map(|_| {
                    let called = rng.below(20);
                    let value = rng.below(3);
                    let op = if rng.chance(1, 2) { Op::Write(value) } else { Op::Read(value) };
                    timed(called, called + 1 + rng.below(8), op)
                })
                .collect();
            let found = check(0, &history, register).is_ok();
            assert_eq!(found, brute(0, &history), "{history:?}");
            if found { sound += 1 } else { broken += 1 }
        }
        assert!(sound > 300 && broken > 300, "{sound} sound, {broken} broken");
    }
}
