//! One receive and one transmit queue of an interface, past the kernel (`AF_XDP`).
//!
//! A program in the kernel picks our datagrams out of what the interface receives and puts them
//! into memory that we share; what we send is written there too, headers and all. No system call
//! is needed to receive, and one sends many datagrams to any number of destinations.
//!
//! Beside it the link keeps a **plain socket** at the same address. It carries whatever the fast
//! way does not: datagrams longer than the interface's MTU, those of a destination whose Ethernet
//! address is still to be found or that lies behind another interface, and everything that the
//! program passes on to the kernel. So this link does all that the plain one does, and no port
//! looks closed. Only the order between the two ways is open, as it is in any network.
//!
//! | file | what |
//! |---|---|
//! | `program`, `assembler` | which frames are ours: the program, and what it is written in |
//! | `bpf`, `attachment` | the program and its maps in the kernel, on the interface |
//! | `umem`, `ring`, `socket` | shared memory, the four rings, the socket |
//! | `headers`, `checksum` | Ethernet, IP and UDP around a payload |
//! | `netlink`, `paths` | what the kernel knows about routes and neighbours |
//! | `receive`, `send` | frames to bursts, payloads to frames |
//! | `doorbell` | whether the plain socket has something, without asking it |

mod assembler;
mod attachment;
pub mod bare;
mod bpf;
mod checksum;
mod device;
mod doorbell;
mod headers;
pub mod lab;
mod netlink;
mod paths;
mod program;
mod receive;
mod ring;
mod send;
mod socket;
#[cfg(test)]
pub(super) mod tests;
mod umem;

pub use headers::{Foreign, Parsed, parse};

use super::mmsg::{Interface, MmsgLink};
use super::{Link, OpenError, Options, RxBurst};
use crate::clock;
use device::Device;
use doorbell::Doorbell;
use netlink::{Ip, Netlink};
use std::ffi::CStr;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use syncom_seam::{Time, US};
use syncom_wire::Addr;

/// Flushes after which the link looks at the clock itself, if nobody tells it the time.
const FLUSHES_UNTOLD_MAX: u32 = 16;
/// A duty cycle that took longer than this slept.
const AWAKE_NS: u64 = 100 * US;

/// Which queue of which interface, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the interface, in the network namespace of the thread that opens the link.
    pub interface: String,
    /// The queue, from 0. The card decides which queue a datagram comes in by; a link sees those of
    /// its own queue only, so a member has one link per queue, or the card one queue.
    pub queue: u32,
    /// How the program is attached.
    pub mode: Mode,
    /// Microseconds that the kernel polls the card for in a system call of ours, instead of waiting
    /// for an interrupt; 0 for not at all. Saves a wake-up on cards with a core to themselves; on
    /// `veth` it costs 10 % of the round trip, and far more with deferred interrupts.
    pub busy_poll_us: u32,
    /// How many networks far datagrams to multicast groups go.
    pub ttl: u8,
}

impl Config {
    /// The first queue of an interface, in the best mode that it has.
    #[must_use]
    pub fn new(interface: &str) -> Self {
        let interface = interface.to_owned();
        Self { interface, queue: 0, mode: Mode::Best, busy_poll_us: 0, ttl: 1 }
    }

    /// The same of the interface that has the address `ip`, or else over which it is reached.
    ///
    /// # Errors
    /// When there is none, or it is the loopback: nothing is to be gained there.
    pub fn towards(ip: IpAddr) -> io::Result<Self> {
        let wrong = |what: &str| Err(io::Error::other(format!("{ip} {what}")));
        if ip.is_unspecified() {
            return wrong("names no interface: bind to an address of the one to use");
        }
        let to = match ip {
            IpAddr::V4(v4) => Ip::V4(v4.octets()),
            IpAddr::V6(v6) => Ip::V6(v6.octets()),
        };
        Self::of(Netlink::open()?.interface_of(to)?)
    }

    /// The same of an interface that a channel names.
    ///
    /// # Errors
    /// As [`Self::towards`].
    pub fn at(interface: Interface) -> io::Result<Self> {
        match interface {
            Interface::Address(ip) => Self::towards(ip.into()),
            Interface::Index(index) => Self::of(index),
        }
    }

    fn of(index: u32) -> io::Result<Self> {
        match name_of(index)?.as_str() {
            "lo" => Err(io::Error::other("XDP cannot speed up the loopback: use another link")),
            name => Ok(Self::new(name)),
        }
    }
}

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Native if the driver can, else generic.
    Best,
    /// In the driver, before the kernel makes a packet of its own of the frame.
    Native,
    /// After that: works with every driver.
    Generic,
}

/// A queue of an interface.
#[derive(Debug)]
pub struct XdpLink {
    device: Device,
    plain: MmsgLink,
    /// `None`: the plain socket is asked every time.
    doorbell: Option<Doorbell>,
    /// Readable when either socket is. Made when somebody wants to wait for it: the kernel then
    /// has somebody to wake for every packet, which costs a loop that spins a quarter of its rate.
    either: OnceLock<Option<OwnedFd>>,
    /// Where the last claim, and the last commit, went.
    way: Way,
    is_polling: bool,
    /// Flushes since the link knew the time.
    untold_flushes: u32,
    /// When the loop last told the time.
    told: Time,
    shortcomings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Fast,
    Plain,
}

impl XdpLink {
    /// Opens a link that is bound to `bind`, an address of the interface or a wildcard.
    ///
    /// # Errors
    /// See [`super::open`]. Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
    pub fn open(config: &Config, bind: Addr, options: &Options) -> Result<Self, OpenError> {
        let plain = MmsgLink::open(bind, options)?;
        Self::beside(config, plain, options).map_err(|refused| refused.1)
    }

    /// Opens a link for what `plain` would receive and send: one that listens to a multicast group
    /// makes a link that does. What others on this host send to that group comes, and what they
    /// want of it from elsewhere at the same port does not reach them any more.
    ///
    /// # Errors
    /// As [`Self::open`]; the plain link comes back.
    pub fn beside(
        config: &Config,
        plain: MmsgLink,
        options: &Options,
    ) -> Result<Self, Box<(MmsgLink, OpenError)>> {
        let (device, mut shortcomings) = match Device::open(config, plain.local_addr(), options) {
            Ok(opened) => opened,
            Err(error) => return Err(Box::new((plain, error))),
        };
        let doorbell = match Doorbell::fit(plain.descriptor()) {
            Ok(doorbell) => Some(doorbell),
            Err(error) => {
                shortcomings.push(format!("the plain socket is asked every time: {error}"));
                None
            }
        };
        shortcomings
            .push("no receive timestamps: arrivals are judged by when they are read".into());
        shortcomings.extend(plain.shortcomings());
        Ok(Self {
            device,
            plain,
            doorbell,
            either: OnceLock::new(),
            way: Way::Plain,
            is_polling: config.busy_poll_us > 0,
            untold_flushes: FLUSHES_UNTOLD_MAX,
            told: Time(0),
            shortcomings,
        })
    }
}

impl Link for XdpLink {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        self.device.receive(burst);
        if burst.is_empty() && self.is_polling {
            self.device.poll(burst);
        }
        if !burst.is_empty() && self.either.get().is_some() {
            self.device.expect_sleep();
        }
        if !burst.is_full() && self.doorbell.as_mut().is_none_or(Doorbell::has_rung) {
            self.plain.rx_more(burst)?;
        }
        Ok(burst.len())
    }

    fn tx_claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        if let Some(path) = self.device.path(to, len) {
            self.way = Way::Fast;
            return self.device.claim(path, to.port, len);
        }
        self.way = Way::Plain;
        self.device.give_up_claim();
        self.plain.tx_claim(to, len)
    }

    fn tx_commit(&mut self, len: usize) {
        match self.way {
            Way::Fast => self.device.commit(len),
            Way::Plain => {
                self.device.forget_last();
                self.plain.tx_commit(len);
            }
        }
    }

    fn tx_again(&mut self, to: Addr) -> bool {
        self.device.give_up_claim();
        // What lies in the plain link's batch stays there: it is as good as new.
        let Some(last) = self.device.last() else { return self.plain.tx_again(to) };
        let len = last.len();
        if let Some(path) = self.device.path(to, len) {
            return self.device.again(path, to.port);
        }
        let Some(last) = self.device.last() else { return false };
        let Some(room) = self.plain.tx_claim(to, len) else { return false };
        room.copy_from_slice(last);
        self.plain.tx_commit(len);
        true
    }

    fn tx_flush(&mut self) -> io::Result<usize> {
        // Paths grow old by the time that the loop tells, or else by our own look at the clock.
        self.untold_flushes += 1;
        if self.untold_flushes > FLUSHES_UNTOLD_MAX {
            self.untold_flushes = 0;
            self.device.advance(clock::now());
        }
        let sent = self.device.flush()?;
        if self.plain.tx_pending() == 0 {
            return Ok(sent);
        }
        Ok(sent + self.plain.tx_flush()?)
    }

    fn tx_pending(&self) -> usize {
        self.device.pending() + self.plain.tx_pending()
    }

    fn local_addr(&self) -> Addr {
        self.plain.local_addr()
    }

    fn source(&self) -> Option<RawFd> {
        let sockets = [self.device.descriptor(), self.plain.descriptor()];
        let either = self.either.get_or_init(|| either(sockets).ok());
        either.as_ref().map(AsRawFd::as_raw_fd)
    }

    fn overflow(&mut self) -> u64 {
        self.device.take_dropped() + self.plain.overflow()
    }

    fn refused(&mut self) -> u64 {
        self.device.take_refused() + self.plain.refused()
    }

    fn advance(&mut self, now: Time) -> Time {
        self.untold_flushes = 0;
        let cycle_ns = now.since(std::mem::replace(&mut self.told, now));
        if cycle_ns > AWAKE_NS
            && let Some(doorbell) = &mut self.doorbell
        {
            doorbell.ask();
        }
        self.device.advance(now);
        Time::NEVER
    }

    fn shortcomings(&self) -> Vec<String> {
        self.shortcomings.clone()
    }
}

/// The name of the interface of that index.
fn name_of(index: u32) -> io::Result<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the kernel writes a terminated name of at most as many bytes as the buffer has,
    // which outlives the call.
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) }.is_null() {
        return Err(io::Error::last_os_error());
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    Ok(name.to_string_lossy().into_owned())
}

/// A descriptor that is readable when either of two is.
fn either(sockets: [RawFd; 2]) -> io::Result<OwnedFd> {
    // SAFETY: takes an integer.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor and nobody else has it.
    let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
    for socket in sockets {
        let events = u32::try_from(libc::EPOLLIN).unwrap_or(1);
        let mut event = libc::epoll_event { events, u64: 0 };
        // SAFETY: both descriptors are open; the kernel reads `event`, which outlives the call.
        let result = unsafe { libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, socket, &raw mut event) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(epoll)
}
