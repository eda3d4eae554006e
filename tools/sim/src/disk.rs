//! A replica's disk: the store's in-memory twin, flushes that take a while, and a trap that springs
//! at a named persist point.

use crate::persist::{Moment, PersistPoint, Write};
use syncom_seam::{DiskFault, Done, Durable as _, HardState, Loaded, Record};
use syncom_store::memory::{Fault, MemoryStore};
use syncom_wire::ids;

/// What a record says, without its bytes: for those who watch.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) hard: Option<HardState>,
    /// Index, term and hash of each entry.
    pub(crate) entries: Vec<(u64, u64, u64)>,
    /// Index and term of a snapshot, and whether it replaces the log.
    pub(crate) snapshot: Option<(u64, u64, bool)>,
}

impl Written {
    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Append { hard, entries, .. } => {
                let digest = |entry: &syncom_seam::LogEntry| {
                    (entry.index, entry.term, ids::hash(&entry.data))
                };
                Self { hard: *hard, entries: entries.iter().map(digest).collect(), snapshot: None }
            }
            Record::Snapshot { snapshot, hard, replace_log, .. } => {
                let snapshot = Some((snapshot.index, snapshot.term, *replace_log));
                Self { hard: *hard, entries: Vec::new(), snapshot }
            }
        }
    }
}

/// The disk of one replica. It survives the lives of the process.
#[derive(Debug)]
pub(crate) struct SimDisk {
    store: MemoryStore,
    /// Ticket of the last record taken.
    taken: u64,
    /// Whether a flush is under way.
    flushing: bool,
    /// What waits for a flush.
    waiting: Vec<(Write, Written)>,
    /// Where the replica dies next, and for how long it stays down.
    trap: Option<(PersistPoint, u64)>,
    /// Whether something was done to it that no restart survives.
    pub(crate) spoiled: bool,
    /// For how long a replica whose disk failed stays down.
    pub(crate) repair_ns: u64,
    /// Which disk it is: another one after it was lost.
    pub(crate) number: u64,
    /// What it held once, as a backup would.
    backup: Option<MemoryStore>,
    /// For what it was exchanged, so that it holds less than its replica promised.
    pub(crate) exchanged: Option<Exchange>,
}

/// How a replica's disk is exchanged while the replica is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// For an empty one.
    Empty,
    /// For what it held when it was backed up.
    Backup,
}

impl SimDisk {
    pub(crate) fn new(seed: u64, number: u64, trusting: bool) -> Self {
        let store = MemoryStore::new(seed);
        Self {
            store: if trusting { store.trusting() } else { store },
            taken: 0,
            flushing: false,
            waiting: Vec::new(),
            trap: None,
            spoiled: false,
            repair_ns: 0,
            number,
            backup: None,
            exchanged: None,
        }
    }

    /// Keeps a copy of what is durable.
    pub(crate) fn back_up(&mut self) {
        let mut copy = self.store.clone();
        copy.crash();
        self.backup = Some(copy);
    }

    /// Is exchanged; nobody uses it now.
    pub(crate) fn exchange(&mut self, by: Exchange, seed: u64) {
        match (by, self.backup.take()) {
            (Exchange::Backup, Some(backup)) => self.store = backup,
            (Exchange::Backup, None) => return,
            (Exchange::Empty, _) => {
                self.store = MemoryStore::new(seed);
                self.number = seed.max(1);
            }
        }
        self.exchanged = Some(by);
    }

    /// Lays a trap in the place of an earlier one.
    pub(crate) const fn set_trap(&mut self, point: PersistPoint, down_ns: u64) {
        self.trap = Some((point, down_ns));
    }

    /// The point at which the replica dies now, if it is at `moment` of a trapped write.
    pub(crate) fn springs(
        &mut self,
        moment: Moment,
        at: Option<Write>,
    ) -> Option<(PersistPoint, u64)> {
        let (point, _) = self.trap?;
        let mut writes = self.waiting.iter().map(|(write, _)| *write).chain(at);
        (point.moment == moment && writes.any(|write| write == point.write))
            .then(|| self.trap.take())?
    }

    /// Something breaks.
    pub(crate) fn fail(&mut self, fault: Fault) {
        self.spoiled |= !matches!(fault, Fault::Full | Fault::Io);
        self.store.fail(fault);
    }

    /// Room is made, and the device mended. What was spoiled stays so.
    pub(crate) fn heal(&mut self) {
        self.store.heal();
        self.trap = None;
    }

    /// Takes a record; true when a flush must be begun for it.
    pub(crate) fn append(&mut self, record: Record) -> bool {
        self.taken = record.ticket();
        self.waiting.push((Write::of(&record), Written::of(&record)));
        // A failure shows at the flush, whatever its cause.
        let _ = self.store.append(record);
        !std::mem::replace(&mut self.flushing, true)
    }

    /// The flush under way is over: what to tell the role, and what is durable now.
    pub(crate) fn synced(&mut self) -> (Done, Vec<Written>) {
        // As the disk writer does: everything taken until the flush is flushed with it.
        self.flushing = false;
        let written = self.waiting.drain(..).map(|(_, written)| written).collect();
        match self.store.sync() {
            Ok(()) => (Done::Durable { ticket: self.taken }, written),
            Err(fault) => (Done::DiskFailed(fault), Vec::new()),
        }
    }

    /// The machine loses its power, or the process its life, in the middle of whatever it did.
    pub(crate) fn crash(&mut self) {
        self.flushing = false;
        self.waiting.clear();
        self.store.crash();
    }

    /// What a new life finds.
    ///
    /// # Errors
    /// When it was spoiled.
    pub(crate) fn restart(&mut self) -> Result<Loaded, DiskFault> {
        self.flushing = false;
        self.taken = 0;
        self.store.try_load()
    }
}
