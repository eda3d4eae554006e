//! What streams say to their role.

use core::fmt;
use syncom_wire::PeerId;

/// Names a stream: the process at its other end and the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The process at the other end.
    pub peer: PeerId,
    /// Which stream to or from it, below [`crate::LANES_MAX`].
    pub lane: u8,
}

/// Which end of a stream is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// We send.
    Outgoing,
    /// We receive.
    Incoming,
}

/// Something that a role must hear about, in order per stream and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message arrived; it is in the buffer given to [`crate::Streams::take`].
    Message(Key),
    /// The stream began anew. Outgoing: messages not yet delivered may be lost, and the stream may
    /// be written to at once. Incoming: messages of the sender may be missing before the next one.
    Reset(Key, Direction),
    /// After [`Refusal::Full`]: there is room for the refused message now.
    Writable(Key),
}

/// Why a message was not taken. Nothing has changed; the caller still owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The send buffer is full; [`Delivery::Writable`] tells when to try again.
    Full,
    /// The message exceeds `MESSAGE_MAX`, or a part of the frame exceeds its bound.
    TooLong,
    /// There is no such stream: it was never connected, or closed.
    NotConnected,
    /// No further stream fits the table, or the lane is out of range.
    TooMany,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the send buffer of the stream is full",
            Self::TooLong => "the message is longer than a stream carries",
            Self::NotConnected => "there is no such stream",
            Self::TooMany => "too many streams",
        })
    }
}

impl core::error::Error for Refusal {}
