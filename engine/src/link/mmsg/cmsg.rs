//! Control messages: what travels beside a datagram between us and the kernel.

use crate::clock::nanoseconds;
use syncom_seam::WallTime;

/// Bytes of room for control messages: a timestamp (32), a segment size (24) and a drop count (24),
/// with room to spare.
const SIZE: usize = 128;

/// Room for the control messages of one datagram, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(in crate::link) struct Control([u8; SIZE]);

/// What the kernel said about a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::link) struct Told {
    /// When it arrived.
    pub(in crate::link) stamp: Option<WallTime>,
    /// Bytes of each datagram, when several were coalesced.
    pub(in crate::link) segment: usize,
    /// Datagrams dropped on this socket so far; wraps.
    pub(in crate::link) drops: Option<u32>,
}

impl Control {
    pub(in crate::link) const fn empty() -> Self {
        Self([0; SIZE])
    }

    pub(in crate::link) const fn size() -> usize {
        SIZE
    }

    pub(in crate::link) const fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }
}

/// Writes into the control room of `header` that its payload is to be cut into datagrams of
/// `segment` bytes.
pub(in crate::link) fn put_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
    header.msg_control = control.as_mut_ptr();
    // SAFETY: CMSG_SPACE and CMSG_LEN are arithmetic.
    let (space, len) = unsafe { (libc::CMSG_SPACE(2), libc::CMSG_LEN(2)) };
    header.msg_controllen = space as usize;
    // SAFETY: `control` is 8-aligned, as cmsghdr wants, and CMSG_SPACE(2) = 24 of its 128 bytes
    // belong to the message, so CMSG_FIRSTHDR is its start and header and two bytes of data fit.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = len as usize;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
    }
}

/// Reads the control messages that the kernel wrote for a received message.
///
/// # Safety
/// `header.msg_control` must point to at least `header.msg_controllen` initialised bytes, aligned
/// for `cmsghdr`.
pub(in crate::link) unsafe fn read(header: &libc::msghdr) -> Told {
    let mut told = Told::default();
    // SAFETY: the caller vouches for the buffer; CMSG_FIRSTHDR and CMSG_NXTHDR return only headers
    // that lie within it, and null at its end.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: not null, so it points at a whole header, as said above.
        let (message, data) = unsafe { (*at, libc::CMSG_DATA(at)) };
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if holds::<libc::timespec>(&message) => {
                // SAFETY: the message holds a timespec, as its type says and its length confirms.
                let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                told.stamp = Some(WallTime(nanoseconds(time)));
            }
            (libc::SOL_UDP, libc::UDP_GRO) if holds::<libc::c_int>(&message) => {
                // SAFETY: the message holds an int, as its type says and its length confirms.
                let segment = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                told.segment = usize::try_from(segment).unwrap_or(0);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) if holds::<u32>(&message) => {
                // SAFETY: the message holds a u32, as its type says and its length confirms.
                told.drops = Some(unsafe { data.cast::<u32>().read_unaligned() });
            }
            _ => {}
        }
        // SAFETY: as for CMSG_FIRSTHDR; `at` came from it.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    told
}

fn holds<T>(message: &libc::cmsghdr) -> bool {
    // SAFETY: CMSG_LEN(0) is arithmetic: the length of a header with its padding.
    let header = unsafe { libc::CMSG_LEN(0) } as usize;
    message.cmsg_len >= header + size_of::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(control: &mut Control, len: usize) -> libc::msghdr {
        // SAFETY: msghdr consists of integers and pointers, for which all zeroes is valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_control = control.as_mut_ptr();
        header.msg_controllen = len;
        header
    }

    #[test]
    fn nothing_told_is_nothing_read() {
        let mut control = Control::empty();
        let header = header(&mut control, 0);
        // SAFETY: no bytes are announced.
        assert_eq!(unsafe { read(&header) }, Told::default());
    }

    #[test]
    fn a_control_message_that_is_cut_short_is_not_read() {
        let mut control = Control::empty();
        let mut header = header(&mut control, 0);
        put_segment(&mut header, &mut control, 1200);
        // SAFETY: `put_segment` initialised the header; the buffer is whole and aligned.
        unsafe {
            (*libc::CMSG_FIRSTHDR(&raw const header)).cmsg_type = libc::UDP_GRO;
            assert_eq!(read(&header).segment, 0, "two bytes are no int");
            (*libc::CMSG_FIRSTHDR(&raw const header)).cmsg_len = libc::CMSG_LEN(4) as usize;
            assert_eq!(read(&header).segment, 1200);
        }
    }
}
