//! The link `xdp` against the barest loop over the same rings, on wires of its own (`veth`).
//!
//! Bare and link take turns, each between two namespaces of its own. *Move* is all that a datagram
//! costs: both ends, and the kernel between them, driven by one thread. *Trip* is there and back
//! between two threads that spin, each on a core of its own.

use super::post;
use crate::measure::{Bench, Scale, timed};
use std::hint::spin_loop;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use syncom_engine::link::xdp::bare::Bare;
use syncom_engine::link::xdp::lab::{INTERFACE, Lab};
use syncom_engine::link::xdp::{Config, Mode};
use syncom_engine::link::{self, Kind, Link, Options, RxBurst};
use syncom_engine::{clock, pin};
use syncom_wire::Addr;

const DATAGRAMS: u64 = 50_000;
const ROUND_TRIPS: usize = 3_000;
/// Datagrams in flight: fewer than `veth` queues (256), beyond which it drops.
const WINDOW: u32 = 64;
/// Looks in vain after which a datagram is lost: some seconds.
const LOOKS_MAX: u32 = 50_000_000;
const PORT: u16 = 4000;

/// One end of a wire.
trait End: Send {
    /// Sends so many datagrams to the other end.
    fn send(&mut self, count: u32) -> io::Result<()>;
    /// Takes in what has arrived; how many datagrams.
    fn receive(&mut self) -> io::Result<u32>;
}

/// Runs all cases in both modes.
pub(crate) fn run(scale: Scale) -> io::Result<Vec<Bench>> {
    let mut benches = Vec::new();
    for (name, mode) in [("native", Mode::Native), ("generic", Mode::Generic)] {
        for len in [64, 1400] {
            let (bare_lab, link_lab) = (lab()?, lab()?);
            let mut bare = ends(&bare_lab, |local, to| open_bare(mode, local, to, len))?;
            let mut link = ends(&link_lab, |local, to| open_link(mode, local, to, len))?;
            let mut times = [const { Times::new() }; 2];
            for _ in 0..scale.rounds {
                times[0].take(&mut bare)?;
                times[1].take(&mut link)?;
            }
            times[0].tell(&format!("{name} {len} B, bare"), &mut benches);
            times[1].tell(&format!("{name} {len} B, link"), &mut benches);
        }
    }
    Ok(benches)
}

fn lab() -> io::Result<Lab> {
    let lab = Lab::pair()?;
    lab.introduce()?;
    Ok(lab)
}

/// Opens both ends of a wire.
fn ends<E: End>(
    lab: &Lab,
    open: impl Fn(Addr, Addr) -> io::Result<E> + Sync,
) -> io::Result<[E; 2]> {
    let [near, far] =
        [1, 2].map(|number| Addr::from(SocketAddr::from((Ipv4Addr::new(10, 77, 0, number), PORT))));
    let [near_seat, far_seat] = lab.seats.as_slice() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    Ok([near_seat.enter(|| open(near, far))?, far_seat.enter(|| open(far, near))?])
}

/// What was measured in each round.
struct Times {
    moved: Vec<u64>,
    p50: Vec<u64>,
    p99: Vec<u64>,
}

impl Times {
    const fn new() -> Self {
        Self { moved: Vec::new(), p50: Vec::new(), p99: Vec::new() }
    }

    /// One round.
    fn take<E: End>(&mut self, [near, far]: &mut [E; 2]) -> io::Result<()> {
        let began = clock::now();
        for _ in 0..DATAGRAMS / u64::from(WINDOW) {
            near.send(WINDOW)?;
            until(WINDOW, far)?;
        }
        self.moved.push(clock::now().since(began));
        let mut trips = round_trips(near, far)?;
        trips.sort_unstable();
        let at = |part: usize| trips.get(trips.len() * part / 100).copied().unwrap_or(0);
        self.p50.push(at(50));
        self.p99.push(at(99));
        Ok(())
    }

    fn tell(&self, name: &str, benches: &mut Vec<Bench>) {
        benches.push(timed(&format!("{name}: move"), DATAGRAMS, &self.moved));
        benches.push(timed(&format!("{name}: trip p50"), 1, &self.p50));
        benches.push(timed(&format!("{name}: trip p99"), 1, &self.p99));
    }
}

/// The time of each round trip, in ns.
fn round_trips<E: End>(near: &mut E, far: &mut E) -> io::Result<Vec<u64>> {
    let cores = pin::cores()?;
    let pin_to = |at: usize| cores.get(at).map_or(Ok(()), |core| pin::pin(*core));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let answering = scope.spawn(|| -> io::Result<()> {
            pin_to(1)?;
            while !is_over.load(Ordering::Relaxed) {
                match far.receive()? {
                    0 => spin_loop(),
                    count => far.send(count)?,
                }
            }
            Ok(())
        });
        let asking = scope.spawn(|| -> io::Result<Vec<u64>> {
            pin_to(0)?;
            let mut trips = Vec::with_capacity(ROUND_TRIPS);
            for _ in 0..ROUND_TRIPS {
                let began = clock::now();
                near.send(1)?;
                until(1, near)?;
                trips.push(clock::now().since(began));
            }
            Ok(trips)
        });
        let broken = |_| io::Error::other("a thread broke");
        let trips = asking.join().map_err(broken);
        is_over.store(true, Ordering::Relaxed);
        answering.join().map_err(broken)??;
        trips?
    })
}

/// Receives until `count` datagrams have come. Counts its looks, since asking the clock takes as
/// long as a look.
fn until(count: u32, end: &mut impl End) -> io::Result<()> {
    let (mut missing, mut looks) = (count, 0);
    while missing > 0 {
        let received = end.receive()?;
        missing = missing.saturating_sub(received);
        looks = if received > 0 { 0 } else { looks + 1 };
        if looks > LOOKS_MAX {
            return Err(io::Error::other(format!("{missing} of {count} were lost")));
        }
        spin_loop();
    }
    Ok(())
}

fn config(mode: Mode) -> Config {
    Config { mode, ..Config::new(INTERFACE) }
}

fn open_bare(mode: Mode, local: Addr, to: Addr, len: usize) -> io::Result<Bare> {
    Bare::open(&config(mode), local, to, len)
}

impl End for Bare {
    fn send(&mut self, count: u32) -> io::Result<()> {
        Self::send(self, count)
    }

    fn receive(&mut self) -> io::Result<u32> {
        Ok(Self::receive(self))
    }
}

struct LinkEnd {
    link: Box<dyn Link>,
    burst: RxBurst,
    to: Addr,
    len: usize,
}

fn open_link(mode: Mode, local: Addr, to: Addr, len: usize) -> io::Result<LinkEnd> {
    let link = link::open(&Kind::Xdp(config(mode)), local, &Options::LARGE);
    let link = link.map_err(io::Error::other)?;
    Ok(LinkEnd { link, burst: RxBurst::new(WINDOW), to, len })
}

impl End for LinkEnd {
    fn send(&mut self, count: u32) -> io::Result<()> {
        for _ in 0..count {
            post(&mut *self.link, self.to, self.len)?;
        }
        self.link.tx_flush().map(drop)
    }

    fn receive(&mut self) -> io::Result<u32> {
        Ok(u32::try_from(self.link.rx_burst(&mut self.burst)?).unwrap_or(u32::MAX))
    }
}
