//! A set of slots: one bit each.

use alloc::vec;
use alloc::vec::Vec;
use syncom_wire::idset::{self, IdSet};
use syncom_wire::limits::{IDSET_MAX, NODES_MAX};
use syncom_wire::{Overflow, Slot};

/// A set of slots below [`NODES_MAX`], as a bitmap.
///
/// It grows to the largest slot that was ever inserted, at most to 16 KB; [`Self::with_capacity`]
/// allocates that room at the start. Two sets are equal when they hold the same slots.
#[derive(Clone, Debug, Default)]
pub struct SlotSet {
    words: Vec<u64>,
    len: usize,
}

impl SlotSet {
    /// The empty set; nothing is allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: Vec::new(), len: 0 }
    }

    /// The empty set, with room for slots below `slots` (at most [`NODES_MAX`]), allocated now.
    #[must_use]
    pub fn with_capacity(slots: usize) -> Self {
        Self { words: Vec::with_capacity(slots.min(NODES_MAX).div_ceil(64)), len: 0 }
    }

    /// Adds a slot; whether it was not there before. A slot beyond [`NODES_MAX`] is not taken.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let Some((word, bit)) = place(slot) else { return false };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(fresh);
        fresh
    }

    /// Removes a slot; whether it was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let Some((word, bit)) = place(slot) else { return false };
        let Some(bits) = self.words.get_mut(word) else { return false };
        let found = *bits & bit != 0;
        *bits &= !bit;
        self.len -= usize::from(found);
        found
    }

    /// Whether a slot is in the set.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        place(slot)
            .and_then(|(word, bit)| self.words.get(word).map(|bits| bits & bit != 0))
            .unwrap_or(false)
    }

    /// How many slots there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes all; the room stays.
    pub fn clear(&mut self) {
        self.words.fill(0);
        self.len = 0;
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + Clone {
        self.ranges().flat_map(|(from, to)| (from..to).map(Slot))
    }

    /// The slots as ranges (first, one past the last): ascending, disjoint, not touching.
    #[must_use]
    pub const fn ranges(&self) -> Ranges<'_> {
        Ranges { words: self.words.as_slice(), at: 0 }
    }

    /// Adds everything that is in `other`; whether anything was new.
    pub fn union(&mut self, other: &Self) -> bool {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let before = self.len;
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
        self.recount();
        self.len != before
    }

    /// Removes everything that is in `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= !theirs;
        }
        self.recount();
    }

    /// Removes everything that is not in `other`.
    pub fn intersect(&mut self, other: &Self) {
        for (at, mine) in self.words.iter_mut().enumerate() {
            *mine &= other.words.get(at).copied().unwrap_or(0);
        }
        self.recount();
    }

    /// The slots of this set that are not in `other`, ascending.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Slot> + Clone + 'a {
        self.iter().filter(|slot| !other.contains(*slot))
    }

    /// Adds everything that is in an image; whether anything was new.
    pub fn insert_all(&mut self, image: IdSet<'_>) -> bool {
        image.iter().fold(false, |any, slot| self.insert(slot) | any)
    }

    /// Writes the image of this set to the front of `out` and returns the bytes used.
    ///
    /// # Errors
    /// [`Overflow`] when `out` is too small; [`IDSET_MAX`] bytes are always enough.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Overflow> {
        idset::encode(self.ranges(), out)
    }

    /// The image of this set, as bytes of its own.
    #[must_use]
    pub fn to_image(&self) -> Vec<u8> {
        let mut image = vec![0; IDSET_MAX];
        let len = self.encode(&mut image).unwrap_or(0);
        image.truncate(len);
        image
    }

    fn recount(&mut self) {
        self.len = self.words.iter().map(|bits| bits.count_ones() as usize).sum();
    }
}

impl PartialEq for SlotSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.words.iter().zip(&other.words).all(|(a, b)| a == b)
    }
}

impl Eq for SlotSet {}

impl From<IdSet<'_>> for SlotSet {
    fn from(image: IdSet<'_>) -> Self {
        let mut set = Self::new();
        set.insert_all(image);
        set
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::new();
        set.extend(slots);
        set
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

/// Ranges of a [`SlotSet`]: see [`SlotSet::ranges`].
#[derive(Clone, Debug)]
pub struct Ranges<'a> {
    words: &'a [u64],
    at: u32,
}

impl Ranges<'_> {
    /// The first slot from `at` on whose bit is `set`; the end when there is none.
    fn seek(&self, at: u32, set: bool) -> u32 {
        let mut word = at as usize / 64;
        let mut mask = u64::MAX << (at % 64);
        while let Some(bits) = self.words.get(word) {
            let hits = if set { *bits } else { !*bits } & mask;
            if hits != 0 {
                return bit_number(word) + hits.trailing_zeros();
            }
            word += 1;
            mask = u64::MAX;
        }
        bit_number(self.words.len())
    }
}

impl Iterator for Ranges<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let from = self.seek(self.at, true);
        if from == bit_number(self.words.len()) {
            return None;
        }
        self.at = self.seek(from, false);
        Some((from, self.at))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "words are bounded by NODES_MAX")]
const fn bit_number(word: usize) -> u32 {
    (word * 64) as u32
}

const fn place(slot: Slot) -> Option<(usize, u64)> {
    let at = slot.0 as usize;
    if at < NODES_MAX { Some((at / 64, 1 << (at % 64))) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(slots: &BTreeSet<u32>) -> SlotSet {
        slots.iter().copied().map(Slot).collect()
    }

    fn tree(set: &SlotSet) -> BTreeSet<u32> {
        set.iter().map(|slot| slot.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_agrees_with_a_tree(
            a in prop::collection::btree_set(0..700u32, 0..200),
            b in prop::collection::btree_set(0..900u32, 0..200),
        ) {
            let (mine, theirs) = (set(&a), set(&b));
            prop_assert_eq!(tree(&mine), a.clone());
            prop_assert_eq!(mine.len(), a.len());
            let mut union = mine.clone();
            prop_assert_eq!(union.union(&theirs), !b.is_subset(&a));
            prop_assert_eq!(tree(&union), &a | &b);
            prop_assert_eq!(union.len(), (&a | &b).len());
            let mut rest = mine.clone();
            rest.subtract(&theirs);
            prop_assert_eq!(tree(&rest), &a - &b);
            prop_assert!(mine.difference(&theirs).eq(rest.iter()));
            let mut both = mine.clone();
            both.intersect(&theirs);
            prop_assert_eq!(tree(&both), &a & &b);
            prop_assert_eq!(mine == theirs, a == b);
        }

        #[test]
        fn it_survives_the_wire(a in prop::collection::btree_set(0..5000u32, 0..400)) {
            let image = set(&a).to_image();
            prop_assert_eq!(tree(&SlotSet::from(IdSet::parse(&image).unwrap())), a);
        }
    }

    #[test]
    fn slots_beyond_the_largest_cluster_are_not_taken() {
        let mut set = SlotSet::new();
        assert!(!set.insert(Slot::NONE));
        assert!(set.insert(Slot(131_071)));
        assert!(!set.contains(Slot::NONE) && !set.remove(Slot(131_072)));
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(131_071, 131_072)]);
    }

    #[test]
    fn equality_ignores_how_far_a_set_once_reached() {
        let mut far = SlotSet::new();
        far.extend([Slot(3), Slot(900)]);
        far.remove(Slot(900));
        assert_eq!(far, [Slot(3)].into_iter().collect());
    }
}
