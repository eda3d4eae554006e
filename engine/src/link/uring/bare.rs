//! The floor under this link: the same requests in a loop, with nothing around them.
//!
//! Benches measure the link against it. Datagrams of one length go from one sender to one receiver;
//! each begins with its number, so that either side touches what it moves. What is lost is lost.

use super::block;
use super::buffers::{Buffers, GROUP};
use super::receive::{BUFFER_BYTES, layout, read};
use super::ring::Ring;
use crate::link::mmsg::address::SockAddr;
use crate::link::mmsg::cmsg::{self, Control};
use crate::link::mmsg::socket::{self, Opened};
use crate::link::tx::{MESSAGE_BYTES_MAX, SEGMENTS_MAX};
use crate::link::{OpenError, Options};
use crate::slots::Region;
use io_uring::{cqueue, opcode, types};
use std::hint::black_box;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use syncom_wire::Addr;

/// Messages of one submission.
const MESSAGES: usize = 8;
/// Buffers that the kernel has.
const BUFFERS: u16 = 16;
/// Bytes of the number in a datagram.
const NUMBER_BYTES: usize = size_of::<u64>();

/// Sends datagrams of one length to one address as fast as the kernel takes them.
#[derive(Debug)]
pub struct BareSender {
    ring: Ring,
    opened: Opened,
    bytes: Vec<u8>,
    len: usize,
    /// Bytes of one message.
    message: usize,
    to: Addr,
}

impl BareSender {
    /// Sends datagrams of `len` bytes, 8 to 65,000, to `to`.
    ///
    /// # Errors
    /// As for a link.
    pub fn open(bind: Addr, to: Addr, len: usize) -> Result<Self, OpenError> {
        let opened = socket::open(bind, &Options::LARGE)?;
        let len = len.clamp(NUMBER_BYTES, MESSAGE_BYTES_MAX);
        let message = len * (MESSAGE_BYTES_MAX / len).min(SEGMENTS_MAX);
        let mut ring = Ring::new(16, 32)?;
        ring.enable().map_err(|error| OpenError::Os("io_uring", error))?;
        let bytes = vec![0; message * MESSAGES];
        Ok(Self { ring, opened, bytes, len, message, to })
    }

    /// Datagrams of one [`Self::send`].
    #[must_use]
    pub const fn datagrams(&self) -> usize {
        self.bytes.len() / self.len
    }

    /// Writes a number into each datagram, from `first` on, and sends them in one submission.
    /// Returns how many were sent.
    ///
    /// # Errors
    /// When the ring is of no use any more.
    pub fn send(&mut self, first: u64) -> io::Result<usize> {
        for (number, datagram) in (first..).zip(self.bytes.chunks_exact_mut(self.len)) {
            datagram[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
        }
        // SAFETY: iovec and msghdr consist of integers and pointers, for which zero is valid.
        let (mut iovecs, mut headers): ([libc::iovec; MESSAGES], [libc::msghdr; MESSAGES]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let unreachable = io::ErrorKind::AddrNotAvailable;
        let (mut name, name_len) = SockAddr::of(self.to, self.opened.family).ok_or(unreachable)?;
        let mut controls = [Control::empty(); MESSAGES];
        let segment = u16::try_from(self.len).unwrap_or(u16::MAX);
        for (at, bytes) in self.bytes.chunks_exact_mut(self.message).enumerate() {
            iovecs[at] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let header = &mut headers[at];
            header.msg_name = (&raw mut name).cast();
            header.msg_namelen = name_len;
            header.msg_iov = &raw mut iovecs[at];
            header.msg_iovlen = 1;
            cmsg::put_segment(header, &mut controls[at], segment);
            let socket = types::Fd(self.opened.socket.as_raw_fd());
            let entry = opcode::SendMsg::new(socket, &raw const *header).build();
            // SAFETY: the socket does not block, so the kernel is done with all that the entry
            // leads to when it has been submitted, below; until then nothing of it is touched.
            unsafe { self.ring.push(&entry) };
        }
        self.ring.enter(0)?;
        let mut sent = 0;
        for _ in 0..MESSAGES {
            let completion = self.ring.pop().ok_or(io::ErrorKind::WouldBlock)?;
            sent += usize::try_from(completion.result()).unwrap_or(0) / self.len;
        }
        Ok(sent)
    }
}

/// Receives datagrams that begin with a number, and learns who sent them, and when.
#[derive(Debug)]
pub struct BareReceiver {
    ring: Ring,
    buffers: Buffers,
    region: Region,
    opened: Opened,
    is_armed: bool,
}

impl BareReceiver {
    /// Receives at `bind`.
    ///
    /// # Errors
    /// As for a link.
    pub fn open(bind: Addr) -> Result<Self, OpenError> {
        let opened = socket::open(bind, &Options::LARGE)?;
        block(&opened.socket).map_err(|error| OpenError::Os("fcntl", error))?;
        let ring = Ring::new(4, 4 * u32::from(BUFFERS))?;
        let buffers = Buffers::register(ring.kernel(), BUFFERS)
            .map_err(|error| OpenError::Os("io_uring buffer ring", error))?;
        let region = Region::new(usize::from(BUFFERS) * BUFFER_BYTES as usize);
        let mut receiver = Self { ring, buffers, region, opened, is_armed: false };
        (0..BUFFERS).for_each(|id| receiver.offer(id));
        receiver.buffers.publish();
        Ok(receiver)
    }

    /// Where to send to.
    #[must_use]
    pub const fn local_addr(&self) -> Addr {
        self.opened.local
    }

    /// Takes what has arrived: how many datagrams, and the sum of their numbers.
    ///
    /// # Errors
    /// When the ring or the socket is of no use any more.
    pub fn receive(&mut self) -> io::Result<(usize, u64)> {
        if !self.is_armed {
            self.ring.enable()?;
            let layout = layout();
            let socket = types::Fd(self.opened.socket.as_raw_fd());
            let entry = opcode::RecvMsgMulti::new(socket, &raw const layout, GROUP).build();
            // SAFETY: the kernel copies the layout when it takes the entry, which is now.
            self.is_armed = unsafe { self.ring.push(&entry) };
        }
        if self.ring.needs_entering() {
            self.ring.enter(0)?;
        }
        let (mut count, mut sum) = (0, 0_u64);
        while let Some(completion) = self.ring.pop() {
            self.is_armed &= cqueue::more(completion.flags());
            let Some(id) = cqueue::buffer_select(completion.flags()) else { continue };
            let len = usize::try_from(completion.result()).unwrap_or(0);
            // SAFETY: the kernel wrote `len` bytes to this buffer, which is ours until it is
            // offered again, and its memory is zeroed at first, so initialised.
            let bytes = unsafe { std::slice::from_raw_parts(self.base(id).as_ptr(), len) };
            if let Some((what, told, range)) = read(bytes) {
                black_box(what);
                let message = &bytes[range];
                let segment = if told.segment == 0 { message.len() } else { told.segment };
                for datagram in message.chunks(segment.max(1)) {
                    let number = datagram.first_chunk().copied().unwrap_or_default();
                    sum = sum.wrapping_add(u64::from_le_bytes(number));
                    count += 1;
                }
            }
            self.offer(id);
        }
        self.buffers.publish();
        Ok((count, sum))
    }

    fn base(&self, id: u16) -> NonNull<u8> {
        // SAFETY: the region has room for all buffers, and `id` is one of theirs.
        unsafe { self.region.base().add(usize::from(id) * BUFFER_BYTES as usize) }
    }

    fn offer(&mut self, id: u16) {
        // SAFETY: nobody reads the buffer until the kernel has given it back, and each is offered
        // once at first and once for each time it came back. The memory outlives the request, as
        // does all of a bench.
        unsafe { self.buffers.push(self.base(id).as_ptr(), BUFFER_BYTES, id) };
    }
}
