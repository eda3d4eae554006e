//! Asking the accused, and what its answer stops.
//!
//! Three probes per round, spaced so that one lost datagram or one busy moment does not kill. A
//! round that stays unanswered counts for a while; a sign of life is a **veto**, which stands until
//! somebody accuses anew, or m·η have passed without another one. So is an observer's word that it
//! hears the accused, later than all who accuse it by more than an interval: it says so when it hears
//! it again, and the quiet ones are asked with every probe. A home that hears the accused on schedule, and later than all who accuse, vetoes every time: an
//! answer to a probe proves one moment, a heartbeat that keeps coming proves that it is the path
//! between the two that is broken.
//!
//! Whoever was once accused wrongly is **doubted** for a while: on a link that loses four datagrams
//! of five, everybody's patience ends now and then at the same moment. The next death of such a node
//! needs total silence, to everybody and to a question every 200 ms, for much longer.

use crate::uplink::verdict::Asked;
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::probe::Probe;

/// Probes of one round.
const PROBES: u32 = 3;
/// Least time in which an answer may come after the last probe, in ns: a busy machine's turn. It has
/// been silent for several intervals when it is asked.
const ANSWER_MIN_NS: u64 = 10 * MS;
/// Longest time in which it may, in ns.
const ANSWER_MAX_NS: u64 = SECOND;
/// From the start of one round to that of the next, in ns.
const ROUNDS_NS: u64 = 200 * MS;
/// After so long an unanswered round says nothing about the present, in ns.
const STALE_NS: u64 = 2 * SECOND;
/// A veto stands at least so long, in ns: reports of one wave arrive within it.
const VETO_MIN_NS: u64 = 200 * MS;
/// A node is doubted for so long after a veto, in ns.
pub(crate) const DOUBT_NS: u64 = 10 * SECOND;

/// The question to one accused node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inquiry {
    nonce: u64,
    /// Rounds begun since the evidence last changed its mind.
    round: u32,
    /// Probes sent in this round.
    sent: u32,
    started: Time,
    spacing_ns: u64,
    answer_ns: u64,
    /// When it answered last.
    answered: Time,
    /// Probes sent in all rounds.
    total: u32,
    /// When a sign of life stopped the case.
    vetoed: Option<Time>,
    /// When one last did.
    doubted: Option<Time>,
}

impl Inquiry {
    /// Begins a round, when the last one is over and long enough ago. `interval_ns` is η, `rtt_ns`
    /// the round trip to the accused, 0 when unknown.
    pub(crate) fn begin(&mut self, now: Time, nonce: u64, interval_ns: u64, rtt_ns: u64) {
        match self.asked(now) {
            Asked::No => self.round = 0,
            Asked::UnderWay | Asked::Once | Asked::Twice if !self.is_over(now) => return,
            Asked::Once | Asked::Twice if now.since(self.started) < ROUNDS_NS => return,
            Asked::UnderWay | Asked::Once | Asked::Twice => {}
        }
        self.round = self.round.saturating_add(1);
        self.nonce = if nonce == Probe::REFUSED { 1 } else { nonce };
        self.sent = 0;
        self.started = now;
        self.spacing_ns = (interval_ns / 10).clamp(5 * MS, 20 * MS);
        let least_ns = ANSWER_MIN_NS.max(self.spacing_ns);
        self.answer_ns = rtt_ns.saturating_mul(4).clamp(least_ns, ANSWER_MAX_NS);
    }

    /// When the present round began; 0 before the first.
    pub(crate) const fn started(&self) -> Time {
        self.started
    }

    /// Whether the time to answer the present round has passed.
    fn is_over(&self, now: Time) -> bool {
        let last_ns = self.spacing_ns * u64::from(PROBES - 1);
        self.sent == PROBES && now.since(self.started) >= last_ns + self.answer_ns
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
        if self.round == 0 || now.since(self.started) > STALE_NS {
            return Asked::No;
        }
        match self.round - u32::from(!self.is_over(now)) {
            0 => Asked::UnderWay,
            1 => Asked::Once,
            _ => Asked::Twice,
        }
    }

    /// Whether an answer with this nonce belongs to the present round.
    pub(crate) const fn is_answered_by(&self, nonce: u64) -> bool {
        self.round > 0 && self.nonce == nonce
    }

    /// The accused answered.
    pub(crate) fn on_answer(&mut self, now: Time) -> bool {
        self.answered = self.answered.max(now);
        self.veto(now)
    }

    /// When it last answered; 0 when never.
    pub(crate) const fn answered(&self) -> Time {
        self.answered
    }

    /// A sign of life; whether it is news. A veto counts from the first one.
    pub(crate) fn veto(&mut self, now: Time) -> bool {
        let is_news = self.vetoed.is_none();
        self.vetoed.get_or_insert(now);
        self.doubted = self.doubted.max(Some(now));
        is_news
    }

    /// Whether a sign of life stopped the case lately.
    pub(crate) fn is_doubted(&self, now: Time) -> bool {
        self.doubted.is_some_and(|at| now.since(at) < DOUBT_NS)
    }

    /// Whether a sign of life stands.
    pub(crate) const fn is_vetoed(&self) -> bool {
        self.vetoed.is_some()
    }

    /// Somebody accused at `accused`, or as much time has passed since the last sign of life as if
    /// everybody had accused anew: lifts a veto that stood long enough.
    pub(crate) fn on_accused(&mut self, accused: Time) {
        if self.vetoed.is_some_and(|at| accused >= at.after(VETO_MIN_NS)) {
            self.vetoed = None;
            self.round = 0;
        }
    }

    /// What was asked so far counts for nothing.
    pub(crate) const fn begin_anew(&mut self) {
        self.round = 0;
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
        assert_eq!(inquiry.asked(start.after(259 * MS)), Asked::Once, "the second is under way");
        assert_eq!(inquiry.asked(start.after(260 * MS)), Asked::Twice);
        assert_eq!(inquiry.unanswered(), 6);
        inquiry.begin(start.after(400 * MS), 9, ETA_NS, 0);
        assert_eq!(run(&mut inquiry, start.after(400 * MS), 20 * MS), 1, "and so on");
        assert_eq!(inquiry.asked(start.after(420 * MS)), Asked::Twice);
    }

    #[test]
    fn the_time_to_answer_follows_interval_and_round_trip() {
        let over_after_ms = |interval_ns, rtt_ns| {
            let mut inquiry = Inquiry::default();
            inquiry.begin(Time(SECOND), 7, interval_ns, rtt_ns);
            run(&mut inquiry, Time(SECOND), 100 * MS);
            (0..5_000).find(|ms| inquiry.is_over(Time(SECOND + ms * MS))).unwrap()
        };
        assert_eq!(over_after_ms(200 * MS, 0), 60);
        assert_eq!(over_after_ms(200 * MS, 50 * MS), 240, "a far node has the time that it needs");
        assert_eq!(over_after_ms(50 * MS, 0), 20);
        assert_eq!(over_after_ms(SECOND, 0), 60);
    }

    #[test]
    fn a_sign_of_life_leaves_doubt_for_a_while() {
        let start = Time(20 * SECOND);
        let mut inquiry = Inquiry::default();
        assert!(!inquiry.is_doubted(start));
        inquiry.veto(start);
        inquiry.veto(start.after(SECOND));
        assert!(inquiry.is_doubted(start.after(DOUBT_NS)));
        assert!(!inquiry.is_doubted(start.after(DOUBT_NS + SECOND)));
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
