//! The imagined medium: bytes with their hashes, which can be spoiled, and a load that looks.

use crate::entry;
use crate::extent::Extent;
use crate::fault::RESTORE;
use crate::seal::{seal, sum_of};
use std::collections::VecDeque;
use syncom_seam::{DiskFault, HardState, Loaded, LogEntry, Record, Rng, SavedSnapshot};

/// A thing on the medium, and the hash with which it was written.
#[derive(Clone, Debug)]
struct Sealed<T> {
    thing: T,
    sum: u64,
}

impl<T: Hashed> Sealed<T> {
    fn new(thing: T) -> Self {
        Self { sum: thing.sum(), thing }
    }

    fn is_sound(&self) -> bool {
        self.thing.sum() == self.sum
    }
}

/// What is kept with a hash, as the files of the real store are.
trait Hashed {
    fn sum(&self) -> u64;
    /// One bit turns.
    fn flip(&mut self, rng: &mut Rng);
}

impl Hashed for LogEntry {
    fn sum(&self) -> u64 {
        sum_of(&entry::encode(self))
    }

    fn flip(&mut self, rng: &mut Rng) {
        if self.data.is_empty() { self.term ^= 1 } else { flip(&mut self.data, rng) }
    }
}

impl Hashed for SavedSnapshot {
    fn sum(&self) -> u64 {
        let numbers = [self.index, self.term].map(u64::to_le_bytes).concat();
        sum_of(&seal([numbers, self.data.clone()].concat()))
    }

    fn flip(&mut self, rng: &mut Rng) {
        if self.data.is_empty() { self.term ^= 1 } else { flip(&mut self.data, rng) }
    }
}

impl Hashed for HardState {
    fn sum(&self) -> u64 {
        sum_of(&seal([self.term, self.vote, self.commit].map(u64::to_le_bytes).concat()))
    }

    fn flip(&mut self, _rng: &mut Rng) {
        self.vote ^= 1;
    }
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    let place = usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << rng.below(8);
    }
}

/// What is durable.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    hard: Sealed<HardState>,
    snapshot: Option<Sealed<SavedSnapshot>>,
    /// Index of the first place.
    first: u64,
    entries: VecDeque<Sealed<LogEntry>>,
    /// Records written in all: the batch number of the real store's manifest.
    pub(super) records: u64,
}

impl Default for Medium {
    fn default() -> Self {
        let hard = Sealed::new(HardState::default());
        Self { hard, snapshot: None, first: 1, entries: VecDeque::new(), records: 0 }
    }
}

impl Medium {
    pub(super) fn apply(&mut self, record: Record) {
        self.records += 1;
        let hard = match record {
            Record::Append { hard, entries, .. } => {
                if let Some(first) = entries.first().map(|entry| entry.index) {
                    if self.entries.is_empty() {
                        self.first = first;
                    }
                    let kept = usize::try_from(first.saturating_sub(self.first)).unwrap_or(0);
                    self.entries.truncate(kept);
                    self.entries.extend(entries.into_iter().map(Sealed::new));
                }
                hard
            }
            Record::Snapshot { snapshot, hard, replace_log, compact_to, .. } => {
                let keep_from = compact_to.min(snapshot.index + 1);
                while !self.entries.is_empty() && (replace_log || self.first < keep_from) {
                    self.entries.pop_front();
                    self.first += 1;
                }
                self.snapshot = Some(Sealed::new(snapshot));
                hard
            }
        };
        if let Some(hard) = hard {
            self.hard = Sealed::new(hard);
        }
    }

    /// One bit turns: of an entry that a restart would read, or else of the snapshot, or else of the
    /// hard state.
    pub(super) fn flip(&mut self, rng: &mut Rng) {
        if let Some(victim) = self.victim(rng) {
            if let Some(entry) = self.entries.get_mut(victim) {
                entry.thing.flip(rng);
            }
        } else if let Some(snapshot) = &mut self.snapshot {
            snapshot.thing.flip(rng);
        } else if self.records > 0 {
            self.hard.thing.flip(rng);
        }
    }

    /// The newest entry was written once more, in the place of another.
    pub(super) fn misdirect(&mut self, rng: &mut Rng) {
        let newest = self.entries.back().cloned();
        let Some((victim, newest)) = self.victim(rng).zip(newest) else { return };
        if victim + 1 < self.entries.len()
            && let Some(entry) = self.entries.get_mut(victim)
        {
            *entry = newest;
        }
    }

    /// The place of an entry that a restart would read.
    fn victim(&self, rng: &mut Rng) -> Option<usize> {
        let skip = (self.snapshot_index() + 1).saturating_sub(self.first);
        let count = (self.entries.len() as u64).saturating_sub(skip);
        let victim = skip + rng.below(count);
        usize::try_from(victim).ok().filter(|victim| count > 0 && *victim < self.entries.len())
    }

    fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.thing.index)
    }

    pub(super) fn extent(&self) -> Extent {
        let snapshot = self.snapshot_index();
        let first = if self.entries.is_empty() { snapshot + 1 } else { self.first };
        Extent::new(first, self.entries.len() as u64, snapshot)
    }

    /// Looks at everything that a restart reads.
    pub(super) fn check(&self) -> Result<(), DiskFault> {
        let refuse = |what: &str| {
            Err(DiskFault::Corrupt(format!("{what} in memory: hash differs; {RESTORE}")))
        };
        if !self.hard.is_sound() {
            return refuse("manifest");
        }
        if self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_sound()) {
            return refuse("snapshot");
        }
        for (place, entry) in (self.first..).zip(&self.entries) {
            if place <= self.snapshot_index() {
                continue;
            }
            if entry.thing.index != place || !entry.is_sound() {
                return refuse(&format!("entry {place}"));
            }
        }
        Ok(())
    }

    pub(super) fn loaded(&self) -> Loaded {
        let after = self.snapshot_index();
        let placed = (self.first..).zip(&self.entries);
        let entries = placed.filter(|(place, _)| *place > after);
        Loaded {
            hard: self.hard.thing,
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.thing.clone()),
            entries: entries.map(|(_, entry)| entry.thing.clone()).collect(),
        }
    }
}
