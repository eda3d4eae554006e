//! The link `mmsg` against the barest loop over connected sockets: one datagram there and back, on the
//! loopback.

use super::trip::{self, End, LinkEnd, SealedEnd, Times};
use crate::measure::{Bench, Scale};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use syncom_engine::link::mmsg::bare::Bare;
use syncom_engine::link::{self, Kind, Options};
use syncom_wire::limits::MTU;
use syncom_wire::{Addr, Header};

/// A body that, sealed, fills a datagram that is sent without being asked for.
const LONG: usize = MTU - Header::OVERHEAD;

/// Runs all cases.
pub(super) fn run(scale: Scale) -> io::Result<Vec<Bench>> {
    let mut benches = Vec::new();
    for len in [32, 256, LONG] {
        let mut bare = bare(len)?;
        let mut link = links(len)?;
        let [near, far] = links(len + Header::OVERHEAD)?;
        let mut sealed = [SealedEnd::new(near, 1, len)?, SealedEnd::new(far, 2, len)?];
        let mut times = [const { Times::new() }; 3];
        for _ in 0..scale.rounds * trip::TURNS {
            times[0].take_trips(&mut bare)?;
            times[1].take_trips(&mut link)?;
            times[2].take_trips(&mut sealed)?;
        }
        trip::tell(&format!("udp {len} B"), &times, &mut benches);
    }
    Ok(benches)
}

fn here() -> Addr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

fn bare(len: usize) -> io::Result<[Bare; 2]> {
    let open = || Bare::open(here(), len).map_err(io::Error::other);
    let (mut near, mut far) = (open()?, open()?);
    near.connect(far.local_addr())?;
    far.connect(near.local_addr())?;
    Ok([near, far])
}

/// Two links that hear each other alone, for datagrams of `len` bytes.
fn links(len: usize) -> io::Result<[LinkEnd; 2]> {
    let options = Options { is_stamped: false, takes_runs: false, ..Options::LARGE };
    let open = || link::open(&Kind::Mmsg, here(), &options).map_err(io::Error::other);
    let (mut near, mut far) = (open()?, open()?);
    let [from, to] = [near.local_addr(), far.local_addr()];
    near.connect(to)?;
    far.connect(from)?;
    Ok([LinkEnd::new(near, to, len), LinkEnd::new(far, from, len)])
}

impl End for Bare {
    fn send(&mut self, count: u32) -> io::Result<()> {
        (0..count).try_for_each(|_| Self::send(self))
    }

    fn receive(&mut self) -> io::Result<u32> {
        Self::receive(self).map(u32::from)
    }
}
