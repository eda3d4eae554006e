//! Addresses as the kernel wants them.

use std::net::{Ipv4Addr, Ipv6Addr};
use syncom_wire::Addr;

#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const INET: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const INET6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) enum Family {
    V4,
    V6,
}

impl Family {
    /// The family to open a socket of, to bind it to `addr`.
    pub(in crate::link) const fn of(addr: Addr) -> Self {
        if Ipv6Addr::from_octets(addr.ip).to_ipv4_mapped().is_some() { Self::V4 } else { Self::V6 }
    }

    pub(in crate::link) const fn domain(self) -> libc::c_int {
        match self {
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }
    }
}

/// Room for an address of either family.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::link) union SockAddr {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl SockAddr {
    /// All zeroes: the family "unspecified".
    pub(in crate::link) const fn empty() -> Self {
        // SAFETY: every member consists of integers, for which all zeroes is valid.
        unsafe { std::mem::zeroed() }
    }

    /// `addr` for a socket of `family`, and its length; `None` when such a socket cannot reach it.
    pub(in crate::link) fn of(addr: Addr, family: Family) -> Option<(Self, libc::socklen_t)> {
        let mut out = Self::empty();
        match family {
            Family::V4 => {
                let ip = Ipv6Addr::from(addr.ip).to_ipv4_mapped()?;
                out.v4 = libc::sockaddr_in {
                    sin_family: INET,
                    sin_port: addr.port.to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    sin_zero: [0; 8],
                };
                Some((out, length::<libc::sockaddr_in>()))
            }
            Family::V6 => {
                out.v6 = libc::sockaddr_in6 {
                    sin6_family: INET6,
                    sin6_port: addr.port.to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip },
                    sin6_scope_id: 0,
                };
                Some((out, length::<libc::sockaddr_in6>()))
            }
        }
    }

    /// The same on one interface: addresses that are valid on one network only, such as
    /// `ff02::1`, say nothing without it. 0 is any; IPv4 knows nothing of it.
    pub(in crate::link) fn on(mut self, interface: u32) -> Self {
        // SAFETY: `of` and `empty` initialised every byte, and the family, at offset 0 in all
        // members, tells which one is meant.
        if unsafe { self.family } == INET6 {
            self.v6.sin6_scope_id = interface;
        }
        self
    }

    /// What the kernel wrote here; [`Addr::NONE`] for a family that is neither.
    pub(in crate::link) fn to_addr(self) -> Addr {
        // SAFETY: `empty` zeroed every byte and the kernel writes whole addresses, so all bytes
        // are initialised; every member consists of integers and is valid for any bytes; `family`
        // lies at offset 0 in all of them and tells which one was written.
        unsafe {
            match self.family {
                INET => {
                    let ip = Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes());
                    Addr::v4(ip.octets(), u16::from_be(self.v4.sin_port))
                }
                INET6 => {
                    Addr { ip: self.v6.sin6_addr.s6_addr, port: u16::from_be(self.v6.sin6_port) }
                }
                _ => Addr::NONE,
            }
        }
    }
}

/// The size of a socket structure.
#[expect(clippy::cast_possible_truncation, reason = "socket structures are tens of bytes")]
pub(in crate::link) const fn length<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_form() {
        let v4 = Addr::v4([10, 1, 2, 3], 4000);
        let v6 = Addr { ip: Ipv6Addr::LOCALHOST.octets(), port: 9 };
        for (addr, family) in [(v4, Family::V4), (v4, Family::V6), (v6, Family::V6)] {
            assert_eq!(SockAddr::of(addr, family).unwrap().0.to_addr(), addr);
        }
        assert!(SockAddr::of(v6, Family::V4).is_none());
        assert_eq!((Family::of(v4), Family::of(v6)), (Family::V4, Family::V6));
    }
}
