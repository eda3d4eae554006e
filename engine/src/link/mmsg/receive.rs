//! Receiving: fill a burst with as few system calls as possible.

use super::address::{SockAddr, length};
use super::cmsg::{self, Control};
use crate::link::RxBurst;
use crate::link::rx::Received;
use std::io;
use std::os::fd::RawFd;

/// Messages per system call: enough to amortise it, few enough that the headers (8 KB) stay on the
/// stack and in the cache.
const BATCH: usize = 32;

/// Errors of earlier datagrams that one fill steps over before it gives up for this time.
const ERRORS_MAX: u32 = 16;

/// Receives into the unused slots of `burst` until they are full or nothing is left. Returns the
/// kernel's count of drops, if it told.
///
/// # Errors
/// Only when the socket is of no use any more.
pub(super) fn fill(socket: RawFd, burst: &mut RxBurst) -> io::Result<Option<u32>> {
    let mut drops = None;
    let mut errors = 0;
    while !burst.is_full() {
        let error = match batch(socket, burst, &mut drops) {
            Ok((received, asked)) if received == asked && asked > 0 => continue,
            Ok(_) => break,
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EAGAIN) => break,
            Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL) | None => {
                return Err(error);
            }
            // Interrupted, or an ICMP error about something sent earlier: reading it cleared it.
            Some(_) if errors < ERRORS_MAX => errors += 1,
            Some(_) => break,
        }
    }
    Ok(drops)
}

/// One system call: how many messages were received and how many there was room for.
fn batch(
    socket: RawFd,
    burst: &mut RxBurst,
    drops: &mut Option<u32>,
) -> io::Result<(usize, usize)> {
    let mut names = [SockAddr::empty(); BATCH];
    let mut controls = [Control::empty(); BATCH];
    // SAFETY: iovec and mmsghdr consist of integers and pointers, for which all zeroes is valid.
    let (mut iovecs, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };

    let mut asked = 0;
    for slot in burst.unused_mut().take(BATCH) {
        iovecs[asked] = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let header = &mut headers[asked].msg_hdr;
        header.msg_iov = &raw mut iovecs[asked];
        header.msg_iovlen = 1;
        header.msg_name = (&raw mut names[asked]).cast();
        header.msg_namelen = length::<SockAddr>();
        header.msg_control = controls[asked].as_mut_ptr();
        header.msg_controllen = Control::size();
        asked += 1;
    }
    // SAFETY: the first `asked` headers point at names, control rooms, iovecs and slots that are
    // distinct, as long as they say, and outlive the call: names, controls and iovecs are locals
    // that are not touched meanwhile, the slots belong to `burst`, which is borrowed mutably.
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
        let header = &message.msg_hdr;
        // SAFETY: `msg_control` is `controls[at]`, zeroed at first and 8-aligned; the kernel
        // filled it and set `msg_controllen` to at most its size.
        let told = unsafe { cmsg::read(header) };
        *drops = told.drops.or(*drops);
        let truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        let what = Received { from: names[at].to_addr(), stamp: told.stamp, truncated };
        burst.received(first + at, message.msg_len as usize, told.segment, what);
    }
    Ok((received, asked))
}
