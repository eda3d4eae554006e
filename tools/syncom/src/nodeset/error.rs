//! What is wrong with a node set, and where.

use super::NAMES_MAX;
use std::fmt;

/// A mistake in a node set. Nothing was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSetError {
    /// Where it is: characters from the beginning, counted from 1.
    pub column: usize,
    /// What it is.
    pub reason: Reason,
}

/// What is wrong with a node set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Something else should stand here.
    Expected {
        /// What should.
        what: &'static str,
        /// What does; `None` at the end.
        found: Option<char>,
    },
    /// A range ends before it begins.
    Backwards,
    /// The ends of a range are padded to different widths.
    Padding,
    /// A step of 0 would never end.
    ZeroStep,
    /// A number has more digits than any name should.
    LongNumber,
    /// More than [`NAMES_MAX`] names.
    TooMany,
    /// There is no such group.
    UnknownGroup(String),
}

impl fmt::Display for NodeSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: ", self.column)?;
        match &self.reason {
            Reason::Expected { what, found: Some(found) } => {
                write!(f, "expected {what}, found {found:?}")
            }
            Reason::Expected { what, found: None } => write!(f, "expected {what}, found the end"),
            Reason::Backwards => f.write_str("a range runs backwards; write the lower end first"),
            Reason::Padding => {
                f.write_str("the ends of a range are padded differently; write [001-064]")
            }
            Reason::ZeroStep => f.write_str("a step of 0 leads nowhere; write 1 or more"),
            Reason::LongNumber => f.write_str("a number has more than 18 digits"),
            Reason::TooMany => write!(f, "more than {NAMES_MAX} names"),
            Reason::UnknownGroup(name) => write!(
                f,
                "no group @{name}; there are @all, @alive, @gray, @dead, @left, @role:ROLE and \
                 @domain:DOMAIN"
            ),
        }
    }
}

impl std::error::Error for NodeSetError {}
