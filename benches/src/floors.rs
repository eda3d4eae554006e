//! What the kernel takes for itself: nothing that goes through it can be faster.

mod stream;
mod trip;
mod udp;
pub(crate) mod xdp;

use crate::measure::{Bench, Scale, timed};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use syncom_engine::clock;
use syncom_engine::link::{self, Kind, Link, Options, RxBurst};
use syncom_seam::SECOND;
use syncom_wire::Addr;

const ROUND_TRIPS: u64 = 20_000;
const DATAGRAMS: u64 = 200_000;
/// Datagrams between two flushes, and receives of one burst.
const BURST: u32 = 64;
/// A datagram that is not there after so long is lost.
const PATIENCE_NS: u64 = SECOND;

/// Two sockets on the loopback, in one thread that never sleeps; then in two, on two cores.
pub(crate) fn run(scale: Scale) -> io::Result<Vec<Bench>> {
    let mut benches = Vec::new();
    for len in [64, 1400] {
        let mut rounds = Vec::new();
        for _ in 0..scale.rounds {
            rounds.push(round_trips(len)?);
        }
        benches.push(timed(&format!("round trip {len} B"), ROUND_TRIPS, &rounds));
    }
    for len in [64, 256, 1400] {
        let (mut sends, mut moves) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            let (sent, moved) = bursts(len)?;
            sends.push(sent);
            moves.push(moved);
        }
        benches.push(timed(&format!("send {len} B"), DATAGRAMS, &sends));
        benches.push(timed(&format!("send+receive {len} B"), DATAGRAMS, &moves));
    }
    benches.extend(stream::run(scale)?);
    Ok(benches)
}

/// Only what goes there and back, through sockets.
pub(crate) fn there_and_back(scale: Scale) -> io::Result<Vec<Bench>> {
    udp::run(scale)
}

/// Only what goes one way, from core to core.
pub(crate) fn one_way(scale: Scale) -> io::Result<Vec<Bench>> {
    stream::run(scale)
}

fn pair() -> io::Result<(Box<dyn Link>, Box<dyn Link>)> {
    let open = || {
        let here: Addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
        link::open(&Kind::Mmsg, here, &Options::LARGE).map_err(io::Error::other)
    };
    Ok((open()?, open()?))
}

/// Time for all round trips of one datagram, in ns.
fn round_trips(len: usize) -> io::Result<u64> {
    let (mut near, mut far) = pair()?;
    let mut burst = RxBurst::new(BURST);
    let began = clock::now();
    for _ in 0..ROUND_TRIPS {
        post(&mut *near, far.local_addr(), len)?;
        near.tx_flush()?;
        await_datagrams(&mut *far, &mut burst, 1)?;
        post(&mut *far, near.local_addr(), len)?;
        far.tx_flush()?;
        await_datagrams(&mut *near, &mut burst, 1)?;
    }
    Ok(clock::now().since(began))
}

/// Time to send all datagrams, and to send and receive them, in ns.
fn bursts(len: usize) -> io::Result<(u64, u64)> {
    let (mut near, mut far) = pair()?;
    let to = far.local_addr();
    let mut burst = RxBurst::new(BURST);
    let (mut sent_ns, began) = (0, clock::now());
    for _ in 0..DATAGRAMS / u64::from(BURST) {
        let sending = clock::now();
        for _ in 0..BURST {
            post(&mut *near, to, len)?;
        }
        near.tx_flush()?;
        sent_ns += clock::now().since(sending);
        await_datagrams(&mut *far, &mut burst, BURST as usize)?;
    }
    Ok((sent_ns, clock::now().since(began)))
}

fn post(link: &mut dyn Link, to: Addr, len: usize) -> io::Result<()> {
    let slot = link.tx_claim(to, len).ok_or(io::ErrorKind::OutOfMemory)?;
    slot.fill(7);
    link.tx_commit(len);
    Ok(())
}

/// Receives until `count` datagrams have come.
fn await_datagrams(link: &mut dyn Link, burst: &mut RxBurst, count: usize) -> io::Result<()> {
    let (mut missing, began) = (count, clock::now());
    while missing > 0 {
        missing = missing.saturating_sub(link.rx_burst(burst)?);
        if clock::now().since(began) > PATIENCE_NS {
            return Err(io::Error::other(format!("{missing} datagrams of {count} were lost")));
        }
    }
    Ok(())
}
