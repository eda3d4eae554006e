//! Ports for members that others must know before they run, or after they ran.

use crate::exit::Failure;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use syncom_engine::link::{self, Kind, Link as _, OpenError, Options};

/// Linux gives sockets that name no port one from 32,768 on, unless it was told otherwise: none of
/// the many that clients open is ever one of these.
const RANGE: Range<u32> = 10_000..32_000;

/// So many ports of the loopback that are free now: each is taken and given back. Each is told once
/// by a process, and other processes begin elsewhere.
///
/// # Errors
/// When this host opens no sockets, or none of the ports is free.
pub fn free(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let mut links = Vec::with_capacity(count);
    for _ in RANGE {
        if links.len() == count {
            break;
        }
        let addr = SocketAddr::from(([127, 0, 0, 1], next()));
        match link::open(&Kind::Mmsg, addr.into(), &Options::SMALL) {
            Ok(link) => links.push(link),
            Err(OpenError::InUse(_)) => {}
            Err(error) => return Err(Failure::failed(format!("cannot listen on {addr}: {error}"))),
        }
    }
    if links.len() < count {
        return Err(Failure::failed(format!("no ports from {RANGE:?} are free on the loopback")));
    }
    Ok(links.iter().map(|link| SocketAddr::from(link.local_addr())).collect())
}

/// The port after the last one that was tried.
#[expect(clippy::cast_possible_truncation, reason = "the range ends below 65,536")]
fn next() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    /// Between the first ports of two processes, one of which was started after the other.
    const APART: u32 = 101;
    let begin = std::process::id().wrapping_mul(APART);
    let tried = TRIED.fetch_add(1, Ordering::Relaxed);
    (RANGE.start + begin.wrapping_add(tried) % (RANGE.end - RANGE.start)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_told_twice_and_none_that_is_taken_or_given_to_who_names_none() {
        let first = free(3).unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], first[2].port() + 1));
        let _taken = link::open(&Kind::Mmsg, addr.into(), &Options::SMALL);
        let all: BTreeSet<_> = first.into_iter().chain(free(3).unwrap()).collect();
        assert_eq!(all.len(), 6);
        assert!(!all.contains(&addr));
        assert!(all.iter().all(|addr| RANGE.contains(&u32::from(addr.port()))));
    }
}
