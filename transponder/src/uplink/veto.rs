//! Asking the accused, and what its answer stops.
//!
//! Three probes per round, spaced so that one lost datagram or one busy moment does not kill. A
//! round that stays unanswered counts for a while; a sign of life is a **veto**, which stands until
//! somebody accuses anew, or m·η have passed without another one. So is an observer's word that it
//! hears the accused, later than all who accuse it by more than an interval: it says so when it
//! hears it again, and the quiet ones are asked with every probe. A home that hears the accused on
//! schedule, and later than all who accuse, vetoes every time: an answer to a probe proves one
//! moment, a heartbeat that keeps coming proves that it is the path between the two that is broken.
//!
//! Silence is **proven** by an answer from elsewhere. With every probe the leader is asked as well,
//! which answers when a majority follows it still. A round in which it does not answer either counts
//! for nothing and is repeated soon: it is the asker who was cut off, perhaps for a moment only.
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
/// The same after a round that counts for nothing, at least, while there is a leader, in ns.
const REPEAT_NS: u64 = 50 * MS;
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
    /// When the last probe was sent.
    asked_at: Time,
    spacing_ns: u64,
    answer_ns: u64,
    /// Whether the leader has answered a question of this round, within `proof_ns` of its start.
    is_proven: bool,
    proof_ns: u64,
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
    /// the round trip to the accused, 0 when unknown, `proof_ns` what the leader may take to answer; 0
    /// when there is none: then nothing is gained by haste.
    pub(crate) fn begin(
        &mut self,
        now: Time,
        nonce: u64,
        (interval_ns, rtt_ns, proof_ns): (u64, u64, u64),
    ) {
        let is_first = self.round == 0 || self.is_stale(now);
        let is_hasty = !self.is_proven && proof_ns > 0;
        let pause_ns = if is_hasty { REPEAT_NS } else { ROUNDS_NS };
        if !is_first && (self.is_pending(now) || now.since(self.started) < pause_ns) {
            return;
        }
        if is_first {
            self.round = 1;
        } else if self.is_proven {
            self.round = self.round.saturating_add(1);
        }
        self.nonce = if nonce == Probe::REFUSED { 1 } else { nonce };
        self.sent = 0;
        self.started = now;
        self.spacing_ns = (interval_ns / 10).clamp(5 * MS, 20 * MS);
        let least_ns = ANSWER_MIN_NS.max(self.spacing_ns);
        self.answer_ns = rtt_ns.saturating_mul(4).clamp(least_ns, ANSWER_MAX_NS);
        (self.is_proven, self.proof_ns) = (false, proof_ns.min(ANSWER_MAX_NS));
    }

    /// When the present round began; 0 before the first.
    pub(crate) const fn started(&self) -> Time {
        self.started
    }

    /// How long the present round lasts, in ns.
    fn length_ns(&self) -> u64 {
        self.spacing_ns * u64::from(PROBES - 1) + self.answer_ns
    }

    /// Whether it is not known yet what comes of the present round.
    fn is_pending(&self, now: Time) -> bool {
        let age_ns = now.since(self.started);
        let is_over = self.sent == PROBES && age_ns >= self.length_ns();
        !is_over || (!self.is_proven && age_ns <= self.proof_ns)
    }

    fn is_stale(&self, now: Time) -> bool {
        now.since(self.started) > STALE_NS
    }

    /// The leader, whom a majority follows, has answered what it was asked at `sent`. When that was with
    /// a question of the present round, and is not long ago, the accused is silent to somebody who is
    /// not cut off.
    pub(crate) fn on_proof(&mut self, sent: Time, now: Time) {
        let within_ns = self.proof_ns.max(self.length_ns());
        let is_of_it = sent >= self.started && now.since(self.started) <= within_ns;
        self.is_proven |= self.round > 0 && is_of_it;
    }

    /// The nonce of the next probe, when one is due.
    pub(crate) fn next_probe(&mut self, now: Time) -> Option<u64> {
        let due = self.started.after(self.spacing_ns * u64::from(self.sent));
        if self.round == 0 || self.sent == PROBES || now < due {
            return None;
        }
        self.sent += 1;
        self.total += 1;
        self.asked_at = now;
        Some(self.nonce)
    }

    /// Whether a probe was sent at this moment.
    pub(crate) fn is_asked_at(&self, now: Time) -> bool {
        self.round > 0 && self.asked_at == now
    }

    /// How far the question has come.
    pub(crate) fn asked(&self, now: Time) -> Asked {
        if self.round == 0 || self.is_stale(now) {
            return Asked::No;
        }
        let is_pending = self.is_pending(now);
        match self.round - u32::from(is_pending || !self.is_proven) {
            0 if is_pending => Asked::UnderWay,
            0 => Asked::No,
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
            let at = from.after(ms * MS);
            if inquiry.next_probe(at).is_some() {
                probes += 1;
                inquiry.on_proof(at, at);
            }
        }
        probes
    }

    /// Sends the probes of a round, with none of which the leader is asked.
    fn ask(inquiry: &mut Inquiry, from: Time) {
        let probes = (0..50).filter_map(|ms| inquiry.next_probe(from.after(ms * MS)));
        assert_eq!(probes.count(), 3);
    }

    #[test]
    fn a_round_is_three_probes_and_a_pause() {
        let start = Time(SECOND);
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.asked(start), Asked::No);
        inquiry.begin(start, 7, (ETA_NS, 0, 0));
        assert_eq!(run(&mut inquiry, start, 100 * MS), 3);
        assert_eq!(inquiry.asked(start.after(59 * MS)), Asked::UnderWay);
        assert_eq!(inquiry.asked(start.after(60 * MS)), Asked::Once);
        assert_eq!(inquiry.asked(start.after(STALE_NS + 1)), Asked::No);
    }

    #[test]
    fn the_second_round_waits_its_spacing() {
        let start = Time(SECOND);
        let mut inquiry = Inquiry::default();
        inquiry.begin(start, 7, (ETA_NS, 0, 0));
        run(&mut inquiry, start, 150 * MS);
        inquiry.begin(start.after(150 * MS), 8, (ETA_NS, 0, 0));
        assert_eq!(inquiry.asked(start.after(150 * MS)), Asked::Once, "too early");
        inquiry.begin(start.after(200 * MS), 8, (ETA_NS, 0, 0));
        assert_eq!(run(&mut inquiry, start.after(200 * MS), 100 * MS), 3);
        assert_eq!(inquiry.asked(start.after(259 * MS)), Asked::Once, "the second is under way");
        assert_eq!(inquiry.asked(start.after(260 * MS)), Asked::Twice);
        assert_eq!(inquiry.unanswered(), 6);
        inquiry.begin(start.after(400 * MS), 9, (ETA_NS, 0, 0));
        assert_eq!(run(&mut inquiry, start.after(400 * MS), 20 * MS), 1, "and so on");
        assert_eq!(inquiry.asked(start.after(420 * MS)), Asked::Twice);
    }

    #[test]
    fn the_time_to_answer_follows_interval_and_round_trip() {
        let over_after_ms = |interval_ns, rtt_ns| {
            let mut inquiry = Inquiry::default();
            inquiry.begin(Time(SECOND), 7, (interval_ns, rtt_ns, 0));
            run(&mut inquiry, Time(SECOND), 100 * MS);
            (0..5_000).find(|ms| !inquiry.is_pending(Time(SECOND + ms * MS))).unwrap()
        };
        assert_eq!(over_after_ms(200 * MS, 0), 60);
        assert_eq!(over_after_ms(200 * MS, 50 * MS), 240, "a far node has the time that it needs");
        assert_eq!(over_after_ms(50 * MS, 0), 20);
        assert_eq!(over_after_ms(SECOND, 0), 60);
    }

    #[test]
    fn a_round_in_which_the_leader_was_silent_too_counts_for_nothing_and_is_repeated_soon() {
        let start = Time(SECOND);
        let mut inquiry = Inquiry::default();
        let mut probes = 0;
        for ms in 0..500 {
            let now = start.after(ms * MS);
            inquiry.begin(now, 7, (ETA_NS, 0, 1));
            probes += usize::from(inquiry.next_probe(now).is_some());
            let asked = inquiry.asked(now);
            assert!(asked <= Asked::UnderWay, "{asked:?} after {ms} ms");
        }
        assert_eq!(probes, 3 * 8 + 1, "every 61 ms");
        inquiry.on_proof(start.after(490 * MS), start.after(500 * MS));
        run(&mut inquiry, start.after(500 * MS), 50 * MS);
        assert_eq!(inquiry.asked(start.after(549 * MS)), Asked::Once);
    }

    #[test]
    fn an_answer_to_what_the_leader_was_asked_earlier_or_that_comes_later_proves_nothing() {
        for (sent, came, counts) in [(0, 1, true), (40, 60, true), (40, 61, false)] {
            let start = Time(SECOND);
            let mut inquiry = Inquiry::default();
            inquiry.on_proof(start, start);
            inquiry.begin(start, 7, (ETA_NS, 0, 0));
            ask(&mut inquiry, start);
            inquiry.on_proof(Time(start.0 - 1), start.after(MS));
            inquiry.on_proof(start.after(sent * MS), start.after(came * MS));
            let asked = inquiry.asked(start.after(70 * MS));
            assert_eq!(asked == Asked::Once, counts, "sent at {sent}, came at {came}");
        }
        let mut inquiry = Inquiry::default();
        inquiry.begin(Time(SECOND), 7, (ETA_NS, 0, 300 * MS));
        ask(&mut inquiry, Time(SECOND));
        assert_eq!(inquiry.asked(Time(SECOND).after(290 * MS)), Asked::UnderWay);
        inquiry.on_proof(Time(SECOND), Time(SECOND).after(300 * MS));
        assert_eq!(inquiry.asked(Time(SECOND).after(300 * MS)), Asked::Once, "a far leader");
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
