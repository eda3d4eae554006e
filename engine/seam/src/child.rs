//! Child processes, as a role asks for them.

use alloc::string::String;
use alloc::vec::Vec;

/// A command to start, in its own process group, with bounded captured output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// Names the child in [`crate::Done::Exited`] and [`crate::Outbox::kill`].
    pub token: u64,
    /// Program and arguments; the program is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Bytes of stdout and stderr to keep, together; the rest is read and dropped.
    pub output_max: usize,
    /// Bytes handed to the child on its stdin, which is then closed.
    pub stdin: Vec<u8>,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it; 127 when it could not be started.
    pub code: i32,
    /// The kept part of what it wrote, or why it could not be started.
    pub output: Vec<u8>,
    /// All bytes that it wrote.
    pub output_total: u64,
}
