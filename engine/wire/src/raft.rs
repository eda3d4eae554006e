//! Raft messages, laid out by us: peer bytes never reach a protobuf decoder.
//!
//! Field meanings are those of etcd's `raftpb.Message`. The station validates every field again
//! before it steps a message, because one wrong number makes the library panic.

use crate::bytes::{Reader, Writer};
use crate::frame::{Emit, Kind, Parse};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::MESSAGE_MAX;

layout! {
    /// The fixed part of a Raft message.
    pub struct RaftHead: 96 {
        /// Message type, as raft-rs numbers it.
        kind: u8,
        /// 1 when an append or vote is rejected.
        reject: u8,
        /// Entries that follow.
        entries: u16,
        /// Zero.
        reserved: u32,
        /// Raft id of the receiver.
        to: u64,
        /// Raft id of the sender.
        from: u64,
        /// The sender's term.
        term: u64,
        /// Term of the entry before the first.
        log_term: u64,
        /// Index of the entry before the first.
        index: u64,
        /// The sender's commit index.
        commit: u64,
        /// Term of the entry at the commit index, in votes.
        commit_term: u64,
        /// Index of a snapshot that the sender wants.
        request_snapshot: u64,
        /// Where the rejecting follower's log ends.
        reject_hint: u64,
        /// Priority in elections.
        priority: u64,
        /// The message belongs to this cluster's generation of replicas.
        generation: u64,
    }
}

layout! {
    /// In front of every entry's data.
    pub struct EntryHead: 24 {
        /// Position in the log.
        index: u64,
        /// Term in which it was proposed.
        term: u64,
        /// 0 normal, 1 configuration change, 2 configuration change v2.
        kind: u8,
        /// Zero.
        reserved: [u8; 3],
        /// Bytes of data.
        len: u32,
    }
}

/// A Raft message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftMessage<'a> {
    /// The fixed part.
    pub head: RaftHead,
    /// Context of reads and leader transfers.
    pub context: &'a [u8],
    /// Entries: heads and data, one behind the other.
    pub entries: &'a [u8],
}

impl<'a> RaftMessage<'a> {
    /// Bytes of the largest context.
    pub const CONTEXT_MAX: usize = 64;

    /// The entries in order, as (head, data).
    pub fn iter(&self) -> impl Iterator<Item = (EntryHead, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.entries);
        core::iter::from_fn(move || {
            let head: EntryHead = reader.fixed().ok()?;
            Some((head, reader.take(head.len as usize).ok()?))
        })
    }
}

impl Emit for RaftMessage<'_> {
    const KIND: Kind = Kind::Raft;
    fn size(&self) -> usize {
        RaftHead::SIZE + 1 + self.context.len() + self.entries.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.context)?;
        writer.put(self.entries)
    }
}

impl<'a> Parse<'a> for RaftMessage<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: RaftHead = reader.fixed()?;
        let context = reader.short(Self::CONTEXT_MAX)?;
        if reader.remaining() > MESSAGE_MAX {
            return Err(Malformed("Raft message too long"));
        }
        let entries = reader.rest();
        let mut walk = Reader::new(entries);
        for _ in 0..head.entries {
            let entry: EntryHead = walk.fixed()?;
            if entry.kind > 2 {
                return Err(Malformed("unknown kind of entry"));
            }
            walk.take(entry.len as usize)?;
        }
        walk.end()?;
        Ok(Self { head, context, entries })
    }
}
