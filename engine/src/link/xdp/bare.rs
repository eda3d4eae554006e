//! The least that a loop over `AF_XDP` can do: what the link is measured against.
//!
//! It sends one frame, prepared once, again and again, and gives what it receives straight back to
//! the kernel without a look. No addresses, no checksums, no bursts.

use super::attachment::Attachment;
use super::checksum::Sum;
use super::device::{look_up, narrow};
use super::headers::{FRAME_OVERHEAD, Headers, ROOM};
use super::netlink::{Ip, Neighbour};
use super::program::Filter;
use super::socket::{Copying, Socket};
use super::umem::Umem;
use super::{Config, headers};
use crate::slots::Slot;
use std::io;
use std::sync::Arc;
use syncom_wire::Addr;

/// Entries of each ring.
const RING: u32 = 1024;

/// A bare socket that sends to one peer.
#[derive(Debug)]
pub struct Bare {
    socket: Socket,
    umem: Umem,
    /// Free slots, each with the frame in it.
    free: Vec<u32>,
    frame: (usize, u32),
    _slots: Vec<Slot>,
    attachment: Arc<Attachment>,
    queue: u32,
}

impl Bare {
    /// Opens a queue at `local`, to send datagrams of `len` bytes to `to`, a neighbour that the
    /// kernel knows.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(config: &Config, local: Addr, to: Addr, len: usize) -> io::Result<Self> {
        let step = |(step, error): (&str, io::Error)| io::Error::other(format!("{step}: {error}"));
        let (index, interface, mut netlink) = look_up(&config.interface).map_err(step)?;
        let ip = headers::mapped(to.ip).map_or(Ip::V6(to.ip), Ip::V4);
        let (Neighbour::At(mac) | Neighbour::WasAt(mac)) = netlink.neighbour(ip, index)? else {
            return Err(io::Error::other(format!("{to} is no neighbour")));
        };
        let headers = Headers::new(local, interface.mac, to.ip, mac)
            .ok_or_else(|| io::Error::other("two families"))?;
        let mut umem = Umem::new(2 * RING, interface.mtu + FRAME_OVERHEAD);
        let payload = vec![7; len];
        let mut room = [0; ROOM];
        headers.write(&mut room, to.port, len, Sum::of(&payload));
        let start = ROOM - headers.len();
        let mut slots: Vec<Slot> = (0..RING).map_while(|_| umem.pool_mut().take()).collect();
        for slot in &mut slots {
            if let Some(place) = slot.bytes_mut(0..ROOM + len) {
                place[..ROOM].copy_from_slice(&room);
                place[ROOM..].copy_from_slice(&payload);
            }
        }
        let free = slots.iter().map(Slot::index).collect();
        let mut socket = Socket::new(umem.pool().arena(), RING, RING).map_err(step)?;
        let attachment = Attachment::at(index, config.mode).map_err(step)?;
        socket.bind(index, config.queue, Copying::Kernel)?;
        while let Some(slot) = umem.pool_mut().take() {
            if let Ok(address) = umem.give(slot) {
                socket.fill.push(address);
            }
        }
        socket.fill.publish();
        let filter = Filter::new(local, narrow(umem.frame_bytes_max()));
        attachment.admit(config.queue, &filter, socket.descriptor())?;
        let frame = (start, narrow(headers.len() + len));
        let (_slots, queue) = (slots, config.queue);
        Ok(Self { socket, umem, free, frame, _slots, attachment, queue })
    }

    /// Sends the frame `count` times, at most as often as it has slots.
    ///
    /// # Errors
    /// The kernel's, or that the slots do not come back.
    pub fn send(&mut self, count: u32) -> io::Result<()> {
        while let Some(address) = self.socket.completion.pop() {
            self.free.extend(self.umem.index(address));
        }
        self.socket.completion.release();
        let (start, len) = self.frame;
        for _ in 0..count {
            let index = self.free.pop().ok_or(io::ErrorKind::OutOfMemory)?;
            let addr = self.umem.address(index, start);
            // There are as many slots as entries of the ring, so there is room.
            let queued = self.socket.tx.push(libc::xdp_desc { addr, len, options: 0 });
            assert!(queued, "more slots than room in the transmit ring");
        }
        self.socket.tx.publish();
        while self.socket.tx.waiting() > 0 {
            match self.socket.wake_tx().map_err(|error| error.raw_os_error()) {
                Ok(()) | Err(Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => {}
                Err(Some(libc::ENOBUFS)) => break,
                Err(code) => return Err(io::Error::from_raw_os_error(code.unwrap_or(0))),
            }
        }
        Ok(())
    }

    /// Takes what has arrived and gives it back to the kernel; returns how many frames.
    pub fn receive(&mut self) -> u32 {
        let mut received = 0;
        while let Some(descriptor) = self.socket.rx.pop() {
            received += 1;
            self.socket.fill.push(descriptor.addr);
        }
        if received > 0 {
            self.socket.rx.release();
            self.socket.fill.publish();
        }
        received
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.attachment.expel(self.queue);
    }
}
