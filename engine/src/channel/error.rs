//! Why a channel cannot be opened or used.

use crate::link::OpenError;
use crate::seal::SealError;
use std::fmt;
use std::io;

/// Why a channel cannot be opened or used, and what to do about it.
#[derive(Debug)]
pub enum ChannelError {
    /// The URI makes no sense; nothing was opened.
    Uri(String),
    /// Datagrams are to be sealed, and no secret was given; nothing was opened.
    NoSecret,
    /// The link could not be opened.
    Link(OpenError),
    /// The kind of link cannot be had; nothing was opened.
    NoLink(&'static str),
    /// This machine cannot seal.
    Seal(SealError),
    /// No further stream fits the table; nothing has changed.
    TooMany,
    /// The kernel failed us; the channel is of no use any more.
    Io(io::Error),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(what) => write!(f, "not a channel: {what}"),
            Self::NoSecret => f.write_str(
                "the channel is sealed and no secret was given: call `secret` on its builder \
                 (or, for measuring only, put seal=off into the URI of both ends)",
            ),
            Self::Link(error) => error.fmt(f),
            Self::NoLink(why) => f.write_str(why),
            Self::Seal(error) => error.fmt(f),
            Self::TooMany => {
                f.write_str("the channel has no room for another stream: raise `streams_max`")
            }
            Self::Io(error) => write!(f, "the link failed: {error}; open the channel again"),
        }
    }
}

impl std::error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Link(error) => Some(error),
            Self::Seal(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Uri(_) | Self::NoSecret | Self::NoLink(_) | Self::TooMany => None,
        }
    }
}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
