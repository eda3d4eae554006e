//! When to ask for what is missing.
//!
//! A gap is watched for a while first, since datagrams overtake each other; what was asked for is
//! asked for again no sooner than after a round trip; and when the sender itself wants to know,
//! everything is told at once. Shared by both kinds of receiving ends.

use crate::reassembly::Reassembly;
use syncom_seam::{SECOND, Time, US};
use syncom_wire::stream::{Gap, StreamNak};

/// What was asked for, and when to ask next.
#[derive(Debug)]
pub(crate) struct Naks {
    pause_min_ns: u64,
    pause_ns: u64,
    round: Time,
    /// Gaps below this were asked for when the round began, or before.
    old_to: u64,
    /// Gaps below this were asked for.
    to: u64,
    /// Gaps from `to` up to this are watched until `due`: they may be mere reordering.
    watch_to: u64,
    due: Time,
    all: bool,
}

/// Gaps to ask for, oldest first.
#[derive(Debug)]
pub(crate) struct Asked {
    gaps: [Gap; StreamNak::GAPS_MAX],
    count: usize,
}

impl Asked {
    /// The gaps themselves.
    pub(crate) fn gaps(&self) -> &[Gap] {
        self.gaps.get(..self.count).unwrap_or_default()
    }
}

impl Naks {
    /// Nothing was asked for. The same gap is asked for at most once per `pause_min_ns`.
    pub(crate) const fn new(pause_min_ns: u64) -> Self {
        Self {
            pause_min_ns,
            pause_ns: pause_min_ns,
            round: Time(0),
            old_to: 0,
            to: 0,
            watch_to: 0,
            due: Time::NEVER,
            all: false,
        }
    }

    /// Adopts the sender's round trip as the pause between two requests for the same bytes.
    pub(crate) fn pace(&mut self, rtt_us: u32) {
        self.pause_ns = (u64::from(rtt_us) * US).clamp(self.pause_min_ns, SECOND);
    }

    /// The sender wants to know everything that is missing.
    pub(crate) const fn ask_all(&mut self) {
        self.all = true;
    }

    /// When [`Self::ask`] is due for gaps that are still watched; `NEVER` when none is.
    pub(crate) const fn due(&self) -> Time {
        self.due
    }

    /// How long reordering may take.
    pub(crate) const fn patience_ns(&self) -> u64 {
        self.pause_ns / 8
    }

    /// Watches nothing any more.
    pub(crate) const fn stop(&mut self) {
        self.due = Time::NEVER;
    }

    /// What to ask for now: new gaps when they have outlived reordering, old ones after one to two
    /// round trips, all of them when the sender asks. Gaps seen for the first time are watched for
    /// `patience_ns`, or for an eighth of the pause.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        runs: &Reassembly,
        seen: u64,
        patience_ns: Option<u64>,
    ) -> Asked {
        let asks_all = core::mem::take(&mut self.all);
        let is_new_round = asks_all || now.since(self.round) >= self.pause_ns;
        let is_due = asks_all || self.due <= now;
        let again_below = match (asks_all, is_new_round) {
            (true, _) => self.to,
            (false, true) => self.old_to,
            (false, false) => 0,
        };
        let new_from = self.to;
        let new_below = match (asks_all, is_due) {
            (true, _) => seen,
            (false, true) => self.watch_to,
            (false, false) => 0,
        };
        let wanted = runs.gaps(seen).flat_map(|(from, to)| {
            [(from, to.min(again_below)), (from.max(new_from), to.min(new_below))]
        });
        let mut asked =
            Asked { gaps: [Gap { position: 0, len: 0 }; StreamNak::GAPS_MAX], count: 0 };
        for (gap, (from, to)) in asked.gaps.iter_mut().zip(wanted.filter(|(from, to)| from < to)) {
            *gap = Gap { position: from, len: u32::try_from(to - from).unwrap_or(u32::MAX) };
            asked.count += 1;
            self.to = self.to.max(to);
        }
        if is_new_round {
            (self.round, self.old_to) = (now, self.to);
        }
        if is_due {
            self.due = Time::NEVER;
        }
        if self.due == Time::NEVER && runs.gaps(seen).any(|gap| gap.1 > self.to) {
            self.watch_to = seen;
            self.due = now.after(patience_ns.unwrap_or(self.patience_ns()));
        }
        asked
    }
}
