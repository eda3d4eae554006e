//! `syncom bench failover`: how long clients wait when the leader dies, or hangs, under load.

use super::load::Load;
use super::pair::{float, host};
use crate::args::commit::Failover;
use crate::exit::{Failure, Outcome};
use serde_json::json;
use syncom_engine::clock;
use syncom_seam::{MS, SECOND};

/// Between two blows: everybody is back and has caught up.
const REST_NS: u64 = 1_500 * MS;
/// How long a stopped leader stays so.
const STOP_NS: u64 = 2 * SECOND;

/// Runs the case: by turns the leader is killed and stopped.
pub(super) fn run(args: &Failover) -> Outcome {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut load = Load::start(&parent, usize::from(args.clients), args.size as usize, 0)?;
    let (mut kills, mut stops) = (Vec::new(), Vec::new());
    let began = clock::now();
    let acknowledged = |load: &Load| load.ledger().acknowledged.iter().sum::<u64>();
    let before = acknowledged(&load);
    let cpu = load.replicas.cpu_s();
    for round in 0..args.rounds {
        load.run_until(clock::now().after(REST_NS))?;
        let leader = load.leader();
        if round % 2 == 0 {
            kills.push(strike(&mut load, leader, true)?);
            load.replicas.restart(leader)?;
        } else {
            stops.push(strike(&mut load, leader, false)?);
            load.run_until(clock::now().after(STOP_NS))?;
            load.replicas.signal(leader, "-CONT")?;
        }
    }
    load.run_until(clock::now().after(REST_NS))?;
    let count = acknowledged(&load) - before;
    let cpu_ns = (load.replicas.cpu_s() - cpu) * float(SECOND);
    let seconds = clock::now().since(began) / SECOND;
    let account = load.settle()?;
    let all = [kills.as_slice(), stops.as_slice()].concat();
    let result = json!({
        "case": "failover",
        "link": "auto",
        "size_b": args.size,
        "seal": true,
        "seconds": seconds,
        "clients": args.clients,
        "rounds": args.rounds,
        "p50_ms": median_ms(&all),
        "max_ms": most_ms(&all),
        "killed_p50_ms": median_ms(&kills),
        "killed_max_ms": most_ms(&kills),
        "stopped_p50_ms": median_ms(&stops),
        "stopped_max_ms": most_ms(&stops),
        "acknowledged": count,
        "lost": account.lost,
        "twice": account.twice,
        "cpu_ns_per_op": cpu_ns / float(count.max(1)),
        "hash": format!("{:016x}", account.hash),
        "host": host(),
    });
    if args.json {
        println!("{result}");
    } else {
        println!(
            "next commit after {} kills and stops of the leader: p50 {:.0} ms, max {:.0} ms; \
             {count} writes acknowledged, {} lost, {} twice",
            args.rounds,
            median_ms(&all),
            most_ms(&all),
            account.lost,
            account.twice
        );
    }
    if account.lost + account.twice == 0 {
        return Ok(());
    }
    Err(Failure::failed("acknowledged writes are lost, or were applied twice"))
}

/// Kills or stops the leader; how long until another has committed something, in ns.
fn strike(load: &mut Load, leader: u16, is_kill: bool) -> Result<u64, Failure> {
    let term = load.ledger().committed.0;
    let began = clock::now();
    if is_kill {
        load.replicas.kill(leader);
    } else {
        load.replicas.signal(leader, "-STOP")?;
    }
    load.until("the next leader's first commit", |ledger| ledger.committed.0 > term)?;
    Ok(load.ledger().committed.1.since(began))
}

fn median_ms(samples: &[u64]) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    float(samples.get(samples.len() / 2).copied().unwrap_or(0) / 1_000) / 1e3
}

fn most_ms(samples: &[u64]) -> f64 {
    float(samples.iter().max().copied().unwrap_or(0) / 1_000) / 1e3
}
