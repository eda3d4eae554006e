//! `syncom bench uplink`: reports that come by UDP to one satellite.
//!
//! The satellite is the real one: its role under the engine's loop, on a thread that is kept on a
//! core of its own, with a socket, sealed, and a key per sender. Behind it a station of one process
//! commits to its disk. Reporters are this process: as many senders as are asked for, each with its
//! own key, behind a few sockets.
//!
//! First a **storm**: every reporter reports one of the subjects and repeats that until it hears that
//! it is committed. Then **floods**, which nobody answers in time: packed datagrams in segmented runs,
//! and single ones from sockets of their own, beside what a loop does that receives the same, answers
//! each with as many bytes as a satellite, and does no more.
//! Senders and satellite share this machine, so a flood's rates are by the satellite's own CPU time:
//! datagrams per second of its core.

mod reporters;
mod satellite;

use super::pair::{float, host};
use super::replicas::Replicas;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use clap::Args;
use reporters::Reporters;
use satellite::{Bare, Satellite, Work};
use serde_json::json;
use std::path::PathBuf;
use syncom_engine::pin;
use syncom_wire::Frame;
use syncom_wire::control::Verb;

/// `syncom bench uplink`.
#[derive(Clone, Debug, Args)]
pub struct BenchUplink {
    /// Distinct reporters of the storm
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    reporters: u32,
    /// Things that they report
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=90))]
    subjects: u32,
    /// Reports of a datagram in the packed flood
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=20))]
    pack: u32,
    /// How long each flood lasts
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Where the station keeps its log
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a flood cost who received it.
#[derive(Clone, Copy, Debug)]
struct Flood {
    satellite: Work,
    /// A loop that receives and answers, and one that only receives.
    bare: Work,
    deaf: Work,
}

impl Flood {
    /// How many times as long the satellite takes for a datagram.
    fn ratio(&self) -> f64 {
        self.bare.datagrams_per_s() / self.satellite.datagrams_per_s().max(1.0)
    }
}

/// Runs the case.
pub(super) fn run(args: &BenchUplink) -> Outcome {
    let cores = pin::cores().unwrap_or_default();
    let (near, far) = (cores.first().copied(), cores.last().copied());
    if let Some(core) = near {
        // A machine that forbids pinning measures unpinned.
        let _ = pin::pin(core);
    }
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let replicas = Replicas::start_many(&parent, 1, 0)?;
    let place = replicas.place();
    let satellite = Satellite::start(&place, far)?;
    let mut reporters = Reporters::new(&place.secret, args.subjects)?;
    satellite.until_ready()?;
    let storm = reporters.storm(satellite.addr(), args.reporters)?;
    let events = events(Client::open(replicas.place())?)?;
    let packed = flood(args, &satellite, &mut reporters, args.pack, far)?;
    let single = flood(args, &satellite, &mut reporters, 0, far)?;
    let packed_rates = (packed.satellite.reports_per_s(), packed.satellite.datagrams_per_s());
    let result = json!({
        "case": "uplink",
        "link": "mmsg",
        "size_b": reporters::REPORT,
        "seal": true,
        "seconds": args.seconds,
        "reporters": args.reporters,
        "subjects": args.subjects,
        "pack": args.pack,
        "reports_per_s": packed_rates.0.round(),
        "datagrams_per_s": packed_rates.1.round(),
        "bare_datagrams_per_s": packed.bare.datagrams_per_s().round(),
        "bare_ratio": packed.ratio(),
        "received_only_per_s": packed.deaf.datagrams_per_s().round(),
        "distinct_datagrams_per_s": single.satellite.datagrams_per_s().round(),
        "distinct_bare_datagrams_per_s": single.bare.datagrams_per_s().round(),
        "distinct_bare_ratio": single.ratio(),
        "distinct_received_only_per_s": single.deaf.datagrams_per_s().round(),
        "events": events.len(),
        "event_reports": events.iter().sum::<u64>(),
        "lost": u64::from(args.reporters) - storm.committed,
        "committed_ms": storm.ns / 1_000_000,
        "sent_max": storm.sent_max,
        "sent": storm.sent,
        "heard_max": storm.heard_max,
        "cpu_ns_per_op": 1e9 / packed_rates.0.max(1.0),
        "hash": format!("{:016x}", storm.hash),
        "host": host(),
    });
    if args.json {
        println!("{result}");
    } else {
        tell(args, &storm, events.len(), &packed, &single);
    }
    if storm.committed == u64::from(args.reporters) {
        return Ok(());
    }
    Err(Failure::failed("reports were lost"))
}

fn tell(
    args: &BenchUplink,
    storm: &reporters::Storm,
    events: usize,
    packed: &Flood,
    single: &Flood,
) {
    println!(
        "storm: {} of {} reporters committed as {events} events in {} ms, {} datagrams sent, at most \
         {} by one",
        storm.committed,
        args.reporters,
        storm.ns / 1_000_000,
        storm.sent,
        storm.sent_max,
    );
    println!(
        "packed by {}: {:.2} M reports/s of the satellite's core, {:.0} k datagrams/s, {:.2} times \
         as long as a bare loop",
        args.pack,
        packed.satellite.reports_per_s() / 1e6,
        packed.satellite.datagrams_per_s() / 1e3,
        packed.ratio(),
    );
    println!(
        "one by one from sockets of their own: {:.0} k datagrams/s, {:.2} times as long as a bare loop",
        single.satellite.datagrams_per_s() / 1e3,
        single.ratio(),
    );
}

/// Floods the satellite, then a bare loop in its place; `pack` 0: single reports from many sockets.
fn flood(
    args: &BenchUplink,
    satellite: &Satellite,
    reporters: &mut Reporters,
    pack: u32,
    core: Option<usize>,
) -> Result<Flood, Failure> {
    let before = satellite.work()?;
    reporters.flood(satellite.addr(), pack, args.seconds)?;
    let satellite = satellite.work()?.since(&before);
    let mut place = |answer| {
        let bare = Bare::start(core, answer)?;
        let before = bare.work()?;
        reporters.flood(bare.addr(), pack, args.seconds)?;
        Ok::<Work, Failure>(bare.work()?.since(&before))
    };
    Ok(Flood { satellite, bare: place(reporters::answer(pack.max(1)))?, deaf: place(0)? })
}

/// The events that the reports made: how many reports went into each.
fn events(mut client: Client) -> Result<Vec<u64>, Failure> {
    let mut events = Vec::new();
    client.pages(Verb::Events, 1, &[], |frame| {
        if let Frame::Event(event) = frame
            && event.head.kind == reporters::kind()
        {
            events.push(u64::from(event.head.reporters));
        }
    })?;
    Ok(events)
}

/// A rate by time.
fn per_s(count: u64, ns: u64) -> f64 {
    float(count) * 1e9 / float(ns.max(1))
}
