//! The faulty twin: a store in memory that loses what a disk would lose.
//!
//! Records wait until [`sync`](Durable::sync), as they do in the page cache. A crash keeps all that
//! was synced and a random prefix of the rest; no record is ever kept in part, since the real store
//! writes each as one checked batch. Faults are injected by name, and the same seed breaks the same
//! way every time.

use crate::extent::Extent;
use std::collections::VecDeque;
use syncom_seam::{
    DiskFault, DiskStats, Durable, HardState, Loaded, LogEntry, Record, Rng, SavedSnapshot,
};

/// What may be injected into a [`MemoryStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room, until [`MemoryStore::heal`].
    Full,
    /// Writes fail, until [`MemoryStore::heal`].
    Io,
    /// One bit of a durable entry, or else of the snapshot, turns. Found at the next load; nothing
    /// happens to an empty store.
    BitFlip,
}

/// A place on the imagined medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Entry(u64),
    Snapshot(u64),
}

/// What is durable.
#[derive(Clone, Debug, Default)]
struct Medium {
    hard: HardState,
    snapshot: Option<SavedSnapshot>,
    entries: VecDeque<LogEntry>,
    flipped: Option<Place>,
}

/// A durable log in memory, deterministic, that can crash and fail.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    rng: Rng,
    extent: Extent,
    durable: Medium,
    waiting: VecDeque<Record>,
    fault: Option<Fault>,
    /// A fault is final until the next crash, which is also a restart.
    stopped: bool,
    stats: DiskStats,
}

impl MemoryStore {
    /// An empty store whose misfortunes are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            extent: Extent::default(),
            durable: Medium::default(),
            waiting: VecDeque::new(),
            fault: None,
            stopped: false,
            stats: DiskStats::default(),
        }
    }

    /// Ends the process and the machine: of the records not yet synced a random prefix survives.
    /// The store then stands as a restarted replica would find it; tickets may start anew.
    pub fn crash(&mut self) {
        let survivors = self.rng.below(self.waiting.len() as u64 + 1);
        for _ in 0..survivors {
            let Some(record) = self.waiting.pop_front() else { break };
            self.durable.apply(record);
        }
        self.waiting.clear();
        self.extent = self.durable.extent();
        self.stopped = false;
    }

    /// What a restart would find now, waiting records aside.
    ///
    /// # Panics
    /// If a bit was flipped: use [`try_load`](Self::try_load) where that may be.
    #[must_use]
    pub fn load(&self) -> Loaded {
        match self.try_load() {
            Ok(loaded) => loaded,
            Err(fault) => panic!("{fault}"),
        }
    }

    /// What a restart would find now, waiting records aside.
    ///
    /// # Errors
    /// [`DiskFault::Corrupt`] if a flipped bit is still in what would be read.
    pub fn try_load(&self) -> Result<Loaded, DiskFault> {
        match self.durable.flipped {
            Some(place) => Err(DiskFault::Corrupt(format!(
                "{place:?} in memory: hash differs; what to do: restore this replica as a new one"
            ))),
            None => Ok(self.durable.loaded()),
        }
    }

    /// Injects a fault.
    pub fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Full | Fault::Io => self.fault = Some(fault),
            Fault::BitFlip => self.durable.flip(&mut self.rng),
        }
    }

    /// Makes room and mends the device. Flipped bits stay, and so does a stopped store until its
    /// restart through [`crash`](Self::crash).
    pub fn heal(&mut self) {
        self.fault = None;
    }

    /// Records taken and not yet synced.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn check(&mut self) -> Result<(), DiskFault> {
        let fault = match self.fault {
            Some(Fault::Full) => DiskFault::Full("in memory: injected".into()),
            Some(Fault::Io | Fault::BitFlip) => DiskFault::Io("in memory: injected".into()),
            None if self.stopped => DiskFault::Io("in memory: stopped by an earlier fault".into()),
            None => return Ok(()),
        };
        self.stopped = true;
        Err(fault)
    }
}

impl Durable for MemoryStore {
    fn append(&mut self, record: Record) -> Result<(), DiskFault> {
        self.check()?;
        self.extent.admit(&record);
        self.stats.bytes += size(&record);
        self.waiting.push_back(record);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskFault> {
        self.check()?;
        for record in self.waiting.drain(..) {
            self.durable.apply(record);
        }
        self.stats.syncs += 1;
        Ok(())
    }

    fn stats(&self) -> DiskStats {
        self.stats
    }
}

impl Medium {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Append { hard, entries, .. } => {
                self.hard = hard.unwrap_or(self.hard);
                if let Some(first) = entries.first().map(|entry| entry.index) {
                    while self.entries.back().is_some_and(|entry| entry.index >= first) {
                        self.entries.pop_back();
                    }
                    self.entries.extend(entries);
                }
            }
            Record::Snapshot { snapshot, hard, replace_log, compact_to, .. } => {
                self.hard = hard.unwrap_or(self.hard);
                let keep_from = compact_to.min(snapshot.index + 1);
                while self.entries.front().is_some_and(|e| replace_log || e.index < keep_from) {
                    self.entries.pop_front();
                }
                self.snapshot = Some(snapshot);
            }
        }
        if self.flipped.is_some_and(|place| !self.holds(place)) {
            self.flipped = None;
        }
    }

    fn holds(&self, place: Place) -> bool {
        match place {
            Place::Snapshot(index) => self.snapshot.as_ref().is_some_and(|s| s.index == index),
            Place::Entry(index) => self.entries.iter().any(|entry| entry.index == index),
        }
    }

    fn flip(&mut self, rng: &mut Rng) {
        let victim = rng.below(self.entries.len() as u64);
        let entry = self.entries.get(usize::try_from(victim).unwrap_or(0));
        self.flipped = match (entry, &self.snapshot) {
            (Some(entry), _) => Some(Place::Entry(entry.index)),
            (None, Some(snapshot)) => Some(Place::Snapshot(snapshot.index)),
            (None, None) => None,
        };
    }

    fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index)
    }

    fn extent(&self) -> Extent {
        let snapshot = self.snapshot_index();
        let first = self.entries.front().map_or(snapshot + 1, |entry| entry.index);
        Extent::new(first, self.entries.len() as u64, snapshot)
    }

    fn loaded(&self) -> Loaded {
        let after = self.snapshot_index();
        Loaded {
            hard: self.hard,
            snapshot: self.snapshot.clone(),
            entries: self.entries.iter().filter(|entry| entry.index > after).cloned().collect(),
        }
    }
}

fn size(record: &Record) -> u64 {
    let bytes = match record {
        Record::Append { entries, .. } => entries.iter().map(|entry| entry.data.len() + 32).sum(),
        Record::Snapshot { snapshot, .. } => snapshot.data.len() + 64,
    };
    bytes as u64
}

#[cfg(test)]
mod tests;
