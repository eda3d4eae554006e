//! `syncom bench alloc`: what a message costs in allocations and copies once everything is warm, on
//! every link that this machine can open and on every way through it.
//!
//! *Datagrams* are frames that two roles throw to each other under one host: received, opened,
//! handed over, encoded, sealed, sent. *Offer* and *claim* are the two ways into a channel's stream,
//! with its receiving end on the same thread. Allocations are those of this thread; copies are
//! counted where our code copies a stream's bytes. What the kernel copies is its own business.

mod links;
mod paths;

use super::pair::{float, host};
use crate::args::{BenchAlloc, OnOff};
use crate::exit::{Failure, Outcome};
use links::Candidate;
use paths::Cost;
use serde_json::{Value, json};
use syncom_engine::allocation;
use syncom_wire::ids::mix;

/// Runs the case.
pub(super) fn run(args: &BenchAlloc) -> Outcome {
    if !allocation::is_counted() {
        return Err(Failure::failed("this program does not count its allocations"));
    }
    let mut rows = Vec::new();
    let (mut total, mut worst) = (Cost::default(), 0.0_f64);
    for candidate in links::candidates(args.link) {
        for (path, walk) in paths::PATHS {
            let cost = (candidate.open)().and_then(|pair| walk(args, pair));
            if let Ok(cost) = &cost {
                worst = worst.max(cost.allocations_per_message());
                total.add(cost);
            }
            rows.push(row(&candidate, path, &cost));
            tell(args, &candidate, path, &cost);
        }
    }
    if total.messages == 0 {
        return Err(Failure::failed("no link could be measured: the rows say why"));
    }
    if args.json {
        println!("{}", result(args, &rows, &total, worst));
    }
    if total.allocations == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{} allocations when everything was warm", total.allocations)))
}

/// The result for programs: the sum of all rows, and the rows.
fn result(args: &BenchAlloc, rows: &[Value], total: &Cost, worst: f64) -> Value {
    json!({
        "case": "alloc",
        "link": args.link.map_or("all", crate::args::LinkName::name),
        "size_b": args.size,
        "seal": args.seal == OnOff::On,
        "seconds": float(total.elapsed_ns) / 1e9,
        "allocs_per_msg": worst,
        "messages": total.messages,
        "cpu_ns_per_op": float(total.cpu_ns) / float(total.messages.max(1)),
        "hash": format!("{:016x}", mix(total.hash)),
        "paths": rows,
        "host": host(),
    })
}

fn row(candidate: &Candidate, path: &str, cost: &Result<Cost, Failure>) -> Value {
    let link = candidate.name;
    match cost {
        Ok(cost) => json!({
            "link": link,
            "path": path,
            "messages": cost.messages,
            "allocs_per_msg": cost.allocations_per_message(),
            "copies_out": cost.copies.map(|[out, _]| out),
            "copies_in": cost.copies.map(|[_, into]| into),
            "cpu_ns_per_op": float(cost.cpu_ns) / float(cost.messages.max(1)),
        }),
        Err(why) => json!({"link": link, "path": path, "unavailable": why.message}),
    }
}

fn tell(args: &BenchAlloc, candidate: &Candidate, path: &str, cost: &Result<Cost, Failure>) {
    if args.json {
        return;
    }
    let link = candidate.name;
    match cost {
        Ok(Cost { allocations, messages, copies, .. }) => {
            let copies = copies.map_or_else(String::new, |[out, into]| {
                format!("; bytes copied out {out:.2} times, in {into:.2} times")
            });
            println!(
                "{link:<12} {path:<10} {allocations} allocations in {messages} messages{copies}"
            );
        }
        Err(why) => println!("{link:<12} {path:<10} not here: {}", why.message),
    }
}
