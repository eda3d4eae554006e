//! The least that a loop over a UDP socket can do: what the link is measured against.
//!
//! As a program would do it by hand that knows its only peer: a connected socket, `send` and `recv`,
//! one datagram at a time, nothing looked at.

use super::address::Family;
use super::socket;
use crate::link::OpenError;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use syncom_wire::Addr;

/// A bare socket that speaks with one peer.
#[derive(Debug)]
pub struct Bare {
    socket: OwnedFd,
    local: Addr,
    family: Family,
    bytes: Vec<u8>,
}

impl Bare {
    /// Opens a socket at `bind` for datagrams of `len` bytes.
    ///
    /// # Errors
    /// As for a link.
    pub fn open(bind: Addr, len: usize) -> Result<Self, OpenError> {
        let family = Family::of(bind);
        let (socket, local) = socket::open_bare(bind)?;
        Ok(Self { socket, local, family, bytes: vec![7; len] })
    }

    /// The address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> Addr {
        self.local
    }

    /// Speaks with `to` from now on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn connect(&mut self, to: Addr) -> io::Result<()> {
        socket::connect(&self.socket, to, self.family)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send(&mut self) -> io::Result<()> {
        let (bytes, len) = (self.bytes.as_ptr().cast(), self.bytes.len());
        // SAFETY: the kernel reads `len` bytes of `bytes`, which outlive the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), bytes, len, 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Takes a datagram in; whether there was one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive(&mut self) -> io::Result<bool> {
        let (bytes, len) = (self.bytes.as_mut_ptr().cast(), self.bytes.len());
        // SAFETY: the kernel writes at most `len` bytes to `bytes`, which are borrowed mutably.
        let received = unsafe { libc::recv(self.socket.as_raw_fd(), bytes, len, 0) };
        if received >= 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
    }
}
