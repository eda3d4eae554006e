//! What this host offers a link, for `syncom doctor`.

use crate::link::{self, Kind, Options};
use crate::pin;
use std::fs;
use std::io;
use syncom_wire::Addr;

/// Facts about this host. `None` where it would not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInfo {
    /// Cores that this process may run on.
    pub cores: Option<usize>,
    /// Largest receive buffer in bytes that an unprivileged process may ask for
    /// (`net.core.rmem_max`).
    pub receive_buffer_max: Option<u64>,
    /// Largest send buffer in bytes that an unprivileged process may ask for
    /// (`net.core.wmem_max`).
    pub send_buffer_max: Option<u64>,
    /// Files that this process may open, sockets included.
    pub open_files_max: Option<u64>,
    /// What a UDP link on loopback cannot do here and why; or why none can be opened.
    pub shortcomings: Vec<String>,
}

impl HostInfo {
    /// Looks at this host. Opens a socket on loopback for a moment.
    #[must_use]
    pub fn probe() -> Self {
        let loopback = Addr::v4([127, 0, 0, 1], 0);
        let shortcomings = match link::open(&Kind::Mmsg, loopback, &Options::LARGE) {
            Ok(link) => link.shortcomings(),
            Err(error) => vec![error.to_string()],
        };
        Self {
            cores: pin::cores().ok().map(|cores| cores.len()),
            receive_buffer_max: read("/proc/sys/net/core/rmem_max"),
            send_buffer_max: read("/proc/sys/net/core/wmem_max"),
            open_files_max: open_files().ok().map(|limit| limit.rlim_cur),
            shortcomings,
        }
    }
}

/// Raises the limit of open files of this process as far as it may, so that `wanted` can be open;
/// returns the limit that holds now.
///
/// # Errors
/// When the kernel refuses; the limit is unchanged.
pub fn allow_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = open_files()?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: `limit` is a valid rlimit that outlives the call; the kernel only reads it.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if result == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}

fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call; the kernel writes nothing else.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn read(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_knows_this_host() {
        let info = HostInfo::probe();
        assert!(info.cores.is_some_and(|cores| cores > 0));
        assert!(info.open_files_max.is_some_and(|files| files > 10));
    }

    #[test]
    fn the_limit_of_open_files_rises_only_as_far_as_it_may() {
        let before = open_files().unwrap();
        let after = allow_open_files(u64::MAX).unwrap();
        assert_eq!(after, before.rlim_max);
        assert_eq!(allow_open_files(1).unwrap(), after, "never lowered");
    }
}
