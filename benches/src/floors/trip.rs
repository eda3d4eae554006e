//! Datagrams from one end of a wire to the other, and there and back: what links and bare loops are
//! compared by.
//!
//! *Move* is all that a datagram costs: both ends, and the kernel between them, driven by one thread.
//! *Trip* is there and back between two threads that spin, each on a core of its own. Nobody writes or
//! reads a payload, but for the sealed end, which seals and opens it: its datagrams are longer by
//! header and tag.

use crate::measure::{Bench, timed};
use std::fmt;
use std::hint::spin_loop;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use syncom_engine::clock::{self, Clock};
use syncom_engine::link::{Link, RxBurst};
use syncom_engine::pin;
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_wire::{Addr, Boot, PeerId};

const DATAGRAMS: u64 = 16_000;
const ROUND_TRIPS: usize = 1_000;
/// Turns of each in a round: what disturbs one disturbs the others, too.
pub(super) const TURNS: usize = 3;
/// Datagrams in flight: fewer than `veth` queues (256), beyond which it drops.
const WINDOW: u32 = 64;
/// Looks in vain after which a sealed end looks at the clock, as a loop that polls does.
const LOOKS_PER_SAMPLE: u32 = 16;
/// Looks in vain after which a datagram is lost: some seconds.
const LOOKS_MAX: u32 = 50_000_000;

/// One end of a wire.
pub(super) trait End: Send {
    /// Sends so many datagrams to the other end.
    fn send(&mut self, count: u32) -> io::Result<()>;
    /// Takes in what has arrived; how many datagrams.
    fn receive(&mut self) -> io::Result<u32>;
}

/// What was measured in each round.
pub(super) struct Times {
    moved: Vec<u64>,
    p50: Vec<u64>,
    p99: Vec<u64>,
}

impl Times {
    pub(super) const fn new() -> Self {
        Self { moved: Vec::new(), p50: Vec::new(), p99: Vec::new() }
    }

    /// One round of both.
    pub(super) fn take<E: End>(&mut self, ends: &mut [E; 2]) -> io::Result<()> {
        let [near, far] = ends;
        let began = clock::now();
        for _ in 0..DATAGRAMS / u64::from(WINDOW) {
            near.send(WINDOW)?;
            until(WINDOW, far)?;
        }
        self.moved.push(clock::now().since(began));
        self.take_trips(ends)
    }

    /// One round of trips.
    pub(super) fn take_trips<E: End>(&mut self, [near, far]: &mut [E; 2]) -> io::Result<()> {
        let mut trips = round_trips(near, far)?;
        trips.sort_unstable();
        let at = |part: usize| trips.get(trips.len() * part / 100).copied().unwrap_or(0);
        self.p50.push(at(50));
        self.p99.push(at(99));
        Ok(())
    }

    fn tell(&self, name: &str, benches: &mut Vec<Bench>) {
        if !self.moved.is_empty() {
            benches.push(timed(&format!("{name}: move"), DATAGRAMS, &self.moved));
        }
        benches.push(timed(&format!("{name}: trip p50"), 1, &self.p50));
        benches.push(timed(&format!("{name}: trip p99"), 1, &self.p99));
    }

    /// Says how these times relate to those of the bare loop, taken in the same rounds.
    fn compare(&self, name: &str, bare: &Self) {
        if !self.moved.is_empty() {
            eprintln!("{name}: rate {} of bare", Spread::of(&bare.moved, &self.moved));
        }
        let [p50, p99] = [Spread::of(&self.p50, &bare.p50), Spread::of(&self.p99, &bare.p99)];
        eprintln!("{name}: trip p50 {p50} of bare, p99 {p99}");
    }
}

/// Tells the times of bare loop, link and sealed link.
pub(super) fn tell(name: &str, [bare, link, sealed]: &[Times; 3], benches: &mut Vec<Bench>) {
    for (who, times) in [("bare", bare), ("link", link), ("sealed", sealed)] {
        times.tell(&format!("{name}, {who}"), benches);
    }
    link.compare(&format!("{name}, link"), bare);
    sealed.compare(&format!("{name}, sealed"), bare);
}

/// Ratios round by round: the middle one, and what lies within the middle half of them.
struct Spread([f64; 3]);

impl Spread {
    fn of(over: &[u64], under: &[u64]) -> Self {
        let ratio = |(over, under): (&u64, &u64)| *over as f64 / *under as f64;
        let mut ratios: Vec<f64> = over.iter().zip(under).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |quarter: usize| ratios.get(ratios.len() * quarter / 4).copied();
        Self([1, 2, 3].map(|quarter| at(quarter).unwrap_or(f64::NAN)))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([low, middle, high]) = self;
        write!(f, "{middle:.2} ({low:.2}–{high:.2})")
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

/// A link.
pub(super) struct LinkEnd {
    link: Box<dyn Link>,
    burst: RxBurst,
    to: Addr,
    len: usize,
}

impl LinkEnd {
    /// An end that sends datagrams of `len` bytes to `to`.
    pub(super) fn new(link: Box<dyn Link>, to: Addr, len: usize) -> Self {
        Self { link, burst: RxBurst::new(WINDOW), to, len }
    }

    /// Queues a datagram that `write` may write to, and that is as long as it says.
    fn queue(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> io::Result<()> {
        let slot = self.link.tx_claim(self.to, self.len).ok_or(io::ErrorKind::OutOfMemory)?;
        let len = write(slot);
        self.link.tx_commit(len);
        Ok(())
    }
}

impl End for LinkEnd {
    fn send(&mut self, count: u32) -> io::Result<()> {
        for _ in 0..count {
            self.queue(|slot| slot.len())?;
        }
        self.link.tx_flush().map(drop)
    }

    fn receive(&mut self) -> io::Result<u32> {
        Ok(u32::try_from(self.link.rx_burst(&mut self.burst)?).unwrap_or(u32::MAX))
    }
}

/// A link whose datagrams are sealed.
pub(super) struct SealedEnd {
    end: LinkEnd,
    sealer: Sealer,
    clock: Clock,
    looks: u32,
    body_len: usize,
}

impl SealedEnd {
    /// Seals bodies of `body_len` bytes in the name of the client of that number.
    pub(super) fn new(end: LinkEnd, number: u8, body_len: usize) -> io::Result<Self> {
        let keys = ClusterKeys::new("lab", &[7; 32], ClusterKeys::FIRST_EPOCH);
        let (peer, clock) = (PeerId::client(number.into()), Clock::new());
        let sealer = Sealer::new(keys, peer, Boot(clock.now().wall.0), 0, 64);
        Ok(Self { end, sealer: sealer.map_err(io::Error::other)?, clock, looks: 0, body_len })
    }
}

impl End for SealedEnd {
    fn send(&mut self, count: u32) -> io::Result<()> {
        let Self { end, sealer, body_len, .. } = self;
        for _ in 0..count {
            end.queue(|slot| sealer.seal(slot, *body_len, None).unwrap_or(0))?;
        }
        end.link.tx_flush().map(drop)
    }

    /// Counts what opens.
    fn receive(&mut self) -> io::Result<u32> {
        let received = self.end.receive()?;
        if received == 0 {
            self.looks += 1;
            if self.looks == LOOKS_PER_SAMPLE {
                self.looks = 0;
                self.clock.sample();
            }
            return Ok(0);
        }
        let now = self.clock.now();
        let mut opened = 0;
        while let Some(datagram) = self.end.burst.datagram(opened)
            && self.sealer.open(datagram.bytes, now).is_ok()
        {
            opened += 1;
        }
        Ok(u32::try_from(opened).unwrap_or(u32::MAX))
    }
}
