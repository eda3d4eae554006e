//! Names of things: who, where, which life, which view.

use crate::layout::Field;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use zerocopy::little_endian::{U16, U32, U64};

macro_rules! id {
    ($(#[$meta:meta])* $name:ident($native:ty) as $wire:ty) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $native);

        impl Field for $name {
            type Wire = $wire;
            #[inline]
            fn to_wire(self) -> $wire {
                <$wire>::new(self.0)
            }
            #[inline]
            fn from_wire(wire: $wire) -> Self {
                Self(wire.get())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(
    /// A node's dense number in bitmaps: given by the station at the first join, kept for ever by
    /// that UUID, never given to another.
    Slot(u32) as U32
);
id!(
    /// One life of a node's agent: the station adds one at each join. A newer incarnation replaces
    /// the older one and voids all evidence about it.
    Incarnation(u32) as U32
);
id!(
    /// Number of a membership list: the Raft index of the entry that made it.
    View(u64) as U64
);
id!(
    /// Raft term; also the epoch of the recovery manager and the fencing token of every order.
    Term(u64) as U64
);
id!(
    /// One life of a process on the wire: Unix time in ns at its start. Part of the sealing key, so
    /// that counters may start at zero in each life.
    Boot(u64) as U64
);
id!(
    /// Number of an order: derived from what caused it, so a new recovery manager issues the same
    /// order under the same number.
    OrderId(u64) as U64
);

impl Slot {
    /// No slot: the sender has not been welcomed yet.
    pub const NONE: Self = Self(u32::MAX);

    /// Whether this is a slot that the station gave.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != u32::MAX
    }
}

/// A host's identity: minted once, stored on the host, never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Field for Uuid {
    type Wire = [u8; 16];
    fn to_wire(self) -> [u8; 16] {
        self.0
    }
    fn from_wire(wire: [u8; 16]) -> Self {
        Self(wire)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What kind of member somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A node's agent.
    Agent,
    /// A satellite, running the transponder.
    Satellite,
    /// A replica of the tracking station.
    Station,
    /// A program that asks and is answered: the command line, the console, a user's library.
    Client,
}

/// Who sent a datagram: the sender index of the sealed header.
///
/// The number space is cut by role: nodes by slot below 2^31, then programs that have no slot,
/// satellites, and station replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

impl PeerId {
    /// Nobody in particular.
    pub const ANY: Self = Self(u32::MAX);
    /// Numbers of agents are below this; nobody else's are.
    pub const AGENTS_END: u32 = Self::CLIENTS;
    const CLIENTS: u32 = 0x8000_0000;
    const SATELLITES: u32 = 0xFFFE_0000;
    const STATIONS: u32 = 0xFFFF_0000;

    /// The agent of the node in `slot`.
    #[must_use]
    pub const fn agent(slot: Slot) -> Self {
        Self(slot.0 & 0x7FFF_FFFF)
    }

    /// A client, or an agent that has no slot yet, by a hash of its identity.
    #[must_use]
    pub const fn client(hash: u64) -> Self {
        Self(Self::CLIENTS | (hash % 0x7FFE_0000) as u32)
    }

    /// Satellite number `n`, counted from 1.
    #[must_use]
    pub const fn satellite(n: u16) -> Self {
        Self(Self::SATELLITES | n as u32)
    }

    /// Station replica number `n`, counted from 1.
    #[must_use]
    pub const fn station(n: u16) -> Self {
        Self(Self::STATIONS | n as u32)
    }

    /// The role that this number belongs to.
    #[must_use]
    pub const fn role(self) -> Role {
        match self.0 {
            Self::STATIONS.. => Role::Station,
            Self::SATELLITES.. => Role::Satellite,
            Self::CLIENTS.. => Role::Client,
            _ => Role::Agent,
        }
    }

    /// The slot, if this is an agent's number.
    #[must_use]
    pub const fn slot(self) -> Option<Slot> {
        match self.role() {
            Role::Agent => Some(Slot(self.0)),
            Role::Satellite | Role::Station | Role::Client => None,
        }
    }

    /// The number within its role, counted as the constructor was.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self.role() {
            Role::Agent => self.0,
            Role::Client => self.0 & 0x7FFF_FFFF,
            Role::Satellite | Role::Station => self.0 & 0xFFFF,
        }
    }
}

impl Field for PeerId {
    type Wire = U32;
    fn to_wire(self) -> U32 {
        U32::new(self.0)
    }
    fn from_wire(wire: U32) -> Self {
        Self(wire.get())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        match self.role() {
            Role::Agent => write!(f, "slot {number}"),
            Role::Satellite => write!(f, "satellite {number}"),
            Role::Station => write!(f, "station {number}"),
            Role::Client => write!(f, "client {number:x}"),
        }
    }
}

/// What a report is about: a node by its slot, or any other thing by a hash of its name.
///
/// Values below 2^32 are slots; all others have the top bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub u64);

impl Subject {
    /// The node in `slot`.
    #[must_use]
    pub const fn node(slot: Slot) -> Self {
        Self(slot.0 as u64)
    }

    /// A thing known by name only, such as `node7/web` or `rack3-pdu`.
    #[must_use]
    pub const fn named(name: &str) -> Self {
        Self(hash(name.as_bytes()) | 1 << 63)
    }

    /// The slot, if the subject is a node.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the guard bounds it")]
    pub const fn slot(self) -> Option<Slot> {
        if self.0 < u32::MAX as u64 { Some(Slot(self.0 as u32)) } else { None }
    }
}

impl Field for Subject {
    type Wire = U64;
    fn to_wire(self) -> U64 {
        U64::new(self.0)
    }
    fn from_wire(wire: U64) -> Self {
        Self(wire.get())
    }
}

/// FNV-1a, 64 bit, with a final avalanche: names and UUIDs into numbers, the same everywhere.
///
/// Not a defence against chosen collisions: whoever can choose names is already authenticated.
#[must_use]
pub const fn hash(bytes: &[u8]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        h = (h ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    mix(h)
}

/// A bijective avalanche of 64 bits (the finalizer of MurmurHash3).
#[must_use]
pub const fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ h >> 33
}

/// A UDP address as data: IPv6, or IPv4 mapped into it, and a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    /// IPv6 address, or `::ffff:a.b.c.d`.
    pub ip: [u8; 16],
    /// UDP port.
    pub port: u16,
}

impl Addr {
    /// No address.
    pub const NONE: Self = Self { ip: [0; 16], port: 0 };

    /// An IPv4 address and port.
    #[must_use]
    pub const fn v4(ip: [u8; 4], port: u16) -> Self {
        Self { ip: Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]).to_ipv6_mapped().octets(), port }
    }

    /// Whether there is an address at all.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.port != 0
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self { ip: ip.octets(), port: addr.port() }
    }
}

impl From<Addr> for SocketAddr {
    fn from(addr: Addr) -> Self {
        let v6 = Ipv6Addr::from(addr.ip);
        let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
        Self::new(ip, addr.port)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::from(*self), f)
    }
}

/// The image of an [`Addr`]: 16 bytes and a little-endian port.
#[derive(
    Clone,
    Copy,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    zerocopy::Unaligned,
)]
#[repr(C)]
#[expect(missing_debug_implementations, reason = "an image, never seen by people")]
pub struct AddrImage {
    ip: [u8; 16],
    port: U16,
}

impl Field for Addr {
    type Wire = AddrImage;
    fn to_wire(self) -> AddrImage {
        AddrImage { ip: self.ip, port: U16::new(self.port) }
    }
    fn from_wire(wire: AddrImage) -> Self {
        Self { ip: wire.ip, port: wire.port.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn peer_numbers_tell_their_role() {
        assert_eq!(PeerId::agent(Slot(7)).role(), Role::Agent);
        assert_eq!(PeerId::client(u64::MAX).role(), Role::Client);
        assert_eq!(PeerId::satellite(3).role(), Role::Satellite);
        assert_eq!(PeerId::station(5).role(), Role::Station);
        assert_eq!(PeerId::station(5).number(), 5);
        assert_eq!(PeerId::agent(Slot(9)).slot(), Some(Slot(9)));
    }

    #[test]
    fn subjects_keep_nodes_and_names_apart() {
        assert_eq!(Subject::node(Slot(12)).slot(), Some(Slot(12)));
        assert_eq!(Subject::named("node12").slot(), None);
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["10.1.2.3:4000", "[fe80::1]:9"] {
            let socket: SocketAddr = text.parse().unwrap();
            assert_eq!(Addr::from(socket).to_string(), text);
        }
    }
}
