//! Which reports have been committed: what makes "at least once" into one effect.
//!
//! A producer (one life of a node) numbers its reports from 1. Here stands, per producer, the
//! highest number seen and which lower ones are still missing. An agent has at most
//! [`REPORTS_PENDING_MAX`] reports under way, so the list of missing ones is short; numbers used
//! for accusations never come here and fall off its end.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use std::collections::BTreeMap;
use syncom_seam::limits::REPORTS_PENDING_MAX;
use syncom_wire::limits::NODES_MAX;
use syncom_wire::report::ReportId;
use syncom_wire::{Incarnation, Malformed, Reader, Slot};

/// Missing numbers remembered per producer. Beyond it the lowest counts as seen.
const MISSING_MAX: usize = 2 * REPORTS_PENDING_MAX;
/// Lives of a node that are remembered: reports of the last but one may still be under way.
const LIVES_MAX: usize = 2;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Producer {
    high: u64,
    /// Numbers below `high` that were not seen, ascending.
    missing: Vec<u64>,
}

/// Committed report numbers of all producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_life: BTreeMap<(Slot, Incarnation), Producer>,
}

impl Producers {
    /// Whether the report was committed, or is too old to tell.
    pub(crate) fn knows(&self, id: &ReportId) -> bool {
        match self.by_life.get(&(id.slot, id.incarnation)) {
            Some(producer) => {
                id.seq <= producer.high && producer.missing.binary_search(&id.seq).is_err()
            }
            None => self.newer_lives(id) >= LIVES_MAX,
        }
    }

    /// Remembers that the report is committed.
    pub(crate) fn note(&mut self, id: &ReportId) {
        if id.slot.0 as usize >= NODES_MAX || self.knows(id) {
            return;
        }
        let producer = self.by_life.entry((id.slot, id.incarnation)).or_default();
        if id.seq > producer.high {
            let from = (producer.high + 1).max(id.seq.saturating_sub(MISSING_MAX as u64));
            producer.missing.extend(from..id.seq);
            producer.high = id.seq;
            let surplus = producer.missing.len().saturating_sub(MISSING_MAX);
            producer.missing.drain(..surplus);
        } else if let Ok(at) = producer.missing.binary_search(&id.seq) {
            producer.missing.remove(at);
        }
        self.forget_old_lives(id.slot);
    }

    fn newer_lives(&self, id: &ReportId) -> usize {
        let newer = (id.slot, id.incarnation)..=(id.slot, Incarnation(u32::MAX));
        self.by_life.range(newer).count()
    }

    fn forget_old_lives(&mut self, slot: Slot) {
        let lives = (slot, Incarnation(0))..=(slot, Incarnation(u32::MAX));
        while self.by_life.range(lives.clone()).count() > LIVES_MAX {
            let Some((oldest, _)) = self.by_life.range(lives.clone()).next() else { return };
            let oldest = *oldest;
            self.by_life.remove(&oldest);
        }
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.by_life.len());
        for ((slot, incarnation), producer) in &self.by_life {
            out.field(*slot);
            out.field(*incarnation);
            out.field(producer.high);
            out.count(producer.missing.len());
            producer.missing.iter().for_each(|seq| out.field(*seq));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let items = list(reader, LIVES_MAX * NODES_MAX, |r| {
            let key = (r.field()?, r.field()?);
            let high = r.field()?;
            let missing = list(r, MISSING_MAX, |r| r.field::<u64>())?;
            if !missing.is_sorted() || missing.last().is_some_and(|seq| *seq >= high) {
                return Err(Malformed("missing reports out of order"));
            }
            Ok((key, Producer { high, missing }))
        })?;
        Ok(Self { by_life: items.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn id(incarnation: u32, seq: u64) -> ReportId {
        ReportId { slot: Slot(4), incarnation: Incarnation(incarnation), seq }
    }

    proptest! {
        #[test]
        fn what_was_noted_is_known_and_nothing_else(seqs in prop::collection::vec(1..400_u64, 1..200)) {
            let mut producers = Producers::default();
            for seq in &seqs {
                producers.note(&id(1, *seq));
            }
            for seq in 1..420 {
                prop_assert_eq!(producers.knows(&id(1, seq)), seqs.contains(&seq));
            }
            let mut out = Encoder::default();
            producers.encode(&mut out);
            let bytes = out.finish();
            prop_assert_eq!(Producers::decode(&mut Reader::new(&bytes)), Ok(producers));
        }
    }

    #[test]
    fn a_huge_jump_costs_no_memory() {
        let mut producers = Producers::default();
        producers.note(&id(1, u64::MAX));
        assert!(producers.knows(&id(1, 1)) && !producers.knows(&id(1, u64::MAX - 1)));
    }

    #[test]
    fn two_lives_are_kept_and_older_ones_count_as_known() {
        let mut producers = Producers::default();
        for life in 1..=3 {
            producers.note(&id(life, 1));
        }
        assert!(producers.knows(&id(1, 9)), "too old to tell");
        assert!(!producers.knows(&id(2, 9)) && producers.knows(&id(2, 1)));
    }
}
