//! Who observes whom.
//!
//! K rings hold all present nodes, each ordered by another hash of their UUIDs; a node is observed
//! by its predecessor on every ring (Suresh et al., Rapid, USENIX ATC 2018, section 4.1). Plain
//! rings give a node of a small cluster the same observer twice, and one observer must not vote
//! twice: a predecessor that already observes the node is skipped for the next one.
//!
//! Observers should also not die together. On each ring the nearest [`WINDOW`] predecessors are
//! looked at, and one that keeps the observers spread over failure domains is preferred to a nearer
//! one that does not. The window is small so that nodes of a rare domain are not asked to observe
//! everybody else, and so that a change stays local.
//!
//! **A change is local.** A choice looks at a few predecessors on each ring; that *reach* is
//! remembered, so a join or leave recomputes only the nodes that looked, or would have looked, at
//! the place where it happened. The result depends on who is present and on nothing else: every
//! satellite comes to the same edges, whatever it went through.
//!
//! **Bounds.** A join or leave moves K edges of the node itself and one of each subject that it
//! takes over or gives up: 2K on average. Nodes have K subjects on average; skipping alone can
//! give at most 1 + 2 + … + K = 36 and was never seen above 2K, preferring other domains can give
//! at most K·[`WINDOW`] − K more and was never seen above 22 in all. Whoever sends a neighbour set
//! cuts it at `NEIGHBOURS_MAX`; a subject cut off has one observer less than K.

use crate::quorum;
use crate::slot_set::SlotSet;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;
use syncom_wire::ids::{hash, mix};
use syncom_wire::limits::{NODES_MAX, OBSERVERS_MAX};
use syncom_wire::{Slot, Uuid};

/// Eligible predecessors that are looked at on each ring for one of another failure domain.
const WINDOW: usize = 3;
/// Predecessors that a choice looks at on one ring at most: those skipped, and the window.
const REACH_MAX: usize = OBSERVERS_MAX - 1 + WINDOW;
/// A choice that looked at a whole ring: any change concerns it.
const REACH_ALL: u8 = u8::MAX;
/// Every ring has its own order.
const SEEDS: [u64; OBSERVERS_MAX] = [
    0x0f1e_2d3c_4b5a_6978,
    0x1357_9bdf_0246_8ace,
    0x243f_6a88_85a3_08d3,
    0x3bd3_9e10_cb0e_f593,
    0x452b_9a3c_71d8_e0f6,
    0x5be0_cd19_137e_2179,
    0x6a09_e667_f3bc_c908,
    0x7137_4491_28f5_c28f,
];

/// Where a node stands on a ring: by hash, ties by slot.
type Key = (u64, Slot);

/// The observers of one node, by ring, and how far they were looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Choice {
    observers: [Slot; OBSERVERS_MAX],
    count: usize,
    reach: [u8; OBSERVERS_MAX],
}

impl Choice {
    fn observers(&self) -> &[Slot] {
        &self.observers[..self.count]
    }
}

#[derive(Clone, Debug)]
struct Node {
    hash: u64,
    domain: u16,
    choice: Choice,
    /// Ascending.
    subjects: Vec<Slot>,
}

impl Node {
    fn key(&self, ring: usize, slot: Slot) -> Key {
        (mix(self.hash ^ SEEDS[ring]), slot)
    }
}

/// The observer graph over the present nodes.
///
/// Tell it who comes and goes, then [`Self::settle`] once per view; questions are answered as of
/// the last time that it settled.
#[derive(Clone, Debug, Default)]
pub struct Rings {
    rings: [BTreeSet<Key>; OBSERVERS_MAX],
    nodes: Vec<Option<Node>>,
    len: usize,
    /// K as of the last time that it settled.
    observers: usize,
    dirty: SlotSet,
    changed: SlotSet,
    /// Edges that went before it settled last, and since: a subject, and who observed it.
    replaced: Vec<(Slot, Slot)>,
    replacing: Vec<(Slot, Slot)>,
}

impl Rings {
    /// Rings of nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many nodes are on the rings (N).
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a node is on the rings.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.node(slot).is_some()
    }

    /// Puts a node on the rings, with the number of its failure domain (0: unknown). One that is
    /// there already in the same domain stays as it is. Slots beyond the largest cluster are not
    /// taken.
    pub fn insert(&mut self, slot: Slot, uuid: Uuid, domain: u16) {
        let at = slot.0 as usize;
        let hash = hash(&uuid.0);
        let same = |node: &Node| node.hash == hash && node.domain == domain;
        if at >= NODES_MAX || self.node(slot).is_some_and(same) {
            return;
        }
        self.remove(slot);
        let node = Node { hash, domain, choice: Choice::default(), subjects: Vec::new() };
        for ring in 0..OBSERVERS_MAX {
            self.rings[ring].insert(node.key(ring, slot));
        }
        self.mark(slot, &node);
        self.dirty.insert(slot);
        self.len += 1;
        if self.nodes.len() <= at {
            self.nodes.resize_with(at + 1, || None);
        }
        self.nodes[at] = Some(node);
    }

    /// Takes a node off the rings; does nothing when it is not there.
    pub fn remove(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get_mut(slot.0 as usize).and_then(Option::take) else { return };
        self.len -= 1;
        self.mark(slot, &node);
        self.dirty.remove(slot);
        self.changed.insert(slot);
        for ring in 0..OBSERVERS_MAX {
            self.rings[ring].remove(&node.key(ring, slot));
        }
        for observer in node.choice.observers() {
            self.replacing.push((slot, *observer));
            self.unlink(*observer, slot);
        }
    }

    /// Says that what others know of a node has changed (a new life, a new address), so that it and
    /// all its neighbours count as changed.
    pub fn touch(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get(slot.0 as usize).and_then(Option::as_ref) else { return };
        self.changed.insert(slot);
        self.changed.extend(node.choice.observers().iter().copied());
        self.changed.extend(node.subjects.iter().copied());
    }

    /// Works out what all changes since the last time mean for the edges, and adds to `changed`
    /// every slot whose observers or subjects are not what they were, gone ones included.
    pub fn settle(&mut self, changed: &mut SlotSet) {
        let observers = quorum::observers(self.len);
        if observers != self.observers {
            self.observers = observers;
            self.dirty.extend(self.rings[0].iter().map(|(_, slot)| *slot));
        }
        let dirty = core::mem::take(&mut self.dirty);
        for slot in dirty.iter() {
            self.resettle(slot);
        }
        self.dirty = dirty;
        self.dirty.clear();
        changed.union(&self.changed);
        self.changed.clear();
        self.replaced.clear();
        self.replaced.append(&mut self.replacing);
    }

    /// The edges that went when it settled last: a subject, and who observed it before.
    #[must_use]
    pub fn replaced(&self) -> &[(Slot, Slot)] {
        &self.replaced
    }

    /// Who observes the node in `slot`: K distinct others, by ring; the place in this list is the
    /// reporter's bit in evidence. Empty when the node is not there.
    #[must_use]
    pub fn observers(&self, slot: Slot) -> &[Slot] {
        self.node(slot).map_or(&[], |node| node.choice.observers())
    }

    /// Whom the node in `slot` observes, ascending: the exact inverse of [`Self::observers`].
    #[must_use]
    pub fn subjects(&self, slot: Slot) -> &[Slot] {
        self.node(slot).map_or(&[], |node| &node.subjects)
    }

    fn node(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(slot.0 as usize)?.as_ref()
    }

    /// Marks every node whose choice looked, or would have looked, at the place of `node`, which
    /// must be on the rings.
    fn mark(&mut self, slot: Slot, node: &Node) {
        for (ring, keys) in self.rings.iter().enumerate() {
            let key = node.key(ring, slot);
            let after = keys.range((Bound::Excluded(key), Bound::Unbounded));
            let successors = after.chain(keys.range(..key)).take(REACH_MAX);
            for (distance, (_, successor)) in (1_u8..).zip(successors) {
                let other = self.nodes.get(successor.0 as usize).and_then(Option::as_ref);
                if other.is_some_and(|other| other.choice.reach[ring] >= distance) {
                    self.dirty.insert(*successor);
                }
            }
        }
    }

    /// Chooses again for one node and moves its edges.
    fn resettle(&mut self, slot: Slot) {
        let Some(node) = self.node(slot) else { return };
        let (old, new) = (node.choice, self.choose(slot, node));
        for observer in old.observers().iter().filter(|one| !new.observers().contains(one)) {
            self.replacing.push((slot, *observer));
            self.unlink(*observer, slot);
            self.changed.insert(slot);
        }
        for observer in new.observers() {
            self.link(*observer, slot);
        }
        if old.observers() != new.observers() {
            self.changed.insert(slot);
        }
        if let Some(Some(node)) = self.nodes.get_mut(slot.0 as usize) {
            node.choice = new;
        }
    }

    fn link(&mut self, observer: Slot, subject: Slot) {
        if let Some(Some(node)) = self.nodes.get_mut(observer.0 as usize)
            && let Err(at) = node.subjects.binary_search(&subject)
        {
            node.subjects.insert(at, subject);
            self.changed.extend([observer, subject]);
        }
    }

    fn unlink(&mut self, observer: Slot, subject: Slot) {
        if let Some(Some(node)) = self.nodes.get_mut(observer.0 as usize)
            && let Ok(at) = node.subjects.binary_search(&subject)
        {
            node.subjects.remove(at);
            self.changed.insert(observer);
        }
    }

    fn choose(&self, slot: Slot, node: &Node) -> Choice {
        let mut choice = Choice::default();
        for ring in 0..self.observers {
            let (best, reach) = self.look(ring, slot, node, &choice);
            choice.reach[ring] = reach;
            if let Some(best) = best {
                choice.observers[choice.count] = best;
                choice.count += 1;
            }
        }
        choice
    }

    /// The best predecessor on one ring, and how many were looked at.
    fn look(&self, ring: usize, slot: Slot, node: &Node, chosen: &Choice) -> (Option<Slot>, u8) {
        let keys = &self.rings[ring];
        let key = node.key(ring, slot);
        let after = keys.range((Bound::Excluded(key), Bound::Unbounded));
        let predecessors = keys.range(..key).rev().chain(after.rev());
        let mut best: Option<(Spread, Slot)> = None;
        let mut eligible = 0;
        for (reach, (_, candidate)) in (1_u8..).zip(predecessors) {
            if chosen.observers().contains(candidate) {
                continue;
            }
            let spread = self.spread(node, *candidate, chosen);
            if best.is_none_or(|(least, _)| spread < least) {
                best = Some((spread, *candidate));
            }
            eligible += 1;
            if spread == Spread::Wide || eligible == WINDOW {
                return (best.map(|(_, slot)| slot), reach);
            }
        }
        (best.map(|(_, slot)| slot), REACH_ALL)
    }

    /// What an observer more would do to the spread over failure domains.
    fn spread(&self, node: &Node, candidate: Slot, chosen: &Choice) -> Spread {
        let domain_of = |slot: Slot| self.node(slot).map_or(0, |node| node.domain);
        let domain = domain_of(candidate);
        let sharing = chosen.observers().iter().filter(|one| domain_of(**one) == domain).count();
        if domain == 0 || sharing < (self.observers / 4).max(1) {
            Spread::Wide
        } else if domain != node.domain || sharing < self.observers / 2 {
            Spread::Fair
        } else {
            Spread::Narrow
        }
    }
}

/// How well observers are spread over failure domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spread {
    /// At most a quarter in one domain.
    Wide,
    /// More than a quarter in one domain, but at most half in the subject's own.
    Fair,
    /// More than half in the subject's own domain.
    Narrow,
}

#[cfg(test)]
mod tests;
