//! Patience: since when a case stands as it does, for how long it may, and when it is gray or over.
//!
//! Between L and H a node is neither dead nor well. That is borne for 3·m·η. Who can hardly be heard, where
//! four datagrams of five are lost, say, is accused by each observer now and then, at another time than by
//! the next; so its observers also count, by the numbers of the heartbeats that do come, how many did not.
//! Five of eight missing at most of them is grayness at once.

use super::{PATIENCE, Sight, Suspicion, Tally};
use crate::uplink::evidence::Word;
use crate::uplink::veto::DOUBT_NS;
use syncom_seam::Time;
use syncom_wire::limits::OBSERVERS_MAX;

/// The bits of present observers in a tally.
const PRESENT: u64 = (1 << OBSERVERS_MAX) - 1;

impl Suspicion {
    /// Notes whether L accuse. A spell begins with the silence of the first of them, as far as that
    /// is due to it; a moment below L, as when a lossy link lets a heartbeat through, does not end it,
    /// nor does a longer one, up to patience, where more than L accused in turn: whoever is asked is heard
    /// by all whom its answer reaches, and only another silence can tell more.
    pub(super) fn note_spell(&mut self, is_probable: bool, tally: &Tally, sight: &Sight<'_>) {
        let was_probable = core::mem::replace(&mut self.is_probable, is_probable);
        if !is_probable {
            return;
        }
        let (now, silence_ns) = (sight.now.at, sight.silence_ns(self.slot));
        self.relapses = self.relapses.saturating_add(u32::from(!was_probable));
        self.accusers |= tally.observers & PRESENT;
        let pauses = if self.are_many(sight) { PATIENCE } else { 2 };
        if self.probable_at == Time(0) || now.since(self.probable_at) > pauses * silence_ns {
            let first = self.evidence.words().iter().filter(|word| !word.is_retracted);
            let first = first.map(|word| word.silent_since).min().unwrap_or(now);
            self.since = first.max(Time(now.0.saturating_sub(silence_ns * 3 / 2))).min(now);
            (self.relapses, self.contested) = (1, Time(0));
            self.accusers = tally.observers & PRESENT;
        }
        self.probable_at = now;
        if self.contested == Time(0) && self.inquiry.is_vetoed() {
            self.contested = now;
        }
    }

    /// Whether more than L accused in this spell. Two that are deaf are always the same two, however often
    /// they accuse; who can hardly be heard is accused by nearly all, in turn.
    fn are_many(&self, sight: &Sight<'_>) -> bool {
        self.accusers.count_ones() > sight.world.quorum().low
    }

    /// Whether a spell has lasted for as long as patience goes. It need not be accused at this very
    /// moment when it was so more than once: being asked, a node on a bad link is heard for a while. Nor
    /// when many accused it for long although it lived: whoever stood still is heard by all at once.
    pub(super) fn is_long(&self, sight: &Sight<'_>) -> bool {
        let (now, silence_ns) = (sight.now.at, sight.silence_ns(self.slot));
        let ago_ns = now.since(self.probable_at);
        let was_contested = self.contested > Time(0)
            && self.probable_at.since(self.contested) >= silence_ns
            && ago_ns <= silence_ns;
        let goes_on = (was_contested && self.are_many(sight))
            || (self.relapses > 1 && ago_ns <= 2 * silence_ns);
        let is_one =
            now.since(self.since) >= PATIENCE * silence_ns && (self.is_probable || goes_on);
        is_one || self.is_patchy(sight)
    }

    /// Whether the word of somebody who hears the node refutes anything. What is missing only does not:
    /// who can hardly be heard may die, and its case is not to be doubted for having been open.
    pub(in crate::uplink) fn is_refuted_by(&self, word: &Word, sight: &Sight<'_>) -> bool {
        let is_accused = || self.evidence.words().iter().any(|word| !word.is_retracted);
        match word.patchy {
            Time(0) => self.probable_at > Time(0) || self.stands(sight) || is_accused(),
            _ => self.is_probable,
        }
    }

    /// Whether most present observers, and more than L, miss most of what the node sends, or all of it at
    /// present. That is known by the numbers of what comes, so who can hardly be heard is found sooner and
    /// more surely than by how long it is silent to each; and of who stood still, or died, nothing is missing.
    fn is_patchy(&self, sight: &Sight<'_>) -> bool {
        let quorum = sight.world.quorum();
        let (mut patchy, mut missed) = (0, 0);
        for word in self.evidence.words() {
            let is_patchy = self.is_patchy_to(word, sight);
            patchy += u32::from(is_patchy);
            missed += u32::from(is_patchy || self.is_missed_by(word, sight));
        }
        patchy >= quorum.low && missed > quorum.low.max(quorum.observers / 2)
    }

    /// Whether it is the word of a present observer that has said of late that it misses most of what the
    /// node sends.
    pub(in crate::uplink) fn is_patchy_to(&self, word: &Word, sight: &Sight<'_>) -> bool {
        let now = sight.now.at;
        let is_recent = now.since(word.patchy) < PATIENCE * sight.silence_ns(self.slot);
        let bit = || sight.world.observer_bit(self.slot, word.slot, now);
        word.patchy > Time(0)
            && is_recent
            && sight.world.living(word.slot, word.incarnation).is_some()
            && bit().is_some_and(|bit| bit < OBSERVERS_MAX)
    }

    /// Whether it is the word of a present observer that misses the node. One that suspects itself is
    /// deaf, perhaps, and one that never heard the node misses nothing.
    fn is_missed_by(&self, word: &Word, sight: &Sight<'_>) -> bool {
        let is_sure = !word.suspects_itself && word.heard > Time(0);
        is_sure && self.bit_of(word, sight).is_some_and(|bit| bit < OBSERVERS_MAX)
    }

    /// Whether too few accuse for so long that the case may be forgotten. One that was not what it
    /// seemed is remembered for a while: the next accusation will not be new.
    pub(super) fn is_over(&self, is_empty: bool, silence_ns: u64, now: Time) -> bool {
        let age_ns = now.since(self.probable_at.max(self.since));
        let is_remarkable =
            self.is_gray || (self.probable_at > Time(0) && self.inquiry.is_doubted(now));
        let keep_ns = if is_remarkable { DOUBT_NS } else { 2 * silence_ns };
        !self.is_probable && (age_ns >= keep_ns || (is_empty && !is_remarkable))
    }
}
