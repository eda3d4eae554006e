//! How a command ends: exit codes that scripts depend on, and messages that say what to do.

use std::fmt;

/// The thing asked for failed.
pub const FAILED: u8 = 1;
/// Bad usage or configuration.
pub const USAGE: u8 = 2;
/// No quorum, or no cluster reachable.
pub const UNREACHABLE: u8 = 3;
/// Some destinations failed; they are named.
pub const PARTIAL: u8 = 4;

/// Why a command failed, and what its user can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What went wrong and what to do, for a person.
    pub message: String,
}

impl Failure {
    /// The thing asked for failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    /// The command was used wrongly, or its configuration is bad.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// There is no cluster, or it has no quorum.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { code: UNREACHABLE, message: message.into() }
    }

    /// Some of many failed.
    pub fn partial(message: impl Into<String>) -> Self {
        Self { code: PARTIAL, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What commands return.
pub type Outcome = Result<(), Failure>;

/// Turns an I/O error on a file into a failure that names the file and what to do.
pub fn file_failure(what: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let hint = match error.kind() {
        ErrorKind::NotFound => "; does it exist?",
        ErrorKind::PermissionDenied => "; run as its owner or fix its permissions",
        ErrorKind::StorageFull => "; free some space and try again, nothing was lost",
        ErrorKind::NotADirectory => "; a part of the path is a file",
        ErrorKind::AlreadyExists => "; choose another name, it is never overwritten",
        ErrorKind::ReadOnlyFilesystem => "; choose a directory that can be written",
        _ => "",
    };
    Failure::failed(format!("cannot {what} {}: {error}{hint}", path.display()))
}
