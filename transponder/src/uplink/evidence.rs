//! What observers say of one life of one node: a join-semilattice.
//!
//! Reports come twice, late, in any order, and through any satellite. Merging is therefore a join
//! (each part of the record is a maximum, a minimum or a union, Shapiro et al., "CRDTs", 2011), so
//! the result depends on the set of words alone. Of one reporter the last word counts: by its
//! incarnation, then by its running number, and a retraction outranks the accusation of the same
//! number.

use syncom_seam::Time;
use syncom_wire::{Incarnation, Slot};

/// Reporters that one record holds: the observers of two epochs. Of more, the lowest slots stay.
pub(crate) const WORDS_MAX: usize = 16;

/// The last word of one reporter. Moments are of this satellite's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Who says it.
    pub(crate) slot: Slot,
    /// In which life.
    pub(crate) incarnation: Incarnation,
    /// The report's running number.
    pub(crate) seq: u64,
    /// Whether it takes an accusation back.
    pub(crate) is_retracted: bool,
    /// Whether the reporter suspects itself.
    pub(crate) suspects_itself: bool,
    /// Whether the subject speaks to its observers in turn: what the reporter had not heard until it
    /// asked, it had not missed.
    pub(crate) is_in_turn: bool,
    /// Whether the reporter has missed it by itself: always, where it is not asked for first.
    pub(crate) has_missed: bool,
    /// The reporter's local health, 0 to 7.
    pub(crate) health: u8,
    /// The reporter's failure domain.
    pub(crate) domain: u16,
    /// Since when it has not heard the subject: its last heartbeat, or when the reporter became its
    /// observer.
    pub(crate) silent_since: Time,
    /// When it heard the subject last; 0 when never.
    pub(crate) heard: Time,
    /// When it said last that it misses most of what the subject sends; 0 when never.
    pub(crate) patchy: Time,
    /// When this word came first.
    pub(crate) first: Time,
    /// When it came last.
    pub(crate) last: Time,
}

impl Word {
    pub(crate) const NOTHING: Self = Self {
        slot: Slot::NONE,
        incarnation: Incarnation(0),
        seq: 0,
        is_retracted: false,
        suspects_itself: false,
        is_in_turn: false,
        has_missed: false,
        health: 0,
        domain: 0,
        silent_since: Time(0),
        heard: Time(0),
        patchy: Time(0),
        first: Time(0),
        last: Time(0),
    };

    const fn rank(&self) -> (u32, u64, bool) {
        (self.incarnation.0, self.seq, self.is_retracted)
    }

    /// The join of two words of one reporter.
    fn join(&self, other: &Self) -> Self {
        let patchy = self.patchy.max(other.patchy);
        match self.rank().cmp(&other.rank()) {
            core::cmp::Ordering::Less => Self { patchy, ..*other },
            core::cmp::Ordering::Greater => Self { patchy, ..*self },
            core::cmp::Ordering::Equal => Self {
                patchy,
                suspects_itself: self.suspects_itself | other.suspects_itself,
                is_in_turn: self.is_in_turn | other.is_in_turn,
                has_missed: self.has_missed | other.has_missed,
                health: self.health.max(other.health),
                domain: self.domain.max(other.domain),
                silent_since: self.silent_since.max(other.silent_since),
                heard: self.heard.max(other.heard),
                first: self.first.min(other.first),
                last: self.last.max(other.last),
                ..*self
            },
        }
    }
}

/// What a word changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// Nothing at all: it was known, or it is older than what is known.
    Nothing,
    /// The reporter had not been heard on this subject.
    New,
    /// The reporter said it again, or said something newer.
    Newer,
}

/// All words about one life of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// By slot, ascending.
    words: [Word; WORDS_MAX],
    len: usize,
    first: Time,
    last: Time,
    heard: Time,
    silent_since: Time,
    health_max: u8,
}

impl Evidence {
    /// No words.
    pub(crate) const fn new() -> Self {
        Self {
            words: [Word::NOTHING; WORDS_MAX],
            len: 0,
            first: Time::NEVER,
            last: Time(0),
            heard: Time(0),
            silent_since: Time(0),
            health_max: 0,
        }
    }

    /// The words, by slot.
    pub(crate) fn words(&self) -> &[Word] {
        self.words.get(..self.len).unwrap_or(&[])
    }

    /// When the first word came.
    pub(crate) const fn first(&self) -> Time {
        self.first
    }

    /// When the last word came.
    pub(crate) const fn last(&self) -> Time {
        self.last
    }

    /// When the subject was last heard by anybody who speaks here; 0 when never.
    pub(crate) const fn heard(&self) -> Time {
        self.heard
    }

    /// Since when none of those who accuse at present has heard the subject; when nobody does, the
    /// same of all who speak here. Those who hear it do not belong to it: each would raise what the
    /// next has to exceed to be believed.
    pub(crate) fn accused_since(&self) -> Time {
        let accusing = self.words().iter().filter(|word| !word.is_retracted);
        accusing.map(|word| word.silent_since).max().unwrap_or(self.silent_since)
    }

    /// The worst local health among all who ever spoke here.
    pub(crate) const fn health_max(&self) -> u8 {
        self.health_max
    }

    /// Forgets words last said at `before` or earlier when there is no room left. They count no more,
    /// but those who came in their place must be heard.
    pub(crate) fn make_room(&mut self, before: Time) {
        if self.len < WORDS_MAX {
            return;
        }
        let held = self.words;
        let mut fresh = held.iter().filter(|word| word.last > before);
        self.words = core::array::from_fn(|_| *fresh.next().unwrap_or(&Word::NOTHING));
        self.len = held.iter().filter(|word| word.last > before).count();
    }

    /// Takes one word in.
    pub(crate) fn absorb(&mut self, word: &Word) -> Absorbed {
        self.first = self.first.min(word.first);
        self.last = self.last.max(word.last);
        self.silent_since = self.silent_since.max(word.silent_since);
        self.heard = self.heard.max(word.heard);
        self.health_max = self.health_max.max(word.health);
        match self.words().binary_search_by_key(&word.slot, |held| held.slot) {
            Ok(at) => {
                let joined = self.words[at].join(word);
                let before = core::mem::replace(&mut self.words[at], joined);
                if before == joined { Absorbed::Nothing } else { Absorbed::Newer }
            }
            Err(at) if at == WORDS_MAX => Absorbed::Nothing,
            Err(at) => {
                self.len = (self.len + 1).min(WORDS_MAX);
                self.words[at..self.len].rotate_right(1);
                self.words[at] = *word;
                Absorbed::New
            }
        }
    }

    /// Takes in everything that another record holds.
    #[cfg(test)]
    pub(crate) fn merge(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.heard = self.heard.max(other.heard);
        self.silent_since = self.silent_since.max(other.silent_since);
        self.health_max = self.health_max.max(other.health_max);
        for word in other.words() {
            self.absorb(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn whoever_hears_it_does_not_raise_what_others_must_exceed() {
        let word = |slot, is_retracted, at| Word {
            slot: Slot(slot),
            is_retracted,
            silent_since: Time(at),
            heard: Time(at),
            ..Word::NOTHING
        };
        let mut evidence = Evidence::new();
        evidence.absorb(&word(1, false, 100));
        evidence.absorb(&word(2, false, 110));
        assert_eq!(evidence.accused_since(), Time(110));
        for heard in [300, 500, 700] {
            evidence.absorb(&word(3, true, heard));
            evidence.absorb(&word(heard.try_into().unwrap(), true, heard));
            assert_eq!(evidence.accused_since(), Time(110));
        }
        evidence.absorb(&Word { seq: 1, ..word(1, true, 800) });
        evidence.absorb(&Word { seq: 1, ..word(2, true, 800) });
        assert_eq!(evidence.accused_since(), Time(800), "nobody accuses any more");
    }

    fn word() -> impl Strategy<Value = Word> {
        let times = (0..1000u64, 0..1000u64, 0..1000u64, 0..1000u64, 0..1000u64);
        ((0..24u32, 0..3u32, 0..4u64), any::<[bool; 4]>(), 0..8u8, 0..4u16, times).prop_map(
            |(
                (slot, incarnation, seq),
                flags,
                health,
                domain,
                (silent, heard, patchy, first, last),
            )| {
                Word {
                    slot: Slot(slot),
                    incarnation: Incarnation(incarnation),
                    seq,
                    is_retracted: flags[0],
                    suspects_itself: flags[1],
                    is_in_turn: flags[2],
                    has_missed: flags[3],
                    health,
                    domain,
                    silent_since: Time(silent),
                    heard: Time(heard),
                    patchy: Time(patchy),
                    first: Time(first),
                    last: Time(last),
                }
            },
        )
    }

    fn words() -> impl Strategy<Value = Vec<Word>> {
        prop::collection::vec(word(), 0..40)
    }

    fn of(words: &[Word]) -> Evidence {
        let mut evidence = Evidence::new();
        for word in words {
            evidence.absorb(word);
        }
        evidence
    }

    fn joined(a: &Evidence, b: &Evidence) -> Evidence {
        let mut both = a.clone();
        both.merge(b);
        both
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            a in words(), b in words(), c in words(),
        ) {
            let (a, b, c) = (of(&a), of(&b), of(&c));
            prop_assert_eq!(joined(&a, &b), joined(&b, &a));
            prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
            prop_assert_eq!(joined(&a, &a), a);
        }

        #[test]
        fn order_and_repetition_of_words_do_not_matter(
            (words, shuffled) in words().prop_flat_map(|words| {
                let twice = [words.clone(), words.clone()].concat();
                (Just(words), Just(twice).prop_shuffle())
            }),
        ) {
            prop_assert_eq!(of(&words), of(&shuffled));
        }
    }

    #[test]
    fn words_that_count_no_more_make_room_when_there_is_none() {
        let word = |slot, last| Word { slot: Slot(slot), last: Time(last), ..Word::NOTHING };
        let mut evidence = Evidence::new();
        for slot in 0..16 {
            evidence.absorb(&word(slot, u64::from(slot)));
        }
        assert_eq!(evidence.absorb(&word(20, 30)), Absorbed::Nothing, "no room");
        evidence.make_room(Time(11));
        assert_eq!(evidence.absorb(&word(20, 30)), Absorbed::New);
        let slots: Vec<u32> = evidence.words().iter().map(|word| word.slot.0).collect();
        assert_eq!(slots, [12, 13, 14, 15, 20]);
        evidence.make_room(Time(100));
        assert_eq!(evidence.words().len(), 5, "there is room");
    }

    #[test]
    fn a_retraction_outranks_its_accusation_and_yields_to_the_next() {
        let accusation = Word { slot: Slot(1), seq: 5, ..Word::NOTHING };
        let retraction = Word { is_retracted: true, ..accusation };
        let again = Word { seq: 6, ..accusation };
        let evidence = of(&[retraction, accusation]);
        assert!(evidence.words()[0].is_retracted);
        let evidence = of(&[again, retraction, accusation]);
        assert!(!evidence.words()[0].is_retracted);
    }
}
