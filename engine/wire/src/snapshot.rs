//! Snapshots between replicas, pulled in chunks by whoever needs one.

use crate::bytes::{Reader, Writer};
use crate::frame::{Emit, Kind, Parse, fixed_frame};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::SNAPSHOT_CHUNK;

layout! {
    /// Asks for a part of a snapshot.
    pub struct SnapshotAsk: 32 {
        /// Index that the snapshot covers.
        index: u64,
        /// Term of that index.
        term: u64,
        /// First byte wanted.
        offset: u64,
        /// Zero.
        reserved: u64,
    }
}

fixed_frame!(SnapshotAsk, SnapshotAsk);

layout! {
    /// The fixed part of a chunk.
    pub struct ChunkHead: 40 {
        /// Index that the snapshot covers.
        index: u64,
        /// Term of that index.
        term: u64,
        /// Position of the first byte.
        offset: u64,
        /// Bytes of the whole snapshot; 0 when it is no longer there.
        total: u64,
        /// Hash of the whole snapshot.
        hash: u64,
    }
}

/// A part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotChunk<'a> {
    /// The fixed part.
    pub head: ChunkHead,
    /// The bytes.
    pub data: &'a [u8],
}

impl Emit for SnapshotChunk<'_> {
    const KIND: Kind = Kind::SnapshotChunk;
    fn size(&self) -> usize {
        ChunkHead::SIZE + 4 + self.data.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.long(self.data)
    }
}

impl<'a> Parse<'a> for SnapshotChunk<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: ChunkHead = reader.fixed()?;
        let data = reader.long(SNAPSHOT_CHUNK)?;
        if head.offset.checked_add(data.len() as u64).is_none_or(|end| end > head.total) {
            return Err(Malformed("chunk beyond the snapshot"));
        }
        Ok(Self { head, data })
    }
}
