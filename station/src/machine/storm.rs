//! The storm brake: more nodes die at once than is believable.
//!
//! Then something else is wrong (a switch, a power feed, the watchers), and fencing what cannot be
//! reached would make it worse. A storm is over when nobody has died for a while.
//!
//! When it is nodes that died, all homes see it alike: of every death two satellites are asked, and
//! hashing spreads the nodes evenly. When it is a satellite that cannot see, the deaths are its own. So a
//! satellite **agrees** to a storm when it has itself said a fair share of the deaths, first or as
//! the second home: a quarter of what falls to it by its weight, for two homes race for each, and the
//! faster is named. Once two thirds of the satellites that serve agree, rules go on. One or two satellites
//! are nobody's witnesses: with fewer than [`JURY_MIN`] the brake stays.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use std::collections::{BTreeMap, VecDeque};
use syncom_seam::MS;
use syncom_wire::policy::PolicyHead;
use syncom_wire::{Malformed, PeerId, Reader};

/// Words about deaths that are remembered, two for each; more than that at once are a storm by any
/// measure.
const WORDS_MAX: usize = 16_384;
/// Fewer satellites than these cannot outvote one that is wrong.
const JURY_MIN: usize = 3;
/// A satellite agrees when it has said so much of its share of the deaths: one part of this.
const SHARE: u64 = 4;

/// A satellite said that a node is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    at_ns: u64,
    by: PeerId,
    /// Nobody had said so of that node before.
    is_first: bool,
}

/// Recent deaths, who said so, and until when they are a storm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storm {
    /// Those of the window; while a storm lasts, all since its window began.
    words: VecDeque<Word>,
    until_ns: u64,
    /// How many of the words are first ones; follows from them.
    deaths: usize,
    /// How many of the words are whose; follows from them.
    said: BTreeMap<PeerId, u64>,
}

impl Storm {
    pub(crate) const fn lasts(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// Whether a storm lasts that not two thirds of the satellites agree to, of which each that serves is
    /// given with its weight.
    pub(crate) fn brakes(&self, now_ns: u64, serving: impl Iterator<Item = (PeerId, u16)>) -> bool {
        self.lasts(now_ns) && !self.is_agreed(&serving.collect::<Vec<_>>())
    }

    fn is_agreed(&self, serving: &[(PeerId, u16)]) -> bool {
        let deaths = u64::try_from(self.deaths.min(WORDS_MAX)).unwrap_or(0);
        let weight = |own: u16| u64::from(own.max(1));
        let weights: u64 = serving.iter().map(|(_, own)| weight(*own)).sum();
        let agrees = |(by, own): &&(PeerId, u16)| {
            let due = (deaths * weight(*own)).div_ceil(SHARE * weights).max(1);
            self.said.get(by).is_some_and(|said| *said >= due)
        };
        let agreeing = serving.iter().filter(agrees).count();
        serving.len() >= JURY_MIN && 3 * agreeing >= 2 * serving.len()
    }

    /// A node died, as that satellite says; how many did within the window, or, while a storm lasts, since
    /// it began.
    pub(crate) fn on_death(&mut self, now_ns: u64, by: PeerId, head: &PolicyHead) -> usize {
        self.note(Word { at_ns: now_ns, by, is_first: true }, head);
        if self.lasts(now_ns) {
            self.rise(now_ns, head);
        }
        self.deaths
    }

    /// Another satellite says the same of a node that died so long ago.
    pub(crate) fn on_second(&mut self, now_ns: u64, by: PeerId, ago_ns: u64, head: &PolicyHead) {
        if ago_ns < u64::from(head.brake_window_ms) * MS {
            self.note(Word { at_ns: now_ns, by, is_first: false }, head);
        }
    }

    fn note(&mut self, word: Word, head: &PolicyHead) {
        let window_ns = u64::from(head.brake_window_ms) * MS;
        let lasts = self.lasts(word.at_ns);
        let is_old = |old: &Word| !lasts && word.at_ns.saturating_sub(old.at_ns) >= window_ns;
        while self.words.front().is_some_and(is_old) || self.words.len() == WORDS_MAX {
            self.forget_first();
        }
        self.add(word);
    }

    fn add(&mut self, word: Word) {
        self.words.push_back(word);
        self.deaths += usize::from(word.is_first);
        *self.said.entry(word.by).or_default() += 1;
    }

    fn forget_first(&mut self) {
        let Some(word) = self.words.pop_front() else { return };
        self.deaths -= usize::from(word.is_first);
        let said = self.said.entry(word.by).or_default();
        *said -= 1;
        if *said == 0 {
            self.said.remove(&word.by);
        }
    }

    /// It is a storm, from now until it has been calm for long enough.
    pub(crate) fn rise(&mut self, now_ns: u64, head: &PolicyHead) {
        let calm_ns = u64::from(head.brake_calm_ms) * MS;
        self.until_ns = self.until_ns.max(now_ns.saturating_add(calm_ns));
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.words.len());
        for word in &self.words {
            out.field(word.at_ns);
            out.field(word.by);
            out.field(u8::from(word.is_first));
        }
        out.field(self.until_ns);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let words = list(reader, WORDS_MAX, |reader| {
            let (at_ns, by) = (reader.field()?, reader.field()?);
            Ok(Word { at_ns, by, is_first: reader.field::<u8>()? != 0 })
        })?;
        let mut storm = Self { until_ns: reader.field()?, ..Self::default() };
        words.into_iter().for_each(|word| storm.add(word));
        Ok(storm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::policy::Rules;
    use syncom_seam::SECOND;

    const EVEN: [u16; 5] = [1; 5];

    /// A storm in which satellite 1, 2, … said so many deaths first, and so many second.
    fn storm(firsts: &[usize], seconds: &[usize]) -> Storm {
        let head = Rules::default().head();
        let mut storm = Storm::default();
        let by = |at: usize| PeerId::satellite(u16::try_from(at + 1).unwrap());
        for (at, count) in firsts.iter().enumerate() {
            for _ in 0..*count {
                storm.on_death(SECOND, by(at), &head);
            }
        }
        for (at, count) in seconds.iter().enumerate() {
            (0..*count).for_each(|_| storm.on_second(SECOND, by(at), 0, &head));
        }
        storm.rise(SECOND, &head);
        storm
    }

    fn brakes(storm: &Storm, weights: &[u16]) -> bool {
        let serving = weights.iter().zip(1..).map(|(own, n)| (PeerId::satellite(n), *own));
        storm.brakes(2 * SECOND, serving)
    }

    #[test]
    fn what_all_homes_see_alike_is_agreed_and_what_one_sees_alone_is_not() {
        assert!(!brakes(&storm(&[7, 5, 6, 9, 3], &[]), &EVEN));
        assert!(brakes(&storm(&[30, 0, 0, 0, 0], &[]), &EVEN));
        assert!(brakes(&storm(&[15, 15, 15, 0, 0], &[]), &EVEN), "three of five are too few");
        assert!(!brakes(&storm(&[8, 8, 8, 6, 0], &[]), &EVEN), "four are enough");
        assert!(!brakes(&storm(&[30, 0, 0, 0, 0], &[0, 9, 8, 7, 6]), &EVEN), "seconded");
    }

    #[test]
    fn a_death_or_two_of_ones_own_are_no_consent_to_a_hundred_of_another() {
        assert!(brakes(&storm(&[100, 1, 2, 1, 2], &[]), &EVEN));
        assert!(!brakes(&storm(&[100, 7, 7, 7, 7], &[]), &EVEN), "a quarter of an even share");
        let heavy = [9, 1, 1, 1, 1];
        assert!(!brakes(&storm(&[100, 3, 3, 3, 3], &[]), &heavy), "fewer are due of the light");
    }

    #[test]
    fn who_serves_no_more_has_no_vote_and_fewer_than_three_have_none_either() {
        let seen_by_three = storm(&[5, 5, 5, 0, 0], &[]);
        assert!(brakes(&seen_by_three, &EVEN));
        assert!(!brakes(&seen_by_three, &[1; 3]), "the other two died with the nodes");
        assert!(brakes(&seen_by_three, &[1; 2]) && brakes(&seen_by_three, &[1]));
        assert!(brakes(&seen_by_three, &[]));
        assert!(brakes(&storm(&[], &[]), &EVEN), "a storm that somebody reported");
    }

    #[test]
    fn a_storm_counts_all_its_deaths_and_the_next_one_begins_anew() {
        let head = Rules::default().head();
        let mut storm = storm(&[7, 5, 6, 9, 3], &[]);
        assert_eq!(storm.on_death(25 * SECOND, PeerId::satellite(1), &head), 31);
        assert!(!brakes(&storm, &EVEN), "one more death changes nothing");
        for _ in 0..200 {
            storm.on_death(26 * SECOND, PeerId::satellite(1), &head);
        }
        assert!(brakes(&storm, &EVEN), "more of one that is cut off now do");
        assert!(!storm.lasts(60 * SECOND));
        assert_eq!(storm.on_death(60 * SECOND, PeerId::satellite(2), &head), 1);
        storm.on_second(60 * SECOND, PeerId::satellite(3), 11 * SECOND, &head);
        assert_eq!(storm.words.len(), 1, "of a death long ago");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_survives_a_snapshot() {
        let storm = storm(&[WORDS_MAX, 9], &[0, 0, 7]);
        assert_eq!((storm.words.len(), storm.deaths), (WORDS_MAX, WORDS_MAX - 7));
        let mut out = Encoder::default();
        storm.encode(&mut out);
        let image = out.finish();
        assert_eq!(Storm::decode(&mut Reader::new(&image)).unwrap(), storm);
    }
}
