//! What a log spans, and which records may follow it.

use syncom_seam::{LogEntry, Record};

/// The span of a log: the shape of its content, without the content.
///
/// The log follows the newest snapshot or overlaps it, and has no gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Index of the first entry, or of the next one to come if there are none.
    pub(crate) first: u64,
    /// Index of the entry after the last one.
    pub(crate) next: u64,
    /// Index of the newest snapshot; 0 if there is none.
    pub(crate) snapshot: u64,
    /// Ticket of the last record.
    ticket: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self { first: 1, next: 1, snapshot: 0, ticket: 0 }
    }
}

impl Extent {
    /// The span of a log of `length` entries from `first` on.
    pub(crate) const fn new(first: u64, length: u64, snapshot: u64) -> Self {
        Self { first, next: first + length, snapshot, ticket: 0 }
    }

    /// Follows one record.
    ///
    /// # Panics
    /// If the record does not fit: a gap, a step back below the log's start, entries lost beyond
    /// the snapshot, or a ticket that does not grow. The caller's bug; writing it would lose data.
    pub(crate) fn admit(&mut self, record: &Record) {
        let ticket = record.ticket();
        assert!(ticket > self.ticket || ticket == 0, "ticket {ticket} after {}", self.ticket);
        self.ticket = ticket;
        match record {
            Record::Append { entries, .. } => self.append(entries),
            Record::Snapshot { snapshot, replace_log, compact_to, .. } => {
                let index = snapshot.index;
                assert!(index >= self.snapshot, "snapshot {index} after {}", self.snapshot);
                assert!(*replace_log || index < self.next, "snapshot {index} beyond the log");
                self.snapshot = index;
                if *replace_log {
                    self.first = index + 1;
                    self.next = self.first;
                } else {
                    self.first = self.first.max(*compact_to).min(index + 1);
                }
            }
        }
    }

    fn append(&mut self, entries: &[LogEntry]) {
        let Some(start) = entries.first().map(|entry| entry.index) else { return };
        assert!(
            self.first <= start && start <= self.next,
            "entry {start} does not continue the log {}..{}",
            self.first,
            self.next
        );
        self.next = start;
        for entry in entries {
            assert!(entry.index == self.next, "entry {} after {}", entry.index, self.next);
            self.next += 1;
        }
    }
}
