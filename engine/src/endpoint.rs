//! An endpoint: sends and receives sealed frames, for programs that are no member.
//!
//! The command line asks its questions through one, and so can any program.
//!
//! ```
//! use syncom_engine::Endpoint;
//! use syncom_wire::{Frame, control::Line};
//!
//! let secret = [7; 32];
//! let here: std::net::SocketAddr = "127.0.0.1:0".parse()?;
//! let mut alice = Endpoint::builder("lab", &secret).bind(here).open()?;
//! let mut bob = Endpoint::builder("lab", &secret).bind(here).open()?;
//!
//! alice.send(bob.local_addr(), &Line { text: "hello" })?;
//! alice.flush()?;
//!
//! let deadline = bob.deadline(std::time::Duration::from_secs(5));
//! let mut received = bob.recv(deadline)?.ok_or("nothing came")?;
//! assert_eq!(received.next(), Some(Frame::Line(Line { text: "hello" })));
//! assert_eq!(received.from.peer, alice.peer());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::clock::{self, Clock};
use crate::counters::Counters;
use crate::link::{self, OpenError, RxBurst};
use crate::port::{Gather, Port};
use crate::seal::{ClusterKeys, SealError, Sealer};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::time::Duration;
use syncom_seam::{Counter, MS, Origin, SECOND, Time};
use syncom_wire::{Addr, Boot, Emit, Fixed as _, Frame, Frames, Header, PeerId, ids};

/// Senders that an endpoint remembers by default.
const SENDERS_MAX: usize = 64;
/// Receives of one burst.
const BURST_SLOTS: u32 = 16;
/// How often a link that cannot be waited for is asked.
const ASK_AGAIN_NS: u64 = MS;
/// How long to sleep at a time at most.
const WAIT_MAX_NS: u64 = 3600 * SECOND;

/// Why an endpoint cannot be opened or used.
#[derive(Debug)]
pub enum EndpointError {
    /// The link could not be opened.
    Link(OpenError),
    /// This machine cannot seal.
    Seal(SealError),
    /// The kernel failed us; the endpoint is of no use any more.
    Io(io::Error),
    /// The frame fits no datagram, or a part of it exceeds its bound. Nothing was sent.
    Oversize,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Oversize => f.write_str("the frame is too large for a datagram"),
        }
    }
}

impl std::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Link(error) => Some(error),
            Self::Seal(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Oversize => None,
        }
    }
}

impl From<io::Error> for EndpointError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What an endpoint is to be; made by [`Endpoint::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    keys: ClusterKeys,
    bind: Addr,
    peer: Option<PeerId>,
    kind: link::Kind,
    options: link::Options,
    senders_max: usize,
    is_sealed: bool,
}

impl Builder {
    /// The local address; port 0 lets the system choose. Default: any IPv4 address, any port.
    #[must_use]
    pub fn bind(mut self, bind: SocketAddr) -> Self {
        self.bind = bind.into();
        self
    }

    /// In whose name to speak. Default: a client whose number is made from process and moment.
    #[must_use]
    pub fn peer(mut self, peer: PeerId) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The kind of link and its sizes. Default: a UDP socket with [`link::Options::LARGE`].
    #[must_use]
    pub fn link(mut self, kind: link::Kind, options: link::Options) -> Self {
        self.kind = kind;
        self.options = options;
        self
    }

    /// How many senders to remember; beyond it, quiet ones are forgotten. Default: 64.
    #[must_use]
    pub fn senders_max(mut self, senders_max: usize) -> Self {
        self.senders_max = senders_max;
        self
    }

    /// Neither seals nor proves: for measuring only, and only when the whole cluster does so.
    #[must_use]
    pub fn seal_off(mut self) -> Self {
        self.is_sealed = false;
        self
    }

    /// Opens the endpoint.
    ///
    /// # Errors
    /// [`EndpointError`] says what is wrong and what to do; nothing is left open.
    pub fn open(self) -> Result<Endpoint, EndpointError> {
        let boot = Boot(clock::read().wall.0);
        let peer = self.peer.unwrap_or_else(|| any_client(boot));
        let sealer = if self.is_sealed {
            Sealer::new(self.keys, peer, boot, 0, self.senders_max).map_err(EndpointError::Seal)?
        } else {
            Sealer::off(self.keys, peer, boot, 0, self.senders_max)
        };
        let link = link::open(&self.kind, self.bind, &self.options).map_err(EndpointError::Link)?;
        let poll = Poll::new()?;
        if let Some(fd) = link.source() {
            poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
        }
        Ok(Endpoint {
            boot,
            port: Port { link, sealer, counters: Counters::anonymous() },
            gather: Gather::new(),
            burst: RxBurst::new(BURST_SLOTS),
            next: 0,
            poll,
            events: Events::with_capacity(4),
            clock: Clock::new(),
        })
    }
}

/// A client that no other is likely to be: receivers keep a replay window per peer and life.
fn any_client(boot: Boot) -> PeerId {
    PeerId::client(ids::mix(boot.0 ^ u64::from(std::process::id()).rotate_right(24)))
}

/// Sends and receives sealed frames. See the [module](self) for an example.
#[derive(Debug)]
pub struct Endpoint {
    boot: Boot,
    port: Port,
    gather: Gather,
    burst: RxBurst,
    /// The next datagram of the burst.
    next: usize,
    poll: Poll,
    events: Events,
    clock: Clock,
}

impl Endpoint {
    /// Describes an endpoint in the cluster of that name with that secret.
    #[must_use]
    pub fn builder(cluster: &str, secret: &[u8; 32]) -> Builder {
        Builder {
            keys: ClusterKeys::new(cluster, secret, ClusterKeys::FIRST_EPOCH),
            bind: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).into(),
            peer: None,
            kind: link::Kind::Mmsg,
            options: link::Options::LARGE,
            senders_max: SENDERS_MAX,
            is_sealed: true,
        }
    }

    /// Where others reach this endpoint.
    #[must_use]
    pub fn local_addr(&self) -> Addr {
        self.port.link.local_addr()
    }

    /// In whose name it speaks.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.port.sealer.peer()
    }

    /// Which life of it speaks: part of what identifies its requests.
    #[must_use]
    pub const fn boot(&self) -> Boot {
        self.boot
    }

    /// The value of one of its counters.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.port.counters.get(counter)
    }

    /// The moment that lies `timeout` ahead, for [`Self::recv`].
    #[must_use]
    pub fn deadline(&self, timeout: Duration) -> Time {
        clock::now().after(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Queues a frame for `to`. Frames to one address share datagrams until [`Self::flush`].
    ///
    /// # Errors
    /// [`EndpointError::Oversize`] when it fits no datagram; nothing is sent.
    pub fn send<E: Emit>(&mut self, to: Addr, frame: &E) -> Result<(), EndpointError> {
        let sent = self.port.send(&mut self.gather, to, frame);
        sent.map_err(|_| EndpointError::Oversize)
    }

    /// Sends everything that is queued. Datagrams may be lost; who needs an answer asks again.
    ///
    /// # Errors
    /// [`EndpointError::Io`] when the link is of no use any more.
    pub fn flush(&mut self) -> Result<(), EndpointError> {
        self.gather.close_all(&mut self.port);
        Ok(self.port.flush()?)
    }

    /// Waits for a datagram that opens; `None` when none came until `deadline`.
    ///
    /// Whatever does not open is counted and dropped. What was queued and not flushed stays queued.
    ///
    /// # Errors
    /// [`EndpointError::Io`] when the kernel fails us.
    pub fn recv(&mut self, deadline: Time) -> Result<Option<Received<'_>>, EndpointError> {
        let mut is_over = false;
        let opened = loop {
            if let Some(opened) = self.open_next() {
                break opened;
            }
            if is_over {
                return Ok(None);
            }
            let now = self.clock.sample().at;
            is_over = now >= deadline;
            self.next = 0;
            self.port.link.advance(now);
            if self.port.link.rx_burst(&mut self.burst)? == 0 {
                self.wait(deadline)?;
            }
        };
        let (index, range, from) = opened;
        let body = self.burst.bytes(index).and_then(|bytes| bytes.get(range)).unwrap_or_default();
        Ok(Some(Received { from, frames: Frames::new(body), port: &self.port }))
    }

    /// Opens the next datagram of the burst that can be opened: where its body lies, and its origin.
    fn open_next(&mut self) -> Option<(usize, Range<usize>, Origin)> {
        loop {
            let index = self.next;
            let datagram = self.burst.datagram(index)?;
            self.next += 1;
            if let Some((from, body)) = self.port.open(datagram, &self.clock) {
                return Some((index, Header::SIZE..Header::SIZE + body.len(), from));
            }
        }
    }

    /// Waits until the link may have something, or the deadline has passed.
    fn wait(&mut self, deadline: Time) -> Result<(), EndpointError> {
        let can_sleep = self.port.link.source().is_some() && self.port.link.tx_pending() == 0;
        let wait_max_ns = if can_sleep { WAIT_MAX_NS } else { ASK_AGAIN_NS };
        let wait_ns = deadline.since(clock::now()).min(wait_max_ns);
        match self.poll.poll(&mut self.events, Some(Duration::from_nanos(wait_ns))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        if self.port.link.tx_pending() > 0 {
            self.port.flush()?;
        }
        Ok(())
    }
}

/// An opened datagram: an iterator over its frames.
#[derive(Debug)]
pub struct Received<'a> {
    /// Who sealed it, and where it came from.
    pub from: Origin,
    frames: Frames<'a>,
    port: &'a Port,
}

impl<'a> Iterator for Received<'a> {
    type Item = Frame<'a>;

    /// The next frame; what cannot be parsed is counted and ends the datagram.
    fn next(&mut self) -> Option<Frame<'a>> {
        self.port.next_frame(&mut self.frames)
    }
}

#[cfg(test)]
mod tests;
