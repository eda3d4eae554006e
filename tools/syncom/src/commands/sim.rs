//! `syncom sim`: whole clusters in virtual time; the same seed is the same run.

mod hours;
mod scale;

use crate::args;
use crate::exit::{Failure, Outcome};
use serde_json::json;
use std::collections::BTreeMap;
use syncom_engine::clock::Clock;
use syncom_sim::{Options, Outcome as Run};

/// Runs the command.
///
/// # Errors
/// Code 1 when an invariant was broken, or with `scale`, `orders` or `hours` a promised figure was missed.
pub fn run(args: &args::Sim) -> Outcome {
    if args.seed == "scale" {
        return scale::run(args);
    }
    if args.seed == "orders" {
        return scale::orders(args);
    }
    if args.seed == "hours" {
        return hours::run(args);
    }
    let mut options = Options {
        nodes: args.nodes as usize,
        satellites: usize::from(args.satellites.unwrap_or(2)),
        scenario: args.scenario.clone(),
        log: args.log,
        ..Options::default()
    };
    if let Some(minutes) = args.minutes {
        if !(minutes > 0.0 && minutes <= 10_000.0) {
            return Err(Failure::usage("--minutes must be above 0 and at most 10000"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let fault_ms = (minutes * 60_000.0) as u64;
        options.fault_ms = fault_ms;
    }
    let seeds = if args.seed == "soak" {
        args.first..args.first.saturating_add(args.seeds)
    } else {
        let seed = args.seed.parse::<u64>().map_err(|_| {
            Failure::usage(format!(
                "{:?} is neither a seed (a number) nor `soak`, `scale`, `orders` or `hours`",
                args.seed
            ))
        })?;
        seed..seed.saturating_add(1)
    };
    let mut bad = Vec::new();
    let mut totals = BTreeMap::new();
    let (mut events, mut virtual_ms, mut count) = (0, 0, 0_u64);
    let mut clock = Clock::new();
    let began = clock.sample().at;
    for seed in seeds {
        let outcome = one(seed, &options, args, &mut clock)?;
        if !outcome.violations.is_empty() {
            bad.push(seed);
        }
        for (kind, number) in outcome.faults.named() {
            *totals.entry(kind).or_insert(0) += number;
        }
        events += outcome.events;
        virtual_ms += outcome.virtual_ms;
        count += 1;
    }
    let wall_ms = clock.sample().at.since(began) / 1_000_000;
    eprintln!(
        "{count} seeds, {} virtual s, {events} events, {wall_ms} ms; faults {totals:?}; {} bad",
        virtual_ms / 1_000,
        bad.len()
    );
    if bad.is_empty() { Ok(()) } else { Err(Failure::failed(format!("broken by seeds {bad:?}"))) }
}

fn one(seed: u64, options: &Options, args: &args::Sim, clock: &mut Clock) -> Result<Run, Failure> {
    let began = clock.sample().at;
    let mut outcome = syncom_sim::run(seed, options).map_err(Failure::usage)?;
    if args.twice {
        let again = syncom_sim::run(seed, options).map_err(Failure::usage)?;
        if again.trace_hash != outcome.trace_hash {
            outcome.violations.push("the same seed gave two different runs".into());
        }
    }
    let wall_ms = clock.sample().at.since(began) / 1_000_000;
    if args.json {
        let faults: serde_json::Map<_, _> =
            outcome.faults.named().into_iter().map(|(k, n)| (k.to_owned(), n.into())).collect();
        println!(
            "{}",
            json!({"seed": seed, "nodes": outcome.nodes, "virtual_ms": outcome.virtual_ms,
                   "events": outcome.events, "faults": faults, "violations": outcome.violations,
                   "trace_hash": format!("{:016x}", outcome.trace_hash), "wall_ms": wall_ms,
                   "reports": outcome.reports.0, "reports_committed": outcome.reports.1,
                   "orders": outcome.orders.0, "orders_complete": outcome.orders.1})
        );
    } else {
        println!(
            "seed {seed}: {} virtual ms, {} events, reports {}/{}, orders {}/{}, trace {:016x}, {wall_ms} ms{}",
            outcome.virtual_ms,
            outcome.events,
            outcome.reports.1,
            outcome.reports.0,
            outcome.orders.1,
            outcome.orders.0,
            outcome.trace_hash,
            if outcome.violations.is_empty() { "" } else { "  BROKEN" }
        );
        for violation in &outcome.violations {
            println!("  {violation}");
        }
    }
    Ok(outcome)
}
