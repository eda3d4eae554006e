//! `syncom bench reads`: concurrent clients against real processes that are killed, stopped, cut off
//! and shown wrong clocks, and a judge who says whether what they saw can be explained.
//!
//! Each client does one thing at a time: it submits an order, or reads one that some client is
//! submitting, of any replica. Cuts need a network of our own: as root the case runs itself again in
//! a namespace where nobody else is; all that it changes there ends with it. Every campaign is drawn
//! from its own seed, which is said.

mod asker;
mod attack;
mod plan;

pub(super) use asker::order_to_nobody;
pub(super) use attack::{nft, works};

use super::pair::{float, host};
use super::replicas::Replicas;
use crate::args::commit::Reads;
use crate::exit::{Failure, Outcome};
use crate::show;
use asker::{Asker, Common};
use plan::{Blow, Means, Stroke};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;
use syncom_engine::{clock, namespace};
use syncom_seam::{Rng, SECOND, Time};
use syncom_sim::linear::History;

/// What all campaigns together came to.
#[derive(Debug, Default)]
struct Tally {
    operations: u64,
    /// By [`Blow::KINDS`].
    blows: [u64; Blow::KINDS.len()],
    /// Seeds of campaigns in which something was found.
    violated: Vec<u64>,
    violations: Vec<String>,
}

/// Runs the case.
pub(super) fn run(args: &Reads) -> Outcome {
    let mut means = Means::probe();
    if !args.inside && means.cuts {
        return run_in_namespace();
    }
    means.cuts &= args.inside;
    let left_out = means.left_out();
    left_out.iter().for_each(|words| show::tell(words));
    let began = clock::now();
    let mut tally = Tally::default();
    for number in 0..args.campaigns {
        let seed = args.seed.wrapping_add(number.into());
        let failed = |failure: Failure| Failure {
            message: format!("campaign of seed {seed}: {}", failure.message),
            ..failure
        };
        campaign(args, seed, means, &mut tally).map_err(failed)?;
    }
    let seconds = clock::now().since(began) / SECOND;
    let result = result(args, &tally, &left_out, seconds);
    if args.json {
        println!("{result}");
    } else {
        println!(
            "{} campaigns, {} operations under {}: {} campaigns with violations",
            args.campaigns,
            tally.operations,
            words(tally.blows),
            tally.violated.len()
        );
    }
    match (tally.violations.first(), args.stale) {
        (None, false) | (Some(_), true) => Ok(()),
        (Some(first), false) => {
            let seed = tally.violated.first().unwrap_or(&args.seed);
            Err(Failure::failed(format!("seed {seed} is not linearizable: {first}")))
        }
        (None, true) => Err(Failure::failed("stale reads were not found out")),
    }
}

/// Fights one campaign and judges it.
fn campaign(args: &Reads, seed: u64, means: Means, tally: &mut Tally) -> Outcome {
    let strokes = plan::draw(seed, args.seconds, means);
    let mut blows = [0; Blow::KINDS.len()];
    strokes.iter().for_each(|stroke| blows[stroke.blow.kind()] += 1);
    let history = fight(args, seed, &strokes)?;
    let violations = history.judge();
    let verdict = if violations.is_empty() { "linearizable" } else { "NOT linearizable" };
    show::tell(&format!(
        "seed {seed}: {} operations under {}: {verdict}",
        history.len(),
        words(blows)
    ));
    tally.operations += history.len() as u64;
    tally.blows.iter_mut().zip(blows).for_each(|(sum, count)| *sum += count);
    if !violations.is_empty() {
        tally.violated.push(seed);
        tally.violations.extend(violations);
    }
    Ok(())
}

/// Counts of blows, for a person.
fn words(blows: [u64; Blow::KINDS.len()]) -> String {
    let named = Blow::KINDS.iter().zip(blows);
    let parts: Vec<String> =
        named.map(|(kind, count)| format!("{count} {}", kind.replace('_', " "))).collect();
    parts.join(", ")
}

fn result(args: &Reads, tally: &Tally, left_out: &[String], seconds: u64) -> Value {
    let mut result = json!({
        "case": "reads",
        "link": "auto",
        "size_b": 0,
        "seal": true,
        "seconds": seconds,
        "campaigns": args.campaigns,
        "seed": args.seed,
        "clients": args.clients,
        "stale": args.stale,
        "operations": tally.operations,
        "violated": tally.violated,
        "violations": tally.violations,
        "left_out": left_out,
        "cpu_ns_per_op": float(clock::cpu_ns()) / float(tally.operations.max(1)),
        "hash": format!("{:016x}", tally.operations),
        "host": host(),
    });
    for (kind, count) in Blow::KINDS.iter().zip(tally.blows) {
        result[*kind] = count.into();
    }
    result
}

/// Runs this program again where the loopback is its own.
pub(super) fn run_in_namespace() -> Outcome {
    match namespace::run_again("--inside") {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::failed("see above")),
        Err(error) => Err(Failure::failed(format!("cannot run in a namespace: {error}"))),
    }
}

/// One campaign; what its clients saw.
fn fight(args: &Reads, seed: u64, strokes: &[Stroke]) -> Result<History, Failure> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut replicas = Replicas::start(&parent, 0)?;
    let lasts_ns = u64::from(args.seconds) * SECOND;
    let common = Arc::new(Common::new(lasts_ns, args.stale));
    let clients: Vec<JoinHandle<Result<(), Failure>>> = (0..u64::from(args.clients))
        .map(|number| {
            let (place, common) = (replicas.place(), Arc::clone(&common));
            let rng = Rng::new(seed << 8 ^ number);
            spawn(move || Asker::open(&place, common, rng)?.work())
        })
        .collect();
    let struck = strike(&mut replicas, strokes, lasts_ns);
    common.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().map_err(|_| Failure::failed("a client is lost"))??;
    }
    struck?;
    if let Some(number) = replicas.fallen().first() {
        let words = replicas.words(*number);
        return Err(Failure::failed(format!("replica {number} has ended by itself: {words}")));
    }
    let history = common.take_history();
    if history.len() < 20 {
        return Err(Failure::failed(format!("only {} operations were answered", history.len())));
    }
    Ok(history)
}

/// Lets all strokes begin and end at their moments.
fn strike(replicas: &mut Replicas, strokes: &[Stroke], over_ns: u64) -> Outcome {
    let mut moments: Vec<(u64, bool, &Stroke)> = strokes
        .iter()
        .flat_map(|stroke| [(stroke.from_ns, false, stroke), (stroke.until_ns, true, stroke)])
        .collect();
    // Whatever began in time is ended with the campaign at the latest.
    moments.iter_mut().for_each(|moment| moment.0 = moment.0.min(over_ns));
    moments.sort_by_key(|(at_ns, is_end, _)| (*at_ns, *is_end));
    let began = clock::now();
    for (at_ns, is_end, stroke) in moments {
        pause_until(began.after(at_ns));
        if is_end {
            attack::end(replicas, stroke)?;
        } else {
            attack::begin(replicas, stroke)?;
        }
    }
    pause_until(began.after(over_ns));
    Ok(())
}

fn pause(span_ns: u64) {
    pause_until(clock::now().after(span_ns));
}

pub(super) fn pause_until(moment: Time) {
    while clock::now() < moment {
        std::thread::park_timeout(Duration::from_nanos(moment.since(clock::now())));
    }
}
