//! The two ends that most applications want: one stream, one link.

use super::{Channel, ChannelError, Claim, Event, Phase, PublicationId, Refused, Source};
use std::net::SocketAddr;

/// The sending end of a stream on a link of its own.
#[derive(Debug)]
pub struct Publication {
    channel: Channel,
    id: PublicationId,
}

impl Publication {
    pub(super) const fn new(channel: Channel, id: PublicationId) -> Self {
        Self { channel, id }
    }

    /// Takes a message; see [`Channel::offer`].
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed. When it is [`Refused::Full`], poll and try again.
    #[inline]
    pub fn offer(&mut self, message: &[u8]) -> Result<u64, Refused> {
        self.channel.offer(self.id, message)
    }

    /// Lends room for a message to be written in place; see [`Channel::claim`].
    ///
    /// # Errors
    /// As [`Self::offer`].
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, Refused> {
        self.channel.claim(self.id, len)
    }

    /// Sends what was taken, less than a full burst too.
    ///
    /// # Errors
    /// [`ChannelError::Io`] when the link is of no use any more.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        self.channel.flush()
    }

    /// One duty cycle: sends what is due, and hears what receivers say.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn poll(&mut self) -> Result<(), ChannelError> {
        self.channel.poll(1, |_, _| {}).map(|_| ())
    }

    /// Speaks with whoever is at `to`, the address it sends to, alone from now on; see
    /// [`Channel::connect`]. Not for a receiver that answers from another address than it is
    /// reached at: it would not be heard.
    ///
    /// # Errors
    /// As [`Channel::connect`].
    pub fn connect(&mut self, to: SocketAddr) -> Result<bool, ChannelError> {
        self.channel.connect(to)
    }

    /// Takes no further messages; poll until [`Self::phase`] says that everything was delivered.
    pub fn end(&mut self) {
        self.channel.end(self.id);
    }

    /// Where the publication is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.channel.phase(self.id)
    }

    /// How many receivers are known and keep up.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.channel.listeners(self.id)
    }

    /// The position below which everything has arrived wherever it must.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.channel.acknowledged(self.id)
    }

    /// The next thing that the application may want to know: who listens, who fell behind.
    pub fn take_event(&mut self) -> Option<Event> {
        self.channel.take_event()
    }

    /// The channel below, for counters and the like.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }
}

/// The receiving end of a stream, from any number of senders, on a link of its own.
#[derive(Debug)]
pub struct Subscription {
    channel: Channel,
}

impl Subscription {
    pub(super) const fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// One duty cycle: hands out up to `limit` messages; see [`Channel::poll`].
    ///
    /// # Errors
    /// [`ChannelError::Io`] when the link is of no use any more.
    #[inline]
    pub fn poll(
        &mut self,
        limit: usize,
        on_message: impl FnMut(&Source, &[u8]),
    ) -> Result<usize, ChannelError> {
        self.channel.poll(limit, on_message)
    }

    /// The next thing that the application may want to know: who joined, who ended.
    pub fn take_event(&mut self) -> Option<Event> {
        self.channel.take_event()
    }

    /// The channel below, for counters and the like.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }
}
