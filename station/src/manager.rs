//! The recovery manager: looks at every event once and decides.
//!
//! It runs on the leader, and only after the entry that claims its term is applied. It keeps nothing
//! of its own: what it must remember stands in the log of decisions. A step (events settled,
//! decisions, orders) is one command, so it happens whole or not at all; and its orders are numbered
//! by what caused them, so a successor that decides the same gives the same order.
//!
//! What it decides follows from the rules of the policy: `manager/thought.rs` is where to read on.

mod action;
mod guard;
mod lease;
mod message;
mod pursuit;
mod thought;

use crate::machine::command::Command;
use crate::station::Station;
pub(crate) use lease::Lease;
use syncom_seam::{Now, Outbox, SECOND, Time};
use syncom_wire::Term;

/// A step that was proposed and not applied is thought through again after this long.
const PATIENCE_NS: u64 = SECOND;

/// Where the recovery manager of this replica stands.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    /// The term for which it may act.
    term: Option<Term>,
    /// The claim of that term is applied.
    claimed: bool,
    /// Until then it waits for what it has proposed.
    waits_until: Option<Time>,
}

impl Manager {
    pub(crate) fn begin(&mut self, term: Term) {
        *self = Self { term: Some(term), ..Self::default() };
    }

    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// The term in which it may act: one that it has claimed.
    pub(crate) fn acts_in(&self) -> Option<Term> {
        self.term.filter(|_| self.claimed)
    }

    /// A step was applied.
    pub(crate) fn on_stepped(&mut self, term: Term) {
        if self.term == Some(term) {
            self.waits_until = None;
        }
    }

    fn is_free(&self, now: Time) -> bool {
        self.waits_until.is_none_or(|until| now >= until)
    }
}

impl Station {
    /// Proposes this replica's manager for its term.
    pub(crate) fn claim<O: Outbox>(&mut self, now: Now, term: Term, out: &mut O) {
        self.manager.waits_until = Some(now.at.after(PATIENCE_NS));
        self.propose(now, &Command::Claim { term, node: self.config.peer() }, out);
    }

    /// A manager has begun: if it is ours, open orders are carried out from now on.
    pub(crate) fn on_claimed<O: Outbox>(&mut self, now: Now, term: Term, out: &mut O) {
        if self.manager.term != Some(term) || self.leading != Some(term) {
            return;
        }
        self.manager.claimed = true;
        self.manager.waits_until = None;
        self.resume_orders(now, out);
    }

    /// Decides about whatever waits; or claims again when the claim was lost.
    pub(crate) fn manage<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(term) = self.manager.term else { return };
        if !self.manager.is_free(now.at) {
            return;
        }
        if !self.manager.claimed {
            return self.claim(now, term, out);
        }
        let step = thought::think(&self.machine, term, now.wall.0);
        if step.is_empty() {
            return;
        }
        self.manager.waits_until = Some(now.at.after(PATIENCE_NS));
        self.propose(now, &Command::Step(step), out);
    }
}

#[cfg(test)]
mod tests;
