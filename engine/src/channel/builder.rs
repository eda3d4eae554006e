//! What a channel is to be.

use super::{Channel, ChannelError, LinkChoice, Publication, Subscription, Uri};
use crate::clock;
use crate::counters::Counters;
use crate::link::mmsg::{Group, MmsgLink};
use crate::link::uring::UringLink;
use crate::link::xdp::{self, XdpLink};
use crate::link::{self, Kind, Link, Options};
use crate::port::Port;
use crate::seal::{ClusterKeys, Sealer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use syncom_wire::{Addr, Boot, PeerId, ids};

/// A link, and why it is not the one that was asked for.
type Opened = (Box<dyn Link>, Option<String>);

/// Describes a channel; made by [`Channel::builder`].
#[derive(Debug)]
pub struct Builder {
    uri: Uri,
    keys: Option<ClusterKeys>,
    kind: Option<Kind>,
    ready: Option<Box<dyn Link>>,
    counters: Option<Counters>,
    pub(super) streams_max: usize,
}

impl Builder {
    /// Streams that a channel follows at a time by default.
    const STREAMS_MAX: usize = 64;

    pub(super) fn new(uri: &str) -> Result<Self, ChannelError> {
        let uri = Uri::parse(uri)?;
        let (keys, kind, ready, counters) = (None, None, None, None);
        Ok(Self { uri, keys, kind, ready, counters, streams_max: Self::STREAMS_MAX })
    }

    /// The cluster's name and secret: whoever has both can send and read. Both ends alike.
    #[must_use]
    pub fn secret(mut self, cluster: &str, secret: &[u8; 32]) -> Self {
        self.keys = Some(ClusterKeys::new(cluster, secret, ClusterKeys::FIRST_EPOCH));
        self
    }

    /// The kind of link, where the URI cannot say it: in-process ones need their hub.
    #[must_use]
    pub fn link(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// A link that was opened already, such as one behind faults or a trace.
    #[must_use]
    pub fn opened(mut self, link: Box<dyn Link>) -> Self {
        self.ready = Some(link);
        self
    }

    /// The table to count in. Default: one that only this process can see.
    #[must_use]
    pub fn counters(mut self, counters: Counters) -> Self {
        self.counters = Some(counters);
        self
    }

    /// Streams that are followed at a time, in each direction. Default: 64.
    #[must_use]
    pub const fn streams_max(mut self, streams_max: usize) -> Self {
        self.streams_max = if streams_max == 0 { 1 } else { streams_max };
        self
    }

    /// Opens a channel that listens at the URI's address, for many streams both ways.
    ///
    /// # Errors
    /// [`ChannelError`] says what is wrong and what to do; nothing is left open.
    pub fn open(self) -> Result<Channel, ChannelError> {
        let bind = self.uri.address.into();
        self.open_at(bind)
    }

    /// Opens a stream to whoever listens at the URI's address.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn publication(self) -> Result<Publication, ChannelError> {
        let (address, stream) = (self.uri.address, self.uri.stream);
        let any: IpAddr = match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut channel = self.open_at(SocketAddr::new(any, 0).into())?;
        let id = channel.publish(address, stream)?;
        Ok(Publication::new(channel, id))
    }

    /// Listens at the URI's address to one stream of whoever sends.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn subscription(self) -> Result<Subscription, ChannelError> {
        let stream = self.uri.stream;
        let mut channel = self.open()?;
        channel.subscribe(stream)?;
        Ok(Subscription::new(channel))
    }

    fn open_at(mut self, bind: Addr) -> Result<Channel, ChannelError> {
        let boot = Boot(clock::read().wall.0);
        let me = PeerId::client(ids::mix(boot.0 ^ u64::from(std::process::id()).rotate_right(24)));
        let senders = 2 * self.streams_max;
        let sealer = match (self.uri.is_sealed, self.keys.take()) {
            (true, None) => return Err(ChannelError::NoSecret),
            (true, Some(keys)) => {
                Sealer::new(keys, me, boot, 0, senders).map_err(ChannelError::Seal)?
            }
            (false, keys) => {
                let none = || ClusterKeys::new("", &[0; 32], ClusterKeys::FIRST_EPOCH);
                Sealer::off(keys.unwrap_or_else(none), me, boot, 0, senders)
            }
        };
        let listens = bind.port != 0 && bind == self.uri.address.into();
        let options = self.options();
        let (link, shortcoming) = match (self.ready.take(), self.uri.group_address()) {
            (Some(link), _) => (link, None),
            (None, Some(group)) => self.open_group(&group, listens, &options)?,
            (None, None) if self.kind.is_none() && self.uri.link == LinkChoice::Xdp => {
                let plain = MmsgLink::open(bind, &options).map_err(ChannelError::Link)?;
                self.past_the_kernel(plain)
            }
            (None, None) => {
                (link::open(&self.kind()?, bind, &options).map_err(ChannelError::Link)?, None)
            }
        };
        let counters = self.counters.take().unwrap_or_else(Counters::anonymous);
        let port = Port { link, sealer, counters };
        Ok(Channel::new(self.uri, port, self.streams_max, shortcoming))
    }

    /// A link to a multicast group: one that listens to it, or one that speaks to it; and what it
    /// falls short of.
    fn open_group(
        &self,
        group: &Group,
        listens: bool,
        options: &Options,
    ) -> Result<Opened, ChannelError> {
        let plain = || MmsgLink::group(group, listens, options).map_err(ChannelError::Link);
        match self.uri.link {
            LinkChoice::Auto | LinkChoice::Mmsg => Ok((Box::new(plain()?), None)),
            LinkChoice::Xdp => Ok(self.past_the_kernel(plain()?)),
            LinkChoice::Uring => {
                let link = UringLink::group(group, listens, options);
                Ok((Box::new(link.map_err(ChannelError::Link)?), None))
            }
            LinkChoice::Mem => Err(ChannelError::NoLink("multicast needs link=mmsg, uring or xdp")),
        }
    }

    /// The link past the kernel at the interface that leads to the URI's address, beside `plain`;
    /// or else `plain` alone, and why.
    fn past_the_kernel(&self, plain: MmsgLink) -> Opened {
        let config = match self.uri.interface {
            Some(interface) => xdp::Config::at(interface),
            None => xdp::Config::towards(self.uri.address.ip()),
        };
        let (plain, why) = match config {
            Ok(config) => {
                let config = xdp::Config { ttl: self.uri.ttl, ..config };
                match XdpLink::beside(&config, plain, &self.options()) {
                    Ok(link) => return (Box::new(link), None),
                    Err(refused) => (refused.0, refused.1.to_string()),
                }
            }
            Err(error) => (plain, error.to_string()),
        };
        (Box::new(plain), Some(format!("link=xdp cannot be had, mmsg stands in: {why}")))
    }

    fn kind(&mut self) -> Result<Kind, ChannelError> {
        match (self.kind.take(), self.uri.link) {
            (Some(kind), _) => Ok(kind),
            (None, LinkChoice::Auto | LinkChoice::Mmsg | LinkChoice::Xdp) => Ok(Kind::Mmsg),
            (None, LinkChoice::Uring) => Ok(Kind::Uring),
            (None, LinkChoice::Mem) => {
                Err(ChannelError::NoLink("link=mem needs its hub: call `link` on the builder"))
            }
        }
    }

    /// The kernel's receive buffer counts its own overhead, so it must exceed the window. Streams
    /// do not ask when a datagram arrived.
    fn options(&self) -> Options {
        let rx_buffer = (8 * self.uri.window).max(8 << 20);
        let is_proved = self.uri.is_sealed;
        Options { rx_buffer, is_stamped: false, is_proved, ..Options::LARGE }
    }
}
