//! The durable log, as the station asks for it and as the store provides it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Raft's term, vote and commit index: what must be durable beside the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Current term.
    pub term: u64,
    /// Whom this replica voted for in that term; 0 is nobody.
    pub vote: u64,
    /// Highest index known to be committed.
    pub commit: u64,
}

/// One entry of the Raft log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEntry {
    /// Position in the log, from 1.
    pub index: u64,
    /// Term in which it was proposed.
    pub term: u64,
    /// Raft's entry type: 0 normal, 1 configuration change, 2 configuration change v2.
    pub kind: u8,
    /// The command.
    pub data: Vec<u8>,
}

/// A snapshot of the state machine, as it stands on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// Last index that it covers.
    pub index: u64,
    /// Term of that index.
    pub term: u64,
    /// Raft ids of the voters at that index.
    pub voters: Vec<u64>,
    /// Raft ids of the learners at that index.
    pub learners: Vec<u64>,
    /// The encoded state machine.
    pub data: Vec<u8>,
}

/// One thing to make durable. Each carries a ticket; tickets increase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Entries to append, replacing everything from the first one's index on, and the hard state
    /// when it changed. Entries and hard state become durable together.
    Append {
        /// Ticket of this record.
        ticket: u64,
        /// New hard state, if it changed.
        hard: Option<HardState>,
        /// Entries in order of index, without gaps; may be empty.
        entries: Vec<LogEntry>,
    },
    /// A snapshot to keep. With `replace_log` it came from another replica and the whole log goes;
    /// otherwise entries up to `compact_to` may go.
    Snapshot {
        /// Ticket of this record.
        ticket: u64,
        /// The snapshot.
        snapshot: SavedSnapshot,
        /// Hard state to store with it, if it changed.
        hard: Option<HardState>,
        /// Drop the whole log: it continues after the snapshot.
        replace_log: bool,
        /// Entries below this index are no longer needed.
        compact_to: u64,
    },
}

impl Record {
    /// The record's ticket.
    #[must_use]
    pub const fn ticket(&self) -> u64 {
        match self {
            Self::Append { ticket, .. } | Self::Snapshot { ticket, .. } => *ticket,
        }
    }
}

/// What a store found when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Last hard state.
    pub hard: HardState,
    /// Last snapshot, if one was ever taken.
    pub snapshot: Option<SavedSnapshot>,
    /// All entries after the snapshot that are still there, without gaps.
    pub entries: Vec<LogEntry>,
}

/// A disk that can no longer be trusted. The replica stops and says this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// There is no room. Nothing was lost; make room and start again.
    Full(String),
    /// A read or write failed.
    Io(String),
    /// What is on the disk is not what was written: file, place and what is wrong with it.
    Corrupt(String),
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(what) => write!(f, "disk full: {what}"),
            Self::Io(what) => write!(f, "disk error: {what}"),
            Self::Corrupt(what) => write!(f, "corrupt log: {what}"),
        }
    }
}

impl core::error::Error for DiskFault {}

/// Sizes of a store, for counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Flushes to the device so far.
    pub syncs: u64,
    /// Bytes handed to the device so far.
    pub bytes: u64,
}

/// A durable log. Runs on the disk writer's thread; implemented by the store.
pub trait Durable: Send {
    /// Takes one record; it need not be durable yet.
    ///
    /// # Errors
    /// A fault is final: the store takes nothing more.
    fn append(&mut self, record: Record) -> Result<(), DiskFault>;

    /// Makes everything taken so far durable. One flush serves many records.
    ///
    /// # Errors
    /// A fault is final; nothing since the last success may be believed durable.
    fn sync(&mut self) -> Result<(), DiskFault>;

    /// Sizes so far.
    fn stats(&self) -> DiskStats;
}
