//! A replica's disk: the store's in-memory twin, and flushes that take a while.

use syncom_seam::{DiskFault, Done, Durable as _, Loaded, Record};
use syncom_store::memory::MemoryStore;

/// The disk of one replica. It survives the lives of the process.
#[derive(Debug)]
pub(crate) struct SimDisk {
    store: MemoryStore,
    /// Ticket of the last record taken.
    taken: u64,
    /// Whether a flush is under way.
    flushing: bool,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self { store: MemoryStore::new(seed), taken: 0, flushing: false }
    }

    /// Takes a record; true when a flush must be begun for it.
    pub(crate) fn append(&mut self, record: Record) -> bool {
        self.taken = record.ticket();
        let taken = self.store.append(record);
        debug_assert!(taken.is_ok(), "the twin only fails when told to");
        !std::mem::replace(&mut self.flushing, true)
    }

    /// The flush under way is over: what to tell the role.
    pub(crate) fn synced(&mut self) -> Done {
        // As the disk writer does: everything taken until the flush is flushed with it.
        self.flushing = false;
        match self.store.sync() {
            Ok(()) => Done::Durable { ticket: self.taken },
            Err(fault) => Done::DiskFailed(fault),
        }
    }

    /// The machine loses its power, or the process its life, in the middle of whatever it did.
    pub(crate) fn crash(&mut self) {
        self.flushing = false;
        self.store.crash();
    }

    /// What a new life finds.
    ///
    /// # Errors
    /// When the twin was told to spoil something.
    pub(crate) fn restart(&mut self) -> Result<Loaded, DiskFault> {
        self.flushing = false;
        self.taken = 0;
        self.store.try_load()
    }
}
