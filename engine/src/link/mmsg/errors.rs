//! What comes back: datagrams to a port where nobody listens.
//!
//! A host that lives answers such a datagram with ICMP port unreachable and quotes it. A socket that
//! asked for it (`IP_RECVERR`) gets quote and destination in a queue of its own, beside what it
//! receives (ip(7)). The queue is looked at only after the socket failed a call: the kernel reports a
//! queued error once, with the next call of any kind. Whatever else is queued, such as what a router
//! on the way says, is taken out and forgotten.

use super::address::{Family, SockAddr, length};
use super::cmsg::Control;
use super::socket::set;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use syncom_wire::Addr;

/// Other errors that are stepped over for one that is looked for.
const OTHERS_MAX: u32 = 64;
/// Port unreachable: type and code in ICMP (RFC 792) and in ICMPv6 (RFC 4443, section 3.1).
const PORT_UNREACHABLE: [(u8, u8, u8); 2] =
    [(libc::SO_EE_ORIGIN_ICMP, 3, 3), (libc::SO_EE_ORIGIN_ICMP6, 1, 4)];

/// Has the kernel keep what comes back; says what is missing when it does not.
pub(super) fn hear(socket: &OwnedFd, family: Family) -> Option<String> {
    let v4 = set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1);
    let v6 = match family {
        Family::V4 => Ok(()),
        // One that speaks both hears of IPv4 by the first.
        Family::V6 => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    };
    let error = v4.and(v6).err()?;
    Some(format!("no IP_RECVERR: {error}; agents that are gone are noticed by their silence alone"))
}

/// When the queue of one socket is worth a look.
#[derive(Clone, Copy, Debug)]
pub(in crate::link) struct Refusals {
    hears: bool,
    /// There may be something in the queue.
    has_some: bool,
}

impl Refusals {
    /// Of a socket that was made to keep what comes back, or not.
    pub(in crate::link) const fn new(hears: bool) -> Self {
        Self { hears, has_some: false }
    }

    /// The next datagram that came back: see [`take`]. `has_failed` says whether the socket failed a
    /// call since the last time.
    pub(in crate::link) fn next(
        &mut self,
        has_failed: bool,
        socket: RawFd,
        room: &mut [u8],
    ) -> Option<(Addr, usize)> {
        self.has_some |= has_failed && self.hears;
        let found = self.has_some.then(|| take(socket, room)).flatten();
        self.has_some = found.is_some();
        found
    }
}

/// Takes the next datagram that came back out of the queue and writes what is quoted of it to `room`;
/// where it went, and how much was written.
fn take(socket: RawFd, room: &mut [u8]) -> Option<(Addr, usize)> {
    (0..OTHERS_MAX).find_map(|_| next(socket, room).transpose()).and_then(Result::ok)
}

/// The next entry: `Ok(None)` when it is about something else.
///
/// # Errors
/// When the queue is empty, or cannot be read.
fn next(socket: RawFd, room: &mut [u8]) -> io::Result<Option<(Addr, usize)>> {
    let mut iovec = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let (mut name, mut control) = (SockAddr::empty(), Control::empty());
    // SAFETY: msghdr consists of integers and pointers, for which all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = length::<SockAddr>();
    header.msg_iov = &raw mut iovec;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = Control::size();
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points at a name, a control room, an iovec and a room that are as long as it
    // says and outlive the call: the first three are locals that are not touched meanwhile, the room
    // is borrowed mutably.
    let len = unsafe { libc::recvmsg(socket, &raw mut header, flags) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: `msg_control` is `control`, initialised and 8-aligned; the kernel filled it and set
    // `msg_controllen` to at most its size.
    let is_refusal = unsafe { is_port_unreachable(&header) };
    Ok(is_refusal.then(|| (name.to_addr(), len.min(room.len()))))
}

/// Whether the error that came with a message is that nobody listens at a port.
///
/// # Safety
/// `header.msg_control` must point to at least `header.msg_controllen` initialised bytes, aligned
/// for `cmsghdr`.
unsafe fn is_port_unreachable(header: &libc::msghdr) -> bool {
    // SAFETY: the caller vouches for the buffer; CMSG_FIRSTHDR and CMSG_NXTHDR return only headers
    // that lie within it, and null at its end.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: not null, so it points at a whole header, as said above.
        let (message, data) = unsafe { (*at, libc::CMSG_DATA(at)) };
        // SAFETY: CMSG_LEN is arithmetic.
        let whole = unsafe { libc::CMSG_LEN(ERROR_BYTES) } as usize;
        let is_error = matches!(
            (message.cmsg_level, message.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        if is_error && message.cmsg_len >= whole {
            // SAFETY: the message holds an extended error, as its type says and its length confirms.
            let error = unsafe { data.cast::<libc::sock_extended_err>().read_unaligned() };
            return PORT_UNREACHABLE.contains(&(error.ee_origin, error.ee_type, error.ee_code));
        }
        // SAFETY: as for CMSG_FIRSTHDR; `at` came from it.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    false
}

#[expect(clippy::cast_possible_truncation, reason = "sixteen")]
const ERROR_BYTES: u32 = size_of::<libc::sock_extended_err>() as u32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tests::deaf;
    use crate::link::unhurried::{Unhurried, UnhurriedLink};
    use crate::link::{self, Kind, Link, Options, RxBurst};

    const V4: Addr = Addr::v4([127, 0, 0, 1], 0);
    const V6: Addr = Addr { ip: std::net::Ipv6Addr::LOCALHOST.octets(), port: 0 };
    const ROUNDS: u8 = 5;

    /// A link of each kind and address that this host can open.
    fn for_links(test: impl Fn(&str, &dyn Fn(bool) -> Box<dyn Link>)) {
        for (kind, bind) in [(Kind::Mmsg, V4), (Kind::Mmsg, V6), (Kind::Uring, V4)] {
            let name = format!("{kind:?} at {bind}");
            let open = |hears_refusals| {
                link::open(&kind, bind, &Options { hears_refusals, ..Options::SMALL })
            };
            match open(false) {
                Ok(_) => test(&name, &|hears| open(hears).unwrap()),
                Err(why) => eprintln!("cannot run here: {name}: {why}"),
            }
        }
        // Where an error comes to either of two sockets, by chance: several times.
        for _ in 0..8 {
            test("two sockets", &|hears_refusals| {
                let options = Options { hears_refusals, ..Options::SMALL };
                let which = Unhurried { lens: [101, 48], sender_at: 12, below: 255 };
                Box::new(UnhurriedLink::open(V4, &options, which).unwrap())
            });
        }
    }

    fn send(link: &mut dyn Link, to: Addr, byte: u8, len: usize) {
        link.tx_claim(to, len).unwrap().fill(byte);
        link.tx_commit(len);
        let deadline = crate::clock::patience();
        while link.tx_pending() > 0 {
            assert!(crate::clock::now() < deadline);
            link.tx_flush().unwrap();
        }
    }

    #[test]
    fn what_nobody_listens_for_comes_back_whole_and_disturbs_no_other_datagram() {
        for_links(|name, open| {
            let (mut near, mut far) = (open(true), open(true));
            let deaf = deaf(near.local_addr());
            let gone = deaf.local_addr();
            let (here, there) = (near.local_addr(), far.local_addr());
            let (mut back, mut burst, mut room) = (Vec::new(), RxBurst::new(8), [0; 1_500]);
            let (mut arrived, mut heard) = (0, 0);
            let deadline = crate::clock::patience();
            for round in 0..ROUNDS {
                // Of different lengths, so that no two travel as one.
                let len = 100 + usize::from(round);
                send(&mut *near, gone, round, len);
                send(&mut *near, there, round, len);
                send(&mut *far, here, round, len);
            }
            while back.len() < usize::from(ROUNDS) || arrived < ROUNDS || heard < ROUNDS {
                assert!(crate::clock::now() < deadline, "{name}: {back:?}, {arrived}, {heard}");
                arrived += u8::try_from(far.rx_burst(&mut burst).unwrap()).unwrap();
                heard += u8::try_from(near.rx_burst(&mut burst).unwrap()).unwrap();
                while let Some((to, len)) = near.returned(&mut room) {
                    assert_eq!(to, gone, "{name}");
                    assert!(room[..len].iter().all(|byte| *byte == room[0]), "{name}");
                    back.push((room[0], len));
                }
            }
            let whole: Vec<_> = (0..ROUNDS).map(|n| (n, 100 + usize::from(n))).collect();
            assert_eq!(back, whole, "{name}");
            assert_eq!((near.refused(), far.returned(&mut room)), (0, None), "{name}");
        });
    }

    #[test]
    fn a_link_that_is_not_asked_to_hears_of_nothing() {
        for_links(|name, open| {
            let (mut near, mut far) = (open(false), open(false));
            let deaf = deaf(near.local_addr());
            let gone = deaf.local_addr();
            let (mut burst, mut room) = (RxBurst::new(8), [0; 100]);
            send(&mut *near, gone, 1, 50);
            send(&mut *near, far.local_addr(), 2, 50);
            let deadline = crate::clock::patience();
            while far.rx_burst(&mut burst).unwrap() == 0 {
                assert!(crate::clock::now() < deadline, "{name}");
            }
            assert_eq!(near.rx_burst(&mut burst).unwrap(), 0, "{name}");
            assert_eq!(near.returned(&mut room), None, "{name}");
        });
    }

    #[test]
    fn what_is_longer_than_the_room_is_cut_and_an_empty_queue_is_told_from_an_error() {
        for_links(|name, open| {
            let mut near = open(true);
            let deaf = deaf(near.local_addr());
            let gone = deaf.local_addr();
            let (mut burst, mut room) = (RxBurst::new(8), [0; 10]);
            send(&mut *near, gone, 7, 50);
            let deadline = crate::clock::patience();
            let back = loop {
                assert!(crate::clock::now() < deadline, "{name}");
                near.rx_burst(&mut burst).unwrap();
                if let Some(back) = near.returned(&mut room) {
                    break back;
                }
            };
            assert_eq!((back, room), ((gone, 10), [7; 10]), "{name}");
            assert_eq!(near.returned(&mut room), None, "{name}");
        });
    }
}
