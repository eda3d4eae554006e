//! The ring on which circulating processes travel.
//!
//! Ordered by (join index, slot): a newcomer goes to the end, so nobody's successor changes but the
//! last one's (ALGORITHMS.md 4.10).

use alloc::collections::BTreeSet;
use core::ops::Bound;
use syncom_wire::Slot;

/// A member's place on the ring. Places of members that are gone still have neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// How the member stands in the order of joins.
    pub join_index: u32,
    /// The member.
    pub slot: Slot,
}

/// The present members in the order in which a circulating process visits them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingOrder {
    places: BTreeSet<Place>,
}

impl RingOrder {
    /// A ring of nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: BTreeSet::new() }
    }

    /// Puts a member on the ring; whether it was not there.
    pub fn insert(&mut self, place: Place) -> bool {
        self.places.insert(place)
    }

    /// Takes a member off the ring; whether it was there.
    pub fn remove(&mut self, place: Place) -> bool {
        self.places.remove(&place)
    }

    /// Whether a member is on the ring.
    #[must_use]
    pub fn contains(&self, place: Place) -> bool {
        self.places.contains(&place)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Members in order, from the first joined.
    pub fn iter(&self) -> impl Iterator<Item = Place> {
        self.places.iter().copied()
    }

    /// The first joined.
    #[must_use]
    pub fn first(&self) -> Option<Place> {
        self.places.first().copied()
    }

    /// The next present member after `place`, around the ring; `None` when there is no other.
    #[must_use]
    pub fn next(&self, place: Place) -> Option<Place> {
        self.successors(place).next()
    }

    /// The present member before `place`, around the ring; `None` when there is no other.
    #[must_use]
    pub fn previous(&self, place: Place) -> Option<Place> {
        let mut before = self.places.range(..place);
        let mut after = self.places.range((Bound::Excluded(place), Bound::Unbounded));
        before.next_back().or_else(|| after.next_back()).copied()
    }

    /// All other present members, in the order in which they follow `place`.
    pub fn successors(&self, place: Place) -> impl Iterator<Item = Place> {
        self.places
            .range((Bound::Excluded(place), Bound::Unbounded))
            .chain(self.places.range(..place))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn place(join_index: u32, slot: u32) -> Place {
        Place { join_index, slot: Slot(slot) }
    }

    fn ring(places: &[(u32, u32)]) -> RingOrder {
        let mut ring = RingOrder::new();
        for (join_index, slot) in places {
            ring.insert(place(*join_index, *slot));
        }
        ring
    }

    #[test]
    fn it_goes_round_in_order_of_joins() {
        let ring = ring(&[(3, 0), (1, 7), (2, 4), (2, 5)]);
        let walk: Vec<_> = ring.successors(place(2, 4)).map(|p| p.slot.0).collect();
        assert_eq!(walk, [5, 0, 7]);
        assert_eq!(ring.next(place(3, 0)), Some(place(1, 7)));
        assert_eq!(ring.previous(place(1, 7)), Some(place(3, 0)));
    }

    #[test]
    fn the_place_of_a_dead_member_still_has_neighbours() {
        let mut ring = ring(&[(1, 1), (2, 2), (3, 3)]);
        ring.remove(place(2, 2));
        assert_eq!(ring.next(place(2, 2)), Some(place(3, 3)));
        assert_eq!(ring.previous(place(2, 2)), Some(place(1, 1)));
    }

    #[test]
    fn a_newcomer_changes_only_the_last_members_successor() {
        let mut ring = ring(&[(1, 1), (2, 2), (3, 3)]);
        let before: Vec<_> = ring.iter().map(|p| (p, ring.next(p))).collect();
        ring.insert(place(4, 0));
        let moved: Vec<_> = before.iter().filter(|(p, next)| ring.next(*p) != *next).collect();
        assert_eq!(moved, [&(place(3, 3), Some(place(1, 1)))]);
    }

    #[test]
    fn alone_there_is_no_neighbour() {
        let ring = ring(&[(1, 1)]);
        assert_eq!((ring.next(place(1, 1)), ring.previous(place(1, 1))), (None, None));
    }
}
