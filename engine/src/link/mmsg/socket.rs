//! Opening a UDP socket with everything that this link wants of it.

use super::address::{Family, SockAddr, length};
use super::errors;
use super::send::Segments;
use crate::link::{OpenError, Options};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use syncom_wire::Addr;

/// A socket, and what the kernel granted.
#[derive(Debug)]
pub(in crate::link) struct Opened {
    pub(in crate::link) socket: OwnedFd,
    pub(in crate::link) local: Addr,
    pub(in crate::link) family: Family,
    pub(in crate::link) segments: Segments,
    pub(in crate::link) shortcomings: Vec<String>,
}

/// Opens, configures and binds.
pub(in crate::link) fn open(bind: Addr, options: &Options) -> Result<Opened, OpenError> {
    open_with(bind, options, &Sharing::None)
}

/// Who else may bind to the same address, and on which interface alone.
pub(in crate::link) enum Sharing {
    /// Nobody, and all.
    None,
    /// Everybody, on this interface if there is one.
    All(Option<u32>),
    /// Sockets of ours that agreed to it.
    Port,
}

/// Opens, configures and binds, together with others if `sharing`.
pub(super) fn open_with(
    bind: Addr,
    options: &Options,
    sharing: &Sharing,
) -> Result<Opened, OpenError> {
    let family = Family::of(bind);
    let socket = create(family).map_err(|error| explain("socket", bind, error))?;
    if family == Family::V6 {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)
            .map_err(|error| OpenError::Os("IPV6_V6ONLY", error))?;
    }
    if matches!(sharing, Sharing::All(_)) {
        set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
            .map_err(|error| OpenError::Os("SO_REUSEADDR", error))?;
    }
    if matches!(sharing, Sharing::Port) {
        set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
            .map_err(|error| OpenError::Os("SO_REUSEPORT", error))?;
    }
    let mut shortcomings = Vec::new();
    let stamps = "arrivals are judged by when they are read";
    for (is_wanted, flag, name, loss) in [
        (options.is_stamped, libc::SO_TIMESTAMPNS, "SO_TIMESTAMPNS", stamps),
        (true, libc::SO_RXQ_OVFL, "SO_RXQ_OVFL", "drops in the kernel go unnoticed"),
    ] {
        if is_wanted && let Err(error) = set(&socket, libc::SOL_SOCKET, flag, 1) {
            shortcomings.push(format!("no {name}: {error}; {loss}"));
        }
    }
    if options.hears_refusals {
        shortcomings.extend(errors::hear(&socket, family));
    }
    if options.takes_runs
        && let Err(error) = set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)
    {
        shortcomings.push(format!("no receive coalescing (UDP_GRO): {error}"));
    }
    let segments = match set(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0) {
        Ok(()) => Segments::Kernel,
        Err(error) => Segments::Off(error.to_string()),
    };
    shortcomings.extend(grow(&socket, &RECEIVE, options.rx_buffer));
    shortcomings.extend(grow(&socket, &SEND, options.tx_buffer));
    let interface = match sharing {
        Sharing::All(Some(interface)) if family == Family::V6 => *interface,
        Sharing::All(_) | Sharing::Port | Sharing::None => 0,
    };
    bind_to(&socket, bind, family, interface).map_err(|error| explain("bind", bind, error))?;
    let local = local(&socket).map_err(|error| OpenError::Os("getsockname", error))?;
    Ok(Opened { socket, local, family, segments, shortcomings })
}

/// Opens and binds a socket, with nothing of what a link wants.
pub(super) fn open_bare(bind: Addr) -> Result<(OwnedFd, Addr), OpenError> {
    let family = Family::of(bind);
    let socket = create(family).map_err(|error| explain("socket", bind, error))?;
    bind_to(&socket, bind, family, 0).map_err(|error| explain("bind", bind, error))?;
    let local = local(&socket).map_err(|error| OpenError::Os("getsockname", error))?;
    Ok((socket, local))
}

fn create(family: Family) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes integers and touches no memory of ours.
    let fd = unsafe { libc::socket(family.domain(), kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(in crate::link) fn set(
    socket: &impl AsRawFd,
    level: i32,
    name: i32,
    value: i32,
) -> io::Result<()> {
    set_to(socket, level, name, &value)
}

pub(super) fn set_to<T: Copy>(
    socket: &impl AsRawFd,
    level: i32,
    name: i32,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open; the kernel reads as many bytes as `value` has, all of them
    // initialised (callers pass integers and structures of integers), and it outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            length::<T>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get(socket: &OwnedFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut len = length::<i32>();
    // SAFETY: the descriptor is open; the kernel writes at most `len` bytes to `value`, both of
    // which outlive the call.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// One of the two kernel buffers of a socket.
struct Buffer {
    what: &'static str,
    force: i32,
    plain: i32,
    sysctl: &'static str,
}

const RECEIVE: Buffer = Buffer {
    what: "receive",
    force: libc::SO_RCVBUFFORCE,
    plain: libc::SO_RCVBUF,
    sysctl: "net.core.rmem_max",
};

const SEND: Buffer = Buffer {
    what: "send",
    force: libc::SO_SNDBUFFORCE,
    plain: libc::SO_SNDBUF,
    sysctl: "net.core.wmem_max",
};

/// Asks for a buffer of `bytes`; says what is missing when the kernel grants less.
fn grow(socket: &OwnedFd, buffer: &Buffer, bytes: usize) -> Option<String> {
    let asked = i32::try_from(bytes).unwrap_or(i32::MAX / 2);
    if set(socket, libc::SOL_SOCKET, buffer.force, asked).is_err() {
        let _ = set(socket, libc::SOL_SOCKET, buffer.plain, asked);
    }
    // The kernel counts its own overhead and reports twice what was granted.
    let granted = get(socket, libc::SOL_SOCKET, buffer.plain).unwrap_or(0) / 2;
    let Buffer { what, sysctl, .. } = buffer;
    (granted < asked).then(|| {
        format!(
            "{what} buffer is {granted} of {asked} bytes; raise {sysctl} or give the process \
             CAP_NET_ADMIN"
        )
    })
}

fn bind_to(socket: &OwnedFd, addr: Addr, family: Family, interface: u32) -> io::Result<()> {
    let Some((name, len)) = SockAddr::of(addr, family) else {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    };
    let name = name.on(interface);
    // SAFETY: the descriptor is open; `name` holds `len` initialised bytes and outlives the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `to` the only one that the socket hears, and the one that it sends to without being told.
pub(super) fn connect(socket: &OwnedFd, to: Addr, family: Family) -> io::Result<()> {
    let Some((name, len)) = SockAddr::of(to, family) else {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    };
    // SAFETY: the descriptor is open; `name` holds `len` initialised bytes and outlives the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn local(socket: &OwnedFd) -> io::Result<Addr> {
    let mut name = SockAddr::empty();
    let mut len = length::<SockAddr>();
    // SAFETY: the descriptor is open; the kernel writes at most `len` bytes to `name`, both of
    // which outlive the call.
    let result =
        unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut name).cast(), &raw mut len) };
    if result == 0 { Ok(name.to_addr()) } else { Err(io::Error::last_os_error()) }
}

fn explain(step: &'static str, addr: Addr, error: io::Error) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => OpenError::InUse(addr),
        Some(libc::EACCES | libc::EPERM) => OpenError::Denied(addr),
        Some(libc::EADDRNOTAVAIL) => OpenError::NotHere(addr),
        Some(libc::EAFNOSUPPORT) => OpenError::NoFamily(addr),
        Some(libc::EMFILE | libc::ENFILE) => OpenError::TooManyFiles,
        Some(_) | None => OpenError::Os(step, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: Addr = Addr::v4([127, 0, 0, 1], 0);

    #[test]
    fn a_port_in_use_is_named_with_a_remedy() {
        let first = open(LOOPBACK, &Options::SMALL).unwrap();
        let error = open(first.local, &Options::SMALL).unwrap_err();
        assert!(matches!(error, OpenError::InUse(addr) if addr == first.local));
        assert!(error.to_string().contains(&format!("sport = :{}", first.local.port)));
    }

    #[test]
    fn an_address_of_another_host_is_refused_by_name() {
        let error = open(Addr::v4([192, 0, 2, 1], 0), &Options::SMALL).unwrap_err();
        assert!(matches!(error, OpenError::NotHere(_)), "{error}");
    }

    #[test]
    fn a_buffer_that_the_kernel_does_not_grant_is_a_shortcoming() {
        let opened = open(LOOPBACK, &Options { rx_buffer: 1 << 30, ..Options::SMALL }).unwrap();
        let granted = get(&opened.socket, libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap();
        let told = opened.shortcomings.iter().any(|line| line.contains("rmem_max"));
        assert_eq!(told, granted / 2 < 1 << 30);
    }
}
