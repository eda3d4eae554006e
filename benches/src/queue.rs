//! Queues between two pinned threads: ours, crossbeam's and `rtrb`, in one run, turn by turn.
//!
//! Throughput is what passes from one core to the other while both do nothing else; the time of a
//! round trip is that of one item there through one queue and back through another, single items
//! whatever the configuration. Turns alternate between all contenders, so that what the machine
//! does meanwhile hits all alike; a row is the median of its turns.

mod contenders;

use crate::host;
use contenders::{Contender, Crossbeam, Item, Mpsc, MpscBatch, Rtrb, RtrbBatch, Spsc, SpscBatch};
use std::hint;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use syncom_engine::{clock, pin};

/// Items that a queue holds.
const CAPACITY: usize = 1024;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: usize,
    /// Items of one turn.
    items: u64,
    round_trips: u64,
}

impl Plan {
    /// Enough to compare.
    pub(crate) const FULL: Self = Self { rounds: 15, items: 2_000_000, round_trips: 10_000 };
}

/// What one turn gave.
#[derive(Clone, Copy, Debug)]
struct Turn {
    ops_per_s: f64,
    cpu_ns_per_op: f64,
    p50_ns: u64,
    p99_ns: u64,
    hash: u64,
}

/// What all turns of one contender gave.
#[derive(Debug)]
pub(crate) struct Row {
    system: &'static str,
    version: &'static str,
    config: &'static str,
    size_b: usize,
    seconds: f64,
    turns: Vec<Turn>,
}

impl Row {
    fn median<V: PartialOrd + Copy>(&self, value: impl Fn(&Turn) -> V) -> V {
        self.rank(value, self.turns.len() / 2)
    }

    fn rank<V: PartialOrd + Copy>(&self, value: impl Fn(&Turn) -> V, rank: usize) -> V {
        let mut values: Vec<V> = self.turns.iter().map(value).collect();
        values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        values[rank]
    }

    /// Operations per second: median, least and most.
    fn rates(&self) -> [f64; 3] {
        let rate = |turn: &Turn| turn.ops_per_s;
        [self.median(rate), self.rank(rate, 0), self.rank(rate, self.turns.len() - 1)]
    }
}

/// Runs all contenders.
///
/// # Errors
/// When there are not two cores, or a queue lost, repeated or reordered items.
pub(crate) fn run(plan: Plan) -> Result<Vec<Row>, String> {
    let cores = host::two_cores()?;
    let mut rows = of_size::<[u64; 1]>(plan, cores)?;
    rows.append(&mut of_size::<[u64; 8]>(plan, cores)?);
    Ok(rows)
}

fn of_size<T: Item>(plan: Plan, cores: [usize; 2]) -> Result<Vec<Row>, String> {
    type Taking = fn(Plan, [usize; 2]) -> Result<Turn, String>;
    fn entry<T: Item, C: Contender>() -> (Row, Taking) {
        let (system, version, config) = (C::SYSTEM, C::version(), C::CONFIG);
        let size_b = size_of::<T>();
        (Row { system, version, config, size_b, seconds: 0.0, turns: Vec::new() }, turn::<C>)
    }
    let mut entries = [
        entry::<T, Spsc<T>>(),
        entry::<T, SpscBatch<T>>(),
        entry::<T, Mpsc<T>>(),
        entry::<T, MpscBatch<T>>(),
        entry::<T, Crossbeam<T>>(),
        entry::<T, Rtrb<T>>(),
        entry::<T, RtrbBatch<T>>(),
    ];
    for _ in 0..plan.rounds {
        for (row, take) in &mut entries {
            let began = clock::now();
            row.turns.push(take(plan, cores)?);
            row.seconds += clock::now().since(began) as f64 / 1e9;
        }
    }
    Ok(entries.into_iter().map(|(row, _)| row).collect())
}

fn turn<C: Contender>(plan: Plan, cores: [usize; 2]) -> Result<Turn, String> {
    let (ns, cpu_ns, hash) = stream::<C>(plan.items, cores)?;
    if hash != expected(plan.items) {
        return Err(format!("{} ({}) lost or reordered items", C::SYSTEM, C::CONFIG));
    }
    let mut trips_ns = round_trips::<C>(plan.round_trips, cores)?;
    trips_ns.sort_unstable();
    let at = |share: f64| {
        let rank = trips_ns.len() as f64 * share;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        let rank = rank as usize;
        trips_ns.get(rank).copied().unwrap_or(0)
    };
    Ok(Turn {
        ops_per_s: plan.items as f64 * 1e9 / ns as f64,
        cpu_ns_per_op: cpu_ns as f64 / plan.items as f64,
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        hash,
    })
}

/// One number more. Cheap, and different when numbers are lost, repeated or in another order.
fn mixed(hash: u64, number: u64) -> u64 {
    hash.rotate_left(1) ^ number
}

fn expected(items: u64) -> u64 {
    (0..items).fold(0, mixed)
}

/// Sends items one way; gives the wall time and the time of both cores in ns, and the hash of what
/// arrived.
fn stream<C: Contender>(items: u64, cores: [usize; 2]) -> Result<(u64, u64, u64), String> {
    let (mut entrance, mut exit) = C::open(CAPACITY);
    // Each end lives on the stack of its thread: side by side here, they would share a cache line.
    let send = move || {
        let busy_ns = clock::thread_cpu_ns();
        let mut numbers = 0..items;
        while !numbers.is_empty() {
            let before = numbers.start;
            C::send(&mut entrance, &mut numbers);
            if numbers.start == before {
                hint::spin_loop();
            }
        }
        Ok(clock::thread_cpu_ns() - busy_ns)
    };
    let receive = move || {
        let (busy_ns, began) = (clock::thread_cpu_ns(), clock::now());
        let (mut hash, mut received) = (0, 0);
        while received < items {
            let count = C::receive(&mut exit, |number| hash = mixed(hash, number));
            received += count as u64;
            if count == 0 {
                hint::spin_loop();
            }
        }
        Ok((clock::now().since(began), clock::thread_cpu_ns() - busy_ns, hash))
    };
    let (sent, received) = both(cores, send, receive)?;
    let (ns, busy_ns, hash) = received;
    Ok((ns, sent + busy_ns, hash))
}

/// Sends one item there and back at a time; gives the time of each trip in ns.
fn round_trips<C: Contender>(count: u64, cores: [usize; 2]) -> Result<Vec<u64>, String> {
    let (mut there, mut arriving) = C::open(CAPACITY);
    let (mut back, mut returning) = C::open(CAPACITY);
    let near = move || {
        let mut trips_ns = Vec::new();
        for number in 0..count {
            let began = clock::now();
            push_one::<C>(&mut there, number);
            pop_one::<C>(&mut returning);
            trips_ns.push(clock::now().since(began));
        }
        Ok(trips_ns)
    };
    let far = move || {
        for _ in 0..count {
            push_one::<C>(&mut back, pop_one::<C>(&mut arriving));
        }
        Ok(())
    };
    Ok(both(cores, near, far)?.0)
}

fn push_one<C: Contender>(entrance: &mut C::Entrance, number: u64) {
    let mut numbers = number..number + 1;
    while !numbers.is_empty() {
        C::send(entrance, &mut numbers);
    }
}

fn pop_one<C: Contender>(exit: &mut C::Exit) -> u64 {
    let mut received = 0;
    while C::receive(exit, |number| received = number) == 0 {
        hint::spin_loop();
    }
    received
}

/// Runs two things at once, each on a thread and a core of its own; neither when one of them cannot
/// have its core.
fn both<A: Send, B: Send>(
    cores: [usize; 2],
    near: impl FnOnce() -> Result<A, String> + Send,
    far: impl FnOnce() -> Result<B, String> + Send,
) -> Result<(A, B), String> {
    let (start, pinned) = (Barrier::new(2), AtomicUsize::new(0));
    let enter = |core: usize| {
        let result = pin::pin(core);
        pinned.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
        start.wait();
        match pinned.load(Ordering::Relaxed) {
            2 => Ok(()),
            _ => Err(format!("cannot pin two threads to cores {cores:?}")),
        }
    };
    thread::scope(|scope| {
        let near = scope.spawn(|| enter(cores[0]).and_then(|()| near()));
        let far = scope.spawn(|| enter(cores[1]).and_then(|()| far()));
        let died = |_| "a thread of the bench died".to_owned();
        Ok((near.join().map_err(died)??, far.join().map_err(died)??))
    })
}

/// The row that others are compared with.
fn baseline(rows: &[Row], size_b: usize) -> Option<&Row> {
    rows.iter().find(|row| row.system == Crossbeam::<[u64; 1]>::SYSTEM && row.size_b == size_b)
}

fn ratio(rows: &[Row], row: &Row) -> f64 {
    baseline(rows, row.size_b).map_or(0.0, |base| row.rates()[0] / base.rates()[0])
}

/// A table for people.
pub(crate) fn print(rows: &[Row]) {
    println!("two pinned threads, capacity {CAPACITY}, median of {} turns", turns(rows));
    println!(
        "{:<22} {:<12} {:>6} {:>9} {:>17} {:>9} {:>9} {:>9} {:>11}",
        "queue",
        "config",
        "bytes",
        "M ops/s",
        "least-most",
        "p50 ns",
        "p99 ns",
        "cpu ns/op",
        "/ crossbeam"
    );
    for row in rows {
        let [median, least, most] = row.rates().map(|rate| rate / 1e6);
        let spread = format!("{least:.1}-{most:.1}");
        println!(
            "{:<22} {:<12} {:>6} {median:>9.1} {spread:>17} {:>9} {:>9} {:>9.2} {:>11.2}",
            row.system,
            row.config,
            row.size_b,
            row.median(|turn| turn.p50_ns),
            row.median(|turn| turn.p99_ns),
            row.median(|turn| turn.cpu_ns_per_op),
            ratio(rows, row),
        );
    }
}

fn turns(rows: &[Row]) -> usize {
    rows.first().map_or(0, |row| row.turns.len())
}

/// The same for programs: one object per row.
pub(crate) fn json(rows: &[Row]) -> Vec<String> {
    let host = host::json();
    let line = |row: &Row| {
        let [median, least, most] = row.rates();
        format!(
            "{{\"case\":\"queue\",\"system\":\"{}\",\"version\":\"{}\",\"config\":\"{}\",\
             \"link\":\"none\",\"size_b\":{},\"seal\":\"off\",\"seconds\":{:.3},\
             \"hash\":\"{:016x}\",\"ops_per_s\":{median:.0},\"ops_per_s_least\":{least:.0},\
             \"ops_per_s_most\":{most:.0},\"rounds\":{},\"p50_ns\":{},\"p99_ns\":{},\
             \"cpu_ns_per_op\":{:.2},\"ratio_to_crossbeam\":{:.3},\"host\":{host}}}",
            row.system,
            row.version,
            row.config,
            row.size_b,
            row.seconds,
            row.median(|turn| turn.hash),
            row.turns.len(),
            row.median(|turn| turn.p50_ns),
            row.median(|turn| turn.p99_ns),
            row.median(|turn| turn.cpu_ns_per_op),
            ratio(rows, row),
        )
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_delivers_everything() {
        let rows = run(Plan { rounds: 1, items: 5000, round_trips: 20 });
        if host::two_cores().is_err() {
            return assert!(rows.is_err());
        }
        let rows = rows.unwrap();
        assert_eq!(rows.len(), 14);
        let lines = json(&rows);
        let keys = ["case", "link", "size_b", "seal", "seconds", "hash", "cpu_ns_per_op", "host"];
        for key in keys.into_iter().chain(["ops_per_s", "p99_ns"]) {
            assert!(lines.iter().all(|line| line.contains(&format!("\"{key}\":"))), "{key}");
        }
    }

    #[test]
    fn the_hash_notices_loss_and_disorder() {
        let of = |numbers: &[u64]| numbers.iter().copied().fold(0, mixed);
        assert_eq!(of(&[0, 1, 2, 3]), expected(4));
        assert_ne!(of(&[0, 2, 1, 3]), expected(4));
        assert_ne!(of(&[0, 1, 3]), expected(4));
    }
}
