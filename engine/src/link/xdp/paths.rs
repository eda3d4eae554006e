//! How to reach a destination from this interface: the headers to put in front, or not at all.
//!
//! The kernel knows: its routes say over which neighbour, its neighbour table says that one's
//! Ethernet address. What it says is kept for a moment, for as many destinations as there is room.
//! Where the kernel does not know the address yet, or the way leads elsewhere (this host, another
//! interface, a broadcast), the datagram goes by the plain socket: so the kernel asks for the
//! address (ARP, neighbour discovery) by itself, and from then on knows it.

use super::headers::{Headers, Mac, mapped, multicast_mac};
use super::netlink::{Interface, Ip, Neighbour, Netlink, Route, RouteKind};
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::Addr;
use syncom_wire::ids::mix;

/// How long what the kernel said is believed: a neighbour that moved is noticed after so long.
const FRESH_NS: u64 = SECOND;
/// How long until a neighbour that the kernel does not know is asked for again.
const UNKNOWN_NS: u64 = 5 * MS;
/// Destinations that share a place: the one that would be asked for first gives way.
const WAYS: usize = 4;

/// The answers for recent destinations.
#[derive(Debug)]
pub(super) struct Paths {
    netlink: Netlink,
    local: Addr,
    /// How many networks far datagrams to groups go.
    ttl: u8,
    index: u32,
    interface: Interface,
    sets: Box<[[Entry; WAYS]]>,
    /// Where the latest answer was found: mostly it is asked for again.
    latest: Path,
    now: Time,
}

/// Where the answer for a destination is kept, until the next question.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    set: usize,
    way: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    ip: [u8; 16],
    /// `None`: by the plain socket.
    headers: Option<Headers>,
    until: Time,
}

impl Paths {
    /// Paths from `local` out of an interface, room for about `count` destinations.
    pub(super) fn new(
        netlink: Netlink,
        local: Addr,
        ttl: u8,
        (index, interface): (u32, Interface),
        count: usize,
    ) -> Self {
        let empty = Entry { ip: [0; 16], headers: None, until: Time(0) };
        let sets = count.div_ceil(WAYS).next_power_of_two();
        let sets = (0..sets).map(|_| std::array::from_fn(|_| empty.clone())).collect();
        // Nobody speaks from the address of a group, but one may listen there.
        let ip = if multicast_mac(local.ip).is_some() { [0; 16] } else { local.ip };
        let local = Addr { ip, ..local };
        let (latest, now) = (Path::default(), Time(0));
        Self { netlink, local, ttl, index, interface, sets, latest, now }
    }

    /// Tells the time, by which answers grow old.
    pub(super) const fn advance(&mut self, now: Time) {
        self.now = now;
    }

    /// Finds the path to `ip`; `None` when the datagram is to go by the plain socket.
    #[inline]
    pub(super) fn find(&mut self, ip: [u8; 16]) -> Option<Path> {
        let latest = self.sets.get(self.latest.set)?.get(self.latest.way)?;
        if latest.ip == ip && latest.until > self.now && latest.headers.is_some() {
            return Some(self.latest);
        }
        self.latest = self.find_any(ip)?;
        Some(self.latest)
    }

    fn find_any(&mut self, ip: [u8; 16]) -> Option<Path> {
        let set = self.set_of(ip);
        let way = self.sets.get(set)?.iter().position(|entry| entry.ip == ip);
        let way = match way {
            Some(way) if self.sets[set][way].until > self.now => way,
            other => {
                let until = |way: &usize| self.sets[set][*way].until;
                let way = other.or_else(|| (0..WAYS).min_by_key(until))?;
                let answer = self.ask(ip);
                let fresh_ns = if answer.is_known { FRESH_NS } else { UNKNOWN_NS };
                let until = self.now.after(fresh_ns);
                self.sets[set][way] = Entry { ip, headers: answer.headers, until };
                if answer.is_to_verify {
                    return None;
                }
                way
            }
        };
        self.sets[set][way].headers.is_some().then_some(Path { set, way })
    }

    /// The headers of a path that was just found.
    pub(super) fn headers(&self, path: Path) -> Option<&Headers> {
        self.sets.get(path.set)?.get(path.way)?.headers.as_ref()
    }

    fn set_of(&self, ip: [u8; 16]) -> usize {
        let half = |at: usize| ip[at..].first_chunk().map_or(0, |half| u64::from_ne_bytes(*half));
        let hash = usize::try_from(mix(half(0) ^ mix(half(8))) >> 32).unwrap_or(0);
        hash & (self.sets.len() - 1)
    }

    /// Asks the kernel.
    fn ask(&mut self, ip: [u8; 16]) -> Answer {
        if let Some(mac) = multicast_mac(ip) {
            let source = self.source(to_ip(ip), self.index);
            let headers = source.and_then(|source| self.build(source, ip, mac));
            return Answer { headers, is_known: true, is_to_verify: false };
        }
        let elsewhere = Answer { headers: None, is_known: true, is_to_verify: false };
        let Ok(route) = self.netlink.route(to_ip(ip), 0) else { return elsewhere };
        let is_ours = route.kind == RouteKind::Unicast && route.interface == self.index;
        if !is_ours || route.is_via {
            return elsewhere;
        }
        let next = route.gateway.unwrap_or(to_ip(ip));
        let (mac, is_to_verify) = match self.netlink.neighbour(next, self.index) {
            Ok(Neighbour::At(mac)) => (mac, false),
            Ok(Neighbour::WasAt(mac)) => (mac, true),
            Ok(Neighbour::Unknown) | Err(_) => return Answer { is_known: false, ..elsewhere },
        };
        let source = self.source_of(&route);
        let headers = source.and_then(|source| self.build(source, ip, mac));
        Answer { headers, is_known: true, is_to_verify }
    }

    fn build(&self, source: [u8; 16], to: [u8; 16], mac: Mac) -> Option<Headers> {
        let from = Addr { ip: source, port: self.local.port };
        Headers::new(from, self.interface.mac, to, mac, self.ttl)
    }

    /// The address to send from towards `to`, out of the interface `out`.
    fn source(&mut self, to: Ip, out: u32) -> Option<[u8; 16]> {
        if !is_unspecified(self.local.ip) {
            return Some(self.local.ip);
        }
        let route = self.netlink.route(to, out).ok()?;
        self.source_of(&route)
    }

    /// The address to send from: our own, or the one that the kernel prefers on this route.
    fn source_of(&self, route: &Route) -> Option<[u8; 16]> {
        if !is_unspecified(self.local.ip) {
            return Some(self.local.ip);
        }
        Some(match route.source? {
            Ip::V4(v4) => Addr::v4(v4, 0).ip,
            Ip::V6(v6) => v6,
        })
    }
}

/// What the kernel said.
#[derive(Debug)]
struct Answer {
    headers: Option<Headers>,
    /// Worth believing for a while.
    is_known: bool,
    /// The kernel would ask the neighbour again if it had something to send to it.
    is_to_verify: bool,
}

fn to_ip(ip: [u8; 16]) -> Ip {
    mapped(ip).map_or(Ip::V6(ip), Ip::V4)
}

fn is_unspecified(ip: [u8; 16]) -> bool {
    ip == [0; 16] || mapped(ip) == Some([0; 4])
}
