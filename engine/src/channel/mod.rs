//! Channels: reliable ordered streams between applications, at the speed of the machine.
//!
//! A [`Publication`] takes messages of 0 B to 16 MiB, a [`Subscription`] hands them to a function,
//! in order, each once, whatever the network loses. There is no driver process and no thread of
//! ours: everything happens in the calls of the application, on its own core, and nothing blocks.
//! A loop that offers or polls, and waits as [`crate::idle`] tells when there is nothing to do, is
//! all there is to it.
//!
//! **Where the speed comes from.** Small messages share datagrams, datagrams of equal length leave
//! and arrive as one segmented burst of 64 KB, so the kernel is crossed once for a thousand
//! messages. A message is copied once on its way out ([`Channel::offer`]; a [`Claim`] is written in
//! place) and then sealed into the slot from which it leaves; on its way in it is not copied at all,
//! unless it straddles datagrams or came before its turn. In steady state nothing is allocated.
//!
//! **What is promised.** A message that was taken arrives, as long as sender and receiver live and
//! the receiver is waited for: always, over unicast; over multicast as `flow` says, and no longer
//! than `linger` says for one that stopped or reads too slowly. Such a one is repaired from what
//! the sender still keeps (`history`) when it is back; what is not kept any more is never passed
//! over in silence: [`Event::Missed`] says what is lost. A receiver that comes late, or begins
//! anew, begins at the present, and is told so by [`Event::Joined`]. A receiver that reads slowly
//! slows its sender down, which hears [`Refused::Full`].
//!
//! ```
//! use syncom_engine::channel::Channel;
//!
//! let secret = [7; 32];
//! let open = |uri: &str| Ok::<_, syncom_engine::channel::ChannelError>(
//!     Channel::builder(uri)?.secret("lab", &secret));
//! let mut quotes = open("udp://127.0.0.1:40123")?.subscription()?;
//! let mut market = open("udp://127.0.0.1:40123")?.publication()?;
//!
//! market.offer(b"ACME 42.00")?;
//! market.flush()?;
//! let mut heard = Vec::new();
//! while heard.is_empty() {
//!     quotes.poll(64, |_, message| heard.extend_from_slice(message))?;
//!     market.poll()?;
//! }
//! assert_eq!(heard, b"ACME 42.00");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod ends;
mod error;
mod images;
mod receive;
#[cfg(test)]
mod tests;
mod uri;
mod wire;

pub use builder::Builder;
pub use ends::{Publication, Subscription};
pub use error::ChannelError;
pub use syncom_stream::{Claim, Control, Flow, Phase, Refused, Source};
pub use uri::{LinkChoice, Uri};

use crate::clock::{self, Clock};
use crate::counters::Counters;
use crate::link::RxBurst;
use crate::port::Port;
use images::Images;
use receive::Reading;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::{Counter, MS, Rng, Time};
use syncom_stream::{ImageConfig, PublicationConfig};
use syncom_wire::Addr;
use wire::Wire;

/// Receives of 64 KB in one burst: together they stay in the cache of a core.
const BURST_SLOTS: u32 = 8;
/// Events that wait to be taken; further ones are dropped, since they only inform.
const EVENTS_MAX: usize = 256;

/// Names a publication of a [`Channel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicationId(usize);

/// Something that an application may want to know of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream is heard for the first time, from this position on; 0 is its beginning.
    Joined(Source, u64),
    /// A stream went on elsewhere or is broken: messages of it may be missing.
    Lost(Source),
    /// We were too slow for a stream to many that does not wait for us, or waits no longer: what
    /// it carried from the first position up to the second is lost here. Told before anything that
    /// comes after it is handed out, and summed up if it is not taken.
    Missed(Source, u64, u64),
    /// A stream came to its end, and all of it was read.
    Ended(Source),
    /// Somebody listens to a publication.
    Heard(PublicationId),
    /// Receivers of a publication did not keep up: they are waited for again when they have caught
    /// up; until then the others go on.
    Behind(PublicationId),
}

/// One link with any number of streams both ways. Most applications want a [`Publication`] or a
/// [`Subscription`] instead.
#[derive(Debug)]
pub struct Channel {
    uri: Uri,
    wire: Wire,
    publications: Vec<syncom_stream::Publication>,
    images: Images,
    streams_max: usize,
    burst: RxBurst,
    /// The next datagram of the burst.
    next: usize,
    /// A payload that was not read to its end.
    reading: Option<Reading>,
    /// An image with kept bytes that can be read.
    kept: Option<usize>,
    /// When an image has something to send.
    status_due: Time,
    events: BoundedQueue<Event>,
    clock: Clock,
    rng: Rng,
    session: u64,
    /// Why the link is another one than the URI asked for.
    shortcoming: Option<String>,
}

impl Channel {
    /// Datagrams that are gathered before a burst leaves without being asked.
    const FLUSH_BYTES: usize = 256 * 1024;
    /// A status that is due so soon goes behind messages that have just left: the answer to them
    /// takes longer, whereas later it might be kept waiting.
    const STATUS_EARLY_NS: u64 = MS / 4;

    /// Describes a channel at `uri`; see [`Uri`] for what can be said there.
    ///
    /// # Errors
    /// [`ChannelError::Uri`] when it makes no sense.
    pub fn builder(uri: &str) -> Result<Builder, ChannelError> {
        Builder::new(uri)
    }

    fn new(uri: Uri, port: Port, streams_max: usize, shortcoming: Option<String>) -> Self {
        let mut clock = Clock::new();
        let now = clock.sample();
        Self {
            wire: Wire { port },
            publications: Vec::with_capacity(streams_max),
            images: Images::new(image_config(&uri), streams_max),
            streams_max,
            burst: RxBurst::new(BURST_SLOTS),
            next: 0,
            reading: None,
            kept: None,
            status_due: Time::NEVER,
            events: BoundedQueue::new(EVENTS_MAX),
            clock,
            rng: Rng::new(now.wall.0),
            session: now.wall.0,
            shortcoming,
            uri,
        }
    }

    /// Opens stream number `stream` to whoever listens at `to`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ChannelError::TooMany`] when the table is full.
    pub fn publish(&mut self, to: SocketAddr, stream: u16) -> Result<PublicationId, ChannelError> {
        if self.publications.len() >= self.streams_max {
            return Err(ChannelError::TooMany);
        }
        let Uri { mtu, window, control, flow, linger_ns, history, .. } = self.uri;
        let config = PublicationConfig::new(stream, to.into(), mtu, window);
        let flow = is_multicast(to).then_some(flow);
        let config = PublicationConfig { control, flow, linger_ns, history, ..config };
        self.session += 1;
        self.publications.push(syncom_stream::Publication::new(config, self.session));
        Ok(PublicationId(self.publications.len() - 1))
    }

    /// Listens to stream number `stream` of whoever sends it here.
    ///
    /// # Errors
    /// [`ChannelError::TooMany`] when the table is full.
    pub fn subscribe(&mut self, stream: u16) -> Result<(), ChannelError> {
        if self.images.listen(stream) { Ok(()) } else { Err(ChannelError::TooMany) }
    }

    /// Speaks with whoever is at `to` alone from now on, where that saves time: over a UDP socket
    /// about half a microsecond there and back. What others send is not heard any more. Returns
    /// whether it is so.
    ///
    /// # Errors
    /// [`ChannelError::Io`] when the system knows no way there; nothing has changed.
    pub fn connect(&mut self, to: SocketAddr) -> Result<bool, ChannelError> {
        Ok(self.wire.port.link.connect(to.into())?)
    }

    /// Takes a message; returns the position behind it. Bursts leave as they become full; what is
    /// less than a burst leaves with [`Self::flush`] or [`Self::poll`].
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed. When it is [`Refused::Full`], poll and try again.
    ///
    /// # Panics
    /// When `id` is of another channel.
    #[inline]
    pub fn offer(&mut self, id: PublicationId, message: &[u8]) -> Result<u64, Refused> {
        match self.publications[id.0].offer_easy(message) {
            Some(position) => Ok(position),
            None => self.offer_any(id, message),
        }
    }

    /// A message that is not short, or does not simply follow the one before.
    #[inline(never)]
    fn offer_any(&mut self, id: PublicationId, message: &[u8]) -> Result<u64, Refused> {
        let publication = &mut self.publications[id.0];
        let position = publication.offer_any(message)?;
        if publication.has_burst() {
            self.burst_out(id);
        }
        Ok(position)
    }

    /// Lends room for a message of `len` bytes on the line itself, to be written and committed; it
    /// leaves with the next burst, [`Self::flush`] or [`Self::poll`].
    ///
    /// # Errors
    /// As [`Self::offer`].
    ///
    /// # Panics
    /// When `id` is of another channel.
    #[inline]
    pub fn claim(&mut self, id: PublicationId, len: usize) -> Result<Claim<'_>, Refused> {
        if self.publications[id.0].has_burst() {
            self.burst_out(id);
        }
        self.publications[id.0].claim(len)
    }

    /// A burst is full.
    #[cold]
    #[inline(never)]
    fn burst_out(&mut self, id: PublicationId) {
        let now = clock::now();
        self.publications[id.0].transmit(now, false, &mut self.wire);
        if self.wire.port.link.tx_pending() * self.uri.mtu >= Self::FLUSH_BYTES {
            // A link that is of no use any more says so again at the next flush.
            let _ = self.wire.port.flush();
            self.hear();
        }
    }

    /// Takes what receivers have said meanwhile, so that what they miss does not wait until there is
    /// no room for another message. A channel that listens itself hears them when it is polled.
    fn hear(&mut self) {
        if !self.images.is_deaf() {
            return;
        }
        self.clock.tick();
        self.next = 0;
        if self.wire.port.link.rx_burst(&mut self.burst).is_ok() {
            while self.take_datagram() {}
        }
    }

    /// Sends everything that may be sent now, less than full datagrams too.
    ///
    /// # Errors
    /// [`ChannelError::Io`] when the link is of no use any more.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        let now = clock::now();
        for publication in &mut self.publications {
            publication.transmit(now, true, &mut self.wire);
        }
        self.wire.port.flush()?;
        if self.status_due <= now.after(Self::STATUS_EARLY_NS) {
            self.tell_early(now)?;
        }
        Ok(())
    }

    /// Takes no further messages on a publication; those that it has are delivered, then those who
    /// listen are told. Poll until [`Self::phase`] says [`Phase::Ended`]; receivers that fell behind
    /// have `linger` to come back first.
    ///
    /// # Panics
    /// When `id` is of another channel.
    pub fn end(&mut self, id: PublicationId) {
        self.publications[id.0].end(clock::now());
    }

    /// Where a publication is in its life.
    ///
    /// # Panics
    /// When `id` is of another channel.
    #[must_use]
    pub fn phase(&self, id: PublicationId) -> Phase {
        self.publications[id.0].phase()
    }

    /// How many receivers of a publication are known and keep up.
    ///
    /// # Panics
    /// When `id` is of another channel.
    #[must_use]
    pub fn listeners(&self, id: PublicationId) -> usize {
        self.publications[id.0].listeners()
    }

    /// The position below which everything has arrived wherever it must.
    ///
    /// # Panics
    /// When `id` is of another channel.
    #[must_use]
    pub fn acknowledged(&self, id: PublicationId) -> u64 {
        self.publications[id.0].acknowledged()
    }

    /// The next thing that the application may want to know.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// What was counted.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.wire.port.counters.get(counter)
    }

    /// The whole table of counters.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.wire.port.counters
    }

    /// Where others reach this channel.
    #[must_use]
    pub fn local_addr(&self) -> Addr {
        self.wire.port.link.local_addr()
    }

    /// Why a socket stands in for the link that was asked for, if one does.
    #[must_use]
    pub fn stand_in(&self) -> Option<&str> {
        self.shortcoming.as_deref()
    }

    /// What the channel cannot do here and why, one line each: first, if so, that its link is not
    /// the one that was asked for.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        self.shortcoming.iter().cloned().chain(self.wire.port.link.shortcomings()).collect()
    }

    /// What to wait on when idle; `None` when the channel must be polled.
    #[must_use]
    pub fn source(&self) -> Option<RawFd> {
        self.wire.port.link.source()
    }

    /// When the channel wants to be polled at the latest, even if nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let publications = self.publications.iter().map(syncom_stream::Publication::deadline);
        publications.fold(self.status_due, Time::min)
    }
}

/// What an image of this channel is to be.
fn image_config(uri: &Uri) -> ImageConfig {
    let is_one_of_many = uri.is_multicast();
    ImageConfig { window: uri.window, tag: uri.group, is_one_of_many, ..ImageConfig::default() }
}

const fn is_multicast(addr: SocketAddr) -> bool {
    match addr.ip() {
        IpAddr::V4(ip) => ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}
