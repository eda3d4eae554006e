//! Receiving: a single datagram as soon as it is there, many with as few system calls as possible.
//!
//! A call that may bring many has headers for all of them to be prepared, read by the kernel and
//! answered, which costs a lone datagram a tenth of a round trip. So what is asked for follows what
//! came: one message as long as calls find one or none, several while they find more. Where a message is
//! nothing but bytes, because it is known from whom, it is asked for by the plainest of all calls.

use super::address::{SockAddr, length};
use super::cmsg::{self, Control};
use crate::link::RxBurst;
use crate::link::rx::Received;
use std::io;
use std::os::fd::RawFd;
use syncom_wire::Addr;

/// Messages per system call while some come.
const FEW: usize = 8;
/// Messages per system call at most: enough to amortise it, few enough that the headers (8 KB) stay
/// on the stack and in the cache.
const MANY: usize = 32;

/// Errors of earlier datagrams that one fill steps over before it gives up for this time.
const ERRORS_MAX: u32 = 16;

/// How many messages to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ask {
    #[default]
    One,
    /// One came: one more, before it is worth while to prepare for several.
    Another,
    Few,
    Many,
}

impl Ask {
    /// What to ask for after a call that brought `received` messages.
    const fn next(self, received: usize) -> Self {
        match (self, received) {
            (Self::One | Self::Another, 0) | (Self::Few | Self::Many, 0 | 1) => Self::One,
            (Self::One, _) => Self::Another,
            (Self::Another, _) => Self::Few,
            (Self::Few | Self::Many, FEW..) => Self::Many,
            (Self::Few | Self::Many, _) => Self::Few,
        }
    }
}

/// Receives from a socket.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    ask: Ask,
    /// The kernel's count of drops, if it told.
    drops: Option<u32>,
    /// One call found so many that the buffer may have been full: the kernel tells of drops with
    /// the next datagram that it accepts, and until that comes somebody would judge without knowing.
    was_long: bool,
    /// Nothing is to be known of a message but its bytes and who sent it.
    is_plain: bool,
    /// The only one who is heard.
    peer: Option<Addr>,
    /// Nothing is left of what others had sent before.
    is_drained: bool,
    /// A call failed by an error about something sent earlier, or was interrupted.
    failed: bool,
}

impl Receiver {
    /// `is_plain` says that the socket tells neither times nor lengths of runs.
    pub(super) fn new(is_plain: bool) -> Self {
        Self { is_plain, ..Self::default() }
    }

    /// Whether a call has failed since the last time that this was asked.
    pub(super) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// The socket hears `peer` alone from now on, and what is in it already.
    pub(super) const fn on_connected(&mut self, peer: Addr) {
        (self.peer, self.is_drained) = (Some(peer), false);
    }

    /// Receives into the unused slots of `burst` until they are full or nothing is left. Returns
    /// the kernel's count of drops, if it told.
    ///
    /// # Errors
    /// Only when the socket is of no use any more.
    pub(super) fn fill(&mut self, socket: RawFd, burst: &mut RxBurst) -> io::Result<Option<u32>> {
        let mut errors = 0;
        while !burst.is_full() && self.step(socket, burst, &mut errors)? {}
        Ok(self.drops.take())
    }

    /// As [`Self::fill`]; but a message that comes alone makes the burst full, so that it is dealt
    /// with before the kernel is asked whether there is another one.
    ///
    /// # Errors
    /// Only when the socket is of no use any more.
    pub(super) fn fill_some(
        &mut self,
        socket: RawFd,
        burst: &mut RxBurst,
    ) -> io::Result<Option<u32>> {
        let mut errors = 0;
        while !burst.is_full() {
            let was_one = matches!(self.ask, Ask::One | Ask::Another);
            if !self.step(socket, burst, &mut errors)? {
                break;
            }
            if was_one && !burst.is_empty() {
                burst.stop();
            }
        }
        Ok(self.drops.take())
    }

    /// One system call; false when the socket is drained.
    fn step(&mut self, socket: RawFd, burst: &mut RxBurst, errors: &mut u32) -> io::Result<bool> {
        let result = match self.ask {
            Ask::One | Ask::Another => match self.peer {
                Some(peer) if self.is_plain && self.is_drained => bytes(socket, burst, peer),
                Some(_) | None => self.one(socket, burst),
            },
            Ask::Few => self.several::<FEW>(socket, burst),
            Ask::Many => self.several::<MANY>(socket, burst),
        };
        let error = match result {
            Ok((received, asked)) => {
                self.ask = self.ask.next(received);
                self.was_long |= received >= FEW;
                let goes_on = received == asked && asked > 0;
                if !goes_on {
                    self.on_drained(socket);
                }
                return Ok(goes_on);
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EAGAIN) => {
                (self.ask, self.is_drained) = (self.ask.next(0), true);
                self.on_drained(socket);
                Ok(false)
            }
            Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL) | None => Err(error),
            // Interrupted, or an ICMP error about something sent earlier: reading it cleared it.
            Some(_) => {
                *errors += 1;
                self.failed = true;
                Ok(*errors <= ERRORS_MAX)
            }
        }
    }

    /// Nothing is left: after many, asks what the kernel had no room for.
    fn on_drained(&mut self, socket: RawFd) {
        if std::mem::take(&mut self.was_long) {
            self.drops = drops(socket).or(self.drops);
        }
    }

    /// Receives one message: how many were received and how many there was room for.
    fn one(&mut self, socket: RawFd, burst: &mut RxBurst) -> io::Result<(usize, usize)> {
        let first = burst.used();
        let Some(slot) = burst.unused_mut().next() else { return Ok((0, 0)) };
        let mut iovec = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let (mut name, mut control) = (SockAddr::empty(), Control::empty());
        let mut header = header(&mut name, &mut iovec, &mut control);
        // SAFETY: the header points at a name, a control room, an iovec and a slot that are as long
        // as it says and outlive the call: the first three are locals that are not touched
        // meanwhile, the slot belongs to `burst`, which is borrowed mutably.
        let len = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: `msg_control` is `control`, initialised and 8-aligned; the kernel filled it and
        // set `msg_controllen` to at most its size.
        unsafe { self.take(burst, first, len, &header, name) };
        Ok((1, 1))
    }

    /// Receives up to `N` messages: how many were received and how many there was room for.
    fn several<const N: usize>(
        &mut self,
        socket: RawFd,
        burst: &mut RxBurst,
    ) -> io::Result<(usize, usize)> {
        let mut names = [SockAddr::empty(); N];
        let mut controls = [Control::empty(); N];
        // SAFETY: iovec and mmsghdr consist of integers and pointers, for which zero is valid.
        let (mut iovecs, mut headers): ([libc::iovec; N], [libc::mmsghdr; N]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };

        let mut asked = 0;
        for slot in burst.unused_mut().take(N) {
            iovecs[asked] = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            let (name, control) = (&mut names[asked], &mut controls[asked]);
            headers[asked].msg_hdr = header(name, &mut iovecs[asked], control);
            asked += 1;
        }
        // SAFETY: the first `asked` headers point at names, control rooms, iovecs and slots that
        // are distinct, as long as they say, and outlive the call: names, controls and iovecs are
        // locals that are not touched meanwhile, the slots belong to `burst`, which is borrowed
        // mutably.
        let received = unsafe {
            libc::recvmmsg(
                socket,
                headers.as_mut_ptr(),
                u32::try_from(asked).unwrap_or(0),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        let first = burst.used();
        for (at, message) in headers[..received.min(asked)].iter().enumerate() {
            let (header, len) = (&message.msg_hdr, message.msg_len as usize);
            // SAFETY: `msg_control` is `controls[at]`, initialised and 8-aligned; the kernel filled
            // it and set `msg_controllen` to at most its size.
            unsafe { self.take(burst, first + at, len, header, names[at]) };
        }
        Ok((received, asked))
    }

    /// Takes in the message of `len` bytes that lies in the slot at `slot`.
    ///
    /// # Safety
    /// As [`cmsg::read`] for `header`.
    unsafe fn take(
        &mut self,
        burst: &mut RxBurst,
        slot: usize,
        len: usize,
        header: &libc::msghdr,
        name: SockAddr,
    ) {
        // SAFETY: the caller vouches for the control messages.
        let told = unsafe { cmsg::read(header) };
        self.drops = told.drops.or(self.drops);
        let truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        let what = Received { from: name.to_addr(), stamp: told.stamp, truncated };
        burst.received(slot, len, told.segment, what);
    }
}

/// Receives the bytes of one message, which `from` sent.
fn bytes(socket: RawFd, burst: &mut RxBurst, from: Addr) -> io::Result<(usize, usize)> {
    let first = burst.used();
    let Some(slot) = burst.unused_mut().next() else { return Ok((0, 0)) };
    let (start, room) = (slot.as_mut_ptr().cast(), slot.len());
    // SAFETY: the slot is `room` bytes long and belongs to `burst`, which is borrowed mutably; the
    // kernel writes no more than that, whatever length it tells because of MSG_TRUNC.
    let len = unsafe { libc::recv(socket, start, room, libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let what = Received { from, stamp: None, truncated: len > room };
    burst.received(first, len.min(room), 0, what);
    Ok((1, 1))
}

/// A header for one message to be received.
const fn header(
    name: &mut SockAddr,
    iovec: &mut libc::iovec,
    control: &mut Control,
) -> libc::msghdr {
    // SAFETY: msghdr consists of integers and pointers, for which all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut *name).cast();
    header.msg_namelen = length::<SockAddr>();
    header.msg_iov = iovec;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = Control::size();
    header
}

/// The kernel's count of datagrams that it dropped on this socket; `None` when it does not tell.
fn drops(socket: RawFd) -> Option<u32> {
    /// Numbers that the kernel tells of a socket's memory, the drops being the last one
    /// (`SK_MEMINFO_DROPS`).
    const NUMBERS: usize = 9;
    let mut numbers = [0_u32; NUMBERS];
    let mut len = length::<[u32; NUMBERS]>();
    // SAFETY: the kernel writes at most `len` bytes to `numbers` and their count to `len`, both of
    // which are that long and outlive the call; it fails for whatever is no socket.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    (result == 0 && len == length::<[u32; NUMBERS]>()).then_some(numbers[NUMBERS - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_follows_what_came() {
        let asks = |received: &[usize]| {
            let mut ask = Ask::default();
            received.iter().for_each(|count| ask = ask.next(*count));
            ask
        };
        assert_eq!(asks(&[0, 0]), Ask::One);
        assert_eq!(asks(&[1]), Ask::Another);
        assert_eq!(asks(&[1, 1]), Ask::Few);
        assert_eq!(asks(&[1, 0]), Ask::One);
        assert_eq!(asks(&[1, 1, 1]), Ask::One);
        assert_eq!(asks(&[1, 1, 2, 7]), Ask::Few);
        assert_eq!(asks(&[1, 1, FEW, MANY]), Ask::Many);
        assert_eq!(asks(&[1, 1, FEW, 2]), Ask::Few);
    }
}
