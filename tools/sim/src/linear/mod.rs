//! What clients of the station saw, and whether one machine that does one thing at a time explains it.
//!
//! Two questions are asked of a history. For each order by itself: is there an order of submissions
//! and reads that explains what everybody saw of it ([`check()`])? Since objects that are linearizable
//! one by one are so together, that is enough for single orders. And for the state as a whole: every
//! answer names the Raft index of the state that it shows, and replicas have the same state at the
//! same index; so no answer may show an older index than another that had arrived before its question
//! was asked.

mod check;

pub use check::{Timed, check};
use std::collections::BTreeMap;

/// What a client saw of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// There is no such order.
    Absent,
    /// It is given and has not ended.
    Open,
    /// It has ended.
    Closed,
}

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Submitted the order.
    Submit,
    /// Read its state.
    Read(Seen),
}

/// One client operation on one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    order: u64,
    timed: Timed<Operation>,
    /// Raft index that the answer showed.
    index: u64,
}

/// Everything that clients did and saw.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
}

/// Violations told of one history: the first ones tell the story.
const TOLD_MAX: usize = 5;

impl History {
    /// An answer: what it showed of an order, to a submission of it or a read, when that was called
    /// and when the answer came, by one clock for all clients, and the Raft index that it named. What
    /// a submission's answer shows was read after it had been done.
    pub fn answered(
        &mut self,
        order: u64,
        is_submit: bool,
        seen: Seen,
        (called, returned): (u64, u64),
        index: u64,
    ) {
        let mut add = |operation| {
            let timed = Timed { operation, called, returned };
            self.entries.push(Entry { order, timed, index });
        };
        if is_submit {
            add(Operation::Submit);
        }
        add(Operation::Read(seen));
    }

    /// A submission whose outcome nobody knows. An unanswered read says nothing.
    pub fn unknown(&mut self, order: u64, called: u64) {
        let timed = Timed { operation: Operation::Submit, called, returned: u64::MAX };
        self.entries.push(Entry { order, timed, index: 0 });
    }

    /// Operations.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was done.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What nobody can explain, as sentences; empty when the history is linearizable.
    #[must_use]
    pub fn judge(&self) -> Vec<String> {
        let mut violations = self.judge_orders();
        violations.extend(self.judge_indexes());
        violations.truncate(TOLD_MAX);
        violations
    }

    fn judge_orders(&self) -> Vec<String> {
        let mut orders: BTreeMap<u64, Vec<Timed<Operation>>> = BTreeMap::new();
        for entry in &self.entries {
            orders.entry(entry.order).or_default().push(entry.timed);
        }
        let judge = |(order, history): (&u64, &Vec<Timed<Operation>>)| {
            let at = check(Seen::Absent, history, step).err()?;
            Some(format!("order {order:x}: nothing explains {:?} of {history:?}", history[at]))
        };
        orders.iter().filter_map(judge).collect()
    }

    fn judge_indexes(&self) -> Vec<String> {
        let known = self.entries.iter().filter(|entry| entry.timed.returned != u64::MAX);
        let mut by_return: Vec<&Entry> = known.collect();
        let mut by_call = by_return.clone();
        by_return.sort_unstable_by_key(|entry| entry.timed.returned);
        by_call.sort_unstable_by_key(|entry| entry.timed.called);
        let mut returned = by_return.into_iter().peekable();
        let (mut newest, mut violations) = (0, Vec::new());
        for entry in by_call {
            while let Some(before) =
                returned.next_if(|before| before.timed.returned < entry.timed.called)
            {
                newest = newest.max(before.index);
            }
            if entry.index < newest {
                violations.push(format!(
                    "{:?} of order {:x} showed state {}, after somebody had seen state {newest}",
                    entry.timed, entry.order, entry.index
                ));
            }
        }
        violations
    }
}

/// An order is given once, ends by itself at any time after that, and stays so. Its end shows only
/// when somebody sees it, so it happens just then.
fn step(state: &Seen, operation: &Operation) -> Option<Seen> {
    match (*operation, *state) {
        (Operation::Submit, state) => Some(state.max(Seen::Open)),
        (Operation::Read(seen), state) if seen == state => Some(state),
        (Operation::Read(Seen::Closed), Seen::Open) => Some(Seen::Closed),
        (Operation::Read(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u64, bool, Seen, (u64, u64), u64);

    fn history(rows: &[Row]) -> History {
        let mut history = History::default();
        for (order, is_submit, seen, times, index) in rows {
            history.answered(*order, *is_submit, *seen, *times, *index);
        }
        history
    }

    const fn read(order: u64, seen: Seen, called: u64, index: u64) -> Row {
        (order, false, seen, (called, called + 1), index)
    }

    #[test]
    fn an_order_appears_ends_and_stays() {
        let sound = history(&[
            read(1, Seen::Absent, 0, 4),
            (1, true, Seen::Closed, (1, 9), 6),
            read(1, Seen::Absent, 2, 4),
            read(1, Seen::Open, 4, 5),
            read(1, Seen::Closed, 6, 6),
            read(2, Seen::Absent, 8, 6),
        ]);
        assert_eq!(sound.judge(), Vec::<String>::new());
    }

    #[test]
    fn an_order_that_vanishes_or_opens_again_is_told() {
        for seen in [Seen::Absent, Seen::Open] {
            let broken = history(&[
                (1, true, Seen::Open, (0, 1), 5),
                read(1, Seen::Closed, 2, 6),
                read(1, seen, 4, 6),
            ]);
            assert!(broken.judge()[0].contains("nothing explains"), "{seen:?}");
        }
    }

    #[test]
    fn a_state_that_is_older_than_one_seen_before_is_told() {
        let submit = |returned| (1, true, Seen::Open, (0, returned), 5);
        let broken = history(&[submit(1), read(2, Seen::Absent, 2, 4)]);
        assert!(broken.judge()[0].contains("showed state 4"));
        assert!(history(&[submit(3), read(2, Seen::Absent, 2, 4)]).judge().is_empty());
    }

    #[test]
    fn a_submission_without_an_answer_may_show_at_any_time() {
        let mut late = history(&[read(1, Seen::Absent, 5, 3), read(1, Seen::Open, 7, 4)]);
        late.unknown(1, 0);
        assert!(late.judge().is_empty());
    }
}
