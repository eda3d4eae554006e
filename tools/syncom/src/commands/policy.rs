//! `syncom policy`: the rules of recovery.

use crate::args::PolicyVerb;
use crate::client::{Answer, Client};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::policy;
use serde_json::{Value, json};
use syncom_wire::control::Verb;
use syncom_wire::policy::Policy;
use syncom_wire::{Frame, Frames};

/// Runs the command; only a check needs no cluster.
///
/// # Errors
/// When the file is wrong, no replica answers, or the station refuses the policy.
pub fn run(find: impl FnOnce() -> Result<Place, Failure>, verb: &PolicyVerb) -> Outcome {
    match verb {
        PolicyVerb::Check(args) => {
            let bytes = policy::load(&args.file)?;
            let policy = of_frames(Frames::new(&bytes).flatten())?;
            tell(&policy, args.json, "is sound");
        }
        PolicyVerb::Apply(args) => {
            let bytes = policy::load(&args.file)?;
            let answer = Client::open(find()?)?.ask(Verb::SetPolicy, 0, &bytes)?;
            tell(&of_answer(&answer)?, args.json, "holds from now on");
        }
        PolicyVerb::Show(args) => {
            let answer = Client::open(find()?)?.ask(Verb::Policy, 0, &[])?;
            let policy = of_answer(&answer)?;
            if args.json {
                println!("{}", to_json(&policy));
            } else if policy.head.version == 0 {
                println!("# No policy was applied; this is what holds without one.");
                print!("{}", policy::render(&policy));
            } else {
                println!("# Version {}.", policy.head.version);
                print!("{}", policy::render(&policy));
            }
        }
    }
    Ok(())
}

fn of_answer(answer: &Answer) -> Result<Policy<'_>, Failure> {
    of_frames(answer.frames())
}

fn of_frames<'a>(mut frames: impl Iterator<Item = Frame<'a>>) -> Result<Policy<'a>, Failure> {
    frames
        .find_map(|frame| match frame {
            Frame::Policy(policy) => Some(policy),
            _ => None,
        })
        .ok_or_else(|| Failure::failed("the answer has no policy in it"))
}

fn tell(policy: &Policy<'_>, json: bool, what: &str) {
    let head = &policy.head;
    if json {
        println!("{}", to_json(policy));
    } else {
        let version =
            if head.version > 0 { format!(" as version {}", head.version) } else { String::new() };
        println!("{} thresholds, {} rules: {what}{version}", head.thresholds, head.rules);
    }
}

fn to_json(policy: &Policy<'_>) -> Value {
    let head = &policy.head;
    let thresholds: Vec<Value> = policy
        .thresholds()
        .map(|one| {
            json!({"kind": one.kind, "reporters": one.head.min_distinct,
                   "permille": one.head.min_permille, "domains": one.head.min_domains,
                   "window_ms": one.head.window_ms, "max_per_s": one.head.max_rate})
        })
        .collect();
    let rules: Vec<Value> = policy::rules(policy).collect();
    json!({
        "version": head.version,
        "guard": {"nodes": head.guard_nodes, "permille": head.guard_permille,
                  "window_ms": head.guard_window_ms, "last_instance": head.guard_last == 1},
        "brake": {"deaths": head.brake_deaths, "permille": head.brake_permille,
                  "domains": head.brake_domains, "window_ms": head.brake_window_ms,
                  "calm_ms": head.brake_calm_ms},
        "thresholds": thresholds, "rules": rules,
    })
}
