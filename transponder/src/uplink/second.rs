//! The second opinion: what the other home of a node makes of it.
//!
//! One home may be deaf on the very path that matters, so none condemns alone. Whoever begins to ask
//! an accused node tells the other home, which asks it as well and says what came of it: a sign of
//! life, which is a veto here, too, or a round of silence, which agrees and is its vote. A home that
//! says nothing when it is asked again and again is out of reach, as when a rack dies with a
//! satellite in it; then a second round of silence stands for its word. A home that is cut off from
//! the station makes itself mute, unless the node shows itself to it: silence that it cannot prove
//! would else forbid the other one to conclude anything. Where there is only one satellite, it decides
//! alone.

use syncom_seam::{MS, SECOND, Time, US};
use syncom_wire::opinion::Opinion;

/// An opinion that agrees counts for so long, in ns.
const FRESH_NS: u64 = SECOND;
/// Time between two questions to the other home, in ns: its word may be lost.
const ASK_NS: u64 = 40 * MS;
/// Questions without any answer after which the other home is out of reach.
const MUTE: u32 = 3;
/// And so long after the first of them, in ns: satellites are near each other.
const MUTE_NS: u64 = 3 * ASK_NS;
/// The other home wants to know for so long after it has asked, in ns.
const WANTED_NS: u64 = SECOND;

/// How a death stands with the other home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Agreement {
    /// It has asked the node in vain, too; or there is no other home.
    Given,
    /// It has not said so yet.
    Awaited,
    /// It answers nothing.
    Mute,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    /// When its last word came; 0 when none did.
    heard: Time,
    /// Rounds of probes that it has sent in vain.
    rounds: u8,
    /// The last sign of life that it knew of, by the clock here; 0 when none.
    lived: Time,
    /// Questions since its last word, and the first and last of them.
    asks: u32,
    asked_first: Time,
    asked: Time,
    /// Until when it wants to know what is believed here.
    wanted_until: Time,
    /// Rounds that it was told of.
    told: u8,
}

impl Second {
    /// Takes the word of the other home.
    pub(crate) fn on_opinion(&mut self, now: Time, opinion: &Opinion) {
        self.heard = now;
        self.rounds = opinion.rounds;
        if opinion.lived_ago_us != Opinion::NEVER {
            let ago_ns = u64::from(opinion.lived_ago_us) * US;
            self.lived = self.lived.max(Time(now.0.saturating_sub(ago_ns)));
        }
        self.asks = 0;
        if opinion.flags & Opinion::ASKS != 0 {
            self.wanted_until = now.after(WANTED_NS);
        }
    }

    /// The last sign of life that the other home knew of; 0 when none.
    pub(crate) const fn lived(&self) -> Time {
        self.lived
    }

    /// Whether it has asked the node in vain of late.
    pub(crate) fn agrees(&self, now: Time) -> bool {
        self.heard > Time(0) && self.rounds > 0 && now.since(self.heard) <= FRESH_NS
    }

    /// Whether the other home has asked for help of late, so that the node should be asked here, too.
    pub(crate) fn is_wanted(&self, now: Time) -> bool {
        now < self.wanted_until
    }

    /// How a death stands with it.
    pub(crate) fn agreement(&self, now: Time) -> Agreement {
        if self.agrees(now) {
            Agreement::Given
        } else if self.asks >= MUTE && now.since(self.asked_first) >= MUTE_NS {
            Agreement::Mute
        } else {
            Agreement::Awaited
        }
    }

    /// Notes that it was just told of so many rounds.
    pub(crate) const fn note_told(&mut self, rounds: u8) {
        self.told = rounds;
    }

    /// Whether there is something to say to it now, given how many rounds stayed unanswered here and
    /// whether its agreement is missed; and whether to ask. Notes that it is said.
    pub(crate) fn speak(&mut self, now: Time, rounds: u8, is_missed: bool) -> Option<bool> {
        let asks = is_missed && !self.agrees(now) && now.since(self.asked) >= ASK_NS;
        let tells = self.is_wanted(now) && rounds > self.told;
        if !asks && !tells {
            self.told = self.told.min(rounds);
            return None;
        }
        self.told = rounds;
        if asks {
            if now.since(self.asked) > FRESH_NS {
                self.asks = 0;
            }
            if self.asks == 0 {
                self.asked_first = now;
            }
            self.asks = self.asks.saturating_add(1);
            self.asked = now;
        }
        Some(asks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_wire::{Incarnation, PeerId, Slot};

    fn opinion(rounds: u8, lived_ago_us: u32, flags: u8) -> Opinion {
        let subject = PeerId::agent(Slot(3));
        let incarnation = Incarnation(1);
        Opinion { subject, incarnation, lived_ago_us, accusers: 8, rounds, flags, reserved: 0 }
    }

    fn at(ms: u64) -> Time {
        Time(10 * SECOND).after(ms * MS)
    }

    #[test]
    fn a_home_that_answers_nothing_three_times_is_mute_until_it_speaks() {
        let mut second = Second::default();
        let asked: usize = (0..100).filter(|ms| second.speak(at(*ms), 0, true).is_some()).count();
        assert_eq!(asked, 3);
        assert_eq!(second.agreement(at(119)), Agreement::Awaited);
        assert_eq!(second.agreement(at(120)), Agreement::Mute);
        second.on_opinion(at(121), &opinion(0, 900_000, 0));
        assert_eq!(second.agreement(at(121)), Agreement::Awaited);
        second.on_opinion(at(130), &opinion(1, 909_000, 0));
        assert_eq!(second.agreement(at(130)), Agreement::Given);
        assert_eq!(second.speak(at(200), 1, true), None, "there is nothing to ask any more");
        assert_eq!(second.agreement(at(1_131)), Agreement::Awaited, "that was a second ago");
    }

    #[test]
    fn whoever_asked_is_told_once_of_every_round() {
        let mut second = Second::default();
        assert_eq!(second.speak(at(0), 1, false), None, "nobody wants to know");
        second.on_opinion(at(1), &opinion(0, Opinion::NEVER, Opinion::ASKS));
        assert_eq!(second.lived(), Time(0));
        assert_eq!(second.speak(at(2), 0, false), None);
        assert_eq!(second.speak(at(60), 1, false), Some(false));
        assert_eq!(second.speak(at(61), 1, false), None);
        assert_eq!(second.speak(at(70), 0, false), None, "it showed itself");
        assert_eq!(second.speak(at(80), 1, false), Some(false), "and fell silent again");
        assert_eq!(second.speak(at(1_002), 2, false), None, "it asked too long ago");
    }

    #[test]
    fn a_sign_of_life_is_as_old_as_the_other_home_says() {
        let mut second = Second::default();
        second.on_opinion(at(1_000), &opinion(0, 250_000, 0));
        assert_eq!(second.lived(), at(750));
        second.on_opinion(at(1_100), &opinion(1, 900_000, 0));
        assert_eq!(second.lived(), at(750), "the latest");
    }
}
