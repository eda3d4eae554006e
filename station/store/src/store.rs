//! The log on disk.
//!
//! Records are gathered until a flush and then written as one batch of raft-engine, checked and
//! atomic: entries, deletions and the [`Manifest`]. Entries lie under their index as plain values,
//! so the library keeps them in memory a second time until they are compacted; in return it checks
//! every byte when it opens, and knows neither protobuf nor holes.
//!
//! A snapshot is a file, durable before the batch that names it. Until that batch is durable the
//! old snapshot and the old log stand; a snapshot that no manifest names was never acknowledged and
//! is removed.
//!
//! What is found at load, and what is not: a batch damaged anywhere but in the last file stops the
//! library; there it and all behind it are cut off, as a torn write must be, and a cut that took
//! what the [`Home`] saw durable, what the [`survey`] says was durable, or what was committed, is
//! refused. Not found is damage to the very last batch before a power cut, when the witness was not
//! yet written back: it looks like the write that the power cut tore.

use crate::extent::Extent;
use crate::files::{Files, Ledger};
use crate::home::Home;
use crate::manifest::Manifest;
use crate::{Identity, entry, fault, load, snapshot, survey};
use raft_engine::{Config, Engine, LogBatch, ReadableSize, RecoveryMode};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use syncom_seam::{DiskFault, DiskStats, Durable, Loaded, Record};

/// The one group that the library keeps for us.
pub(crate) const REGION: u64 = 1;
/// Key of the manifest.
pub(crate) const MANIFEST: &[u8] = b"m";
/// First byte of the keys of entries; the index follows, big-endian.
pub(crate) const ENTRY: u8 = b'e';

/// Sizes of the log's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// A file is closed when it has grown to this many bytes.
    pub(crate) file: u64,
    /// Old files are given back, and what lives in them rewritten, above this many bytes.
    pub(crate) purge: u64,
    /// Two thirds of the bytes filled with zeros ahead of time.
    pub(crate) prefill: u64,
}

impl Sizes {
    /// Three embedded replicas zero 24 MiB each and not the hundreds that the library would; the
    /// purge begins at twice the log that makes the station take a snapshot, so that little that
    /// lives is ever rewritten.
    pub(crate) const STATION: Self = Self { file: 8 << 20, purge: 128 << 20, prefill: 16 << 20 };
}

/// A durable log in a directory of its own.
pub struct Store {
    engine: Engine<Files>,
    home: Home,
    ledger: Arc<Ledger>,
    identity: Identity,
    sizes: Sizes,
    /// The state after the records taken so far.
    manifest: Manifest,
    extent: Extent,
    /// Records taken and not yet flushed.
    waiting: LogBatch,
    /// Whether a start or a snapshot may have left files that the next manifest does not name.
    sweep: bool,
    /// Bytes written when the library last looked for files to give back.
    purged_at_bytes: u64,
    snapshot_bytes: u64,
    snapshot_syncs: u64,
    /// The fault that ended this store.
    fault: Option<DiskFault>,
}

/// Opens the log in `dir`, creating it for `identity` if there is none.
///
/// What was taken from the disk is durable when this returns. The library's threads end with the
/// store; the lock on `dir` is held until then.
///
/// # Errors
/// Refuses, by name and with what to do, a directory of another replica or cluster, one that is in
/// use, and one whose content is not what was written. Nothing is served from such a log.
pub fn open(dir: &Path, identity: Identity) -> Result<(Store, Loaded), DiskFault> {
    open_with(dir, identity, Sizes::STATION)
}

pub(crate) fn open_with(
    dir: &Path,
    identity: Identity,
    sizes: Sizes,
) -> Result<(Store, Loaded), DiskFault> {
    let (home, durable) = Home::enter(dir, identity)?;
    let raft = home.raft();
    let shown = survey::survey(&raft, home.stamp())?;
    if shown > durable {
        // The library may cut off what showed it: from now on the witness says so.
        home.witness(shown)?;
        home.settle()?;
    }
    let files = Arc::new(Files::default());
    let ledger = Arc::clone(&files.ledger);
    let engine = Engine::open_with_file_system(config(&raft, sizes)?, files)
        .map_err(|error| fault::engine(&raft, &error))?;
    ledger.check()?;
    let found = load::load(&engine, &home, identity, durable.max(shown), &ledger)?;
    let mut store = Store {
        extent: found.manifest.extent(),
        engine,
        home,
        ledger,
        identity,
        sizes,
        manifest: found.manifest,
        waiting: LogBatch::default(),
        sweep: true,
        purged_at_bytes: 0,
        snapshot_bytes: 0,
        snapshot_syncs: 0,
        fault: None,
    };
    for key in found.stale {
        store.waiting.delete(REGION, key);
    }
    // What survived only in the page cache is promised from now on: flush it with a batch of ours.
    store.flush()?;
    Ok((store, found.loaded))
}

fn config(raft: &Path, sizes: Sizes) -> Result<Config, DiskFault> {
    let Some(dir) = raft.to_str() else {
        return Err(DiskFault::Io(format!("{}: the path must be UTF-8", raft.display())));
    };
    Ok(Config {
        dir: dir.into(),
        recovery_mode: RecoveryMode::TolerateTailCorruption,
        recovery_threads: 2,
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize(sizes.file),
        purge_threshold: ReadableSize(sizes.purge),
        enable_log_recycle: true,
        prefill_for_recycle: true,
        prefill_limit: Some(ReadableSize(sizes.prefill)),
        format_version: raft_engine::Version::V2,
        ..Config::default()
    })
}

/// The key of an entry.
fn key(index: u64) -> Vec<u8> {
    let mut key = vec![ENTRY];
    key.extend_from_slice(&index.to_be_bytes());
    key
}

impl Store {
    fn take(&mut self, record: Record) -> Result<(), DiskFault> {
        let hard = match record {
            Record::Append { hard, entries, .. } => {
                for entry in &entries {
                    self.put(key(entry.index), entry::encode(entry))?;
                }
                if let Some(last) = entries.last() {
                    self.drop_entries(last.index + 1, self.manifest.next);
                    self.manifest.next = last.index + 1;
                    self.manifest.last_term = last.term;
                }
                hard
            }
            Record::Snapshot { snapshot, hard, replace_log, .. } => {
                let (named, bytes) =
                    snapshot::write(self.home.dir(), self.identity.cluster, &snapshot)?;
                self.snapshot_bytes += bytes;
                self.snapshot_syncs += 2;
                self.manifest.push(named);
                self.sweep = true;
                if replace_log {
                    self.drop_entries(self.manifest.first, self.manifest.next);
                    self.manifest.last_term = snapshot.term;
                } else {
                    self.drop_entries(self.manifest.first, self.extent.first);
                }
                self.manifest.first = self.extent.first;
                self.manifest.next = self.extent.next;
                hard
            }
        };
        self.manifest.hard = hard.unwrap_or(self.manifest.hard);
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), DiskFault> {
        let put = self.waiting.put(REGION, key, value);
        put.map_err(|error| fault::engine(self.home.dir(), &error))
    }

    fn drop_entries(&mut self, from: u64, to: u64) {
        for index in from..to {
            self.waiting.delete(REGION, key(index));
        }
    }

    /// Writes what waits as one batch, and returns when the device has it.
    ///
    /// The library's own `sync` is not used: in 0.4.2 it returns before it flushes.
    fn flush(&mut self) -> Result<(), DiskFault> {
        self.manifest.batch += 1;
        self.put(MANIFEST.to_vec(), self.manifest.encode())?;
        let written = self.engine.write(&mut self.waiting, true);
        self.ledger.check()?;
        written.map_err(|error| fault::engine(&self.home.raft(), &error))?;
        self.home.witness(self.manifest.batch)?;
        if std::mem::take(&mut self.sweep) {
            self.home.settle()?;
            snapshot::sweep(self.home.dir(), &self.manifest)?;
        }
        if self.ledger.bytes() - self.purged_at_bytes >= self.sizes.file {
            let purged = self.engine.purge_expired_files();
            self.ledger.check()?;
            purged.map_err(|error| fault::engine(&self.home.raft(), &error))?;
            self.purged_at_bytes = self.ledger.bytes();
        }
        Ok(())
    }

    /// Keeps the first fault: a store that failed once takes nothing more.
    fn keep(&mut self, result: Result<(), DiskFault>) -> Result<(), DiskFault> {
        if let Err(fault) = &result {
            self.fault = Some(fault.clone());
        }
        result
    }

    #[cfg(test)]
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Durable for Store {
    fn append(&mut self, record: Record) -> Result<(), DiskFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.extent.admit(&record);
        let taken = self.take(record);
        self.keep(taken)
    }

    fn sync(&mut self) -> Result<(), DiskFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let flushed = self.flush();
        self.keep(flushed)
    }

    fn stats(&self) -> DiskStats {
        DiskStats {
            syncs: self.ledger.syncs() + self.snapshot_syncs,
            bytes: self.ledger.bytes() + self.snapshot_bytes,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("home", &self.home).field("manifest", &self.manifest).finish()
    }
}

#[cfg(test)]
mod tests;
