//! What the machine takes for the parts of a commit: one flush of the disk, one round trip.

use super::pair::pin_to;
use crate::exit::{Failure, file_failure};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;
use syncom_engine::clock;

/// Flushes, and round trips, of one look.
const FLUSHES: u64 = 300;
const TRIPS: usize = 1_000;
/// Bytes of the file, zeroed before: a log's file is recycled and does not grow.
const FILE_BYTES: usize = 4 << 20;

/// Medians, in ns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor {
    /// Writing `size` bytes and one fdatasync.
    pub(super) fsync_ns: u64,
    /// A datagram there and back between two threads that sleep until it comes.
    pub(super) trip_ns: u64,
}

impl Floor {
    /// Measures both, with records of `size` bytes.
    pub(super) fn measure(dir: &Path, size: usize) -> Result<Self, Failure> {
        let broken = |error| Failure::failed(format!("cannot measure round trips: {error}"));
        Ok(Self { fsync_ns: fsync_ns(dir, size)?, trip_ns: trip_ns(size).map_err(broken)? })
    }

    /// The mean of two looks.
    pub(super) const fn mean(self, other: Self) -> Self {
        Self {
            fsync_ns: self.fsync_ns.midpoint(other.fsync_ns),
            trip_ns: self.trip_ns.midpoint(other.trip_ns),
        }
    }
}

/// The middle one of some samples; 0 of none.
pub(super) fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or(0)
}

fn fsync_ns(dir: &Path, size: usize) -> Result<u64, Failure> {
    let path = dir.join("floor");
    let failed = |error| file_failure("write", &path, &error);
    let file = File::create(&path).map_err(failed)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let record = vec![7; size];
    let mut samples = Vec::new();
    for n in 0..FLUSHES {
        let at = n * size as u64 % (FILE_BYTES - size) as u64;
        let began = clock::now();
        file.write_all_at(&record, at).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        samples.push(clock::now().since(began));
    }
    let _ = std::fs::remove_file(&path);
    Ok(median(samples))
}

/// Bare sockets, which is the point: everything that we do comes on top.
#[expect(clippy::disallowed_methods, reason = "the floor under the engine's links")]
fn socket() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(socket)
}

fn trip_ns(size: usize) -> std::io::Result<u64> {
    let (here, there) = (socket()?, socket()?);
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    let echo = thread::spawn(move || {
        pin_to(false);
        let mut buffer = vec![0; size.max(1)];
        for _ in 0..TRIPS {
            let Ok(len) = there.recv(&mut buffer) else { return };
            let _ = there.send(&buffer[..len]);
        }
    });
    let ask = thread::spawn(move || {
        pin_to(true);
        let mut buffer = vec![0; size.max(1)];
        let mut samples = Vec::new();
        for _ in 0..TRIPS {
            let began = clock::now();
            here.send(&buffer)?;
            here.recv(&mut buffer)?;
            samples.push(clock::now().since(began));
        }
        Ok::<_, std::io::Error>(median(samples))
    });
    let lost = || std::io::Error::other("a thread is lost");
    let trip_ns = ask.join().map_err(|_| lost())?;
    echo.join().map_err(|_| lost())?;
    trip_ns
}
