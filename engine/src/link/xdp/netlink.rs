//! Questions to the kernel about interfaces, routes and neighbours (`rtnetlink(7)`).
//!
//! One request, one answer, which the kernel has written before `send` returns: nothing blocks.
//! Answers are read with the same care as anything foreign.

use super::headers::Mac;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const HEADER: usize = 16;
/// More than any answer has: attributes of a link are the longest.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const REQUEST_BYTES_MAX: usize = 128;

const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;
const GET_NEIGHBOUR: u16 = 30;
const REQUEST: u16 = 1;

// Attributes, by message.
const LINK_ADDRESS: u16 = 1;
const LINK_MTU: u16 = 4;
const ROUTE_TO: u16 = 1;
/// Flag of a route: the entry of the table as it is written there (`RTM_F_FIB_MATCH`). Else this
/// host's own addresses would all lead over the loopback.
const MATCH_ONLY: u32 = 0x2000;
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_PREFERRED_SOURCE: u16 = 7;
const ROUTE_VIA: u16 = 18;
const NEIGHBOUR_IP: u16 = 1;
const NEIGHBOUR_MAC: u16 = 2;

/// Neighbour states in which its Ethernet address is good: reachable, delayed, probed, or fixed.
const GOOD: u16 = 0x02 | 0x08 | 0x10 | 0x40 | 0x80;
/// The state in which it was good and is to be verified with the next use.
const STALE: u16 = 0x04;

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) mac: Mac,
    /// Bytes of the longest IP packet.
    pub(super) mtu: usize,
}

/// Kinds of routes (`RTN_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    Unicast,
    Multicast,
    /// To this host, a broadcast, forbidden, or something yet unknown.
    Other,
}

/// A way to a destination. Addresses are 4 or 16 bytes long, as the family has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) kind: RouteKind,
    pub(super) interface: u32,
    pub(super) gateway: Option<Ip>,
    pub(super) source: Option<Ip>,
    /// The gateway has the other family.
    pub(super) is_via: bool,
}

/// What is known about the Ethernet address of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    At(Mac),
    /// It was there when last heard of, and the kernel asks again when it sends something.
    WasAt(Mac),
    Unknown,
}

/// An address of either family, as long as the family has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ip {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Ip {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.len() {
            4 => Some(Self::V4(bytes.try_into().ok()?)),
            16 => Some(Self::V6(bytes.try_into().ok()?)),
            _ => None,
        }
    }

    fn family(&self) -> u8 {
        let family = match self {
            Self::V4(_) => libc::AF_INET,
            Self::V6(_) => libc::AF_INET6,
        };
        u8::try_from(family).unwrap_or(0)
    }

    fn bits(&self) -> u8 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }
}

/// A socket to ask by, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    answer: Box<[u8]>,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket takes integers and touches no memory of ours.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, sequence: 0, answer: vec![0; ANSWER_BYTES_MAX].into() })
    }

    /// The interface of that index.
    pub(super) fn interface(&mut self, index: u32) -> io::Result<Interface> {
        let mut request = Request::new(GET_LINK);
        // Family, type, index, flags, change.
        request.put(&[0; 4]);
        request.put(&index.to_ne_bytes());
        request.put(&[0; 8]);
        let body = self.ask(request, NEW_LINK)?;
        let none = || io::Error::other("the interface has no Ethernet address");
        let mac = attribute(body, 16, LINK_ADDRESS).ok_or_else(none)?;
        let mtu = attribute(body, 16, LINK_MTU).and_then(word).ok_or_else(none)?;
        Ok(Interface { mac: mac.try_into().map_err(|_| none())?, mtu: mtu as usize })
    }

    /// The kernel's way to `to`; out of the interface `out` if that is not 0.
    pub(super) fn route(&mut self, to: Ip, out: u32) -> io::Result<Route> {
        let mut request = Request::new(GET_ROUTE);
        // Family, prefix lengths of destination and source, then service, table, protocol, scope,
        // type, flags.
        request.put(&[to.family(), to.bits(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        request.attribute(ROUTE_TO, to.bytes());
        if out != 0 {
            request.attribute(ROUTE_INTERFACE, &out.to_ne_bytes());
        }
        let body = self.ask(request, NEW_ROUTE)?;
        let kind = match body.get(7) {
            Some(1) => RouteKind::Unicast,
            Some(5) => RouteKind::Multicast,
            Some(_) | None => RouteKind::Other,
        };
        Ok(Route {
            kind,
            interface: attribute(body, 12, ROUTE_INTERFACE).and_then(word).unwrap_or(0),
            gateway: attribute(body, 12, ROUTE_GATEWAY).and_then(Ip::read),
            source: attribute(body, 12, ROUTE_PREFERRED_SOURCE).and_then(Ip::read),
            is_via: attribute(body, 12, ROUTE_VIA).is_some(),
        })
    }

    /// The interface that has the address `ip`, or else over which it is reached.
    pub(super) fn interface_of(&mut self, ip: Ip) -> io::Result<u32> {
        let mut request = Request::new(GET_ROUTE);
        request.put(&[ip.family(), ip.bits(), 0, 0, 0, 0, 0, 0]);
        request.put(&MATCH_ONLY.to_ne_bytes());
        request.attribute(ROUTE_TO, ip.bytes());
        let body = self.ask(request, NEW_ROUTE)?;
        let interface = attribute(body, 12, ROUTE_INTERFACE).and_then(word);
        interface.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What the kernel knows about the neighbour `ip` at an interface.
    pub(super) fn neighbour(&mut self, ip: Ip, interface: u32) -> io::Result<Neighbour> {
        let mut request = Request::new(GET_NEIGHBOUR);
        // Family and padding, interface, state, flags, type.
        request.put(&[ip.family(), 0, 0, 0]);
        request.put(&interface.to_ne_bytes());
        request.put(&[0; 4]);
        request.attribute(NEIGHBOUR_IP, ip.bytes());
        let body = match self.ask(request, NEW_NEIGHBOUR) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                return Ok(Neighbour::Unknown);
            }
            body => body?,
        };
        let state = body.get(8..10).and_then(|state| state.try_into().ok());
        let state = state.map_or(0, u16::from_ne_bytes);
        let mac = attribute(body, 12, NEIGHBOUR_MAC).and_then(|mac| mac.try_into().ok());
        Ok(match mac {
            Some(mac) if state & GOOD != 0 => Neighbour::At(mac),
            Some(mac) if state & STALE != 0 => Neighbour::WasAt(mac),
            Some(_) | None => Neighbour::Unknown,
        })
    }

    /// Sends a request and reads its answer: the body of a message of the kind `wanted`.
    fn ask(&mut self, mut request: Request, wanted: u16) -> io::Result<&[u8]> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = request.finish(self.sequence);
        let fd = self.fd.as_raw_fd();
        // SAFETY: the descriptor is open; the kernel reads `message`, which outlives the call.
        let sent = unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        loop {
            let (room, len) = (self.answer.as_mut_ptr().cast(), self.answer.len());
            // SAFETY: the descriptor is open; the kernel writes at most `len` bytes to the buffer,
            // which is as long and outlives the call.
            let received = unsafe { libc::recv(fd, room, len, 0) };
            let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
            let answer = self.answer.get(..received).unwrap_or_default();
            let Some((kind, sequence, range)) = first_message(answer) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            // Anything else is left of a request that went wrong.
            if sequence == self.sequence {
                let body = self.answer.get(range).unwrap_or_default();
                return if kind == wanted { Ok(body) } else { Err(refusal(kind, body)) };
            }
        }
    }
}

/// The error that an answer other than the wanted one tells.
fn refusal(kind: u16, body: &[u8]) -> io::Error {
    let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    if kind == ERROR && code < 0 {
        return io::Error::from_raw_os_error(code.saturating_neg());
    }
    io::ErrorKind::InvalidData.into()
}

/// Kind, sequence and place of the body of the first message.
fn first_message(answer: &[u8]) -> Option<(u16, u32, std::ops::Range<usize>)> {
    let len = word(answer.get(..4)?)? as usize;
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let sequence = word(answer.get(8..12)?)?;
    (HEADER <= len && len <= answer.len()).then_some((kind, sequence, HEADER..len))
}

/// The value of an attribute of a message whose fixed part has `fixed` bytes.
fn attribute(body: &[u8], fixed: usize, wanted: u16) -> Option<&[u8]> {
    /// Flags in the kind: nested, in network order.
    const KIND: u16 = 0x3fff;
    let mut rest = body.get(fixed..)?;
    loop {
        let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..len)?;
        if kind & KIND == wanted {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A request, as it is built. Requests are ours and short: what does not fit would be a bug.
#[derive(Debug)]
struct Request {
    bytes: [u8; REQUEST_BYTES_MAX],
    len: usize,
}

impl Request {
    fn new(kind: u16) -> Self {
        let mut request = Self { bytes: [0; REQUEST_BYTES_MAX], len: HEADER };
        request.bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        request.bytes[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
        request
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.put(&len.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
    }

    fn finish(&mut self, sequence: u32) -> &[u8] {
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn the_loopback_is_known_and_leads_to_this_host() {
        let mut netlink = Netlink::open().unwrap();
        // SAFETY: the name is terminated and outlives the call.
        let index = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
        assert_eq!(netlink.interface(index).unwrap().mac, [0; 6]);
        let route = netlink.route(Ip::V4([127, 0, 0, 1]), 0).unwrap();
        assert_eq!((route.kind, route.interface), (RouteKind::Other, index));
        assert_eq!(route.source, Some(Ip::V4([127, 0, 0, 1])));
        let nobody = netlink.neighbour(Ip::V4([192, 0, 2, 1]), index).unwrap();
        assert_eq!(nobody, Neighbour::Unknown);
        assert!(netlink.interface(1 << 30).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(bytes: Vec<u8>, fixed in 0..20_usize, wanted in 0..20_u16) {
            if let Some((_, _, range)) = first_message(&bytes) {
                prop_assert!(bytes.get(range).is_some());
            }
            attribute(&bytes, fixed, wanted);
        }
    }

    #[test]
    fn attributes_that_lie_about_their_length_end_the_search() {
        for len in [0_u16, 3, 9] {
            let mut body = len.to_ne_bytes().to_vec();
            body.extend([7, 0, 1, 2, 3, 4]);
            assert_eq!(attribute(&body, 0, 8), None);
            assert_eq!(attribute(&body, 0, 7), None, "{len}");
        }
    }
}
