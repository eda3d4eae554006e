//! One way through the loopback, from one core to another, as fast as it goes: links, and the bare
//! requests that they are made of.
//!
//! Every datagram begins with a number that its sender writes and its receiver adds up. A round
//! counts what arrives in a fixed time; what the sender has too much is lost, as it is with floods.

use crate::measure::{Bench, Scale, timed};
use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use syncom_engine::link::uring::bare::{BareReceiver, BareSender};
use syncom_engine::link::{self, Kind, Link, Options, RxBurst};
use syncom_engine::{clock, pin};
use syncom_seam::MS;
use syncom_wire::Addr;

/// How long a round takes before it counts, and how long it counts.
const WARM_NS: u64 = 20 * MS;
const COUNT_NS: u64 = 200 * MS;
/// Datagrams of a flush: eight messages.
const BURST_64: usize = 8 * 64;
const BURST_1400: usize = 8 * 46;
/// Bursts of which the median counts.
const BURSTS: usize = 1000;
/// Turns without a datagram after which the rest is lost.
const IDLE_MAX: u32 = 100_000;
/// Datagrams that a result is stated for.
const MILLION: u64 = 1_000_000;

/// What moves the datagrams.
#[derive(Clone, Copy)]
enum Way {
    Bare,
    Uring,
    Mmsg,
}

impl Way {
    const ALL: [Self; 3] = [Self::Bare, Self::Uring, Self::Mmsg];

    const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare io_uring",
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
        }
    }

    const fn kind(self) -> Option<Kind> {
        match self {
            Self::Bare => None,
            Self::Uring => Some(Kind::Uring),
            Self::Mmsg => Some(Kind::Mmsg),
        }
    }
}

/// All ways in turn, so that what disturbs the machine disturbs all of them.
pub(super) fn run(scale: Scale) -> io::Result<Vec<Bench>> {
    let cores = pin::cores()?;
    let [near, far, ..] = cores[..] else {
        return Err(io::Error::other("one way takes two cores"));
    };
    let mut benches = Vec::new();
    for (len, burst) in [(64, BURST_64), (1400, BURST_1400)] {
        let mut rounds = Way::ALL.map(|_| [const { Vec::new() }; 3]);
        for _ in 0..scale.rounds {
            for (way, [flow, send, receive]) in Way::ALL.into_iter().zip(&mut rounds) {
                flow.push(one_way(way, len, burst, [near, far])?);
                let (send_ns, receive_ns) = costs(way, len, burst)?;
                send.push(send_ns);
                receive.push(receive_ns);
            }
        }
        for (way, [flow, send, receive]) in Way::ALL.into_iter().zip(&rounds) {
            for (what, rounds) in [("send", send), ("receive", receive), ("one way", flow)] {
                benches.push(timed(&format!("{what} {len} B, {}", way.name()), MILLION, rounds));
            }
        }
    }
    Ok(benches)
}

/// The time that a million datagrams take from core to core, in ns.
fn one_way(way: Way, len: usize, burst: usize, [near, far]: [usize; 2]) -> io::Result<u64> {
    let is_over = &AtomicBool::new(false);
    pin::pin(far)?;
    let mut receiver = Receiver::open(way)?;
    let to = receiver.local_addr();
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let result = pin::pin(near).and_then(|()| {
                let (mut sender, mut number) = (Sender::open(way, to, len)?, 0);
                while !is_over.load(Ordering::Relaxed) {
                    number += sender.send(number, len, burst)? as u64;
                }
                Ok(())
            });
            is_over.store(true, Ordering::Relaxed);
            result
        });
        let count = receiver.count(is_over);
        is_over.store(true, Ordering::Relaxed);
        sending.join().map_err(|_| io::Error::other("the sender failed"))??;
        Ok(COUNT_NS * MILLION / count?.max(1))
    })
}

/// The time that it takes one thread to send a million datagrams, and to receive them, in ns: by
/// the median burst, which nothing interrupts.
fn costs(way: Way, len: usize, burst: usize) -> io::Result<(u64, u64)> {
    let mut receiver = Receiver::open(way)?;
    receiver.receive()?;
    let mut sender = Sender::open(way, receiver.local_addr(), len)?;
    let (mut sends, mut receives) = (Vec::new(), Vec::new());
    for _ in 0..BURSTS {
        let began = clock::now();
        let sent = sender.send(0, len, burst)?;
        let between = clock::now();
        let (mut arrived, mut idle) = (0, 0);
        while arrived < sent && idle < IDLE_MAX {
            let (more, sum) = receiver.receive()?;
            black_box(sum);
            arrived += more;
            idle = if more == 0 { idle + 1 } else { 0 };
        }
        if arrived < sent {
            return Err(io::Error::other(format!("{arrived} datagrams of {sent} arrived")));
        }
        sends.push(between.since(began));
        receives.push(clock::now().since(between));
    }
    let per_million = |mut bursts: Vec<u64>| {
        bursts.sort_unstable();
        bursts[BURSTS / 2] * MILLION / burst as u64
    };
    Ok((per_million(sends), per_million(receives)))
}

fn here() -> Addr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

fn open(kind: &Kind) -> io::Result<Box<dyn Link>> {
    link::open(kind, here(), &Options::LARGE).map_err(io::Error::other)
}

enum Sender {
    Bare(Box<BareSender>),
    Link(Box<dyn Link>, Addr),
}

impl Sender {
    fn open(way: Way, to: Addr, len: usize) -> io::Result<Self> {
        Ok(match way.kind() {
            None => Self::Bare(BareSender::open(here(), to, len).map_err(io::Error::other)?.into()),
            Some(kind) => Self::Link(open(&kind)?, to),
        })
    }

    /// Sends a burst of datagrams numbered from `first` on; returns how many.
    fn send(&mut self, first: u64, len: usize, burst: usize) -> io::Result<usize> {
        match self {
            Self::Bare(bare) => bare.send(first),
            Self::Link(link, to) => {
                for number in (first..).take(burst) {
                    let Some(slot) = link.tx_claim(*to, len) else { break };
                    slot[..8].copy_from_slice(&number.to_le_bytes());
                    link.tx_commit(len);
                }
                link.tx_flush()
            }
        }
    }
}

enum Receiver {
    Bare(Box<BareReceiver>),
    Link(Box<dyn Link>, RxBurst),
}

impl Receiver {
    fn open(way: Way) -> io::Result<Self> {
        Ok(match way.kind() {
            None => Self::Bare(BareReceiver::open(here()).map_err(io::Error::other)?.into()),
            Some(kind) => Self::Link(open(&kind)?, RxBurst::new(64)),
        })
    }

    fn local_addr(&self) -> Addr {
        match self {
            Self::Bare(bare) => bare.local_addr(),
            Self::Link(link, _) => link.local_addr(),
        }
    }

    /// Takes what has arrived: how many datagrams, and the sum of their numbers.
    fn receive(&mut self) -> io::Result<(usize, u64)> {
        match self {
            Self::Bare(bare) => bare.receive(),
            Self::Link(link, burst) => {
                let datagrams = link.rx_burst(burst)?;
                let mut sum: u64 = 0;
                for at in 0..datagrams {
                    let Some(datagram) = burst.datagram(at) else { continue };
                    let number = datagram.bytes.first_chunk().copied().unwrap_or_default();
                    sum = sum.wrapping_add(u64::from_le_bytes(number));
                }
                Ok((datagrams, sum))
            }
        }
    }

    /// How many datagrams arrive in the time that counts.
    fn count(&mut self, is_over: &AtomicBool) -> io::Result<u64> {
        let began = clock::now();
        let (mut datagrams, mut sum, mut before) = (0, 0_u64, 0);
        while !is_over.load(Ordering::Relaxed) {
            let (arrived, numbers) = self.receive()?;
            datagrams += arrived as u64;
            sum = sum.wrapping_add(numbers);
            let elapsed_ns = clock::now().since(began);
            if elapsed_ns < WARM_NS {
                before = datagrams;
            } else if elapsed_ns >= WARM_NS + COUNT_NS {
                black_box(sum);
                return Ok(datagrams - before);
            }
        }
        Err(io::Error::other("the sender gave up"))
    }
}
