//! The log in memory: what the library reads. The disk only ever gets copies.

use crate::config::Held;
use crate::raft::codec;
use crate::raft::conf::Conf;
use crate::raft::snapshot::Image;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use std::collections::{BTreeSet, VecDeque};

/// The entries that are still held, and the snapshots before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RamLog {
    pub(crate) hard: HardState,
    /// Who has a part in it, as far as applied, or as the newest snapshot from the leader says.
    pub(crate) conf: Conf,
    /// Index and term of the entry before the first one held.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    /// The newest snapshot, and those that followers are still pulling, oldest first.
    newest: Option<Image>,
    pinned: Vec<Image>,
}

impl RamLog {
    /// An empty log of these replicas.
    pub(crate) fn new(conf: Conf) -> Self {
        Self { conf, ..Self::default() }
    }

    /// Goes on from a snapshot: everything before and after it is gone.
    pub(crate) fn reset_to(&mut self, image: Image) {
        self.base = (image.manifest.index, image.manifest.term);
        self.entries.clear();
        self.keep(image);
    }

    /// Keeps a snapshot to serve it.
    pub(crate) fn keep(&mut self, image: Image) {
        self.newest = Some(image);
    }

    /// Holds on to the snapshots of these indexes, in order, until told otherwise, and to no other.
    pub(crate) fn pin(&mut self, indexes: &BTreeSet<u64>) {
        let wanted = |image: &Image| indexes.contains(&image.manifest.index);
        self.pinned.retain(wanted);
        self.pinned.extend(self.newest.iter().filter(|image| wanted(image)).cloned());
        self.pinned.dedup_by_key(|image| image.manifest.index);
    }

    /// The newest snapshot.
    pub(crate) const fn newest(&self) -> Option<&Image> {
        self.newest.as_ref()
    }

    /// The snapshot of that index, if it is still held.
    pub(crate) fn image(&self, index: u64, term: u64) -> Option<&Image> {
        let wanted = |image: &&Image| (image.manifest.index, image.manifest.term) == (index, term);
        self.newest.iter().chain(&self.pinned).find(wanted)
    }

    /// The snapshot to send to a replica: one that is being sent already, so that few are held, as
    /// long as the log goes on where it ends; but one that names the replica, for it takes no other.
    fn to_send(&self, to: u64) -> Option<&Image> {
        let followed = |image: &&Image| image.manifest.index >= self.base.0;
        let pinned = self.pinned.iter().filter(followed);
        pinned.chain(&self.newest).find(|image| image.manifest.names(to))
    }

    /// What is held, counted.
    pub(crate) fn held(&self) -> Held {
        let same = |image: &&Image| self.newest.as_ref().is_none_or(|newest| *newest != **image);
        let pinned = self.pinned.iter().filter(same);
        Held {
            entries: self.entries.len(),
            entry_bytes: self.entries.iter().map(|entry| entry.data.len()).sum(),
            snapshot_bytes: self.newest.iter().chain(pinned).map(|image| image.data.len()).sum(),
        }
    }

    /// Appends entries, replacing everything from the first one's index on.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(
            first.index > self.base.0 && first.index <= self.last() + 1,
            "entry {} does not follow a log of {} to {}",
            first.index,
            self.base.0 + 1,
            self.last()
        );
        self.entries.truncate(usize::try_from(first.index - self.base.0 - 1).unwrap_or(0));
        self.entries.extend(entries.iter().cloned());
    }

    /// Forgets entries below `to`.
    pub(crate) fn compact(&mut self, to: u64) {
        while let Some(entry) = self.entries.front() {
            if entry.index >= to {
                return;
            }
            self.base = (entry.index, entry.term);
            self.entries.pop_front();
        }
    }

    /// Index of the first of the last entries that have `bytes` together.
    pub(crate) fn first_of_last(&self, bytes: usize) -> u64 {
        let mut left = bytes;
        let fits = |entry: &&Entry| {
            let fits = entry.data.len() <= left;
            left = left.saturating_sub(entry.data.len());
            fits
        };
        self.last() + 1 - self.entries.iter().rev().take_while(fits).count() as u64
    }

    pub(crate) fn last(&self) -> u64 {
        self.entries.back().map_or(self.base.0, |entry| entry.index)
    }

    /// Entries behind an index.
    pub(crate) fn after(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let skip = usize::try_from(index.saturating_sub(self.base.0)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }

    fn at(&self, index: u64) -> Option<&Entry> {
        let place = usize::try_from(index.checked_sub(self.base.0 + 1)?).ok()?;
        self.entries.get(place)
    }
}

fn error(what: StorageError) -> raft::Error {
    raft::Error::Store(what)
}

impl Storage for RamLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), ConfState::from(&self.conf)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.0 {
            return Err(error(StorageError::Compacted));
        }
        let max = max_size.into().unwrap_or(u64::MAX);
        let (mut out, mut size) = (Vec::new(), 0_u64);
        for index in low..high {
            let entry = self.at(index).ok_or_else(|| error(StorageError::Unavailable))?;
            size += entry.data.len() as u64 + 32;
            if size > max && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        if index < self.base.0 {
            return Err(error(StorageError::Compacted));
        }
        self.at(index).map(|entry| entry.term).ok_or_else(|| error(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        match self.to_send(to) {
            Some(image) if image.manifest.index >= request_index => {
                Ok(codec::snapshot(&image.manifest))
            }
            Some(_) | None => Err(error(StorageError::SnapshotTemporarilyUnavailable)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_being_pulled_is_held_beside_the_newest() {
        let conf = Conf::new(vec![1], Vec::new());
        let image = |index| Image::new(index, 1, &conf, vec![7; 9]);
        let pins = |indexes: &[u64]| indexes.iter().copied().collect::<BTreeSet<u64>>();
        let mut log = RamLog::new(conf.clone());
        log.append(&(1..=40).map(|index| codec::new_entry(index, 1, 0, &[])).collect::<Vec<_>>());
        log.keep(image(10));
        log.pin(&pins(&[10]));
        log.keep(image(20));
        log.keep(image(30));
        log.pin(&pins(&[10]));
        let held = |log: &RamLog| [10, 20, 30, 40].map(|index| log.image(index, 1).is_some());
        let sent = |log: &RamLog| log.snapshot(1, 1).unwrap().get_metadata().index;
        assert_eq!((held(&log), sent(&log)), ([true, false, true, false], 10));
        log.compact(12);
        assert_eq!(sent(&log), 30, "nothing follows the older one any more");
        // Another follower is sent that one, and both go on while newer ones are taken.
        log.pin(&pins(&[10, 30]));
        log.keep(image(40));
        assert_eq!((held(&log), log.held().snapshot_bytes), ([true, false, true, true], 27));
        log.pin(&pins(&[]));
        assert_eq!((held(&log), log.held().snapshot_bytes), ([false, false, false, true], 9));
    }

    /// It would be announced in vain, and held for him, as long as another pulls it.
    #[test]
    fn a_newcomer_is_sent_no_snapshot_from_before_its_time() {
        let image =
            |index, learners| Image::new(index, 1, &Conf::new(vec![1, 2, 3], learners), vec![7; 9]);
        let mut log = RamLog::new(Conf::new(vec![1, 2, 3], Vec::new()));
        log.keep(image(10, vec![]));
        log.pin(&BTreeSet::from([10]));
        assert!(log.snapshot(1, 4).is_err());
        log.keep(image(20, vec![4]));
        let sent = |to| log.snapshot(1, to).unwrap().get_metadata().index;
        assert_eq!((sent(2), sent(4)), (10, 20));
    }

    #[test]
    fn the_last_entries_are_found_by_their_bytes() {
        let mut log = RamLog::new(Conf::new(vec![1], vec![]));
        assert_eq!(log.first_of_last(100), 1);
        let entries: Vec<Entry> =
            (1..=10).map(|index| codec::new_entry(index, 1, 0, &[0; 40])).collect();
        log.append(&entries);
        assert_eq!(log.first_of_last(100), 9);
        assert_eq!(log.first_of_last(1_000), 1);
        assert_eq!(log.first_of_last(0), 11);
    }
}
