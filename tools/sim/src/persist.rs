//! Moments at which a replica may die while it makes something durable, by name.

use core::fmt;
use syncom_seam::Record;

/// What is being made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A term, a vote or a commit index, without entries.
    HardState,
    /// Entries, with or without a hard state.
    Entries,
    /// A snapshot of its own, after which old entries go: file, manifest and purge.
    Snapshot,
    /// A snapshot of the leader in the place of the whole log.
    Install,
}

impl Write {
    /// What a record is.
    #[must_use]
    pub const fn of(record: &Record) -> Self {
        match record {
            Record::Append { entries, .. } if entries.is_empty() => Self::HardState,
            Record::Append { .. } => Self::Entries,
            Record::Snapshot { replace_log: false, .. } => Self::Snapshot,
            Record::Snapshot { .. } => Self::Install,
        }
    }
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was asked for, and nothing was written.
    Before,
    /// It was handed to the disk, and no flush has begun.
    Taken,
    /// A flush is under way: what waits for it is durable up to anywhere.
    Torn,
    /// The flush is done, and nobody was told.
    Done,
}

/// A named persist point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistPoint {
    /// What is being made durable.
    pub write: Write,
    /// How far it has come.
    pub moment: Moment,
}

impl PersistPoint {
    /// All of them.
    pub const ALL: [Self; 16] = {
        let writes = [Write::HardState, Write::Entries, Write::Snapshot, Write::Install];
        let moments = [Moment::Before, Moment::Taken, Moment::Torn, Moment::Done];
        let mut all = [Self { write: Write::HardState, moment: Moment::Before }; 16];
        let mut index = 0;
        while index < all.len() {
            all[index] = Self { write: writes[index / 4], moment: moments[index % 4] };
            index += 1;
        }
        all
    };

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.write as usize * 4 + self.moment as usize
    }
}

impl fmt::Display for PersistPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = match self.write {
            Write::HardState => "hard state",
            Write::Entries => "entries",
            Write::Snapshot => "snapshot",
            Write::Install => "install",
        };
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::Taken => "taken",
            Moment::Torn => "torn",
            Moment::Done => "done",
        };
        write!(f, "{write} {moment}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_place_and_its_name() {
        let mut names = std::collections::BTreeSet::new();
        for (index, point) in PersistPoint::ALL.into_iter().enumerate() {
            assert_eq!(point.index(), index);
            assert!(names.insert(point.to_string()));
        }
    }
}
