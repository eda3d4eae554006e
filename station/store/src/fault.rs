//! From what the system says to what an operator is told.

use std::io::{Error, ErrorKind};
use std::path::Path;
use syncom_seam::DiskFault;

/// What to do about a log that is not what was written: nothing on this disk can repair it, and what
/// this replica has said under its number must not be unsaid.
pub(crate) const RESTORE: &str = "what to do: replace this replica by a new one, \
    `syncom station replace OLD NEW`";

/// A damaged place, by name.
pub(crate) fn corrupt(place: &Path, what: impl std::fmt::Display) -> DiskFault {
    DiskFault::Corrupt(format!("{}: {what}; {RESTORE}", place.display()))
}

/// A failed system call.
pub(crate) fn io(place: &Path, error: &Error) -> DiskFault {
    let text = format!("{}: {error}", place.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            DiskFault::Full(format!("{text}; what to do: make room and start again"))
        }
        _ => DiskFault::Io(text),
    }
}

/// A failure of the log library.
pub(crate) fn engine(place: &Path, error: &raft_engine::Error) -> DiskFault {
    use raft_engine::Error as E;
    match error {
        E::Io(error) => io(place, error),
        // It tried again in a new file and had no room for that either.
        E::TryAgain(_) => io(place, &ErrorKind::StorageFull.into()),
        E::Corruption(_) | E::Codec(_) | E::Protobuf(_) | E::EntryCompacted | E::EntryNotFound => {
            corrupt(place, error)
        }
        E::InvalidArgument(_) | E::Full | E::Other(_) => {
            DiskFault::Io(format!("{}: {error}", place.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one_and_from_a_damaged_log() {
        let place = Path::new("/log");
        let full = Error::from_raw_os_error(28);
        assert!(matches!(io(place, &full), DiskFault::Full(text) if text.contains("/log")));
        let broken = Error::from_raw_os_error(5);
        assert!(matches!(io(place, &broken), DiskFault::Io(text) if text.contains("/log")));
        let wrapped = raft_engine::Error::Io(Error::new(ErrorKind::StorageFull, "nospace"));
        assert!(matches!(engine(place, &wrapped), DiskFault::Full(_)));
        let damaged = raft_engine::Error::Corruption("batch".into());
        let text = engine(place, &damaged).to_string();
        assert!(text.starts_with("corrupt log: /log: ") && text.contains("what to do"), "{text}");
    }
}
