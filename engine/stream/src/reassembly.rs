//! Which bytes have arrived: everything below `next`, and islands above it.

use alloc::vec::Vec;

/// The runs of a line that are here.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    next: u64,
    /// Disjoint, apart from each other and from `next`, ascending.
    islands: Vec<(u64, u64)>,
}

impl Reassembly {
    /// Islands that are tracked. A fragment that would make one more is dropped as if it were lost:
    /// reached only when hundreds of fragments under way arrive in tatters.
    pub(crate) const ISLANDS_MAX: usize = 256;

    /// Nothing is here yet, and there is room for all islands that may come.
    pub(crate) fn with_room() -> Self {
        Self { next: 0, islands: Vec::with_capacity(Self::ISLANDS_MAX) }
    }

    /// All bytes below this position are here.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether something above `next` is here.
    pub(crate) const fn has_islands(&self) -> bool {
        !self.islands.is_empty()
    }

    /// Notes that `from..to` arrived. False when it brings nothing, or there is no room to note it:
    /// its bytes need not, or must not, be kept.
    pub(crate) fn insert(&mut self, from: u64, to: u64) -> bool {
        let from = from.max(self.next);
        if to <= from {
            return false;
        }
        let first = self.islands.partition_point(|island| island.1 < from);
        let behind = self.islands.partition_point(|island| island.0 <= to);
        let touched = self.islands.get(first..behind).unwrap_or_default();
        let start = touched.first().map_or(from, |island| island.0.min(from));
        let end = touched.last().map_or(to, |island| island.1.max(to));
        if from == self.next {
            self.islands.drain(..behind);
            self.next = end;
        } else if touched.is_empty() {
            if self.islands.len() == Self::ISLANDS_MAX {
                return false;
            }
            self.islands.insert(first, (start, end));
        } else {
            self.islands.drain(first + 1..behind);
            self.islands[first] = (start, end);
        }
        true
    }

    /// What is missing below `seen`, ascending, as (from, to).
    pub(crate) fn gaps(&self, seen: u64) -> impl Iterator<Item = (u64, u64)> {
        let starts = core::iter::once(self.next).chain(self.islands.iter().map(|island| island.1));
        let ends = self.islands.iter().map(|island| island.0).chain(core::iter::once(seen));
        starts.zip(ends).filter(|(from, to)| from < to)
    }

    /// Notes that everything up to `to` arrived, when there are no islands: the usual case.
    #[inline]
    pub(crate) fn advance(&mut self, to: u64) {
        debug_assert!(self.islands.is_empty() && to >= self.next);
        self.next = to;
    }

    /// Begins again at position 0; the memory stays.
    pub(crate) fn restart(&mut self) {
        self.restart_at(0);
    }

    /// Begins again at `position`; the memory stays.
    pub(crate) fn restart_at(&mut self, position: u64) {
        self.next = position;
        self.islands.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use syncom_seam::Rng;

    #[test]
    fn runs_agree_with_a_bitmap_over_random_histories() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let (mut runs, mut here) = (Reassembly::default(), [false; 300]);
            for _ in 0..60 {
                let from = rng.below(290);
                let to = from + rng.below(300 - from);
                runs.insert(from, to);
                (from..to).for_each(|at| here[usize::try_from(at).unwrap()] = true);
                let next = here.iter().position(|bit| !bit).unwrap_or(300);
                assert_eq!(runs.next(), next as u64);
                let mut missing = vec![];
                runs.gaps(300).for_each(|(from, to)| missing.extend(from..to));
                let expected = (0..300).filter(|at| !here[usize::try_from(*at).unwrap()]);
                assert!(missing.into_iter().eq(expected));
                assert_eq!(runs.has_islands(), here[next..].contains(&true));
            }
        }
    }

    #[test]
    fn tatters_are_bounded_and_the_front_still_advances() {
        let mut runs = Reassembly::default();
        let noted = (1..10_000).filter(|n| runs.insert(n * 2, n * 2 + 1)).count();
        assert_eq!(noted, Reassembly::ISLANDS_MAX);
        assert!(runs.insert(0, 2), "what fills the front needs no room");
        assert_eq!(runs.next(), 3);
    }
}
