//! What the recovery manager decided, in order.

use crate::machine::command::{NewDecision, list, text};
use crate::machine::encoder::Encoder;
use std::collections::VecDeque;
use syncom_seam::limits::DECISIONS_KEPT_MAX;
use syncom_wire::event::{Decision, DecisionHead};
use syncom_wire::limits::{DETAIL_MAX, NAME_MAX};
use syncom_wire::{Malformed, Reader, Term};

/// A decision in the log of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DecisionEntry {
    pub(crate) head: DecisionHead,
    rule: String,
    action: String,
}

impl DecisionEntry {
    pub(crate) fn as_frame(&self) -> Decision<'_> {
        Decision { head: self.head, rule: &self.rule, action: &self.action }
    }
}

/// The newest decisions; older ones are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decisions {
    last: u64,
    kept: VecDeque<DecisionEntry>,
}

impl Decisions {
    pub(crate) fn push(&mut self, new: NewDecision, term: Term, time_ns: u64) {
        self.last += 1;
        if self.kept.len() == DECISIONS_KEPT_MAX {
            self.kept.pop_front();
        }
        let NewDecision { event, order, rule, action } = new;
        let head = DecisionHead { seq: self.last, time_ns, event, term, order };
        self.kept.push_back(DecisionEntry { head, rule, action });
    }

    /// Number of the newest decision.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Decisions from number `seq` on, oldest first.
    pub(crate) fn since(&self, seq: u64) -> impl Iterator<Item = &DecisionEntry> {
        let at = self.kept.partition_point(|entry| entry.head.seq < seq);
        self.kept.range(at..)
    }

    /// Decisions about one event, oldest first.
    pub(crate) fn about(&self, event: u64) -> impl Iterator<Item = &DecisionEntry> {
        self.kept.iter().filter(move |entry| entry.head.event == event)
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.last);
        out.count(self.kept.len());
        for entry in &self.kept {
            out.fixed(&entry.head);
            out.long(entry.rule.as_bytes());
            out.long(entry.action.as_bytes());
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let last = reader.field()?;
        let kept = list(reader, DECISIONS_KEPT_MAX, |r| {
            Ok(DecisionEntry {
                head: r.fixed()?,
                rule: text(r, NAME_MAX)?,
                action: text(r, DETAIL_MAX)?,
            })
        })?;
        Ok(Self { last, kept: kept.into() })
    }
}
