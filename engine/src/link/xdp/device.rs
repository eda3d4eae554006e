//! The fast way: a socket of `AF_XDP`, its memory, and the program that feeds it.

use super::Config;
use super::attachment::{Attachment, is_taken};
use super::headers::{FRAME_OVERHEAD, mapped};
use super::netlink::{Interface, Netlink};
use super::paths::{Path, Paths};
use super::program::{Filter, QUEUES_MAX};
use super::receive::Receiver;
use super::send::Sender;
use super::socket::{Copying, Socket};
use super::umem::Umem;
use crate::clock;
use crate::link::{OpenError, Options, RxBurst};
use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use syncom_seam::{MS, Time};
use syncom_wire::Addr;

/// Slots with the kernel to receive into. The smallest burst of many senders fits; more than the
/// most only waits longer.
const RX_MIN: usize = 32;
pub(super) const RX_MAX: usize = 2048;
/// Slots to send from.
const TX_MIN: usize = 8;
pub(super) const TX_MAX: usize = 2048;
/// Bytes of a slot and of what the kernel keeps beside a packet, when it copies.
const PACKET_BYTES: usize = 4096;
/// How long a queue that somebody has is waited for.
const PATIENCE_NS: u64 = 50 * MS;
/// IP and UDP headers.
const HEADERS_V4: usize = 28;
const HEADERS_V6: usize = 48;

/// A bound socket. Dropped, it lets everything pass into the kernel again.
#[derive(Debug)]
pub(super) struct Device {
    attachment: Arc<Attachment>,
    queue: u32,
    socket: Socket,
    umem: Umem,
    paths: Paths,
    receiver: Receiver,
    sender: Sender,
    /// Bytes of the longest payload: with IPv4, with IPv6.
    payload_max: [usize; 2],
}

impl Device {
    /// Opens the queue for datagrams to `local`. Also says what it cannot do here.
    pub(super) fn open(
        config: &Config,
        local: Addr,
        options: &Options,
    ) -> Result<(Self, Vec<String>), OpenError> {
        let Config { interface: name, queue, mode, busy_poll_us, ttl } = config;
        let fail = |(step, error)| OpenError::Os(step, explain(error, name, *queue));
        let (index, interface, netlink) = look_up(name).map_err(fail)?;
        let frame_bytes = interface.mtu + FRAME_OVERHEAD;
        let rx = options.rx_buffer / PACKET_BYTES * 2;
        let rx = ring_entries(rx.clamp(RX_MIN, RX_MAX));
        let tx = ring_entries(options.tx_datagrams.clamp(TX_MIN, TX_MAX));
        // As many again for bursts and for parts that are kept.
        let mut umem = Umem::new(tx + 2 * rx, frame_bytes);
        let sender = Sender::new(&mut umem, tx);
        let mut socket = Socket::new(umem.pool().arena(), rx, tx).map_err(fail)?;

        let attachment = Attachment::at(index, *mode).map_err(fail)?;
        let mut shortcomings = Vec::new();
        if let Some(why) = &attachment.generic {
            shortcomings.push(format!("{name}: XDP in generic mode, not native: {why}"));
        }
        let copying = bind(&socket, index, *queue, &attachment, name, &mut shortcomings)
            .map_err(|error| fail(("bind", error)))?;
        if frame_bytes > umem.frame_bytes_max() {
            shortcomings.push(format!(
                "{name}: frames of more than {} bytes come by the plain socket (MTU {})",
                umem.frame_bytes_max(),
                interface.mtu
            ));
        }
        if *busy_poll_us > 0
            && let Err(error) = socket.busy_poll(*busy_poll_us)
        {
            shortcomings.push(format!("{name}: no busy polling: {error}"));
        }
        let mut receiver = Receiver::new(rx, copying, options.is_proved);
        receiver.refill(&mut socket, &mut umem);
        // Only now, with room to receive into.
        let filter = Filter::new(local, narrow(umem.frame_bytes_max()))
            .finished(attachment.generic.is_some());
        attachment
            .admit(*queue, &filter, socket.descriptor())
            .map_err(|error| fail(("BPF_MAP_UPDATE_ELEM", error)))?;
        let mtu = interface.mtu.min(umem.frame_bytes_max() - FRAME_OVERHEAD);
        let payload_max = [HEADERS_V4, HEADERS_V6].map(|headers| mtu.saturating_sub(headers));
        let paths = Paths::new(netlink, local, *ttl, (index, interface), options.tx_datagrams);
        let queue = *queue;
        let device = Self { attachment, queue, socket, umem, paths, receiver, sender, payload_max };
        Ok((device, shortcomings))
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.descriptor()
    }

    pub(super) const fn advance(&mut self, now: Time) {
        self.paths.advance(now);
    }

    /// Clears `burst` and moves into it what has arrived.
    pub(super) fn receive(&mut self, burst: &mut RxBurst) {
        burst.clear_into(self.umem.pool_mut());
        self.receiver.refill(&mut self.socket, &mut self.umem);
        self.take_in(burst);
    }

    /// Somebody will sleep until something comes.
    pub(super) const fn expect_sleep(&mut self) {
        self.receiver.expect_sleep();
    }

    /// Has the kernel look at the card, and moves into `burst` what that brought.
    pub(super) fn poll(&mut self, burst: &mut RxBurst) {
        self.socket.wake_rx();
        self.take_in(burst);
    }

    fn take_in(&mut self, burst: &mut RxBurst) {
        self.receiver.fill(&mut self.socket, &mut self.umem, burst);
        if self.receiver.is_low() {
            self.receiver.refill(&mut self.socket, &mut self.umem);
        }
    }

    /// The path of a datagram of `len` bytes to `to`, if it can go this way.
    pub(super) fn path(&mut self, to: Addr, len: usize) -> Option<Path> {
        let is_v6 = usize::from(mapped(to.ip).is_none());
        let fits = to.port != 0 && len <= self.payload_max[is_v6];
        if fits { self.paths.find(to.ip) } else { None }
    }

    /// See [`crate::link::Link::tx_claim`].
    pub(super) fn claim(&mut self, path: Path, to_port: u16, len: usize) -> Option<&mut [u8]> {
        let headers = self.paths.headers(path)?;
        self.sender.claim(&mut self.socket, &self.umem, headers, to_port, len)
    }

    pub(super) fn give_up_claim(&mut self) {
        self.sender.give_up_claim();
    }

    pub(super) fn commit(&mut self, len: usize) {
        self.sender.commit(&mut self.socket, &self.umem, len);
    }

    /// See [`crate::link::Link::tx_again`].
    pub(super) fn again(&mut self, path: Path, to_port: u16) -> bool {
        let Some(headers) = self.paths.headers(path) else { return false };
        self.sender.again(&mut self.socket, &self.umem, headers, to_port)
    }

    /// The bytes that were committed last.
    pub(super) fn last(&self) -> Option<&[u8]> {
        self.sender.last()
    }

    pub(super) const fn forget_last(&mut self) {
        self.sender.forget_last();
    }

    pub(super) fn flush(&mut self) -> io::Result<usize> {
        self.sender.flush(&mut self.socket, &self.umem)
    }

    pub(super) fn pending(&self) -> usize {
        self.socket.tx.waiting() as usize
    }

    pub(super) fn take_dropped(&mut self) -> u64 {
        self.receiver.take_dropped(&self.socket)
    }

    pub(super) fn take_refused(&mut self) -> u64 {
        self.sender.take_refused()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.attachment.expel(self.queue);
    }
}

/// What the kernel knows about an interface by that name.
pub(super) fn look_up(name: &str) -> Result<(u32, Interface, Netlink), (&'static str, io::Error)> {
    let terminated = CString::new(name).map_err(|error| ("interface name", error.into()))?;
    // SAFETY: the name is terminated and outlives the call.
    let index = unsafe { libc::if_nametoindex(terminated.as_ptr()) };
    if index == 0 {
        return Err(("if_nametoindex", io::Error::last_os_error()));
    }
    let mut netlink = Netlink::open().map_err(|error| ("netlink", error))?;
    let interface = netlink.interface(index).map_err(|error| ("RTM_GETLINK", error))?;
    Ok((index, interface, netlink))
}

/// Binds without copies if that is possible, else with, and says why.
fn bind(
    socket: &Socket,
    index: u32,
    queue: u32,
    attachment: &Attachment,
    name: &str,
    shortcomings: &mut Vec<String>,
) -> io::Result<Copying> {
    if queue >= QUEUES_MAX {
        return Err(io::Error::other(format!("queues go up to {}", QUEUES_MAX - 1)));
    }
    let why = if attachment.generic.is_some() {
        "generic mode has none".to_owned()
    } else {
        match socket.bind(index, queue, Copying::Zero) {
            Ok(()) => return Ok(Copying::Zero),
            Err(error) => error.to_string(),
        }
    };
    bind_patiently(socket, index, queue)?;
    shortcomings.push(format!("{name}: the kernel copies, no zero-copy: {why}"));
    Ok(Copying::Kernel)
}

/// The kernel lets go of a queue a moment after the last socket at it was closed.
fn bind_patiently(socket: &Socket, index: u32, queue: u32) -> io::Result<()> {
    let deadline = clock::now().after(PATIENCE_NS);
    loop {
        match socket.bind(index, queue, Copying::Kernel) {
            Err(error) if is_taken(&error) && clock::now() < deadline => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// Says what to do about the usual reasons.
fn explain(error: io::Error, interface: &str, queue: u32) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "XDP needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF".to_owned()
        }
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "queue {queue} of {interface} has a socket, or another program is attached; \
             `bpftool net` names it"
        ),
        Some(libc::ENODEV) => format!("there is no interface {interface}; `ip link` lists them"),
        Some(libc::EINVAL) => format!("{interface} may have no queue {queue}"),
        Some(libc::ENOBUFS) => "raise the limit of locked memory (`ulimit -l`)".to_owned(),
        Some(_) | None => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// Entries of a ring: a power of two.
fn ring_entries(count: usize) -> u32 {
    narrow(count.next_power_of_two())
}

/// A small number.
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
