//! Links: how datagrams enter and leave this process.
//!
//! A [`Link`] is one NIC queue or socket, whatever the backend. It moves *bursts*: a loop offers
//! its [`RxBurst`] to a link, which fills it with what has arrived; the loop claims transmit slots
//! from the link, encodes and seals straight into them, and flushes once per duty cycle.
//!
//! Backends are sibling files with the same behaviour ([`mmsg`], [`uring`], [`xdp`], [`mem`]),
//! chosen in [`open`].
//! Loss and traces are wrappers around any link ([`fault`], [`tap`]), never flags inside one.
//!
//! **Memory.** Receive memory belongs to the loop, so a thousand links in one process share it; a
//! link whose device writes to memory of its own lends the burst what it has received.
//! Transmit memory belongs to the link, since a device may dictate where it lives; it is sized by
//! [`Options::tx_bytes`], filled from the front after every flush, and resident only as far as it
//! was ever used.

pub mod fault;
pub mod mem;
pub mod mmsg;
mod probe;
mod rx;
pub mod tap;
#[cfg(test)]
pub(crate) mod tests;
mod tx;
pub mod unhurried;
pub mod uring;
pub mod xdp;

pub use probe::{Choice, probe};
pub use rx::{Datagram, RxBurst, SEGMENTS_MAX, SLOT_SIZE};
pub use tx::TxBatch;

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use syncom_seam::Time;
use syncom_wire::Addr;

/// One NIC queue or socket. No method blocks, and none of a backend allocates once it is open.
pub trait Link: Send + fmt::Debug {
    /// Clears `burst` and fills it with datagrams that have arrived, in order of arrival, as many
    /// as it has room for, or fewer when asking for the others would delay these. Returns how many;
    /// 0 when there are none. If the burst is full ([`RxBurst::is_full`]) there may be more; if it
    /// is not, the link is drained.
    ///
    /// # Errors
    /// Only when the link is of no use any more; what the network does is never an error.
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize>;

    /// A transmit slot of exactly `len` bytes for a datagram to `to`, with unspecified content.
    ///
    /// `None` when there is no room: flush and claim again; if there is none still, the datagram
    /// is lost and the caller counts it. A claim that is not committed before the next call of
    /// another `tx_` method is void.
    fn tx_claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]>;

    /// Queues the first `len` bytes of the claimed slot for sending.
    ///
    /// # Panics
    /// Without a claim, or when `len` exceeds it: a bug of the caller.
    fn tx_commit(&mut self, len: usize);

    /// Queues the bytes that were last committed for one more destination, without copying them.
    /// False when there is no room, or when nothing was committed since the last complete flush:
    /// then claim and write them again.
    fn tx_again(&mut self, to: Addr) -> bool;

    /// Sends what is queued; returns how many datagrams were sent. What the kernel has no room for
    /// stays queued ([`Self::tx_pending`]) and goes with the next flush; what the network refuses
    /// is dropped and counted ([`Self::refused`]).
    ///
    /// # Errors
    /// Only when the link is of no use any more.
    fn tx_flush(&mut self) -> io::Result<usize>;

    /// Datagrams that are queued and not sent. While there are any, flush in every duty cycle and
    /// do not park for long.
    fn tx_pending(&self) -> usize;

    /// The address this link is bound to, with its real port.
    fn local_addr(&self) -> Addr;

    /// What to register for readiness; `None` when the link must be polled. Readiness is told once
    /// (edge-triggered), so receive until a burst is not full before parking.
    fn source(&self) -> Option<RawFd>;

    /// Whether some of what arrives makes no readiness, because it can wait: then receive in every
    /// duty cycle.
    fn is_patient(&self) -> bool {
        false
    }

    /// Datagrams that arrived and were dropped for want of buffer since the last call. The kernel
    /// counts a coalesced run once and tells with the next datagram that it accepts, so this is a
    /// lower bound.
    fn overflow(&mut self) -> u64;

    /// Datagrams that could not be sent, ever, since the last call: unreachable, forbidden, or
    /// longer than the path allows.
    fn refused(&mut self) -> u64;

    /// The next datagram that came back since nobody listens at the port that it went to: the start of
    /// it is written to `room`. Returns where it went and how much was written; `None` when there is
    /// no more. Nothing of it is proved. Only with [`Options::hears_refusals`], and then to be asked
    /// after every burst until there is no more: what is not taken fills the receive buffer.
    fn returned(&mut self, room: &mut [u8]) -> Option<(Addr, usize)> {
        let _ = room;
        None
    }

    /// Tells the link the time, once per duty cycle, before receiving. Only links that hold
    /// datagrams back look at it; they return when they next want to be told, else
    /// [`Time::NEVER`]. What is due now is queued: see [`Self::tx_pending`].
    fn advance(&mut self, now: Time) -> Time {
        let _ = now;
        Time::NEVER
    }

    /// Speaks with `to` alone from now on, if that is of use: the way there is then looked up once
    /// and not for every datagram, and what others send is not heard any more. False when nothing
    /// has changed and everybody is still heard. May be called again for another one.
    ///
    /// # Errors
    /// When the system knows no way there; nothing has changed.
    fn connect(&mut self, to: Addr) -> io::Result<bool> {
        let _ = to;
        Ok(false)
    }

    /// What this link cannot do here and why, one line each, for `syncom doctor`.
    fn shortcomings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        (**self).rx_burst(burst)
    }

    fn tx_claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        (**self).tx_claim(to, len)
    }

    fn tx_commit(&mut self, len: usize) {
        (**self).tx_commit(len);
    }

    fn tx_again(&mut self, to: Addr) -> bool {
        (**self).tx_again(to)
    }

    fn tx_flush(&mut self) -> io::Result<usize> {
        (**self).tx_flush()
    }

    fn tx_pending(&self) -> usize {
        (**self).tx_pending()
    }

    fn local_addr(&self) -> Addr {
        (**self).local_addr()
    }

    fn source(&self) -> Option<RawFd> {
        (**self).source()
    }

    fn is_patient(&self) -> bool {
        (**self).is_patient()
    }

    fn overflow(&mut self) -> u64 {
        (**self).overflow()
    }

    fn refused(&mut self) -> u64 {
        (**self).refused()
    }

    fn returned(&mut self, room: &mut [u8]) -> Option<(Addr, usize)> {
        (**self).returned(room)
    }

    fn advance(&mut self, now: Time) -> Time {
        (**self).advance(now)
    }

    fn connect(&mut self, to: Addr) -> io::Result<bool> {
        (**self).connect(to)
    }

    fn shortcomings(&self) -> Vec<String> {
        (**self).shortcomings()
    }
}

/// Which backend a link has.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A UDP socket driven by `recvmmsg` and `sendmmsg`, with segmentation offload.
    Mmsg,
    /// A queue of an interface, past the kernel.
    Xdp(xdp::Config),
    /// A UDP socket driven by io_uring, received into memory of the link's own: up to 2 MB, as far
    /// as it was ever used. Needs Linux 6.1.
    Uring,
    /// In-process, between links of the same hub.
    Mem(mem::Hub),
}

/// Sizes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Kernel receive buffer to ask for, in bytes; what the kernel grants may be less. Too small
    /// loses heartbeats in a pause, which costs health; memory is used only while datagrams wait.
    pub rx_buffer: usize,
    /// Kernel send buffer to ask for, in bytes.
    pub tx_buffer: usize,
    /// Bytes of datagrams that can be queued between flushes: at least the largest datagram this
    /// member sends, at most 2^31.
    pub tx_bytes: usize,
    /// Datagrams that can be queued between flushes.
    pub tx_datagrams: usize,
    /// Whether the kernel is to tell when a datagram arrived. Costs it 0.1 µs for each; without it
    /// a datagram has arrived when it is read, of which observers must not judge.
    pub is_stamped: bool,
    /// Whether the kernel may hand over a run of datagrams at once. Streams live by it; single
    /// datagrams of one peer, see [`Link::connect`], are read faster without it.
    pub takes_runs: bool,
    /// Whether whoever reads datagrams proves each by a seal: a link that sees UDP's checksum itself
    /// then need not sum up what the seal covers better. What leaves has its checksum all the same.
    pub is_proved: bool,
    /// Whether to hear that nobody listens where a datagram went, see [`Link::returned`].
    pub hears_refusals: bool,
}

impl Options {
    /// For a process that is one member: room for bursts to and from thousands.
    pub const LARGE: Self = Self {
        rx_buffer: 8 << 20,
        tx_buffer: 4 << 20,
        tx_bytes: 512 * 1024,
        tx_datagrams: 4096,
        is_stamped: true,
        takes_runs: true,
        is_proved: false,
        hears_refusals: false,
    };

    /// For one of a thousand agents in a process: below 40 KB even when everything was used. The
    /// largest thing that an agent sends is a receipt with its output.
    pub const SMALL: Self = Self {
        rx_buffer: 256 * 1024,
        tx_buffer: 128 * 1024,
        tx_bytes: 32 * 1024,
        tx_datagrams: 64,
        is_stamped: true,
        takes_runs: true,
        is_proved: false,
        hears_refusals: false,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::LARGE
    }
}

/// Why a link could not be opened, and what to do about it. Nothing is left open.
#[derive(Debug)]
pub enum OpenError {
    /// Somebody else has the port.
    InUse(Addr),
    /// The port is reserved for privileged processes.
    Denied(Addr),
    /// The address does not belong to this host.
    NotHere(Addr),
    /// The kernel has no such address family.
    NoFamily(Addr),
    /// The process has too many files open.
    TooManyFiles,
    /// Anything else, with the step that failed.
    Os(&'static str, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(addr) => {
                let port = addr.port;
                write!(
                    f,
                    "UDP {addr} is in use by another process; `ss -ulpn sport = :{port}` names \
                     it; stop it or choose another port"
                )
            }
            Self::Denied(addr) => write!(
                f,
                "no permission to bind UDP {addr}; choose a port of 1024 or above, or give the \
                 process CAP_NET_BIND_SERVICE"
            ),
            Self::NotHere(addr) => write!(
                f,
                "UDP {addr} is not an address of this host; `ip address` lists those that are"
            ),
            Self::NoFamily(addr) => write!(
                f,
                "this kernel cannot open a socket for {addr}: IPv6 is switched off; bind an IPv4 \
                 address instead"
            ),
            Self::TooManyFiles => f.write_str(
                "too many open files: raise the limit (`ulimit -n`) or run fewer members",
            ),
            Self::Os(step, error) => write!(f, "cannot open a link: {step}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os(_, error) => Some(error),
            Self::InUse(_)
            | Self::Denied(_)
            | Self::NotHere(_)
            | Self::NoFamily(_)
            | Self::TooManyFiles => None,
        }
    }
}

/// Opens a link of the given kind at `bind`. Port 0 lets the system choose. IPv4 addresses give an
/// IPv4 link; `[::]` gives one that speaks both.
///
/// # Errors
/// [`OpenError`] says what is wrong and what to do; nothing is left open.
pub fn open(kind: &Kind, bind: Addr, options: &Options) -> Result<Box<dyn Link>, OpenError> {
    match kind {
        Kind::Mmsg => Ok(Box::new(mmsg::MmsgLink::open(bind, options)?)),
        Kind::Xdp(config) => Ok(Box::new(xdp::XdpLink::open(config, bind, options)?)),
        Kind::Uring => Ok(Box::new(uring::UringLink::open(bind, options)?)),
        Kind::Mem(hub) => Ok(Box::new(hub.open(bind, options)?)),
    }
}
