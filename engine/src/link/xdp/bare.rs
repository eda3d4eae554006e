//! The least that a loop over `AF_XDP` can do: what the link is measured against.
//!
//! As a program would do it by hand that knows its only peer. It sends one frame, prepared once,
//! again and again; of what it receives it looks at protocol and port, and gives it straight back to
//! the kernel. Rings, wake-ups and batches are those of the link; there are no addresses to look up,
//! no checksums to verify, no bursts.

use super::attachment::Attachment;
use super::checksum::Sum;
use super::device::{RX_MAX, TX_MAX, look_up, narrow};
use super::headers::{FRAME_OVERHEAD, Headers, ROOM};
use super::netlink::{Ip, Neighbour};
use super::program::Filter;
use super::receive::STOCK_MIN;
use super::socket::{Copying, Socket};
use super::umem::Umem;
use super::{Config, headers};
use crate::slots::Slot;
use std::io;
use std::sync::Arc;
use syncom_wire::Addr;

/// Where a frame has protocol and destination port: Ethernet, then IPv4 without options.
const PROTOCOL: usize = 14 + 9;
const TO_PORT: usize = 14 + 20 + 2;

/// A bare socket that sends to one peer.
#[derive(Debug)]
pub struct Bare {
    socket: Socket,
    umem: Umem,
    /// By index: those to send from, each with the frame in it, and those to receive into.
    slots: Vec<Slot>,
    /// Those to send from that the kernel does not have.
    free: Vec<u32>,
    frame: (usize, u32),
    port: [u8; 2],
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
        let headers = Headers::new(local, interface.mac, to.ip, mac, 1)
            .ok_or_else(|| io::Error::other("two families"))?;
        let (rx, tx) = (narrow(RX_MAX), narrow(TX_MAX));
        let mut umem = Umem::new(tx + rx, interface.mtu + FRAME_OVERHEAD);
        let payload = vec![7; len];
        let mut room = [0; ROOM];
        let begun = headers.begin(&mut room, to.port);
        begun.complete(&mut room, len, Sum::of(&payload));
        let start = ROOM - begun.len();
        let mut slots: Vec<Slot> = std::iter::from_fn(|| umem.pool_mut().take()).collect();
        for slot in &mut slots {
            if let Some(place) = slot.bytes_mut(0..ROOM + len) {
                place[..ROOM].copy_from_slice(&room);
                place[ROOM..].copy_from_slice(&payload);
            }
        }
        let mut socket = Socket::new(umem.pool().arena(), rx, tx).map_err(step)?;
        let attachment = Attachment::at(index, config.mode).map_err(step)?;
        socket.bind(index, config.queue, Copying::Kernel)?;
        for index in tx..tx + STOCK_MIN {
            socket.fill.push(umem.address(index, 0));
        }
        socket.fill.publish();
        let filter = Filter::new(local, narrow(umem.frame_bytes_max()));
        attachment.admit(config.queue, &filter, socket.descriptor())?;
        let frame = (start, narrow(begun.len() + len));
        let (free, port, queue) = ((0..tx).collect(), local.port.to_be_bytes(), config.queue);
        Ok(Self { socket, umem, slots, free, frame, port, attachment, queue })
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
        while self.socket.tx.waiting() > 0 && self.socket.tx.needs_wakeup() {
            match self.socket.wake_tx().map_err(|error| error.raw_os_error()) {
                Ok(()) | Err(Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => {}
                Err(Some(libc::ENOBUFS)) => break,
                Err(code) => return Err(io::Error::from_raw_os_error(code.unwrap_or(0))),
            }
        }
        Ok(())
    }

    /// Takes what has arrived and gives it back to the kernel; returns how many datagrams were ours.
    pub fn receive(&mut self) -> u32 {
        let (mut any, mut ours) = (false, 0);
        while let Some(descriptor) = self.socket.rx.pop() {
            any = true;
            ours += u32::from(self.is_ours(&descriptor));
            self.socket.fill.push(descriptor.addr);
        }
        if any {
            self.socket.rx.release();
            self.socket.fill.publish();
            if self.socket.fill.needs_wakeup() {
                self.socket.wake_rx();
            }
        }
        ours
    }

    fn is_ours(&self, descriptor: &libc::xdp_desc) -> bool {
        let slot = self.umem.index(descriptor.addr).and_then(|at| self.slots.get(at as usize));
        let frame =
            slot.and_then(|slot| slot.bytes(self.umem.range(descriptor.addr, descriptor.len)));
        frame.is_some_and(|frame| {
            frame.get(PROTOCOL) == Some(&17) && frame.get(TO_PORT..TO_PORT + 2) == Some(&self.port)
        })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.attachment.expel(self.queue);
    }
}
