//! `syncom run`: one command on many nodes, equal outputs folded together.

use crate::args;
use crate::client::{Client, pack};
use crate::commands::cancel::cancel;
use crate::commands::nodes::Roll;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::show;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;
use syncom_engine::signal::StopSignals;
use syncom_wire::control::{OrderState, Verb};
use syncom_wire::idset::{self, IdSet};
use syncom_wire::order::{OrderHead, Receipt, Submit, Verb as OrderVerb};
use syncom_wire::{Frame, OrderId, Slot, Term, limits};

/// How long the client waits beyond the deadline: for a fail-over of the station.
const GRACE: Duration = Duration::from_secs(15);
/// Pace of the first questions for progress; it slows to ten times that.
const PAUSE_MS: u64 = 5;
/// Characters of the bar that shows progress.
const BAR: u64 = 30;

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
    let state = submit(&mut client, &slots, &payload, args)?;
    let (state, groups) = follow(&mut client, state, args)?;
    conclude(&roll, &slots, &state, &groups, args)
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
    args: &args::Run,
) -> Result<OrderState, Failure> {
    let set = slot_image(slots)?;
    let to = IdSet::parse(&set).map_err(|fault| Failure::usage(fault.to_string()))?;
    let (policy, need) = match (args.quorum, args.first) {
        (Some(need), _) => (OrderHead::QUORUM, need),
        (None, Some(need)) => (OrderHead::FIRST, need),
        (None, None) => (OrderHead::ALL, 0),
    };
    let head = OrderHead {
        id: OrderId(0),
        term: Term(0),
        deadline_ms: u32::try_from(args.deadline.as_millis()).unwrap_or(u32::MAX),
        verb: OrderVerb::Run as u8,
        policy,
        flags: 0,
        need,
        reserved: 0,
    };
    let answer = client.ask(Verb::Submit, 0, &pack(&Submit { head, to, payload })?)?;
    state_of(answer.frames())
}

/// The state of an order in an answer.
///
/// # Errors
/// When there is none.
pub fn state_of<'a>(mut frames: impl Iterator<Item = Frame<'a>>) -> Result<OrderState, Failure> {
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
    // Where signals cannot be watched, Ctrl-C ends this command and leaves the order.
    let signals = StopSignals::install().ok();
    let mut is_cancelled = false;
    loop {
        if !is_cancelled && signals.as_ref().is_some_and(StopSignals::requested) {
            is_cancelled = true;
            show::tell(&format!("cancelling order {:016x}", state.id.0));
            state = cancel(client, state.id.0)?;
        }
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
            let so_far_ns = client.now().at.since(began);
            eprint!("\r{}\x1b[K", bar(&state, need(args), so_far_ns));
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

/// How many answers are enough.
fn need(args: &args::Run) -> Option<u32> {
    args.quorum.or(args.first)
}

/// How far an order is, in one line.
fn bar(state: &OrderState, need: Option<u32>, so_far_ns: u64) -> String {
    let total = need.map_or(state.destinations, |need| need.min(state.destinations)).max(1);
    let answered = state.done.saturating_add(state.failed);
    let filled = (u64::from(answered.min(total)) * BAR / u64::from(total)).min(BAR);
    let filled = usize::try_from(filled).unwrap_or(0);
    let rest = usize::try_from(BAR).unwrap_or(0) - filled;
    let failed =
        if state.failed > 0 { format!(", {} failed", state.failed) } else { String::new() };
    let left = total.saturating_sub(answered);
    let tenths = so_far_ns / 100_000_000;
    format!(
        "[{}{}] {answered} of {total} answered{failed}, {left} to come, {}.{} s",
        "#".repeat(filled),
        "-".repeat(rest),
        tenths / 10,
        tenths % 10
    )
}

fn conclude(
    roll: &Roll,
    slots: &[Slot],
    state: &OrderState,
    groups: &[Group],
    args: &args::Run,
) -> Outcome {
    let json = args.json;
    let mut codes: BTreeMap<String, Vec<Slot>> = BTreeMap::new();
    let mut missing: BTreeSet<Slot> = slots.iter().copied().collect();
    for (code, _, _, nodes) in groups {
        codes.entry(code_name(*code)).or_default().extend(nodes);
        if *code != Receipt::NO_ANSWER {
            nodes.iter().for_each(|slot| _ = missing.remove(slot));
        }
    }
    let missing: Vec<Slot> = missing.into_iter().collect();
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
                   "cancelled": state.state == OrderState::CANCELLED,
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
        .chain(unanswered(state, args, &missing).map(|why| format!("{why}: {}", fold(&missing))))
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(Failure::partial(bad.join("; "))) }
}

/// Why it matters that some did not answer, if it does.
fn unanswered(state: &OrderState, args: &args::Run, missing: &[Slot]) -> Option<&'static str> {
    if missing.is_empty() {
        return None;
    }
    match state.state {
        OrderState::CANCELLED => Some("cancelled before an answer"),
        OrderState::COMPLETE if need(args).is_some() => None,
        _ => Some("no answer in time"),
    }
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
        Receipt::CANCELLED => "cancelled".into(),
        code => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_when_as_many_have_answered_as_are_needed() {
        let state = |done, failed| OrderState {
            id: OrderId(1),
            destinations: 400,
            done,
            failed,
            missing: 400 - done - failed,
            state: OrderState::UNDER_WAY,
            reserved: [0; 7],
            since_ns: 0,
            first_us: 0,
            last_us: 0,
        };
        let line = bar(&state(199, 1), None, 12_340_000_000);
        let half = "#".repeat(15) + &"-".repeat(15);
        assert_eq!(line, format!("[{half}] 200 of 400 answered, 1 failed, 200 to come, 12.3 s"));
        let line = bar(&state(120, 0), Some(100), 0);
        assert_eq!(line, format!("[{}] 120 of 100 answered, 0 to come, 0.0 s", "#".repeat(30)));
    }
}
