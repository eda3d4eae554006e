//! A socket of `AF_XDP`: made, given memory and rings, bound to one queue of an interface.

use super::ring::{Consumer, Producer};
use crate::slots::Arena;
use std::io;
use std::mem::{size_of_val, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// How packets get from the driver into our memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// The card writes into it.
    Zero,
    /// The kernel copies.
    Kernel,
}

/// Packets that one busy poll takes at most.
const BUSY_POLL_BUDGET: u32 = 64;
/// Option of the socket (Linux 6.17): packets that one system call copies out at most.
const MAX_TX_SKB_BUDGET: i32 = 9;

/// A socket with its rings.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    pub(super) fill: Producer<u64>,
    pub(super) completion: Consumer<u64>,
    pub(super) rx: Consumer<libc::xdp_desc>,
    pub(super) tx: Producer<libc::xdp_desc>,
}

/// A socket without anything.
pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: socket takes integers and touches no memory of ours.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Socket {
    /// A socket over the memory of `arena`, whose slots must be 2048 or 4096 bytes, with rings of
    /// `rx` and `tx` entries (powers of two). Not bound yet.
    ///
    /// # Errors
    /// The kernel's, with the step that failed.
    pub(super) fn new(arena: &Arena, rx: u32, tx: u32) -> Result<Self, (&'static str, io::Error)> {
        let fd = create().map_err(|error| ("socket(AF_XDP)", error))?;
        register(&fd, arena).map_err(|error| ("XDP_UMEM_REG", error))?;
        for (name, value, step) in [
            (libc::XDP_UMEM_FILL_RING, rx, "XDP_UMEM_FILL_RING"),
            (libc::XDP_UMEM_COMPLETION_RING, tx, "XDP_UMEM_COMPLETION_RING"),
            (libc::XDP_RX_RING, rx, "XDP_RX_RING"),
            (libc::XDP_TX_RING, tx, "XDP_TX_RING"),
        ] {
            set(&fd, libc::SOL_XDP, name, &value).map_err(|error| (step, error))?;
        }
        // Else 32 at a time: an older kernel needs more calls.
        let _ = set(&fd, libc::SOL_XDP, MAX_TX_SKB_BUDGET, &tx);
        Self::map(fd, rx, tx).map_err(|error| ("mmap of the rings", error))
    }

    fn map(fd: OwnedFd, rx: u32, tx: u32) -> io::Result<Self> {
        // SAFETY: the structure consists of integers, for which all zeroes is valid.
        let mut offsets: libc::xdp_mmap_offsets = unsafe { zeroed() };
        get(&fd, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
        let at = |at: u64| libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidData);
        let fill = at(libc::XDP_UMEM_PGOFF_FILL_RING)?;
        let completion = at(libc::XDP_UMEM_PGOFF_COMPLETION_RING)?;
        Ok(Self {
            fill: Producer::map(&fd, rx, fill, &offsets.fr)?,
            completion: Consumer::map(&fd, tx, completion, &offsets.cr)?,
            rx: Consumer::map(&fd, rx, libc::XDP_PGOFF_RX_RING, &offsets.rx)?,
            tx: Producer::map(&fd, tx, libc::XDP_PGOFF_TX_RING, &offsets.tx)?,
            fd,
        })
    }

    /// Binds to a queue of an interface. May be tried again with another way of copying.
    pub(super) fn bind(&self, interface: u32, queue: u32, copying: Copying) -> io::Result<()> {
        let way = match copying {
            Copying::Zero => libc::XDP_ZEROCOPY,
            Copying::Kernel => libc::XDP_COPY,
        };
        let name = libc::sockaddr_xdp {
            sxdp_family: u16::try_from(libc::AF_XDP).map_err(|_| io::ErrorKind::InvalidInput)?,
            sxdp_flags: way | libc::XDP_USE_NEED_WAKEUP,
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        let len = libc::socklen_t::try_from(size_of_val(&name)).unwrap_or(0);
        // SAFETY: the descriptor is open; `name` holds `len` initialised bytes and outlives the
        // call.
        let result = unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const name).cast(), len) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Has the kernel poll the card from our own system calls, for up to `us` microseconds each.
    pub(super) fn busy_poll(&self, us: u32) -> io::Result<()> {
        set(&self.fd, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, &1_u32)?;
        set(&self.fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, &us)?;
        set(&self.fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, &BUSY_POLL_BUDGET)
    }

    /// Tells the kernel that there is something to send.
    pub(super) fn wake_tx(&self) -> io::Result<()> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: the descriptor is open; there is neither data nor an address.
        let sent = unsafe { libc::sendto(fd, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the kernel look for packets: it ran out of memory, or polls only when asked.
    pub(super) fn wake_rx(&self) {
        let (fd, none) = (self.fd.as_raw_fd(), ptr::null_mut());
        // SAFETY: the descriptor is open; there is neither data nor room for an address. What it
        // returns is of no interest: packets show in the ring.
        unsafe {
            libc::recvfrom(fd, none, 0, libc::MSG_DONTWAIT, ptr::null_mut(), ptr::null_mut())
        };
    }

    /// What the kernel has counted since the socket was made.
    pub(super) fn statistics(&self) -> io::Result<libc::xdp_statistics> {
        // SAFETY: the structure consists of integers, for which all zeroes is valid.
        let mut statistics: libc::xdp_statistics = unsafe { zeroed() };
        get(&self.fd, libc::XDP_STATISTICS, &mut statistics)?;
        Ok(statistics)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Gives the arena's memory to the socket. The kernel pins its pages for as long as the socket
/// lives, whatever becomes of the mapping.
fn register(fd: &OwnedFd, arena: &Arena) -> io::Result<()> {
    let number = |number: usize| u32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput);
    let registration = libc::xdp_umem_reg {
        addr: arena.base().as_ptr().expose_provenance() as u64,
        len: (arena.count() * arena.slot_size()) as u64,
        chunk_size: number(arena.slot_size())?,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    set(fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
}

pub(super) fn set<T>(fd: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    let value = ptr::from_ref(value).cast();
    // SAFETY: the descriptor is open; the kernel reads at most `len` bytes of `value`, which
    // outlives the call.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an option of the socket; fails when this kernel knows a shorter one.
fn get<T>(fd: &OwnedFd, name: i32, value: &mut T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    let mut len = size;
    let value = ptr::from_mut(value).cast();
    // SAFETY: the descriptor is open; the kernel writes at most `len` bytes to `value`, for which
    // any bytes are valid: it is a structure of integers. Both outlive the call.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, value, &raw mut len) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if len == size { Ok(()) } else { Err(io::Error::other("AF_XDP needs Linux 5.9 or later")) }
}
