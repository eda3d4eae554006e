//! The faulty twin: a store in memory that loses what a disk would lose.
//!
//! Records wait until [`sync`](Durable::sync), as they do in the page cache. A crash keeps all that
//! was synced and a random prefix of the rest; no record is ever kept in part, since the real store
//! writes each as one checked batch. Faults are injected by name, and the same seed breaks the same
//! way every time.

use crate::extent::Extent;
use crate::fault::RESTORE;
use medium::Medium;
use std::collections::VecDeque;
use syncom_seam::{DiskFault, DiskStats, Durable, Loaded, Record, Rng};

mod medium;

/// What may be injected into a [`MemoryStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room, until [`MemoryStore::heal`].
    Full,
    /// Writes fail, until [`MemoryStore::heal`].
    Io,
    /// One bit turns of what a restart would read. Nothing happens to an empty store.
    BitFlip,
    /// The newest entry lands once more in the place of an older one.
    Misdirected,
    /// Flushes are acknowledged and not done, until [`MemoryStore::heal`]: a crash loses them.
    LostSync,
}

/// A durable log in memory, deterministic, that can crash and fail.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    rng: Rng,
    extent: Extent,
    durable: Medium,
    /// Acknowledged by a flush that was not done.
    cached: VecDeque<Record>,
    waiting: VecDeque<Record>,
    /// Records acknowledged in all: what the real store's witness knows.
    promised: u64,
    /// Whether a load believes what it reads.
    trusting: bool,
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
            cached: VecDeque::new(),
            waiting: VecDeque::new(),
            promised: 0,
            trusting: false,
            fault: None,
            stopped: false,
            stats: DiskStats::default(),
        }
    }

    /// The same store with its guards taken off: a load believes whatever it reads. For harnesses
    /// that must show that they notice.
    #[must_use]
    pub const fn trusting(mut self) -> Self {
        self.trusting = true;
        self
    }

    /// Ends the process and the machine: of the records that no flush has done a random prefix
    /// survives. The store then stands as a restarted replica would find it; tickets may start
    /// anew.
    pub fn crash(&mut self) {
        let volatile = self.cached.drain(..).chain(self.waiting.drain(..));
        let volatile: Vec<Record> = volatile.collect();
        let survivors = self.rng.below(volatile.len() as u64 + 1);
        for record in volatile.into_iter().take(usize::try_from(survivors).unwrap_or(0)) {
            self.durable.apply(record);
        }
        self.extent = self.durable.extent();
        self.stopped = false;
    }

    /// What a restart would find now, records that are not durable aside.
    ///
    /// # Panics
    /// If something was spoiled: use [`try_load`](Self::try_load) where that may be.
    #[must_use]
    pub fn load(&self) -> Loaded {
        match self.try_load() {
            Ok(loaded) => loaded,
            Err(fault) => panic!("{fault}"),
        }
    }

    /// What a restart would find now, records that are not durable aside.
    ///
    /// # Errors
    /// [`DiskFault::Corrupt`] if what would be read is not what was written, or less than was
    /// acknowledged.
    pub fn try_load(&self) -> Result<Loaded, DiskFault> {
        if !self.trusting {
            self.durable.check()?;
            let written = self.durable.records + self.cached.len() as u64;
            if written < self.promised {
                let promised = self.promised;
                return Err(DiskFault::Corrupt(format!(
                    "in memory: the log ends with record {written}, but {promised} was durable; \
                     {RESTORE}"
                )));
            }
        }
        Ok(self.durable.loaded())
    }

    /// Injects a fault.
    pub fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Full | Fault::Io | Fault::LostSync => self.fault = Some(fault),
            Fault::BitFlip => self.durable.flip(&mut self.rng),
            Fault::Misdirected => self.durable.misdirect(&mut self.rng),
        }
    }

    /// Makes room and mends the device. What was spoiled stays so, and a stopped store stays stopped
    /// until its restart through [`crash`](Self::crash).
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
            Some(Fault::Io) => DiskFault::Io("in memory: injected".into()),
            Some(Fault::BitFlip | Fault::Misdirected | Fault::LostSync) | None if self.stopped => {
                DiskFault::Io("in memory: stopped by an earlier fault".into())
            }
            Some(Fault::BitFlip | Fault::Misdirected | Fault::LostSync) | None => return Ok(()),
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
        self.cached.append(&mut self.waiting);
        self.promised = self.durable.records + self.cached.len() as u64;
        if self.fault != Some(Fault::LostSync) {
            for record in self.cached.drain(..) {
                self.durable.apply(record);
            }
        }
        self.stats.syncs += 1;
        Ok(())
    }

    fn stats(&self) -> DiskStats {
        self.stats
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
