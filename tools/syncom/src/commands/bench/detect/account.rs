//! What was measured, for people and for programs.

use super::super::pair::{float, host};
use super::swarm::{Heard, Idle, Stages, profile_name};
use crate::args::detect::Detect;
use serde_json::{Value, json};
use std::fmt;
use syncom_seam::{Now, SECOND};
use syncom_wire::ids;

/// One death.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    name: String,
    /// Until the follower had read the committed event, in ns: the result.
    seen_ns: u64,
    /// Until the station had decided it, by the event's own time.
    decided_ns: u64,
    /// Until the first report, and the last one that counted, were at a satellite; 0 if unknown.
    first_ns: u64,
    last_ns: u64,
    probes: u8,
}

impl Sample {
    pub(super) fn new(name: &str, killed: Now, death: &Heard, stages: Stages) -> Self {
        let since = |wall_ns: u64| wall_ns.saturating_sub(killed.wall.0);
        Self {
            name: name.into(),
            seen_ns: death.seen.since(killed.at),
            decided_ns: since(death.decided_ns),
            first_ns: since(stages.first_ns),
            last_ns: since(stages.last_ns),
            probes: stages.probes,
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, seen_ns, decided_ns, first_ns, last_ns, probes } = self;
        let [seen, decided, first, last] =
            [seen_ns, decided_ns, first_ns, last_ns].map(|ns| ms(*ns));
        write!(
            f,
            "{name} known dead after {seen:.1} ms (first report {first:.1}, last {last:.1}, {probes} \
             probes, decided {decided:.1})"
        )
    }
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) samples: Vec<Sample>,
    pub(super) idle: Idle,
    pub(super) span_ns: u64,
    pub(super) cpu_s: f64,
    /// As the station counts them.
    pub(super) false_deaths: u64,
    /// Nodes that died and were not killed.
    wrong: Vec<String>,
    /// Nodes that were called gray.
    gray: u64,
}

impl Account {
    /// Looks through events for what should not be; `killed` may die.
    pub(super) fn note(&mut self, news: &[Heard], killed: Option<&str>) {
        for event in news {
            match event.kind.as_str() {
                "deadPeer" if killed != Some(event.subject.as_str()) => {
                    eprintln!("{} died, and nobody had killed it", event.subject);
                    self.wrong.push(event.subject.clone());
                }
                "gray" => self.gray += 1,
                _ => {}
            }
        }
    }

    /// How many died that nobody had killed.
    pub(super) fn wrong(&self) -> u64 {
        self.false_deaths.max(u64::try_from(self.wrong.len()).unwrap_or(u64::MAX))
    }

    /// The value at this part of the samples, by nearest rank.
    fn rank_ms(&self, percent: usize, of: fn(&Sample) -> u64) -> f64 {
        let mut values: Vec<u64> = self.samples.iter().map(of).collect();
        values.sort_unstable();
        let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
        ms(values.get(at).copied().unwrap_or(0))
    }

    fn to_json(&self, args: &Detect) -> Value {
        let seen = |percent| self.rank_ms(percent, |sample| sample.seen_ns);
        let decided = |percent| self.rank_ms(percent, |sample| sample.decided_ns);
        let names = self.samples.iter().map(|sample| ids::hash(sample.name.as_bytes()));
        let hash = names.fold(0, |hash, name| ids::mix(hash ^ name));
        let kills = float(u64::from(args.kills));
        json!({
            "case": "detect",
            "link": args.link.name(),
            "size_b": 0,
            "seal": true,
            "seconds": float(self.span_ns) / float(SECOND),
            "how": args.how.name(),
            "profile": profile_name(args.profile),
            "nodes": args.nodes,
            "kills": self.samples.len(),
            "p50_ms": seen(50),
            "p99_ms": seen(99),
            "max_ms": seen(100),
            "min_ms": seen(0),
            "false_dead": self.wrong(),
            "gray": self.gray,
            "wrong": self.wrong,
            "decided_p50_ms": decided(50),
            "decided_p99_ms": decided(99),
            "first_report_p50_ms": self.rank_ms(50, |sample| sample.first_ns),
            "last_report_p50_ms": self.rank_ms(50, |sample| sample.last_ns),
            "samples_ms": self.samples.iter().map(|sample| ms(sample.seen_ns)).collect::<Vec<_>>(),
            "node_bytes_per_s": self.idle.bytes_per_s,
            "node_packets_per_s": self.idle.packets_per_s,
            "node_cpu_percent": self.idle.cpu_percent,
            "node_rss_bytes": self.idle.rss_bytes,
            "cpu_ns_per_op": self.cpu_s * float(SECOND) / kills,
            "hash": format!("{hash:016x}"),
            "host": host(),
        })
    }

    /// Prints the result.
    pub(super) fn show(&self, args: &Detect) {
        let result = self.to_json(args);
        if args.json {
            println!("{result}");
            return;
        }
        println!(
            "{} of {} {}, profile {}: known dead after p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms; \
             {} died that nobody had killed",
            self.samples.len(),
            args.nodes,
            args.how.name(),
            profile_name(args.profile),
            self.rank_ms(50, |sample| sample.seen_ns),
            self.rank_ms(99, |sample| sample.seen_ns),
            self.rank_ms(100, |sample| sample.seen_ns),
            self.wrong(),
        );
        println!(
            "without deaths an agent costs {:.0} B/s and {:.1} packets/s, {:.2} % of a core, {} KiB",
            self.idle.bytes_per_s,
            self.idle.packets_per_s,
            self.idle.cpu_percent,
            self.idle.rss_bytes >> 10
        );
    }
}

fn ms(ns: u64) -> f64 {
    float(ns / 1_000) / 1e3
}
