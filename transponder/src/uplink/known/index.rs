//! An index by hash: eight bytes an entry, so that a cache line holds eight.
//!
//! Open addressing with linear probing at a load below one half. A cell keeps 32 bits of the hash
//! beside the place that it leads to, so that a wrong cell is passed by without looking there, and a
//! removal can close its gap without asking anybody for hashes. It grows as it is filled: a small one
//! stays near.

use alloc::boxed::Box;
use alloc::vec;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    /// The upper 32 bits of the hash, and below them the place plus one; 0 when empty.
    cells: Box<[u64]>,
    len: usize,
}

/// Cells at the start.
const CELLS: usize = 64;

impl Index {
    pub(super) fn new() -> Self {
        Self { cells: vec![0; CELLS].into_boxed_slice(), len: 0 }
    }

    #[inline]
    fn home(&self, cell: u64) -> usize {
        (cell >> 32) as usize & (self.cells.len() - 1)
    }

    /// Looks at the first cell of this hash: when it is asked for in earnest, it is near.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.cells[self.home(hash)]
    }

    /// The place with this hash that `is_it` says yes to.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let cell = self.cells[at];
            if cell == 0 {
                return None;
            }
            let place = (cell as u32).wrapping_sub(1);
            if (cell ^ hash) >> 32 == 0 && is_it(place) {
                return Some(place);
            }
            at = (at + 1) & (self.cells.len() - 1);
        }
    }

    /// The cell of an entry.
    fn cell_of(&self, hash: u64, place: u32) -> Option<usize> {
        let sought = cell(hash, place);
        let mut at = self.home(hash);
        while self.cells[at] != 0 {
            if self.cells[at] == sought {
                return Some(at);
            }
            at = (at + 1) & (self.cells.len() - 1);
        }
        None
    }

    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        if self.len * 2 >= self.cells.len() {
            let twice = vec![0; self.cells.len() * 2].into_boxed_slice();
            let cells = core::mem::replace(&mut self.cells, twice);
            cells.into_iter().filter(|cell| *cell != 0).for_each(|cell| self.put(cell));
        }
        self.len += 1;
        self.put(cell(hash, place));
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home(cell);
        while self.cells[at] != 0 {
            at = (at + 1) & (self.cells.len() - 1);
        }
        self.cells[at] = cell;
    }

    /// Leads to another place from now on.
    pub(super) fn replace(&mut self, hash: u64, place: u32, by: u32) {
        if let Some(at) = self.cell_of(hash, place) {
            self.cells[at] = cell(hash, by);
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        let Some(mut hole) = self.cell_of(hash, place) else { return };
        let mask = self.cells.len() - 1;
        self.cells[hole] = 0;
        self.len -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            if self.cells[at] == 0 {
                return;
            }
            let home = self.home(self.cells[at]);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.cells.swap(at, hole);
                hole = at;
            }
        }
    }
}

const fn cell(hash: u64, place: u32) -> u64 {
    hash >> 32 << 32 | (place as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use syncom_seam::Rng;

    #[test]
    fn the_index_agrees_with_a_tree_over_random_histories() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut index = Index::new();
            let mut tree: BTreeMap<u64, u32> = BTreeMap::new();
            // Few homes, so that runs of cells are long and cross the end.
            let hash_of = |n: u64| (0xFFFF_FFF0 + (n & 0xF)) << 32 | n;
            for step in 0..4_000_u32 {
                let hash = hash_of(rng.below(96));
                let place = u32::try_from(hash & 0xFFFF).unwrap() << 16 | (step & 0xFFFF);
                match (tree.get(&hash).copied(), rng.below(3)) {
                    (Some(held), 0) => {
                        index.remove(hash, held);
                        tree.remove(&hash);
                    }
                    (Some(held), 1) => {
                        index.replace(hash, held, place);
                        tree.insert(hash, place);
                    }
                    (None, _) if tree.len() < 64 => {
                        index.insert(hash, place);
                        tree.insert(hash, place);
                    }
                    _ => {}
                }
                let sought = hash_of(rng.below(96));
                let found = index.find(sought, |at| u64::from(at >> 16) == sought & 0xFFFF);
                assert_eq!(found, tree.get(&sought).copied(), "seed {seed}");
            }
        }
    }
}
