//! `syncom sim scale`: one cluster at a size, stage by stage.

use crate::args;
use crate::exit::{Failure, Outcome};
use serde_json::json;
use syncom_engine::clock::Clock;
use syncom_group::Profile;
use syncom_sim::scale::{Finding, Orders, Plan, Stage};

/// Runs the stages and prints what each found, as a line or as a JSON object.
///
/// # Errors
/// Code 1 when a promised figure was missed or an invariant broken; the stages are named.
pub(super) fn run(args: &args::Sim) -> Outcome {
    let mut plan = plan(args);
    if !args.what.is_empty() {
        plan.stages = args.what.iter().map(|name| stage(name)).collect::<Result<_, _>>()?;
    }
    told(args, |said| {
        syncom_sim::scale::run(&plan, said);
    })
}

/// Gives orders to all nodes of a cluster, and prints what each came to.
///
/// # Errors
/// Code 1 when a promised figure was missed or an invariant broken.
pub(super) fn orders(args: &args::Sim) -> Outcome {
    let orders = Orders {
        plan: plan(args),
        turns: usize::from(args.turns),
        kill: usize::from(args.kill),
        deaf_of: args.deaf_of as usize,
    };
    told(args, |said| {
        orders.run(said);
    })
}

/// The cluster that the command line asks for.
fn plan(args: &args::Sim) -> Plan {
    let mut plan = Plan::of(args.nodes as usize);
    plan.seed = args.first;
    plan.loss = parts(args.loss.unwrap_or(0.0));
    plan.profile = match args.profile {
        args::ProfileName::Fast => Profile::FAST,
        args::ProfileName::Default => Profile::DEFAULT,
        args::ProfileName::Quiet => Profile::QUIET,
    };
    if let Some(satellites) = args.satellites {
        plan.satellites = usize::from(satellites);
    }
    plan
}

/// Parts of 10,000 of a percentage.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 5,000")]
pub(super) fn parts(per_cent: f64) -> u64 {
    (per_cent * 100.0).round() as u64
}

/// Prints every finding as it comes.
fn told(args: &args::Sim, run: impl FnOnce(&mut dyn FnMut(&Finding))) -> Outcome {
    let mut clock = Clock::new();
    let mut before = clock.sample().at;
    let mut missed = Vec::new();
    run(&mut |finding| {
        let now = clock.sample().at;
        say(args, finding, now.since(before) / 1_000_000);
        before = now;
        if !finding.is_kept() {
            missed.push(finding.stage);
        }
    });
    if missed.is_empty() { Ok(()) } else { Err(Failure::failed(format!("missed in {missed:?}"))) }
}

fn stage(name: &str) -> Result<Stage, Failure> {
    let mut all = Stage::ALL.into_iter();
    let names: Vec<&str> = all.clone().map(Stage::name).collect();
    all.find(|stage| stage.name() == name).ok_or_else(|| {
        Failure::usage(format!("{name:?} is no stage; there are: {}", names.join(", ")))
    })
}

pub(super) fn say(args: &args::Sim, finding: &Finding, wall_ms: u64) {
    if !args.json {
        println!("{finding}");
        eprintln!("  {} virtual ms, {} events, {wall_ms} ms", finding.virtual_ms, finding.events);
        return;
    }
    let figures: serde_json::Map<String, serde_json::Value> = finding
        .figures
        .iter()
        .map(|figure| (figure.name.into(), json!({"value": figure.value, "most": figure.most})))
        .collect();
    println!(
        "{}",
        json!({"stage": finding.stage, "nodes": args.nodes, "virtual_ms": finding.virtual_ms,
               "events": finding.events, "wall_ms": wall_ms, "figures": figures,
               "violations": finding.violations})
    );
}
