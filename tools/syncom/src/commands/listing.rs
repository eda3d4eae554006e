//! Commands that print a list as it comes: decisions, graph, counters.

use crate::args;
use crate::client::Client;
use crate::commands::explain::decision_json;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::show;
use serde_json::json;
use std::io::Write as _;
use std::time::Duration;
use syncom_engine::counters::CountersReader;
use syncom_wire::Frame;
use syncom_wire::control::Verb;

/// How long a follower waits before it asks for news.
const PAUSE: Duration = Duration::from_millis(100);

/// `syncom decisions`; with `--follow` until it is interrupted.
///
/// # Errors
/// When no replica answers.
pub fn decisions(place: Place, args: &args::Decisions) -> Outcome {
    let mut client = Client::open_for(place, args.look.stale)?;
    let mut from = 1;
    loop {
        let mut lines = Vec::new();
        client.pages(Verb::Decisions, from, &[], |frame| {
            let Frame::Decision(decision) = frame else { return };
            from = from.max(decision.head.seq + 1);
            lines.push(if args.look.json {
                decision_json(&decision).to_string()
            } else {
                format!(
                    "{:>6}  {}  event {:<6} {:<16} {}",
                    decision.head.seq,
                    show::clock(decision.head.time_ns),
                    decision.head.event,
                    decision.rule,
                    decision.action
                )
            });
        })?;
        let mut out = std::io::stdout().lock();
        for line in lines {
            if writeln!(out, "{line}").is_err() {
                return Ok(()); // The reader has seen enough.
            }
        }
        if !args.follow || out.flush().is_err() {
            return Ok(());
        }
        drop(out);
        client.wait(PAUSE);
    }
}

/// `syncom graph`.
///
/// # Errors
/// When no replica answers.
pub fn graph(place: Place, args: &args::Graph) -> Outcome {
    let mut client = Client::open_for(place, args.stale)?;
    let mut lines = Vec::new();
    client.pages(Verb::Graph, 0, &[], |frame| {
        if let Frame::Line(line) = frame
            && args.query.as_deref().is_none_or(|query| line.text.contains(query))
        {
            lines.push(line.text.to_owned());
        }
    })?;
    let parts = lines.iter().filter_map(|line| Part::parse(line));
    match args.format.as_str() {
        "json" => {
            let (mut things, mut relations) = (Vec::new(), Vec::new());
            for part in parts {
                match part {
                    Part::Thing { kind, name, state } => {
                        things.push(json!({"type": kind, "name": name, "state": state}));
                    }
                    Part::Relation { from, relation, to } => relations.push(json!({
                        "from": from.join(" "), "relation": relation, "to": to.join(" ")
                    })),
                }
            }
            println!("{}", json!({"things": things, "relations": relations}));
        }
        "dot" => {
            println!("digraph cluster {{");
            for part in parts {
                match part {
                    Part::Thing { kind, name, state } => {
                        let thing = [kind, name].join(" ");
                        println!("  {thing:?} [label=\"{kind} {name}\\n{state}\"];");
                    }
                    Part::Relation { from, relation, to } => {
                        let (from, to) = (from.join(" "), to.join(" "));
                        println!("  {from:?} -> {to:?} [label={relation:?}];");
                    }
                }
            }
            println!("}}");
        }
        _ => lines.iter().for_each(|line| println!("{line}")),
    }
    Ok(())
}

/// What a line of the graph says: `TYPE NAME state=STATE` or `TYPE NAME RELATION TYPE NAME`.
enum Part<'a> {
    Thing { kind: &'a str, name: &'a str, state: &'a str },
    Relation { from: [&'a str; 2], relation: &'a str, to: [&'a str; 2] },
}

impl<'a> Part<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [kind, name, state] => {
                Some(Self::Thing { kind, name, state: state.strip_prefix("state=")? })
            }
            [kind, name, relation, to, target] => {
                Some(Self::Relation { from: [kind, name], relation, to: [to, target] })
            }
            _ => None,
        }
    }
}

/// `syncom counters`: read from the files, so it works while a process hangs or after it died.
///
/// # Errors
/// When the cluster has no directory here.
pub fn counters(place: &Place, json: bool) -> Outcome {
    let dir = place.dir.as_deref().ok_or_else(|| {
        Failure::usage("counters are read on the member's machine; name the cluster's directory")
    })?;
    let files = std::fs::read_dir(dir.join("counters"))
        .map_err(|error| crate::exit::file_failure("read", &dir.join("counters"), &error))?;
    let mut paths: Vec<_> = files.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(file) = CountersReader::open(&path) else { continue };
        let values = file.iter();
        if json {
            let map: serde_json::Map<_, _> =
                values.map(|(counter, value)| (counter.name().into(), value.into())).collect();
            println!("{}", json!({"member": file.name(), "pid": file.pid(), "counters": map}));
        } else {
            println!("{} (pid {})", file.name(), file.pid());
            for (counter, value) in values.filter(|(_, value)| *value > 0) {
                println!("  {:<24} {value:>16}  {}", counter.name(), counter.help());
            }
        }
    }
    Ok(())
}
