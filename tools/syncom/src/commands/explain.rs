//! `syncom explain`: why something was believed, what was done about it, and, of a node, what its
//! observers make of it now, and why its homes do not take it for dead.

use crate::args;
use crate::client::Client;
use crate::commands::events;
use crate::commands::homes;
use crate::commands::nodes::Roll;
use crate::commands::watchers;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::show;
use serde_json::{Value, json};
use syncom_wire::control::{OrderState, Reply, Verb};
use syncom_wire::event::{Decision, Evidence};
use syncom_wire::{Frame, Slot};

/// Runs the command.
///
/// # Errors
/// When no replica answers, or there is no such event or node.
pub fn run(place: Place, args: &args::Explain) -> Outcome {
    let mut client = Client::open_for(place, args.stale)?;
    let roll = Roll::ask(&mut client)?;
    let (cursor, name) = match args.what.parse::<u64>() {
        Ok(seq) => (seq, ""),
        Err(_) => (0, args.what.as_str()),
    };
    let answer = client.ask(Verb::Explain, cursor, name.as_bytes())?;
    let node = roll.0.values().find(|node| node.name == name);
    if answer.head.status == Reply::NOT_FOUND && node.is_none() {
        return Err(Failure::failed(format!(
            "nothing is known of {:?}; give an event's number (see `syncom events`) or a node's name",
            args.what
        )));
    }
    let mut value = json!({"event": null, "evidence": null, "decisions": [], "live": null,
                           "judged": null});
    for frame in answer.frames() {
        match frame {
            Frame::Event(event) => {
                value["event"] = events::to_json(&event);
                if !args.json {
                    println!("{}", events::line(&event).trim_start());
                }
            }
            Frame::Evidence(evidence) => value["evidence"] = evidence_json(&evidence, &roll),
            Frame::OrderState(state) => {
                if let Some(last) =
                    value["decisions"].as_array_mut().and_then(|list| list.last_mut())
                {
                    last["outcome"] = outcome_json(&state);
                }
            }
            Frame::Decision(decision) => {
                if let Some(list) = value["decisions"].as_array_mut() {
                    list.push(decision_json(&decision));
                }
            }
            _ => {}
        }
    }
    if let Some(node) = node {
        value["live"] = watchers::ask(&mut client, &roll, node)?;
        value["judged"] = homes::ask(&mut client, &roll, node)?;
    }
    if args.json {
        println!("{value}");
    } else {
        print(&value);
        watchers::print(&value["live"]);
        homes::print(&value["judged"]);
    }
    Ok(())
}

fn evidence_json(evidence: &Evidence<'_>, roll: &Roll) -> Value {
    let head = &evidence.head;
    let observers: Vec<Slot> = evidence.observers.iter().map(|item| item.slot).collect();
    let reported = observers
        .iter()
        .enumerate()
        .filter(|(index, _)| head.reported >> index & 1 == 1)
        .map(|(_, slot)| *slot);
    json!({
        "reported_by": roll.fold(reported),
        "observers": roll.fold(observers.iter().copied()),
        "score": f64::from(head.score_x16) / 16.0,
        "needed": f64::from(head.needed_x16) / 16.0,
        "first_ns": head.first_ns, "last_ns": head.last_ns,
        "heard_ago_us": head.heard_ago_us, "probes_unanswered": head.probes,
        "homes_silent": head.homes_silent, "reporter_health_max": head.health_max,
    })
}

/// How the order of a decision went.
fn outcome_json(state: &OrderState) -> Value {
    let word = match state.state {
        OrderState::WAITING => "waiting",
        OrderState::UNDER_WAY => "under way",
        OrderState::COMPLETE => "complete",
        OrderState::CANCELLED => "cancelled",
        _ => "expired",
    };
    json!({"state": word, "destinations": state.destinations, "done": state.done,
           "failed": state.failed, "missing": state.missing})
}

/// A decision as scripts see it.
#[must_use]
pub fn decision_json(decision: &Decision<'_>) -> Value {
    let head = &decision.head;
    json!({
        "seq": head.seq, "time_ns": head.time_ns, "event": head.event, "term": head.term.0,
        "order": (head.order.0 != 0).then(|| format!("{:016x}", head.order.0)),
        "rule": decision.rule, "action": decision.action,
    })
}

fn print(value: &Value) {
    let evidence = &value["evidence"];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    if evidence.is_object() {
        if !text(&evidence["reported_by"]).is_empty() {
            println!("reported by {}", text(&evidence["reported_by"]));
        }
        // Only what others observe is decided by a score.
        if evidence["needed"].as_f64() > Some(0.0) {
            println!("observers   {}", text(&evidence["observers"]));
            println!(
                "score       {} of {} needed; {} probes unanswered; {} silent homes",
                evidence["score"],
                evidence["needed"],
                evidence["probes_unanswered"],
                evidence["homes_silent"]
            );
            println!(
                "last heard  {} before the verdict",
                show::span_us(evidence["heard_ago_us"].as_u64().unwrap_or(0))
            );
        }
        println!(
            "reports     first {}, last {}",
            show::clock(evidence["first_ns"].as_u64().unwrap_or(0)),
            show::clock(evidence["last_ns"].as_u64().unwrap_or(0))
        );
    }
    for decision in value["decisions"].as_array().into_iter().flatten() {
        println!(
            "decided     {}  rule {}: {}",
            show::clock(decision["time_ns"].as_u64().unwrap_or(0)),
            text(&decision["rule"]),
            text(&decision["action"])
        );
        let outcome = &decision["outcome"];
        if outcome.is_object() {
            println!(
                "            order {}: {} of {} did it, {} failed, {} missing",
                text(&outcome["state"]),
                outcome["done"],
                outcome["destinations"],
                outcome["failed"],
                outcome["missing"]
            );
        }
    }
}
