//! Rounds of operations, their median and their spread.

use crate::host;
use std::fmt::Write as _;
use std::hint::black_box;
use syncom_engine::clock;
use syncom_wire::ids::mix;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Rounds of each bench.
    pub(crate) rounds: usize,
    /// By how much the operations of a round are divided.
    pub(crate) divisor: u64,
}

impl Scale {
    /// Enough to see that a bench works.
    pub(crate) const SMOKE: Self = Self { rounds: 5, divisor: 100 };
    /// Enough to compare.
    pub(crate) const FULL: Self = Self { rounds: 11, divisor: 1 };

    /// So many operations, fewer in a smoke run.
    pub(crate) fn of(self, operations: u64) -> u64 {
        (operations / self.divisor).max(1)
    }
}

/// What came out of one bench.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    name: String,
    operations: u64,
    /// Time per operation in each round, in ns, ascending.
    round_ns: Vec<f64>,
    hash: Option<u64>,
}

impl Bench {
    fn median(&self) -> f64 {
        self.round_ns.get(self.round_ns.len() / 2).copied().unwrap_or(0.0)
    }

    fn least(&self) -> f64 {
        self.round_ns.first().copied().unwrap_or(0.0)
    }

    fn most(&self) -> f64 {
        self.round_ns.last().copied().unwrap_or(0.0)
    }
}

/// Runs `operation` so many times a round. It gets its number, counted through all rounds, and
/// returns something that depends on what it did.
pub(crate) fn measure(
    name: &str,
    scale: Scale,
    operations: u64,
    mut operation: impl FnMut(u64) -> u64,
) -> Bench {
    let mut hash = 0;
    let operations = scale.of(operations);
    let rounds = (0..scale.rounds as u64).map(|round| {
        let began = clock::now();
        for number in round * operations..(round + 1) * operations {
            hash = mix(hash ^ black_box(operation(black_box(number))));
        }
        clock::now().since(began)
    });
    let round_ns: Vec<u64> = rounds.collect();
    Bench { hash: Some(hash), ..timed(name, operations, &round_ns) }
}

/// A bench whose rounds were timed elsewhere and whose work cannot be hashed.
pub(crate) fn timed(name: &str, operations: u64, round_ns: &[u64]) -> Bench {
    let mut round_ns: Vec<f64> = round_ns.iter().map(|ns| *ns as f64 / operations as f64).collect();
    round_ns.sort_by(f64::total_cmp);
    Bench { name: name.into(), operations, round_ns, hash: None }
}

/// A table for people.
pub(crate) fn print(benches: &[Bench]) {
    println!("{:<24} {:>12} {:>12} {:>12}  hash", "ns per operation", "median", "least", "most");
    for bench in benches {
        let (median, least, most) = (bench.median(), bench.least(), bench.most());
        let hash = bench.hash.map_or_else(|| "-".into(), |hash| format!("{hash:016x}"));
        println!("{:<24} {median:>12.1} {least:>12.1} {most:>12.1}  {hash}", bench.name);
    }
}

/// The same for programs. Names need no escaping: they are ours.
pub(crate) fn json(suite: &str, benches: &[Bench]) -> String {
    let mut text = format!("{{\"suite\":\"{suite}\",\"unit\":\"ns/op\",\"benches\":[");
    for (at, bench) in benches.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let Bench { name, operations, round_ns, hash } = bench;
        let hash = hash.map_or_else(|| "null".into(), |hash| format!("\"{hash:016x}\""));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{comma}{{\"name\":\"{name}\",\"median\":{:.2},\"least\":{:.2},\"most\":{:.2},\
             \"rounds\":{},\"operations\":{operations},\"hash\":{hash}}}",
            bench.median(),
            bench.least(),
            bench.most(),
            round_ns.len(),
        );
    }
    let _ = write!(text, "],\"host\":{}}}", host::json());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_round_whatever_the_order() {
        let bench = timed("x", 10, &[50, 10, 30]);
        assert_eq!((bench.least(), bench.median(), bench.most()), (1.0, 3.0, 5.0));
    }

    #[test]
    fn the_hash_tells_what_was_computed() {
        let run = |add: u64| measure("x", Scale::SMOKE, 1000, |n| n + add).hash;
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn programs_get_one_object_per_bench() {
        let benches = [timed("a", 1, &[2]), measure("b", Scale::SMOKE, 1, |n| n)];
        let text = json("smoke", &benches);
        assert!(text.starts_with(
            "{\"suite\":\"smoke\",\"unit\":\"ns/op\",\"benches\":[{\"name\":\"a\",\
             \"median\":2.00,\"least\":2.00,\"most\":2.00,\"rounds\":1,\"operations\":1,\
             \"hash\":null},{\"name\":\"b\","
        ));
        assert!(text.contains("\"}],\"host\":{\"kernel\":") && text.ends_with("\"}}"), "{text}");
    }
}
