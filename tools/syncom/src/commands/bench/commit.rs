//! `syncom bench commit`: what a client waits for a durable write, and how many there are per second.

mod lossy;

use super::floor::Floor;
use super::load::{Account, Load};
use super::pair::{float, host};
use crate::args::commit::Commit;
use crate::exit::{Failure, Outcome};
use serde_json::json;
use syncom_engine::clock;
use syncom_seam::{Counter, SECOND};

/// Work before that which counts.
const WARM_UP_NS: u64 = SECOND;

/// What was measured.
struct Measured {
    span_ns: u64,
    latencies_ns: Vec<u64>,
    fsyncs: u64,
    cpu_ns: f64,
    floor: Floor,
    account: Account,
}

/// Runs the case.
pub(super) fn run(args: &Commit) -> Outcome {
    if args.rounds > 0 {
        if args.loss_ppm() <= lossy::CLEAN_PPM {
            return Err(Failure::usage("--rounds compares with and without loss: add --loss 1"));
        }
        return lossy::run(args);
    }
    let measured = measure(args, args.loss_ppm())?;
    report(args, measured)
}

fn measure(args: &Commit, loss_ppm: u32) -> Result<Measured, Failure> {
    let size = args.size as usize;
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let before = Floor::measure(&parent, size)?;
    let mut load = Load::start(&parent, usize::from(args.clients), size, loss_ppm)?;
    load.run_until(clock::now().after(WARM_UP_NS))?;
    let cpu = |load: &Load| load.replicas.cpu_s() * float(SECOND) + float(clock::cpu_ns());
    let fsyncs = |load: &Load| {
        let of = |number| load.replicas.counter(number, Counter::DiskSyncs);
        (1..=load.replicas.count()).map(of).max().unwrap_or(0)
    };
    let (cpu_before, fsyncs_before) = (cpu(&load), fsyncs(&load));
    load.ledger().is_measured = true;
    let began = clock::now();
    load.run_until(began.after(u64::from(args.seconds) * SECOND))?;
    load.ledger().is_measured = false;
    let span_ns = clock::now().since(began);
    let (cpu_after, fsyncs_after) = (cpu(&load), fsyncs(&load));
    let latencies_ns = std::mem::take(&mut load.ledger().latencies_ns);
    let account = load.settle()?;
    let floor = before.mean(Floor::measure(load.replicas.dir(), size)?);
    let fsyncs = fsyncs_after.saturating_sub(fsyncs_before);
    Ok(Measured { span_ns, latencies_ns, fsyncs, cpu_ns: cpu_after - cpu_before, floor, account })
}

fn report(args: &Commit, measured: Measured) -> Outcome {
    let Measured { span_ns, mut latencies_ns, fsyncs, cpu_ns, floor, account } = measured;
    latencies_ns.sort_unstable();
    let count = latencies_ns.len();
    let at = |per_mille: usize| {
        let place = (count * per_mille / 1_000).min(count.max(1) - 1);
        float(latencies_ns.get(place).copied().unwrap_or(0)) / 1e3
    };
    let (p50, p99, most) = (at(500), at(990), at(1_000));
    let seconds = float(span_ns) / float(SECOND);
    let floor_us = float(floor.fsync_ns + 2 * floor.trip_ns) / 1e3;
    let rate = float(count as u64) / seconds;
    let result = json!({
        "case": "commit",
        "link": "auto",
        "size_b": args.size,
        "seal": true,
        "seconds": args.seconds,
        "clients": args.clients,
        "loop": "closed",
        "loss_percent": args.loss,
        "commits_per_s": rate,
        "p50_us": p50,
        "p99_us": p99,
        "max_us": most,
        "fsyncs_per_s": float(fsyncs) / seconds,
        "fsync_us": float(floor.fsync_ns) / 1e3,
        "udp_trip_us": float(floor.trip_ns) / 1e3,
        "floor_us": floor_us,
        "p50_to_floor": p50 / floor_us,
        "lost": account.lost,
        "twice": account.twice,
        "cpu_ns_per_op": cpu_ns / float(count.max(1) as u64),
        "hash": format!("{:016x}", account.hash),
        "host": host(),
    });
    if args.json {
        println!("{result}");
    } else {
        println!(
            "{rate:.0} commits/s of {} B by {} clients: p50 {p50:.0} us, p99 {p99:.0} us, max \
             {most:.0} us; one flush and two round trips: {floor_us:.0} us",
            args.size, args.clients
        );
    }
    if account.lost + account.twice == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} acknowledged writes are lost, {} were applied twice",
        account.lost, account.twice
    )))
}
