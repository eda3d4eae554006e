//! `syncom bench downlink`: one order to thousands of destinations, over real sockets, and how soon the
//! last of them has answered; beside it, in turn, bare sockets that send as many datagrams as large
//! there and back.
//!
//! The destinations are whole agents, each with its own socket and its own keys. They keep still: the
//! longest heartbeat interval that there is, because what is measured is an order and not ten thousand
//! heartbeats on two cores.

mod bare;
mod swarm;

use super::pair::{float, host};
use crate::args::downlink::Downlink;
use crate::client::{Client, pack};
use crate::commands::run::slot_image;
use crate::exit::{Failure, Outcome};
use bare::Bare;
use serde_json::json;
use std::time::Duration;
use swarm::Swarm;
use syncom_engine::clock;
use syncom_seam::Time;
use syncom_wire::control::{OrderState, Verb};
use syncom_wire::idset::IdSet;
use syncom_wire::order::{OrderHead, ReceiptHead, Submit, Verb as OrderVerb};
use syncom_wire::{Fixed as _, Frame, FrameHeader, Header, OrderId, Slot, Term, ids};

/// Orders before those that count: everybody has heard every satellite then.
const WARM_UP: usize = 4;
/// How long an order may take, in ms.
const DEADLINE_MS: u32 = 30_000;
/// Pause between two looks at an order that is under way.
const PAUSE: Duration = Duration::from_millis(2);

/// What one order came to.
#[derive(Clone, Debug, Default)]
struct Turn {
    first_ms: f64,
    p50_ms: f64,
    last_ms: f64,
    /// From the client's question until it knew that all was done.
    total_ms: f64,
    /// What bare sockets took right before and right after, on average.
    bare_ms: f64,
    cpu_ns: u64,
    done: u32,
    missing: u32,
    executed_twice: u64,
    hash: u64,
}

/// Runs the case.
pub(super) fn run(args: &Downlink) -> Outcome {
    if args.kill >= args.satellites {
        return Err(Failure::usage("--kill must leave a satellite: say more --satellites"));
    }
    let began = clock::now();
    let mut swarm = Swarm::start(args)?;
    let mut client = Client::open(swarm.place())?;
    swarm.await_all(&mut client)?;
    let start_ms = clock::now().since(began) / 1_000_000;
    let sizes = sizes(args);
    let mut bare = Bare::open(args, sizes)?;
    for _ in 0..WARM_UP {
        order(args, &mut swarm, &mut client, 0)?;
        bare.round()?;
    }
    let turns = if args.kill > 0 { 1 } else { args.turns };
    let mut all = Vec::new();
    let mut before_ns = bare.round()?;
    for _ in 0..turns {
        let mut turn = order(args, &mut swarm, &mut client, args.kill)?;
        let after_ns = bare.round()?;
        turn.bare_ms = float(before_ns.midpoint(after_ns)) / 1e6;
        before_ns = after_ns;
        all.push(turn);
    }
    report(args, &all, sizes, start_ms)
}

/// Bytes of the datagram with the order and of the one with the receipt, sealed.
fn sizes(args: &Downlink) -> [usize; 2] {
    let payload = payload(args);
    let order = OrderHead::SIZE + 4 + payload.len();
    let receipt = ReceiptHead::SIZE + 4;
    [order, receipt].map(|size| Header::OVERHEAD + FrameHeader::SIZE + size)
}

fn payload(args: &Downlink) -> Vec<u8> {
    let words = args.command.iter().flat_map(|command| command.split_whitespace());
    words.flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect()
}

/// Gives one order to all destinations and follows it to its end.
fn order(
    args: &Downlink,
    swarm: &mut Swarm,
    client: &mut Client,
    kill: u16,
) -> Result<Turn, Failure> {
    let slots: Vec<Slot> = (0..args.nodes).map(Slot).collect();
    let set = slot_image(&slots)?;
    let to = IdSet::parse(&set).map_err(|fault| Failure::usage(fault.to_string()))?;
    let verb = if args.command.is_some() { OrderVerb::Run } else { OrderVerb::Ping };
    let head = OrderHead {
        id: OrderId(0),
        term: Term(0),
        deadline_ms: DEADLINE_MS,
        verb: verb as u8,
        policy: OrderHead::ALL,
        flags: 0,
        need: 0,
        reserved: 0,
    };
    let question = pack(&Submit { head, to, payload: &payload(args) })?;
    let executed = swarm.executed();
    let (began, cpu_before) = (clock::now(), clock::cpu_ns());
    let answer = client.ask(Verb::Submit, 0, &question)?;
    let mut state = answer.frames().find_map(order_state);
    if kill > 0 {
        swarm.kill_satellites(kill);
    }
    let mut turn = Turn::default();
    while state.is_none_or(|state| state.state < OrderState::COMPLETE) {
        client.wait(PAUSE);
        let Some(known) = state else { return Err(Failure::failed("the order was not taken")) };
        let mut newest = None;
        client.pages(Verb::OrderState, known.id.0, &[], |frame| {
            if let Frame::Outcome(outcome) = &frame {
                turn.hash ^= ids::mix(
                    ids::hash(outcome.nodes.as_bytes()) ^ u64::from(outcome.code.cast_unsigned()),
                );
            }
            newest = newest.or_else(|| order_state(frame));
        })?;
        state = newest.or(state);
        let answered = state.map_or(0, |state| state.done + state.failed);
        if turn.p50_ms == 0.0 && answered * 2 >= args.nodes {
            turn.p50_ms = ms_since(began);
        }
    }
    turn.total_ms = ms_since(began);
    turn.cpu_ns = clock::cpu_ns() - cpu_before;
    let state = state.ok_or_else(|| Failure::failed("the order was not taken"))?;
    (turn.first_ms, turn.last_ms) = (float(state.first_us) / 1e3, float(state.last_us) / 1e3);
    turn.p50_ms = turn.p50_ms.min(turn.last_ms);
    (turn.done, turn.missing) = (state.done, state.missing + state.failed);
    turn.executed_twice = swarm.executed_twice_since(&executed);
    Ok(turn)
}

fn order_state(frame: Frame<'_>) -> Option<OrderState> {
    if let Frame::OrderState(state) = frame { Some(state) } else { None }
}

fn ms_since(began: Time) -> f64 {
    float(clock::now().since(began)) / 1e6
}

/// The middle one.
fn median(all: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn report(args: &Downlink, all: &[Turn], sizes: [usize; 2], start_ms: u64) -> Outcome {
    let ratio = |turn: &Turn| turn.last_ms / turn.bare_ms;
    let least = |of: &dyn Fn(&Turn) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: &dyn Fn(&Turn) -> f64| all.iter().map(of).fold(0.0, f64::max);
    let missing: u32 = all.iter().map(|turn| turn.missing).sum();
    let executed_twice: u64 = all.iter().map(|turn| turn.executed_twice).sum();
    let last_ms = median(all, |turn| turn.last_ms);
    let bare_ms = median(all, |turn| turn.bare_ms);
    let result = json!({
        "case": "downlink",
        "link": "mmsg",
        "size_b": sizes[0],
        "receipt_b": sizes[1],
        "seal": true,
        "seconds": all.iter().map(|turn| turn.total_ms).sum::<f64>() / 1e3,
        "nodes": args.nodes,
        "satellites": args.satellites,
        "killed": args.kill,
        "threads": args.threads,
        "command": args.command,
        "turns": all.len(),
        "first_ms": median(all, |turn| turn.first_ms),
        "p50_ms": median(all, |turn| turn.p50_ms),
        "last_ms": last_ms,
        "last_ms_min": least(&|turn| turn.last_ms),
        "last_ms_max": most(&|turn| turn.last_ms),
        "total_ms": median(all, |turn| turn.total_ms),
        "bare_ms": bare_ms,
        "bare_ms_min": least(&|turn| turn.bare_ms),
        "bare_ms_max": most(&|turn| turn.bare_ms),
        "last_to_bare": median(all, ratio),
        "last_to_bare_min": least(&ratio),
        "last_to_bare_max": most(&ratio),
        "done": all.iter().map(|turn| u64::from(turn.done)).sum::<u64>(),
        "executed_twice": executed_twice,
        "missing": missing,
        "start_ms": start_ms,
        "cpu_ns_per_op": median(all, |turn| float(turn.cpu_ns)) / f64::from(args.nodes),
        "hash": format!("{:016x}", all.iter().fold(0, |hash, turn| ids::mix(hash) ^ turn.hash)),
        "host": host(),
    });
    if args.json {
        println!("{result}");
    } else {
        println!(
            "{} destinations: first receipt {:.1} ms, half {:.1} ms, last {last_ms:.1} ms (bare \
             sockets {bare_ms:.1} ms, ratio {:.2}); {executed_twice} executed twice, {missing} missing",
            args.nodes,
            median(all, |turn| turn.first_ms),
            median(all, |turn| turn.p50_ms),
            median(all, ratio),
        );
    }
    if missing == 0 && executed_twice == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{missing} are missing, {executed_twice} executed an order twice")))
}
