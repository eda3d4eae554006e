//! Tells without a system call whether the plain socket has got something.
//!
//! The kernel runs a program for every datagram that it delivers to that socket: it counts, in
//! memory that we share. So a loop that spins over the rings looks at one word more, instead of
//! asking the socket every time.

use super::bpf::{MAPPABLE, Map, MapKind, Program, ProgramKind};
use super::program::count;
use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// How often to ask the socket after the count has changed: that happens shortly before the
/// datagram is there.
const ASKS: u32 = 64;
/// Looks after which it is asked whatever the count says, so that what the kernel lost comes to
/// light: some milliseconds of a loop that spins. Asking takes as long as twenty looks.
const SPARED_MAX: u32 = 1 << 16;
const PAGE: usize = 4096;
const COUNT_BYTES: u32 = 8;

/// The count of one socket.
#[derive(Debug)]
pub(super) struct Doorbell {
    count: NonNull<AtomicU64>,
    seen: u64,
    /// Questions that will be asked whatever the count says.
    asks: u32,
    /// Questions that were spared since the last one.
    spared: u32,
}

// SAFETY: the mapping belongs to this value alone and can be read from any thread; the kernel
// changes the count atomically.
unsafe impl Send for Doorbell {}

impl Doorbell {
    /// Has the kernel count what is delivered to `socket`.
    pub(super) fn fit(socket: RawFd) -> io::Result<Self> {
        let counts = Map::new(MapKind::Array, COUNT_BYTES, 1, MAPPABLE)?;
        let program = Program::load(ProgramKind::SocketFilter, &count(counts.descriptor()))?;
        let (null, fd) = (ptr::null_mut(), counts.descriptor());
        // SAFETY: a new mapping at an address of the kernel's choice touches no other. It keeps
        // the map alive.
        let base = unsafe { libc::mmap(null, PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let count = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        // From here on dropping it undoes the mapping.
        let bell = Self { count, seen: 0, asks: ASKS, spared: 0 };
        let program = program.descriptor();
        let (name, value) = (libc::SO_ATTACH_BPF, (&raw const program).cast());
        // SAFETY: the socket is open; the kernel reads one int, which outlives the call.
        let result = unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, name, value, 4) };
        if result == 0 { Ok(bell) } else { Err(io::Error::last_os_error()) }
    }

    /// Whether the socket is to be asked now.
    pub(super) fn has_rung(&mut self) -> bool {
        // SAFETY: it is the first word of the mapping, aligned, and only accessed atomically.
        let count = unsafe { self.count.as_ref() }.load(Ordering::Acquire);
        if count != self.seen {
            self.seen = count;
            self.asks = ASKS;
        }
        self.spared += 1;
        let must = self.asks > 0 || self.spared >= SPARED_MAX;
        if must {
            self.asks = self.asks.saturating_sub(1);
            self.spared = 0;
        }
        must
    }

    /// Has the socket asked with the next look: the loop was away, maybe woken by a datagram that
    /// was not there yet when its count was seen.
    pub(super) fn ask(&mut self) {
        self.asks = self.asks.max(1);
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping, which nobody else unmaps.
        unsafe { libc::munmap(self.count.as_ptr().cast(), PAGE) };
    }
}
