//! `syncom run`: one command on many nodes, equal outputs folded together.

use crate::args;
use crate::client::{Client, pack};
use crate::commands::nodes::Roll;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::show;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;
use syncom_wire::control::{OrderState, Verb};
use syncom_wire::idset::{self, IdSet};
use syncom_wire::order::{OrderHead, Receipt, Submit, Verb as OrderVerb};
use syncom_wire::{Frame, OrderId, Slot, Term, limits};

/// How long the client waits beyond the deadline: for a fail-over of the station.
const GRACE: Duration = Duration::from_secs(15);
/// Pace of the first questions for progress; it slows to ten times that.
const PAUSE_MS: u64 = 5;

/// Results that are equal: code, output, whether it was cut, and the nodes.
type Group = (i32, Vec<u8>, bool, Vec<Slot>);

/// Runs the command.
///
/// # Errors
/// Bad node sets; no quorum; and code 4 when some nodes failed, which are named.
pub fn run(place: Place, args: &args::Run) -> Outcome {
    let payload: Vec<u8> =
        args.command.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    if payload.len() > limits::PAYLOAD_MAX {
        return Err(Failure::usage(format!(
            "the command has {} bytes; at most {} fit an order: put it into a script",
            payload.len(),
            limits::PAYLOAD_MAX
        )));
    }
    let mut client = Client::open(place)?;
    let roll = Roll::ask(&mut client)?;
    let slots: Vec<Slot> = {
        let mut slots: Vec<Slot> =
            roll.select(&args.nodeset)?.iter().map(|node| node.slot()).collect();
        slots.sort_unstable();
        slots
    };
    if slots.is_empty() {
        return Err(Failure::usage(format!("node set {:?} is empty", args.nodeset)));
    }
    let state = submit(&mut client, &slots, &payload, args.deadline)?;
    let (state, groups) = follow(&mut client, state, args)?;
    conclude(&roll, &slots, &state, &groups, args.json)
}

/// The image of a set of slots in ascending order.
///
/// # Errors
/// When it does not fit an order.
pub fn slot_image(slots: &[Slot]) -> Result<Vec<u8>, Failure> {
    let mut set = vec![0; limits::IDSET_MAX];
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for slot in slots {
        match ranges.last_mut() {
            Some((_, end)) if *end == slot.0 => *end += 1,
            _ => ranges.push((slot.0, slot.0 + 1)),
        }
    }
    let too_many = |_| Failure::usage("the node set is too large for one order");
    let len = idset::encode(ranges.into_iter(), &mut set).map_err(too_many)?;
    set.truncate(len);
    Ok(set)
}

fn submit(
    client: &mut Client,
    slots: &[Slot],
    payload: &[u8],
    deadline: Duration,
) -> Result<OrderState, Failure> {
    let set = slot_image(slots)?;
    let to = IdSet::parse(&set).map_err(|fault| Failure::usage(fault.to_string()))?;
    let head = OrderHead {
        id: OrderId(0),
        term: Term(0),
        deadline_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        verb: OrderVerb::Run as u8,
        policy: OrderHead::ALL,
        flags: 0,
        need: 0,
        reserved: 0,
    };
    let answer = client.ask(Verb::Submit, 0, &pack(&Submit { head, to, payload })?)?;
    state_of(answer.frames())
}

fn state_of<'a>(mut frames: impl Iterator<Item = Frame<'a>>) -> Result<OrderState, Failure> {
    frames
        .find_map(|frame| match frame {
            Frame::OrderState(state) => Some(state),
            _ => None,
        })
        .ok_or_else(|| Failure::failed("the station's answer has no order in it"))
}

/// Asks for progress until the order ends.
fn follow(
    client: &mut Client,
    mut state: OrderState,
    args: &args::Run,
) -> Result<(OrderState, Vec<Group>), Failure> {
    let began = client.now().at;
    let patience = args.deadline + GRACE;
    let mut pause_ms = PAUSE_MS;
    let terminal = std::io::stderr().is_terminal();
    loop {
        let mut groups: BTreeMap<(i32, Vec<u8>, bool), Vec<Slot>> = BTreeMap::new();
        let mut newest = None;
        client.pages(Verb::OrderState, state.id.0, &[], |frame| match frame {
            Frame::OrderState(state) => newest = Some(state),
            Frame::Outcome(outcome) => groups
                .entry((outcome.code, outcome.output.to_vec(), outcome.cut == 1))
                .or_default()
                .extend(outcome.nodes.iter()),
            _ => {}
        })?;
        state = newest.unwrap_or(state);
        if terminal {
            eprint!("\r{} of {} answered ", state.done + state.failed, state.destinations);
            let _ = std::io::stderr().flush();
        }
        if state.state >= OrderState::COMPLETE {
            if terminal {
                eprint!("\r\x1b[K");
            }
            let groups =
                groups.into_iter().map(|((code, output, cut), slots)| (code, output, cut, slots));
            return Ok((state, groups.collect()));
        }
        if u128::from(client.now().at.since(began)) > patience.as_nanos() {
            return Err(Failure::unreachable(format!(
                "order {:016x} was taken but did not end in time; the station may have no quorum",
                state.id.0
            )));
        }
        client.wait(Duration::from_millis(pause_ms));
        pause_ms = (pause_ms * 2).min(PAUSE_MS * 10);
    }
}

fn conclude(
    roll: &Roll,
    slots: &[Slot],
    state: &OrderState,
    groups: &[Group],
    json: bool,
) -> Outcome {
    let mut codes: BTreeMap<String, Vec<Slot>> = BTreeMap::new();
    let mut missing: Vec<Slot> = slots.to_vec();
    for (code, _, _, nodes) in groups {
        codes.entry(code_name(*code)).or_default().extend(nodes);
        if *code != Receipt::NO_ANSWER {
            missing.retain(|slot| !nodes.contains(slot));
        }
    }
    let fold = |slots: &[Slot]| roll.fold(slots.iter().copied());
    if json {
        let codes: BTreeMap<&String, String> =
            codes.iter().map(|(code, slots)| (code, fold(slots))).collect();
        let outputs: Vec<Value> = groups
            .iter()
            .filter(|(code, output, ..)| *code >= 0 || !output.is_empty())
            .map(|(code, output, cut, nodes)| {
                json!({"nodes": fold(nodes), "text": String::from_utf8_lossy(output),
                       "cut": cut, "code": code})
            })
            .collect();
        println!(
            "{}",
            json!({"order": format!("{:016x}", state.id.0), "destinations": state.destinations,
                   "done": state.done, "failed": state.failed, "missing": fold(&missing),
                   "codes": codes, "outputs": outputs,
                   "last_ms": state.last_us as f64 / 1_000.0})
        );
    } else {
        for (code, output, cut, nodes) in groups.iter().filter(|(code, ..)| *code >= 0) {
            let code = if *code == 0 { String::new() } else { format!("  exit {code}") };
            println!("---- {} ({}){code}", fold(nodes), nodes.len());
            print!("{}", show::safe(output));
            if !output.is_empty() && !output.ends_with(b"\n") {
                println!();
            }
            if *cut {
                println!("[output cut]");
            }
        }
    }
    let bad: Vec<String> = codes
        .iter()
        .filter(|(code, _)| *code != "0" && **code != code_name(Receipt::NO_ANSWER))
        .map(|(code, slots)| {
            let exit = if code.parse::<i32>().is_ok() { "exit " } else { "" };
            format!("{exit}{code}: {}", fold(slots))
        })
        .chain((!missing.is_empty()).then(|| format!("no answer in time: {}", fold(&missing))))
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(Failure::partial(bad.join("; "))) }
}

/// An exit code, or why there is none.
fn code_name(code: i32) -> String {
    match code {
        Receipt::STALE_TERM => "refused: stale term".into(),
        Receipt::BUSY => "refused: busy".into(),
        Receipt::BAD_PAYLOAD => "refused: bad payload".into(),
        Receipt::NO_SERVICE => "refused: no such service".into(),
        Receipt::NO_ANSWER => "no answer in time".into(),
        Receipt::NODE_DEAD => "node dead".into(),
        code => code.to_string(),
    }
}
