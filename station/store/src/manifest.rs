//! What the log must contain, written with every batch.
//!
//! The manifest travels in the same checked batch as the entries and the hard state, so all of them
//! become durable together or not at all. At load it says what must be found: a log that has less
//! is damaged, whatever the reason.

use crate::extent::Extent;
use crate::seal::{Fields, seal, unseal};
use syncom_seam::HardState;

/// First bytes of a manifest.
pub(crate) const MAGIC: &[u8; 8] = b"SYNCMAN2";
/// Bytes of a manifest, sealed.
pub(crate) const SIZE: usize = 8 * 14;

/// A snapshot file, by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRef {
    /// Last index that it covers.
    pub(crate) index: u64,
    /// The hash that seals the file.
    pub(crate) sum: u64,
}

/// The state of the log after one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The stamp of the directory in which it was written.
    pub(crate) stamp: u64,
    /// Number of the batch, from 1; 0 before the first.
    pub(crate) batch: u64,
    /// Hard state.
    pub(crate) hard: HardState,
    /// Index of the first entry kept.
    pub(crate) first: u64,
    /// Index after the last entry.
    pub(crate) next: u64,
    /// Term of the last entry ever appended.
    pub(crate) last_term: u64,
    /// Newest snapshot and the one before it.
    pub(crate) snapshots: [Option<SnapshotRef>; 2],
}

impl Default for Manifest {
    fn default() -> Self {
        let hard = HardState::default();
        Self { stamp: 0, batch: 0, hard, first: 1, next: 1, last_term: 0, snapshots: [None; 2] }
    }
}

impl Manifest {
    /// Puts a snapshot in front of the others; the second last drops out.
    pub(crate) fn push(&mut self, newest: SnapshotRef) {
        let previous = self.snapshots[0].filter(|previous| previous.index < newest.index);
        self.snapshots = [Some(newest), previous.or(self.snapshots[1])];
    }

    /// The log's span.
    pub(crate) fn extent(&self) -> Extent {
        let snapshot = self.snapshots[0].map_or(0, |snapshot| snapshot.index);
        Extent::new(self.first, self.next - self.first, snapshot)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let HardState { term, vote, commit } = self.hard;
        let mut bytes = MAGIC.to_vec();
        let span = [self.first, self.next, self.last_term];
        for number in [self.stamp, self.batch, term, vote, commit].into_iter().chain(span) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for snapshot in self.snapshots {
            let SnapshotRef { index, sum } = snapshot.unwrap_or(SnapshotRef { index: 0, sum: 0 });
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        seal(bytes)
    }

    /// The manifest, or what is wrong with the bytes.
    pub(crate) fn decode(sealed: &[u8]) -> Result<Self, &'static str> {
        let manifest = Self::read(unseal(MAGIC, sealed)?).ok_or("wrong length")?;
        if manifest.first == 0 || manifest.next < manifest.first {
            return Err("impossible span");
        }
        Ok(manifest)
    }

    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let manifest = Self {
            stamp: fields.u64()?,
            batch: fields.u64()?,
            hard: HardState { term: fields.u64()?, vote: fields.u64()?, commit: fields.u64()? },
            first: fields.u64()?,
            next: fields.u64()?,
            last_term: fields.u64()?,
            snapshots: [snapshot(&mut fields)?, snapshot(&mut fields)?],
        };
        fields.end(manifest)
    }
}

fn snapshot(fields: &mut Fields<'_>) -> Option<Option<SnapshotRef>> {
    let found = SnapshotRef { index: fields.u64()?, sum: fields.u64()? };
    Some((found.index > 0).then_some(found))
}
