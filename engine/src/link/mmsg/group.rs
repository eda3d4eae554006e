//! Multicast groups, and the sockets that listen or speak to them.
//!
//! A listener binds to the group's own address, so that it hears nothing else, and shares it with
//! others on the host. A speaker has a port of its own, to which listeners answer by unicast.

use super::address::Family;
use super::socket::{Opened, Sharing, open_with, set, set_to};
use crate::link::{OpenError, Options};
use std::ffi::CString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use syncom_wire::Addr;

/// A multicast group, and how to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its address and port, of either family.
    pub address: Addr,
    /// The interface to use; without one, the system chooses.
    pub interface: Option<Interface>,
    /// How many networks far datagrams go.
    pub ttl: u8,
}

/// A network interface of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The one that has this address; for IPv4 only.
    Address(Ipv4Addr),
    /// The one of this number.
    Index(u32),
}

impl Interface {
    /// The interface that `name` means here: an IPv4 address, or a name such as `eth0`. `None` when
    /// there is no such interface.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Ok(address) = name.parse() {
            return Some(Self::Address(address));
        }
        let name = CString::new(name).ok()?;
        // SAFETY: the string ends in a zero and outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        (index != 0).then_some(Self::Index(index))
    }
}

impl Group {
    /// Opens a socket that listens to the group, if `listens`, or one that sends to it.
    pub(in crate::link) fn open(
        &self,
        listens: bool,
        options: &Options,
    ) -> Result<Opened, OpenError> {
        let family = Family::of(self.address);
        if let (Family::V6, Some(Interface::Address(_))) = (family, self.interface) {
            let error = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(OpenError::Os("name the interface of an IPv6 group, as in %eth0", error));
        }
        let any = match family {
            Family::V4 => Addr::v4([0; 4], 0),
            Family::V6 => Addr { ip: Ipv6Addr::UNSPECIFIED.octets(), port: 0 },
        };
        let opened = match listens {
            true => open_with(self.address, options, &Sharing::All(self.index()))?,
            false => open_with(any, options, &Sharing::None)?,
        };
        match (family, Ipv6Addr::from(self.address.ip).to_ipv4_mapped()) {
            (Family::V4, Some(group)) => self.join_v4(group, listens, &opened)?,
            (Family::V4 | Family::V6, _) => self.join_v6(listens, &opened)?,
        }
        Ok(opened)
    }

    const fn index(&self) -> Option<u32> {
        match self.interface {
            Some(Interface::Index(index)) => Some(index),
            Some(Interface::Address(_)) | None => None,
        }
    }

    fn join_v4(&self, group: Ipv4Addr, listens: bool, opened: &Opened) -> Result<(), OpenError> {
        let (address, index) = match self.interface {
            Some(Interface::Address(address)) => (address, 0),
            Some(Interface::Index(index)) => (Ipv4Addr::UNSPECIFIED, index),
            None => (Ipv4Addr::UNSPECIFIED, 0),
        };
        let here = libc::ip_mreqn {
            imr_multiaddr: in_addr(group),
            imr_address: in_addr(address),
            imr_ifindex: i32::try_from(index).unwrap_or(0),
        };
        let (socket, level) = (&opened.socket, libc::IPPROTO_IP);
        if listens {
            set_to(socket, level, libc::IP_ADD_MEMBERSHIP, &here)
                .map_err(|error| OpenError::Os(JOIN, error))?;
            // Only what was sent to groups that this socket joined, not what others here did.
            let _ = set(socket, level, libc::IP_MULTICAST_ALL, 0);
        }
        if self.interface.is_some() {
            set_to(socket, level, libc::IP_MULTICAST_IF, &here)
                .map_err(|error| OpenError::Os(SPEAK, error))?;
        }
        set(socket, level, libc::IP_MULTICAST_TTL, self.ttl.into())
            .map_err(|error| OpenError::Os("IP_MULTICAST_TTL", error))
    }

    fn join_v6(&self, listens: bool, opened: &Opened) -> Result<(), OpenError> {
        let index = self.index().unwrap_or(0);
        let (socket, level) = (&opened.socket, libc::IPPROTO_IPV6);
        if listens {
            let wanted = libc::ipv6_mreq {
                ipv6mr_multiaddr: libc::in6_addr { s6_addr: self.address.ip },
                ipv6mr_interface: index,
            };
            set_to(socket, level, libc::IPV6_ADD_MEMBERSHIP, &wanted)
                .map_err(|error| OpenError::Os(JOIN, error))?;
            let _ = set(socket, level, IPV6_MULTICAST_ALL, 0);
        }
        if index != 0 {
            set(socket, level, libc::IPV6_MULTICAST_IF, i32::try_from(index).unwrap_or(0))
                .map_err(|error| OpenError::Os(SPEAK, error))?;
        }
        set(socket, level, libc::IPV6_MULTICAST_HOPS, self.ttl.into())
            .map_err(|error| OpenError::Os("IPV6_MULTICAST_HOPS", error))
    }
}

const JOIN: &str = "joining the group (is there such an interface, with multicast on?)";
const SPEAK: &str = "choosing the interface (is there such a one?)";
/// Since Linux 4.20.
const IPV6_MULTICAST_ALL: i32 = 29;

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}
