//! The log on real files.

use super::*;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use syncom_seam::{HardState, LogEntry, SavedSnapshot};

mod damage;
mod power;

const ME: Identity = Identity { cluster: 7, replica: 2 };
const SMALL: Sizes = Sizes { file: 16 << 10, purge: 64 << 10, prefill: 16 << 10 };

/// A directory of its own that goes when the test does.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In memory where there is such a place: for logs by the thousand, whose flushes prove nothing.
    fn light() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(place: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("syncom-store-{}-{number}", std::process::id());
        let dir = place.join(name);
        assert!(!dir.exists(), "{} is in the way", dir.display());
        Self(dir)
    }

    fn open(&self) -> (Store, Loaded) {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<(Store, Loaded), DiskFault> {
        open_with(&self.0, ME, SMALL)
    }

    /// What the disk holds at this moment, as a killed process would leave it.
    fn copy(&self) -> Self {
        let copy = Self::light();
        for sub in ["", "raft"] {
            fs::create_dir_all(copy.0.join(sub)).unwrap();
            for file in fs::read_dir(self.0.join(sub)).unwrap().map(|file| file.unwrap()) {
                if file.path().is_file() {
                    fs::copy(file.path(), copy.0.join(sub).join(file.file_name())).unwrap();
                }
            }
        }
        copy
    }

    fn files(&self) -> Vec<PathBuf> {
        let all = [self.0.clone(), self.0.join("raft")].map(|dir| fs::read_dir(dir).unwrap());
        let mut files: Vec<_> =
            all.into_iter().flatten().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.is_file());
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn entry(index: u64, term: u64) -> LogEntry {
    let seed = index.wrapping_mul(31).wrapping_add(term).to_le_bytes();
    LogEntry { index, term, kind: 0, data: seed.repeat(4 + usize::from(seed[0] % 16)) }
}

fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<LogEntry> {
    range.map(|index| entry(index, term)).collect()
}

fn append(ticket: u64, hard: Option<HardState>, entries: Vec<LogEntry>) -> Record {
    Record::Append { ticket, hard, entries }
}

fn saved(index: u64, term: u64) -> SavedSnapshot {
    let data = index.to_le_bytes().repeat(100);
    SavedSnapshot { index, term, voters: vec![1, 2, 3], learners: vec![4], data }
}

fn snapshot(ticket: u64, saved: SavedSnapshot, replace_log: bool, compact_to: u64) -> Record {
    Record::Snapshot { ticket, snapshot: saved, hard: None, replace_log, compact_to }
}

fn commit(store: &mut Store, record: Record) {
    store.append(record).unwrap();
    store.sync().unwrap();
}

#[test]
fn what_was_synced_comes_back_and_an_overwritten_suffix_does_not() {
    let scratch = Scratch::new();
    let (mut store, loaded) = scratch.open();
    assert_eq!(loaded, Loaded::default());
    let hard = HardState { term: 3, vote: 2, commit: 4 };
    commit(&mut store, append(1, None, entries(1..=9, 1)));
    commit(&mut store, append(2, Some(hard), entries(5..=6, 3)));
    drop(store);
    let expected = [entries(1..=4, 1), entries(5..=6, 3)].concat();
    for _ in 0..2 {
        let (_store, loaded) = scratch.open();
        assert_eq!(loaded, Loaded { hard, snapshot: None, entries: expected.clone() });
    }
}

#[test]
fn hard_state_and_entries_become_durable_together_and_only_by_sync() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    let hard = HardState { term: 2, vote: 1, commit: 3 };
    store.append(append(1, None, entries(1..=3, 1))).unwrap();
    store.append(append(2, Some(hard), entries(4..=4, 2))).unwrap();
    let before = scratch.copy().open().1;
    assert_eq!(before, Loaded::default(), "nothing is there before the flush");
    let syncs = store.stats().syncs;
    store.sync().unwrap();
    assert_eq!(store.stats().syncs, syncs + 1, "one flush serves both records");
    let after = scratch.copy().open().1;
    assert_eq!((after.hard, after.entries.len()), (hard, 4));
}

#[test]
fn a_snapshot_lets_older_entries_go_and_two_are_kept() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    commit(&mut store, append(1, None, entries(1..=30, 1)));
    for (ticket, index) in [(2, 10), (3, 20), (4, 25)] {
        commit(&mut store, snapshot(ticket, saved(index, 1), false, index - 2));
    }
    commit(&mut store, append(5, None, entries(31..=33, 2)));
    drop(store);
    let (_store, loaded) = scratch.open();
    assert_eq!(loaded.snapshot, Some(saved(25, 1)));
    let expected = [entries(26..=30, 1), entries(31..=33, 2)].concat();
    assert_eq!(loaded.entries, expected);
    let named = |path: &PathBuf| path.display().to_string().contains("snapshot-");
    assert_eq!(scratch.files().iter().filter(|path| named(path)).count(), 2);
}

#[test]
fn an_installed_snapshot_replaces_the_log_which_then_goes_on_after_it() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    commit(&mut store, append(1, None, entries(1..=9, 1)));
    store.append(snapshot(2, saved(50, 4), true, 0)).unwrap();
    let before = scratch.copy().open().1;
    assert_eq!(before.entries, entries(1..=9, 1), "the old log stands until the flush");
    assert_eq!(before.snapshot, None);
    store.sync().unwrap();
    let (_store, between) = scratch.copy().open();
    assert_eq!((between.snapshot, between.entries), (Some(saved(50, 4)), vec![]));
    commit(&mut store, append(3, None, entries(51..=52, 4)));
    drop(store);
    let (_store, loaded) = scratch.open();
    assert_eq!(loaded.entries, entries(51..=52, 4));
}

#[test]
fn a_long_life_in_small_files_keeps_all_that_lives_and_gives_back_the_rest() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    let (mut ticket, mut last) = (0, 0);
    let mut next = || {
        ticket += 1;
        ticket
    };
    for round in 1..=40 {
        for _ in 0..25 {
            commit(&mut store, append(next(), None, entries(last + 1..=last + 4, round)));
            last += 4;
        }
        let hard = HardState { term: round, vote: 1, commit: last };
        commit(&mut store, append(next(), Some(hard), vec![]));
        if round % 4 == 0 {
            commit(&mut store, snapshot(next(), saved(last - 20, round), false, last - 60));
        }
        if round % 9 == 0 {
            drop(store);
            store = scratch.open().0;
        }
    }
    drop(store);
    let (_store, loaded) = scratch.open();
    assert_eq!(loaded.entries, entries(last - 19..=last, 40));
    assert_eq!(loaded.hard, HardState { term: 40, vote: 1, commit: last });
    let size: u64 = scratch.files().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size < 6 * SMALL.purge, "{size} bytes are kept for 20 entries");
}

#[test]
fn a_log_of_another_owner_is_refused_by_name() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let refused = |identity, name: &str| {
        let fault = open_with(&scratch.0, identity, SMALL).unwrap_err().to_string();
        assert!(fault.contains("identity") && fault.contains("what to do"), "{fault}");
        assert!(fault.contains(name), "{fault}");
    };
    refused(Identity { cluster: 8, ..ME }, "cluster 7");
    refused(Identity { replica: 3, ..ME }, "replica 2");
    let path = scratch.0.join("identity");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("format 1", "format 2")).unwrap();
    refused(ME, "format 2");
    fs::remove_file(&path).unwrap();
    refused(ME, "missing");
}

#[test]
fn a_log_in_use_is_refused_until_it_is_closed() {
    let scratch = Scratch::new();
    let first = scratch.open();
    let fault = scratch.try_open().unwrap_err().to_string();
    assert!(fault.contains("in use by another process"), "{fault}");
    drop(first);
    drop(scratch.open());
}

#[test]
fn only_the_owner_may_read_the_log() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let _open = scratch.open();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&scratch.0), mode(&scratch.0.join("raft"))), (0o700, 0o700));
    for path in scratch.files().iter().filter(|path| !path.ends_with("LOCK")) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_that_was_synced() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    commit(&mut store, append(1, None, entries(1..=9, 1)));
    store.ledger().room.lock().unwrap().0 = Some(100);
    store.append(append(2, None, entries(10..=99, 1))).unwrap();
    let fault = store.sync().unwrap_err();
    assert!(matches!(fault, DiskFault::Full(_)), "{fault}");
    assert_eq!(store.append(append(3, None, vec![])), Err(fault), "a fault is final");
    drop(store);
    let (_store, loaded) = scratch.open();
    assert_eq!(loaded.entries, entries(1..=9, 1));
}

#[test]
fn a_failed_flush_is_an_error_and_never_taken_back() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    store.ledger().room.lock().unwrap().1 = Some(0);
    store.append(append(1, None, entries(1..=9, 1))).unwrap();
    assert!(matches!(store.sync(), Err(DiskFault::Io(_))));
    store.ledger().room.lock().unwrap().1 = None;
    assert!(matches!(store.sync(), Err(DiskFault::Io(_))), "the flush is not tried again");
}

#[test]
fn a_new_replica_reserves_tens_of_megabytes_not_hundreds() {
    let scratch = Scratch::new();
    drop(open(&scratch.0, ME).unwrap());
    let size: u64 = scratch.files().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!((20 << 20..40 << 20).contains(&size), "{size} bytes");
}
