//! `syncom bench failover`: how long clients wait when the leader dies, or hangs, under load.

use super::floor::median;
use super::load::{Account, Load};
use super::pair::{float, host};
use super::woken::Woken;
use crate::args::commit::{Failover, How};
use crate::client::Client;
use crate::commands::status;
use crate::exit::{Failure, Outcome};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::PeerId;

/// Between two blows: everybody is back and has caught up.
const REST_NS: u64 = 1_500 * MS;
/// How long another recovery manager may take to begin before the bench has failed.
const PATIENCE_NS: u64 = 20 * SECOND;
/// How long a stopped leader stays so.
const STOP_NS: u64 = 2 * SECOND;

/// What was measured, in ns.
#[derive(Debug, Default)]
struct Measured {
    /// From a blow to the next leader's first commit.
    kills_ns: Vec<u64>,
    stops_ns: Vec<u64>,
    /// From a blow until somebody saw that another recovery manager had begun.
    managers_ns: Vec<u64>,
}

impl Measured {
    fn all_ns(&self) -> Vec<u64> {
        [self.kills_ns.as_slice(), self.stops_ns.as_slice()].concat()
    }
}

/// Runs the case.
pub(super) fn run(args: &Failover) -> Outcome {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut load = Load::start(&parent, usize::from(args.clients), args.size as usize, 0)?;
    let mut woken = Woken::open(load.replicas.place())?;
    let mut measured = Measured::default();
    let began = clock::now();
    let acknowledged = |load: &Load| load.ledger().acknowledged.iter().sum::<u64>();
    let before = acknowledged(&load);
    let cpu = load.replicas.cpu_s();
    for round in 0..args.rounds {
        load.run_until(clock::now().after(REST_NS))?;
        match args.how {
            How::Kill => kill(&mut load, &mut measured)?,
            How::Stop => stop(&mut load, &mut measured, &mut woken)?,
            How::Both if round % 2 == 0 => kill(&mut load, &mut measured)?,
            How::Both => stop(&mut load, &mut measured, &mut woken)?,
        }
    }
    load.run_until(clock::now().after(REST_NS))?;
    let count = acknowledged(&load) - before;
    let cpu_ns = (load.replicas.cpu_s() - cpu) * float(SECOND);
    let seconds = clock::now().since(began) / SECOND;
    let account = load.settle()?;
    let result = result(args, &measured, &woken, &account, (count, cpu_ns, seconds));
    if args.json {
        println!("{result}");
    } else {
        println!(
            "next commit after {} kills and {} stops of the leader: p50 {:.0} ms, max {:.0} ms; \
             another recovery manager: max {:.0} ms; {count} writes acknowledged, {} lost, {} twice",
            measured.kills_ns.len(),
            measured.stops_ns.len(),
            median_ms(&measured.all_ns()),
            most_ms(&measured.all_ns()),
            most_ms(&measured.managers_ns),
            account.lost,
            account.twice
        );
    }
    if account.lost + account.twice > 0 {
        return Err(Failure::failed("acknowledged writes are lost, or were applied twice"));
    }
    if woken.stale + woken.empty > 0 {
        return Err(Failure::failed(
            "a leader that had been stopped gave answers that were not so",
        ));
    }
    Ok(())
}

fn result(
    args: &Failover,
    measured: &Measured,
    woken: &Woken,
    account: &Account,
    (count, cpu_ns, seconds): (u64, f64, u64),
) -> Value {
    let all = measured.all_ns();
    json!({
        "case": "failover",
        "link": "auto",
        "size_b": args.size,
        "seal": true,
        "seconds": seconds,
        "clients": args.clients,
        "rounds": args.rounds,
        "kills": measured.kills_ns.len(),
        "stops": measured.stops_ns.len(),
        "p50_ms": median_ms(&all),
        "max_ms": most_ms(&all),
        "killed_p50_ms": median_ms(&measured.kills_ns),
        "killed_max_ms": most_ms(&measured.kills_ns),
        "stopped_p50_ms": median_ms(&measured.stops_ns),
        "stopped_max_ms": most_ms(&measured.stops_ns),
        "manager_p50_ms": median_ms(&measured.managers_ns),
        "manager_max_ms": most_ms(&measured.managers_ns),
        "acknowledged": count,
        "lost": account.lost,
        "twice": account.twice,
        "woken_answers": woken.answers,
        "woken_stale": woken.stale,
        "woken_empty": woken.empty,
        "cpu_ns_per_op": cpu_ns / float(count.max(1)),
        "hash": format!("{:016x}", account.hash),
        "host": host(),
    })
}

fn kill(load: &mut Load, measured: &mut Measured) -> Outcome {
    let leader = load.leader();
    let began = clock::now();
    measured.kills_ns.push(strike(load, leader, true)?);
    measured.managers_ns.push(see_manager(load, leader, began)?);
    load.replicas.restart(leader)
}

fn stop(load: &mut Load, measured: &mut Measured, woken: &mut Woken) -> Outcome {
    let leader = load.leader();
    let began = clock::now();
    measured.stops_ns.push(strike(load, leader, false)?);
    measured.managers_ns.push(see_manager(load, leader, began)?);
    load.run_until(clock::now().after(STOP_NS))?;
    woken.ask(load.replicas.place().replicas[usize::from(leader) - 1])?;
    load.replicas.signal(leader, "-CONT")?;
    load.run_until(clock::now().after(REST_NS))?;
    woken.judge()
}

/// How long after the blow a client saw that another replica's recovery manager had begun, in ns.
/// The load goes on meanwhile.
fn see_manager(load: &mut Load, struck: u16, began: Time) -> Result<u64, Failure> {
    // Of the replicas that live, so that nobody waits for the one that does not.
    let mut place = load.replicas.place();
    place.replicas.remove(usize::from(struck) - 1);
    let client = Client::open(place)?;
    let watcher = thread::spawn(move || watch_manager(client, struck, began));
    while !watcher.is_finished() {
        load.run_until(clock::now().after(MS))?;
    }
    watcher.join().unwrap_or_else(|_| Err(Failure::failed("who watched the managers broke down")))
}

fn watch_manager(mut client: Client, struck: u16, began: Time) -> Result<u64, Failure> {
    let struck = PeerId::station(struck);
    loop {
        let head = status::ask(&mut client)?.head;
        if head.manager == head.leader && head.leader != struck {
            return Ok(clock::now().since(began));
        }
        if clock::now().since(began) > PATIENCE_NS {
            return Err(Failure::failed("no other recovery manager has begun"));
        }
        client.wait(Duration::from_millis(2));
    }
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
    float(median(samples.to_vec()) / 1_000) / 1e3
}

fn most_ms(samples: &[u64]) -> f64 {
    float(samples.iter().max().copied().unwrap_or(0) / 1_000) / 1e3
}
