//! `syncom bench suspect`: whether a node that runs is ever declared dead.
//!
//! A false death is the worst that this program can do: it fences machines that work. So a cluster
//! of real processes is given every reason to be wrong: nodes and satellites are stopped and woken,
//! all cores are taken, datagrams are lost on one side or around one domain. Each try strikes as its
//! seed says, lets the cluster recover, and reads what was committed. Nodes that ran all along must
//! not be among the dead; those that were stopped are dead if they were silent for longer than
//! detection takes, and alive if they were not even late.

mod cluster;
mod plan;
mod strike;

use super::campaign::{pause_until, run_in_namespace, works};
use super::floor::median;
use super::pair::{float, host};
use crate::args::suspect::Suspect;
use crate::assemble;
use crate::exit::{Failure, Outcome};
use crate::show;
use cluster::{News, Processes};
use plan::Stroke;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use strike::Struck;
use syncom_engine::{clock, pin};
use syncom_group::Profile;
use syncom_seam::{MS, SECOND};

/// Detections after which whoever was still stopped must be dead, or gray: local health may widen
/// every margin to the interval eight times.
const SURE: u64 = 6;

/// What all tries came to.
#[derive(Debug, Default)]
struct Tally {
    tries: u32,
    /// Deaths of nodes that ran, each with its try and its evidence.
    false_dead: Vec<String>,
    /// Nodes that began a new life without having been stopped.
    reborn: u32,
    gray: u32,
    dead_by_rule: u32,
    /// Nodes that were stopped for long and that nobody missed.
    missed: Vec<String>,
    healed_ns: Vec<u64>,
}

/// Runs the case.
pub(super) fn run(args: &Suspect) -> Outcome {
    if args.how.is_of_network() && !args.inside {
        let is_root = crate::secret::user() == 0;
        if is_root && works("unshare", &["--net", "nft", "list", "tables"]) {
            return run_in_namespace();
        }
        let words = format!("{} is LEFT OUT: it needs root, unshare and nft", args.how.name());
        show::tell(&words);
        print(args, &Tally::default(), 0, Some(&words));
        return Ok(());
    }
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let began = clock::now();
    let mut cluster = Processes::start(args, &parent)?;
    let mut tally = Tally::default();
    let struck = (0..args.tries).try_for_each(|number| {
        let seed = args.seed.wrapping_add(number.into());
        try_once(args, seed, &mut cluster, &mut tally).map_err(|failure| Failure {
            message: format!("try of seed {seed}: {}", failure.message),
            ..failure
        })
    });
    let is_kept = struck.is_err() || !tally.false_dead.is_empty() || !tally.missed.is_empty();
    cluster.stop(is_kept);
    print(args, &tally, clock::now().since(began) / SECOND, None);
    struck?;
    match (tally.false_dead.first(), tally.missed.first()) {
        (Some(first), _) => Err(Failure::failed(format!("a node that ran was removed: {first}"))),
        (None, Some(first)) => Err(Failure::failed(format!("nobody missed a node: {first}"))),
        (None, None) => Ok(()),
    }
}

/// Strikes once, lets the cluster recover, and judges what it said.
fn try_once(
    args: &Suspect,
    seed: u64,
    cluster: &mut Processes,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let stroke = Stroke::draw(args, seed);
    let cores = pin::cores().map_or(1, |cores| u32::try_from(cores.len()).unwrap_or(1));
    cluster.until_settled()?;
    let before = cluster.lives()?;
    let began = clock::now();
    let struck = Struck::begin(cluster, &stroke, cores)?;
    pause_until(clock::now().after(stroke.lasts_ns));
    struck.end()?;
    // Where all cores are taken, the blow and its end are late, too.
    let lasted_ns = clock::now().since(began);
    let healed_ns = cluster.until_well()?;
    cluster.until_settled()?;
    let news = cluster.news()?;
    let after = cluster.lives()?;
    tally.tries += 1;
    tally.healed_ns.push(healed_ns);
    let found = judge(args, &stroke, lasted_ns, &news);
    let reborn = before
        .iter()
        .filter(|(name, life)| after.get(*name) != Some(life) && !stroke.stopped().contains(name));
    tally.reborn += u32::try_from(reborn.count()).unwrap_or(u32::MAX);
    tally.gray += found.gray;
    tally.dead_by_rule += found.dead_by_rule;
    show::tell(&format!(
        "seed {seed}: {}: {} dead by the rules, {} gray, {} false; well after {} ms",
        stroke.words(),
        found.dead_by_rule,
        found.gray,
        found.false_dead.len(),
        healed_ns / MS
    ));
    for one in found.false_dead {
        let why = cluster.explain(one.seq);
        let words = format!("{} in the try of seed {seed} ({})\n{why}", one.node, stroke.words());
        show::tell(&format!("FALSE DEATH of {words}"));
        tally.false_dead.push(words);
    }
    for name in found.missed {
        tally.missed.push(format!("{name} in the try of seed {seed} ({})", stroke.words()));
    }
    Ok(())
}

/// What one try has shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    false_dead: Vec<News>,
    dead_by_rule: u32,
    gray: u32,
    missed: Vec<String>,
}

/// Compares what was committed with what the rules say of this stroke, which may have lasted longer
/// than it should.
fn judge(args: &Suspect, stroke: &Stroke, lasted_ns: u64, news: &[News]) -> Found {
    let Profile { interval_ns, misses, .. } = assemble::profile(args.profile);
    let is_late = lasted_ns >= interval_ns * u64::from(misses - 1);
    let is_surely_dead = stroke.lasts_ns >= SURE * interval_ns * u64::from(misses);
    let stopped: BTreeSet<&str> = stroke.stopped().iter().map(String::as_str).collect();
    let mut found = Found::default();
    let mut noticed = BTreeSet::new();
    for one in news {
        let was_stopped = stopped.contains(one.node.as_str());
        match one.kind.as_str() {
            "deadPeer" if was_stopped && is_late => {
                found.dead_by_rule += 1;
                noticed.insert(one.node.as_str());
            }
            "deadPeer" if !one.node.starts_with("sat") => found.false_dead.push(one.clone()),
            "gray" => {
                found.gray += 1;
                noticed.insert(one.node.as_str());
            }
            _ => {}
        }
    }
    let nodes = stopped.into_iter().filter(|name| name.starts_with("node"));
    let missed = nodes.filter(|name| is_surely_dead && !noticed.contains(name));
    found.missed = missed.map(str::to_owned).collect();
    found
}

fn print(args: &Suspect, tally: &Tally, seconds: u64, left_out: Option<&str>) {
    let most_ns = tally.healed_ns.iter().max().copied().unwrap_or(0);
    let healed_ns = median(tally.healed_ns.clone());
    let tries = u64::from(tally.tries);
    if !args.json {
        println!(
            "{} tries of {}: {} false deaths, {} dead by the rules, {} gray; well after {} ms, at \
             most {} ms",
            tally.tries,
            args.how.name(),
            tally.false_dead.len(),
            tally.dead_by_rule,
            tally.gray,
            healed_ns / MS,
            most_ns / MS
        );
        return;
    }
    let result: Value = json!({
        "case": "suspect",
        "link": "auto",
        "size_b": 0,
        "seal": true,
        "seconds": seconds,
        "how": args.how.name(),
        "nodes": args.nodes,
        "satellites": args.satellites,
        "seed": args.seed,
        "tries": tries,
        "false_dead": tally.false_dead.len(),
        "false_deaths": tally.false_dead,
        "reborn": tally.reborn,
        "gray": tally.gray,
        "dead_by_rule": tally.dead_by_rule,
        "missed": tally.missed,
        "healed_ms": healed_ns / MS,
        "healed_max_ms": most_ns / MS,
        "left_out": left_out,
        "cpu_ns_per_op": float(clock::cpu_ns()) / float(tries.max(1)),
        "hash": format!("{:016x}", tries << 32 | u64::from(tally.dead_by_rule)),
        "host": host(),
    });
    println!("{result}");
}

#[cfg(test)]
mod tests;
