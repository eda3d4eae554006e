//! Asking the accused, and what its answer stops.
//!
//! Three probes per round, spaced so that one lost datagram or one busy moment does not kill. A
//! round that stays unanswered counts for a while; a sign of life is a **veto**, which stands until
//! somebody accuses anew. So is an observer's word that it hears the accused again, later than all
//! who accuse it. A home that hears the accused on schedule, and later than all who accuse,
//! vetoes every time: an answer to a probe proves one moment, a heartbeat that keeps coming proves
//! that it is the path between the two that is broken.

use crate::uplink::verdict::Asked;
use syncom_seam::{MS, SECOND, Time};

/// Probes of one round.
const PROBES: u32 = 3;
/// Least time in which an answer may come after the last probe, in ns: a busy machine's turn. It has
/// been silent for several intervals when it is asked.
const ANSWER_MIN_NS: u64 = 10 * MS;
/// From the start of one round to that of the next, in ns.
const ROUNDS_NS: u64 = 200 * MS;
/// After so long an unanswered round says nothing about the present, in ns.
const STALE_NS: u64 = 2 * SECOND;
/// A veto stands at least so long, in ns: reports of one wave arrive within it.
const VETO_MIN_NS: u64 = 200 * MS;

/// The question to one accused node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inquiry {
    nonce: u64,
    /// Rounds begun since the evidence last changed its mind; 0, 1 or 2.
    round: u32,
    /// Probes sent in this round.
    sent: u32,
    started: Time,
    spacing_ns: u64,
    answer_ns: u64,
    /// Probes sent in all rounds.
    total: u32,
    /// When a sign of life stopped the case.
    vetoed: Option<Time>,
}

impl Inquiry {
    /// Begins a round, when the last one is over and long enough ago. `interval_ns` is η; a round
    /// trip to the node usually takes `rtt_ns`.
    pub(crate) fn begin(&mut self, now: Time, nonce: u64, interval_ns: u64, rtt_ns: u64) {
        match self.asked(now) {
            Asked::UnderWay | Asked::Twice => return,
            Asked::Once if now.since(self.started) < ROUNDS_NS => return,
            Asked::Once => self.round = 2,
            Asked::No => self.round = 1,
        }
        self.nonce = nonce;
        self.sent = 0;
        self.started = now;
        self.spacing_ns = (interval_ns / 10).clamp(5 * MS, 20 * MS);
        self.answer_ns = rtt_ns.saturating_mul(4).max(ANSWER_MIN_NS).max(self.spacing_ns);
    }

    /// The nonce of the next probe, when one is due.
    pub(crate) fn next_probe(&mut self, now: Time) -> Option<u64> {
        let due = self.started.after(self.spacing_ns * u64::from(self.sent));
        if self.round == 0 || self.sent == PROBES || now < due {
            return None;
        }
        self.sent += 1;
        self.total += 1;
        Some(self.nonce)
    }

    /// How far the question has come.
    pub(crate) fn asked(&self, now: Time) -> Asked {
        let age_ns = now.since(self.started);
        if self.round == 0 || age_ns > STALE_NS {
            return Asked::No;
        }
        let last_ns = self.spacing_ns * u64::from(PROBES - 1);
        let over = self.sent == PROBES && age_ns >= last_ns + self.answer_ns;
        match (over, self.round) {
            (false, _) => Asked::UnderWay,
            (true, 1) => Asked::Once,
            (true, _) => Asked::Twice,
        }
    }

    /// Whether an answer with this nonce belongs to the present round.
    pub(crate) const fn is_answered_by(&self, nonce: u64) -> bool {
        self.round > 0 && self.nonce == nonce
    }

    /// A sign of life; whether it is news. A veto counts from the first one.
    pub(crate) fn veto(&mut self, now: Time) -> bool {
        let is_news = self.vetoed.is_none();
        self.vetoed.get_or_insert(now);
        is_news
    }

    /// Whether a sign of life stands.
    pub(crate) const fn is_vetoed(&self) -> bool {
        self.vetoed.is_some()
    }

    /// Somebody accused at `accused`: lifts a veto that stood long enough.
    pub(crate) fn on_accused(&mut self, accused: Time) {
        if self.vetoed.is_some_and(|at| accused >= at.after(VETO_MIN_NS)) {
            self.vetoed = None;
            self.round = 0;
        }
    }

    /// Probes that stayed unanswered, for the record.
    pub(crate) fn unanswered(&self) -> u8 {
        u8::try_from(self.total).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA_NS: u64 = 200 * MS;

    fn run(inquiry: &mut Inquiry, from: Time, for_ns: u64) -> usize {
        let mut probes = 0;
        for ms in 0..for_ns / MS {
            probes += usize::from(inquiry.next_probe(from.after(ms * MS)).is_some());
        }
        probes
    }

    #[test]
    fn a_round_is_three_probes_and_a_pause() {
        let start = Time(SECOND);
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.asked(start), Asked::No);
        inquiry.begin(start, 7, ETA_NS, 0);
        assert_eq!(run(&mut inquiry, start, 100 * MS), 3);
        assert_eq!(inquiry.asked(start.after(59 * MS)), Asked::UnderWay);
        assert_eq!(inquiry.asked(start.after(60 * MS)), Asked::Once);
        assert_eq!(inquiry.asked(start.after(STALE_NS + 1)), Asked::No);
    }

    #[test]
    fn the_second_round_waits_its_spacing() {
        let start = Time(SECOND);
        let mut inquiry = Inquiry::default();
        inquiry.begin(start, 7, ETA_NS, 0);
        run(&mut inquiry, start, 150 * MS);
        inquiry.begin(start.after(150 * MS), 8, ETA_NS, 0);
        assert_eq!(inquiry.asked(start.after(150 * MS)), Asked::Once, "too early");
        inquiry.begin(start.after(200 * MS), 8, ETA_NS, 0);
        assert_eq!(run(&mut inquiry, start.after(200 * MS), 100 * MS), 3);
        assert_eq!(inquiry.asked(start.after(310 * MS)), Asked::Twice);
        assert_eq!(inquiry.unanswered(), 6);
    }

    #[test]
    fn a_veto_stands_until_somebody_accuses_anew() {
        let start = Time(SECOND);
        let mut inquiry = Inquiry::default();
        assert!(inquiry.veto(start));
        assert!(!inquiry.veto(start), "the same case");
        inquiry.on_accused(start.after(VETO_MIN_NS - 1));
        assert!(inquiry.is_vetoed());
        inquiry.on_accused(start.after(VETO_MIN_NS));
        assert!(!inquiry.is_vetoed());
    }
}
