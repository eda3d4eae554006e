//! `syncom bench queue`: our queues between two pinned threads.
//!
//! A turn sends numbered items from one core to the other as fast as both go, then one item there
//! through one queue and back through another, many times. Each turn has queues of its own, since
//! where these lie in memory matters: the median turn is told, with the least and the most. Other
//! queues beside ours: `syncom-benches -- queue`.

use super::pair::{float, host};
use crate::exit::{Failure, Outcome};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::hint;
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use syncom_engine::queue::{self, Consumer, Producer, SharedProducer, mpsc};
use syncom_engine::{clock, pin};
use syncom_seam::SECOND;

/// Items that a queue holds.
const CAPACITY: usize = 1024;
/// Items of a turn.
const ITEMS: u64 = 2_000_000;
/// Round trips of a turn.
const TRIPS: u64 = 10_000;
/// Turns at most, which bounds the memory for times.
const TURNS_MAX: usize = 1_000;

/// `syncom bench queue`.
#[derive(Clone, Debug, Args)]
pub struct BenchQueue {
    /// Bytes of an item
    #[arg(long, default_value = "64", value_parser = ["8", "16", "32", "64", "128", "256"])]
    size: String,
    /// One producer, or room for several
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Items handed over at a time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    batch: u16,
    /// How long to measure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// One producer, one consumer
    #[default]
    Spsc,
    /// Several producers, one consumer; one of them is measured
    Mpsc,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Spsc => "spsc",
            Self::Mpsc => "mpsc",
        }
    }
}

/// What turns gave.
#[derive(Debug, Default)]
struct Turns {
    /// Items per second of each.
    rates: Vec<f64>,
    trips_ns: Vec<u64>,
    cpu_ns: u64,
    hash: u64,
}

/// Runs the case.
pub(super) fn run(args: &BenchQueue) -> Outcome {
    match args.size.as_str() {
        "8" => measure::<1>(args),
        "16" => measure::<2>(args),
        "32" => measure::<4>(args),
        "128" => measure::<16>(args),
        "256" => measure::<32>(args),
        _ => measure::<8>(args),
    }
}

fn measure<const WORDS: usize>(args: &BenchQueue) -> Outcome {
    let cores = pin::cores().unwrap_or_default();
    let [near, .., far] = cores[..] else {
        return Err(Failure::failed("two cores are needed, one for each end"));
    };
    let cores = [near, far];
    let mut turns = Turns::default();
    let over = clock::now().after(u64::from(args.seconds) * SECOND);
    while turns.rates.is_empty() || (clock::now() < over && turns.rates.len() < TURNS_MAX) {
        match args.kind {
            Kind::Spsc => take::<Single<WORDS>>(args, cores, &mut turns)?,
            Kind::Mpsc => take::<Shared<WORDS>>(args, cores, &mut turns)?,
        }
    }
    report(args, turns);
    Ok(())
}

/// A queue of items that are numbers, repeated to their size.
trait Queue {
    type Entrance: Send;
    type Exit: Send;

    fn open() -> (Self::Entrance, Self::Exit);

    /// Sends as many of `numbers` as there is room for, and removes these.
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>, batch: usize);

    /// Receives a batch, or what there is of it; returns how many.
    fn receive(exit: &mut Self::Exit, batch: usize, each: impl FnMut(u64)) -> usize;
}

struct Single<const WORDS: usize>;
struct Shared<const WORDS: usize>;

/// The first word and the last, so that an item that arrived in part is noticed.
const fn number<const WORDS: usize>(item: [u64; WORDS]) -> u64 {
    item[0] & item[WORDS - 1]
}

impl<const WORDS: usize> Queue for Single<WORDS> {
    type Entrance = Producer<[u64; WORDS]>;
    type Exit = Consumer<[u64; WORDS]>;

    fn open() -> (Self::Entrance, Self::Exit) {
        queue::spsc(CAPACITY)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>, batch: usize) {
        let mut items = numbers.clone().take(batch).map(|number| [number; WORDS]);
        numbers.start += entrance.push_from(&mut items) as u64;
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, batch: usize, mut each: impl FnMut(u64)) -> usize {
        exit.drain(batch, |item| each(number(item)))
    }
}

impl<const WORDS: usize> Queue for Shared<WORDS> {
    type Entrance = SharedProducer<[u64; WORDS]>;
    type Exit = mpsc::Consumer<[u64; WORDS]>;

    fn open() -> (Self::Entrance, Self::Exit) {
        mpsc(CAPACITY)
    }

    #[inline]
    fn send(entrance: &mut Self::Entrance, numbers: &mut Range<u64>, batch: usize) {
        let mut items = numbers.clone().take(batch).map(|number| [number; WORDS]);
        numbers.start += entrance.push_from(&mut items) as u64;
    }

    #[inline]
    fn receive(exit: &mut Self::Exit, batch: usize, mut each: impl FnMut(u64)) -> usize {
        exit.drain(batch, |item| each(number(item)))
    }
}

/// One number more. Cheap, and different when numbers are lost, repeated or in another order.
const fn mixed(hash: u64, number: u64) -> u64 {
    hash.rotate_left(1).wrapping_add(number)
}

/// One turn: a stream, then round trips.
fn take<Q: Queue>(args: &BenchQueue, cores: [usize; 2], turns: &mut Turns) -> Outcome {
    let (ns, cpu_ns, hash) = stream::<Q>(ITEMS, args.batch.into(), cores)?;
    if hash != (0..ITEMS).fold(0, mixed) {
        return Err(Failure::failed("items were lost or came in another order"));
    }
    turns.rates.push(float(ITEMS) * 1e9 / float(ns.max(1)));
    turns.trips_ns.append(&mut round_trips::<Q>(TRIPS, cores)?);
    turns.cpu_ns += cpu_ns;
    turns.hash = hash;
    Ok(())
}

/// Sends items one way; gives the wall time and the time of both cores in ns, and the hash of what
/// arrived.
fn stream<Q: Queue>(
    items: u64,
    batch: usize,
    cores: [usize; 2],
) -> Result<(u64, u64, u64), Failure> {
    let (mut entrance, mut exit) = Q::open();
    let send = move || {
        let busy_ns = clock::thread_cpu_ns();
        let mut numbers = 0..items;
        while !numbers.is_empty() {
            let before = numbers.start;
            Q::send(&mut entrance, &mut numbers, batch);
            if numbers.start == before {
                hint::spin_loop();
            }
        }
        clock::thread_cpu_ns() - busy_ns
    };
    let receive = move || {
        let (busy_ns, began) = (clock::thread_cpu_ns(), clock::now());
        let (mut hash, mut received) = (0, 0);
        while received < items {
            let count = Q::receive(&mut exit, batch, |number| hash = mixed(hash, number));
            received += count as u64;
            if count == 0 {
                hint::spin_loop();
            }
        }
        (clock::now().since(began), clock::thread_cpu_ns() - busy_ns, hash)
    };
    let (sending_ns, (ns, receiving_ns, hash)) = both(cores, send, receive)?;
    Ok((ns, sending_ns + receiving_ns, hash))
}

/// Sends one item there and back at a time; gives the time of each trip in ns.
fn round_trips<Q: Queue>(trips: u64, cores: [usize; 2]) -> Result<Vec<u64>, Failure> {
    let (mut there, mut arriving) = Q::open();
    let (mut back, mut returning) = Q::open();
    let near = move || {
        let mut trips_ns = Vec::new();
        for number in 0..trips {
            let began = clock::now();
            Q::send(&mut there, &mut (number..number + 1), 1);
            await_one::<Q>(&mut returning);
            trips_ns.push(clock::now().since(began));
        }
        trips_ns
    };
    let far = move || {
        for _ in 0..trips {
            let number = await_one::<Q>(&mut arriving);
            Q::send(&mut back, &mut (number..number + 1), 1);
        }
    };
    Ok(both(cores, near, far)?.0)
}

fn await_one<Q: Queue>(exit: &mut Q::Exit) -> u64 {
    let mut received = 0;
    while Q::receive(exit, 1, |number| received = number) == 0 {
        hint::spin_loop();
    }
    received
}

/// Runs two things at once, each on a thread and a core of its own. Where pinning is forbidden,
/// they run where they may.
fn both<A: Send, B: Send>(
    cores: [usize; 2],
    near: impl FnOnce() -> A + Send,
    far: impl FnOnce() -> B + Send,
) -> Result<(A, B), Failure> {
    let start = Barrier::new(2);
    let enter = |core: usize| {
        let _ = pin::pin(core);
        start.wait();
    };
    thread::scope(|scope| {
        let near = scope.spawn(|| {
            enter(cores[0]);
            near()
        });
        let far = scope.spawn(|| {
            enter(cores[1]);
            far()
        });
        let died = |_| Failure::failed("a thread of the bench died");
        Ok((near.join().map_err(died)?, far.join().map_err(died)?))
    })
}

fn report(args: &BenchQueue, mut turns: Turns) {
    turns.rates.sort_by(f64::total_cmp);
    turns.trips_ns.sort_unstable();
    let rate = |rank: usize| turns.rates.get(rank).copied().unwrap_or(0.0).round();
    let trip = |per_mille: usize| {
        turns.trips_ns.get(turns.trips_ns.len() * per_mille / 1_000).copied().unwrap_or(0)
    };
    let rounds = turns.rates.len();
    let (least, median, most) = (rate(0), rate(rounds / 2), rate(rounds - 1));
    let result = json!({
        "case": "queue",
        "link": "none",
        "queue": args.kind.name(),
        "batch": args.batch,
        "size_b": args.size.parse::<u32>().unwrap_or(0),
        "seal": false,
        "seconds": args.seconds,
        "rounds": rounds,
        "ops_per_s": median,
        "ops_per_s_least": least,
        "ops_per_s_most": most,
        "p50_ns": trip(500),
        "p99_ns": trip(990),
        "cpu_ns_per_op": float(turns.cpu_ns) / (float(ITEMS) * float(rounds as u64)),
        "hash": format!("{:016x}", turns.hash),
        "host": host(),
    });
    if args.json {
        println!("{result}");
        return;
    }
    println!(
        "{} of {} B items, {} at a time: {:.1} M/s ({:.1} to {:.1} in {rounds} turns); \
         there and back one by one: p50 {} ns, p99 {} ns",
        args.kind.name(),
        args.size,
        args.batch,
        median / 1e6,
        least / 1e6,
        most / 1e6,
        trip(500),
        trip(990),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_passes_once_and_in_order_through_both_queues() {
        let cores = pin::cores().unwrap();
        let cores = [cores[0], *cores.last().unwrap()];
        let expected = (0..5_000).fold(0, mixed);
        for batch in [1, 32] {
            let (_, _, hash) = stream::<Single<8>>(5_000, batch, cores).unwrap();
            assert_eq!(hash, expected);
            let (_, _, hash) = stream::<Shared<1>>(5_000, batch, cores).unwrap();
            assert_eq!(hash, expected);
        }
        assert_eq!(round_trips::<Single<1>>(10, cores).unwrap().len(), 10);
    }

    #[test]
    fn the_hash_notices_loss_and_disorder() {
        let of = |numbers: &[u64]| numbers.iter().copied().fold(0, mixed);
        assert_ne!(of(&[0, 2, 1, 3]), of(&[0, 1, 2, 3]));
        assert_ne!(of(&[0, 1, 3]), of(&[0, 1, 2, 3]));
    }
}
