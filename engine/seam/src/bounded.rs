//! Containers that cannot grow: sized at start, refusing when full.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A first-in first-out queue with a fixed capacity.
#[derive(Clone, Debug)]
pub struct BoundedQueue<T> {
    items: VecDeque<T>,
    capacity: usize,
}

impl<T> BoundedQueue<T> {
    /// An empty queue with room for `capacity` items, allocated now.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { items: VecDeque::with_capacity(capacity), capacity }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// Gives the item back when the queue is full; the queue is unchanged.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() == self.capacity {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The oldest item.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// Items from oldest to newest.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Items from oldest to newest, to change in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the next push will be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.len() == self.capacity
    }

    /// Removes everything; the room stays.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Keeps only what `keep` accepts.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.items.retain(keep);
    }
}

/// A hash table from `u64` keys to values with a fixed capacity: open addressing, linear probing,
/// backward-shift deletion, deterministic order of iteration for equal histories.
#[derive(Clone, Debug)]
pub struct BoundedMap<V> {
    cells: Box<[Option<(u64, V)>]>,
    len: usize,
    capacity: usize,
}

impl<V> BoundedMap<V> {
    /// An empty table with room for `capacity` entries, allocated now at a load below one half.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let mut cells = Vec::new();
        cells.resize_with((capacity.max(1) * 2).next_power_of_two(), || None);
        Self { cells: cells.into_boxed_slice(), len: 0, capacity }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a new key will be refused.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&V> {
        self.cells[self.find(key)].as_ref().map(|(_, value)| value)
    }

    /// The value of `key`, to change in place.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let at = self.find(key);
        self.cells[at].as_mut().map(|(_, value)| value)
    }

    /// Sets `key` to `value`; returns what it was before.
    ///
    /// # Errors
    /// Gives `value` back when the key is new and the table full; the table is unchanged.
    pub fn insert(&mut self, key: u64, value: V) -> Result<Option<V>, V> {
        let at = self.find(key);
        if self.cells[at].is_none() {
            if self.is_full() {
                return Err(value);
            }
            self.len += 1;
        }
        Ok(self.cells[at].replace((key, value)).map(|(_, old)| old))
    }

    /// The value of `key`, made by `make` when there was none; `None` when the table is full.
    pub fn get_or_insert_with(&mut self, key: u64, make: impl FnOnce() -> V) -> Option<&mut V> {
        let at = self.find(key);
        if self.cells[at].is_none() {
            if self.is_full() {
                return None;
            }
            self.len += 1;
            self.cells[at] = Some((key, make()));
        }
        self.cells[at].as_mut().map(|(_, value)| value)
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: u64) -> Option<V> {
        let mut hole = self.find(key);
        let (_, value) = self.cells[hole].take()?;
        self.len -= 1;
        let mask = self.cells.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some((other, _)) = &self.cells[at] else { return Some(value) };
            let home = self.home(*other);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.cells.swap(at, hole);
                hole = at;
            }
        }
    }

    /// All entries, in an order that depends only on the history of the table.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.cells.iter().flatten().map(|(key, value)| (*key, value))
    }

    /// All entries, to change in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut V)> {
        self.cells.iter_mut().flatten().map(|(key, value)| (*key, value))
    }

    /// Removes everything; the room stays.
    pub fn clear(&mut self) {
        self.cells.fill_with(|| None);
        self.len = 0;
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
    fn home(&self, key: u64) -> usize {
        syncom_wire::ids::mix(key) as usize & (self.cells.len() - 1)
    }

    fn find(&self, key: u64) -> usize {
        let mask = self.cells.len() - 1;
        let mut at = self.home(key);
        while let Some((other, _)) = &self.cells[at]
            && *other != key
        {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn a_full_queue_gives_the_item_back() {
        let mut queue = BoundedQueue::new(2);
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(queue.pop(), Some(1));
    }

    #[test]
    fn the_map_agrees_with_a_tree_over_random_histories() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let mut map = BoundedMap::new(40);
            let mut tree = BTreeMap::new();
            for step in 0..2000 {
                let key = rng.below(64);
                if rng.chance(1, 2) {
                    if tree.len() < 40 || tree.contains_key(&key) {
                        assert_eq!(map.insert(key, step), Ok(tree.insert(key, step)));
                    } else {
                        assert_eq!(map.insert(key, step), Err(step));
                    }
                } else {
                    assert_eq!(map.remove(key), tree.remove(&key));
                }
                assert_eq!(map.len(), tree.len());
                assert!((0..64).all(|k| map.get(k) == tree.get(&k)));
            }
        }
    }
}
