//! The question to a subject that speaks to its observers in turn.
//!
//! Whoever misses its turn asks it three times in a row, so that one lost heartbeat is nobody's business
//! but theirs, and tells the homes. Whoever is asked by these goes on asking for half a second: the one
//! who told them may be deaf, and nobody may be accused for a pause that nobody would have noticed had
//! it spoken to all at once. Whoever got no answer goes on asking, ever more rarely, as long as its word
//! counts: it may not hear the node by itself for a whole round, and nobody may die of old words.
//!
//! ```text
//!          due, or asked by a home            no answer
//!   Idle ──────────────────────────▶ Asked ────────────▶ InVain
//!     ▲       an answer, or a heartbeat │                   │
//!     └─────────────────────────────────┴───────────────────┘
//! ```

use syncom_seam::{MS, Time};
use syncom_wire::Addr;
use syncom_wire::limits::HOMES;

/// Questions of one's own accord.
const OWN: u8 = 3;
/// From one of them to the next, in ns.
const OWN_SPACING_NS: u64 = 20 * MS;
/// Least time for an answer to the last of them, in ns.
const OWN_ANSWER_NS: u64 = 40 * MS;
/// Questions when a home asks.
const CALLED: u8 = 5;
/// From one of them to the next, and to the end, in ns.
const CALLED_SPACING_NS: u64 = 125 * MS;
/// Longest time between two questions to one that did not answer, in ns.
const AGAIN_MAX_NS: u64 = 1_000 * MS;
/// What came of a question is true for so long, in ns: a home asks three times a round.
const FRESH_NS: u64 = 150 * MS;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Asked,
    InVain,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Question {
    stage: Stage,
    nonce: u64,
    /// When the first of these questions was asked.
    begun: Time,
    /// Questions that are still to be sent.
    left: u8,
    spacing_ns: u64,
    answer_ns: u64,
    /// When the next one goes out, or when it is in vain.
    due: Time,
    /// When it was in vain last.
    ended: Time,
    /// When it was answered last; 0 when never.
    answered: Time,
    /// Homes that want to know.
    homes: [Option<Addr>; HOMES],
}

impl Question {
    /// Begins to ask of one's own accord; `trip_ns` is what a round trip may take.
    pub(crate) fn begin(&mut self, now: Time, nonce: u64, trip_ns: u64) {
        let (left, spacing_ns, answer_ns) = (OWN, OWN_SPACING_NS, OWN_ANSWER_NS.max(trip_ns));
        let (stage, begun, due) = (Stage::Asked, now, now);
        *self = Self { stage, nonce, begun, left, spacing_ns, answer_ns, due, ..*self };
    }

    /// Begins to ask because a home does, unless that is under way; the answers to earlier questions
    /// count.
    pub(crate) fn call(&mut self, now: Time, home: Addr, nonce: u64, trip_ns: u64) {
        let is_called = self.is_asked() && self.is_called();
        if !self.homes.contains(&Some(home))
            && let Some(place) = self.homes.iter_mut().find(|place| place.is_none())
        {
            *place = Some(home);
        }
        if is_called {
            return;
        }
        let (nonce, begun) = if self.is_idle() { (nonce, now) } else { (self.nonce, self.begun) };
        let (left, spacing_ns) = (CALLED, CALLED_SPACING_NS.max(trip_ns));
        let (stage, answer_ns, due) = (Stage::Asked, spacing_ns, now);
        *self = Self { stage, nonce, begun, left, spacing_ns, answer_ns, due, ..*self };
    }

    /// The nonce of the next question, when one is due; notes when all were in vain.
    pub(crate) fn next(&mut self, now: Time) -> Option<u64> {
        if self.is_idle() || now < self.due {
            return None;
        }
        if self.is_in_vain() {
            self.spacing_ns = (2 * self.spacing_ns).clamp(CALLED_SPACING_NS, AGAIN_MAX_NS);
            self.due = now.after(self.spacing_ns);
            return Some(self.nonce);
        }
        let Some(left) = self.left.checked_sub(1) else {
            (self.stage, self.ended) = (Stage::InVain, now);
            self.due = now.after(CALLED_SPACING_NS);
            return None;
        };
        self.left = left;
        self.due = now.after(if left > 0 { self.spacing_ns } else { self.answer_ns });
        Some(self.nonce)
    }

    /// Takes an answer; whether it is one to what is asked, or was in vain so far.
    pub(crate) fn on_answer(&mut self, nonce: u64, now: Time) -> bool {
        let is_one = self.stage != Stage::Idle && nonce == self.nonce;
        if is_one {
            (self.stage, self.answered) = (Stage::Idle, now);
        }
        is_one
    }

    /// It was heard: there is nothing to ask.
    pub(crate) fn on_heard(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whoever asks stood still: what it would have heard says nothing.
    pub(crate) fn on_pause(&mut self, now: Time) {
        if self.stage != Stage::Idle {
            (self.stage, self.answered) = (Stage::Idle, now);
        }
    }

    /// The homes that want to know what came of it; they are told once.
    pub(crate) fn take_homes(&mut self) -> impl Iterator<Item = Addr> + use<> {
        core::mem::take(&mut self.homes).into_iter().flatten()
    }

    /// Whether homes want to know what comes of it.
    pub(crate) fn is_called(&self) -> bool {
        self.homes.iter().any(Option::is_some)
    }

    /// Whether it is known for so short a time what came of it that it need not be asked again.
    pub(crate) fn is_fresh(&self, now: Time) -> bool {
        let since = match self.stage {
            Stage::Idle => self.answered,
            Stage::Asked => return false,
            Stage::InVain => self.ended,
        };
        since > Time(0) && now.since(since) < FRESH_NS
    }

    /// When nobody at all was heard for so long, who asked in vain doubts its own ears: everybody would
    /// have answered what it said of that by now. [`Time::NEVER`] when somebody was `heard` since.
    pub(crate) fn is_mine_at(&self, heard: Time) -> Time {
        let is_alone = self.is_in_vain() && heard < self.begun;
        if is_alone { self.ended.after(CALLED_SPACING_NS) } else { Time::NEVER }
    }

    /// When there is something to do: to ask again, or to give up.
    pub(crate) fn moment(&self) -> Time {
        if self.is_idle() { Time::NEVER } else { self.due }
    }

    /// When it was answered last; 0 when never.
    pub(crate) const fn answered(&self) -> Time {
        self.answered
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.stage == Stage::Asked
    }

    pub(crate) fn is_in_vain(&self) -> bool {
        self.stage == Stage::InVain
    }
}
