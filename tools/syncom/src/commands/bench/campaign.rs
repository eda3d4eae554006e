//! `syncom bench reads`: concurrent clients against real processes that are killed, stopped and cut
//! off, and a judge who says whether what they saw can be explained.
//!
//! Each client does one thing at a time: it submits an order, or reads one that some client is
//! submitting, of any replica. Cuts need a network of our own: as root the case runs itself again in
//! a namespace where nobody else is, and drops what the cut-off replica sends, or hears, by nftables.

use super::pair::{float, host};
use super::replicas::Replicas;
use crate::args::commit::Reads;
use crate::client::pack;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;
use syncom_engine::{Endpoint, clock};
use syncom_seam::{MS, Rng, SECOND, Time};
use syncom_sim::linear::{History, Seen};
use syncom_station::order_id;
use syncom_wire::control::{Ask, AskHead, OrderState, Reply, ReplyHead, Verb};
use syncom_wire::idset::{self, IdSet};
use syncom_wire::order::{OrderHead, Submit, Verb as OrderVerb};
use syncom_wire::{Addr, Frame, OrderId, Term};

/// How long a client waits for one answer, and goes on asking.
const PATIENCE: Duration = Duration::from_millis(300);
const GIVE_UP_NS: u64 = 6 * SECOND;
/// Reads are of the last so many orders.
const RECENT: u64 = 6;
/// Orders of one campaign: no more than the station keeps.
const ORDERS_MAX: usize = 900;
/// Name of our table in nftables.
const TABLE: &str = "syncom_bench";

/// What the clients of a campaign share.
#[derive(Debug, Default)]
struct Common {
    is_over: AtomicBool,
    orders: Mutex<Vec<OrderId>>,
    history: Mutex<History>,
}

/// Runs the case.
pub(super) fn run(args: &Reads) -> Outcome {
    if !args.inside && crate::secret::user() == 0 {
        return run_in_namespace();
    }
    let began = clock::now();
    let (mut operations, mut violations, mut blows) = (0, Vec::new(), [0_u64; 3]);
    for campaign in 0..args.campaigns {
        let history = fight(args, args.seed + u64::from(campaign), &mut blows)?;
        operations += history.len() as u64;
        violations.extend(history.judge());
    }
    let seconds = clock::now().since(began) / SECOND;
    let result = result(args, operations, &violations, blows, seconds);
    if args.json {
        println!("{result}");
    } else {
        println!(
            "{} campaigns, {operations} operations under {} kills, {} stops and {} cuts: {} \
             violations",
            args.campaigns,
            blows[0],
            blows[1],
            blows[2],
            violations.len()
        );
    }
    match (violations.first(), args.stale) {
        (None, false) | (Some(_), true) => Ok(()),
        (Some(first), false) => Err(Failure::failed(format!("not linearizable: {first}"))),
        (None, true) => Err(Failure::failed("stale reads were not found out")),
    }
}

fn result(
    args: &Reads,
    operations: u64,
    violations: &[String],
    [kills, stops, cuts]: [u64; 3],
    seconds: u64,
) -> Value {
    json!({
        "case": "reads",
        "link": "auto",
        "size_b": 0,
        "seal": true,
        "seconds": seconds,
        "campaigns": args.campaigns,
        "seed": args.seed,
        "clients": args.clients,
        "stale": args.stale,
        "operations": operations,
        "kills": kills,
        "stops": stops,
        "cuts": cuts,
        "violations": violations,
        "cpu_ns_per_op": float(clock::cpu_ns()) / float(operations.max(1)),
        "hash": format!("{operations:016x}"),
        "host": host(),
    })
}

/// Runs this program again where the loopback is its own.
fn run_in_namespace() -> Outcome {
    let failed = |error| Failure::failed(format!("cannot run in a namespace: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let script = "ip link set lo up && exec \"$@\" --inside";
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", script, "sh"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .status()
        .map_err(failed)?;
    if status.success() { Ok(()) } else { Err(Failure::failed("see above")) }
}

/// One campaign; what its clients saw.
fn fight(args: &Reads, seed: u64, blows: &mut [u64; 3]) -> Result<History, Failure> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut replicas = Replicas::start(&parent, 0)?;
    let common = Arc::new(Common::default());
    let freshness = if args.stale { Ask::STALE } else { Ask::CURRENT };
    let clients: Vec<JoinHandle<Result<(), Failure>>> = (0..u64::from(args.clients))
        .map(|number| {
            let (place, common) = (replicas.place(), Arc::clone(&common));
            let rng = Rng::new(seed << 8 ^ number);
            spawn(move || Asker::open(&place, common, freshness, rng)?.work())
        })
        .collect();
    let mut rng = Rng::new(seed);
    let over = clock::now().after(u64::from(args.seconds) * SECOND);
    pause(500 * MS);
    while clock::now() < over {
        strike(&mut replicas, &mut rng, args.inside, blows)?;
        pause(200 * MS + rng.below(600 * MS));
    }
    common.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().map_err(|_| Failure::failed("a client is lost"))??;
    }
    let history =
        std::mem::take(&mut *common.history.lock().unwrap_or_else(PoisonError::into_inner));
    if history.len() < 20 {
        return Err(Failure::failed(format!("only {} operations were answered", history.len())));
    }
    Ok(history)
}

fn pause(span_ns: u64) {
    let until = clock::now().after(span_ns);
    while clock::now() < until {
        std::thread::park_timeout(Duration::from_nanos(until.since(clock::now())));
    }
}

/// One blow against one replica, and its end.
fn strike(replicas: &mut Replicas, rng: &mut Rng, can_cut: bool, blows: &mut [u64; 3]) -> Outcome {
    let number = u16::try_from(1 + rng.below(3)).unwrap_or(1);
    let span_ns = 100 * MS + rng.below(1_500 * MS);
    let kind = rng.below(if can_cut { 3 } else { 2 });
    blows[usize::try_from(kind).unwrap_or(0)] += 1;
    match kind {
        0 => {
            replicas.kill(number);
            pause(span_ns);
            replicas.restart(number)
        }
        1 => {
            replicas.signal(number, "-STOP")?;
            pause(span_ns);
            replicas.signal(number, "-CONT")
        }
        _ => {
            cut(replicas, number, rng.chance(1, 3))?;
            pause(span_ns);
            nft(&format!("delete table inet {TABLE}"))
        }
    }
}

/// Cuts a replica off from the others; clients still reach it.
fn cut(replicas: &Replicas, number: u16, one_way: bool) -> Outcome {
    let ports: Vec<u16> = replicas.place().replicas.iter().map(|addr| addr.port()).collect();
    let own = ports[usize::from(number) - 1];
    let others: Vec<String> =
        ports.iter().filter(|port| **port != own).map(u16::to_string).collect();
    let others = others.join(", ");
    let back = if one_way {
        String::new()
    } else {
        format!("udp sport {{ {others} }} udp dport {own} drop;")
    };
    nft(&format!(
        "table inet {TABLE} {{ chain in {{ type filter hook input priority 0; \
         udp sport {own} udp dport {{ {others} }} drop; {back} }}; }}"
    ))
}

fn nft(rules: &str) -> Outcome {
    let done = Command::new("nft").arg(rules).output();
    match done {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(Failure::failed(format!("nft refuses: {}", words.lines().next().unwrap_or(""))))
        }
        Err(error) => Err(Failure::failed(format!("cuts need nft: {error}"))),
    }
}

/// What an answer says.
struct Heard {
    status: u8,
    state: Option<u8>,
    index: u64,
    leader_addr: Addr,
}

/// One client.
struct Asker {
    endpoint: Endpoint,
    replicas: Vec<Addr>,
    common: Arc<Common>,
    freshness: u8,
    rng: Rng,
    request: u64,
}

impl Asker {
    fn open(place: &Place, common: Arc<Common>, freshness: u8, rng: Rng) -> Result<Self, Failure> {
        let endpoint = Endpoint::builder(&place.secret.cluster, &place.secret.bytes)
            .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
            .open()
            .map_err(|error| Failure::failed(format!("cannot open a socket: {error}")))?;
        let replicas = crate::assemble::addrs(&place.replicas).collect();
        Ok(Self { endpoint, replicas, common, freshness, rng, request: 0 })
    }

    fn work(&mut self) -> Result<(), Failure> {
        while !self.common.is_over.load(Ordering::Relaxed) {
            self.request += 1;
            let (order, is_submit) = self.choose();
            let called = clock::now();
            let answer = self.ask(order, is_submit, called)?;
            let mut history = self.common.history.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Some((seen, index)) => {
                    let times = (called.0, clock::now().0);
                    history.answered(order.0, is_submit, seen, times, index);
                }
                None if is_submit => history.unknown(order.0, called.0),
                None => {}
            }
        }
        Ok(())
    }

    /// What to do next: one in five is a new order.
    fn choose(&mut self) -> (OrderId, bool) {
        let mut orders = self.common.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let may_submit = orders.len() < ORDERS_MAX;
        if orders.is_empty() || may_submit && self.rng.chance(1, 5) {
            let order = order_id(self.endpoint.peer(), self.endpoint.boot(), self.request);
            orders.push(order);
            return (order, true);
        }
        let back = usize::try_from(self.rng.below(RECENT)).unwrap_or(0);
        (orders[orders.len().saturating_sub(1 + back)], false)
    }

    /// Asks until there is an answer: what it shows, and its index.
    fn ask(
        &mut self,
        order: OrderId,
        is_submit: bool,
        called: Time,
    ) -> Result<Option<(Seen, u64)>, Failure> {
        let argument = if is_submit { submit()? } else { Vec::new() };
        let (verb, cursor) =
            if is_submit { (Verb::Submit, 0) } else { (Verb::OrderState, order.0) };
        let (request, freshness) = (self.request, self.freshness);
        let head = AskHead { request, verb: verb as u16, freshness, reserved: [0; 5], cursor };
        let mut replica = usize::try_from(self.rng.below(3)).unwrap_or(0);
        while clock::now().since(called) < GIVE_UP_NS {
            let to = self.replicas[replica % self.replicas.len()];
            let Some(reply) = self.exchange(to, &Ask { head, argument: &argument })? else {
                replica += 1;
                continue;
            };
            let index = reply.index;
            match (reply.status, reply.state) {
                (Reply::DONE, Some(OrderState::WAITING | OrderState::UNDER_WAY)) => {
                    return Ok(Some((Seen::Open, index)));
                }
                (Reply::DONE, Some(_)) => return Ok(Some((Seen::Closed, index))),
                (Reply::NOT_FOUND, _) if !is_submit => return Ok(Some((Seen::Absent, index))),
                (Reply::NOT_LEADER, _) => {
                    let leads = |addr: &Addr| *addr == reply.leader_addr;
                    replica = self.replicas.iter().position(leads).unwrap_or(replica + 1);
                }
                _ => pause(20 * MS),
            }
        }
        Ok(None)
    }

    /// One question, and its answer if there is one.
    fn exchange(&mut self, to: Addr, ask: &Ask<'_>) -> Result<Option<Heard>, Failure> {
        let broken = |error| Failure::failed(format!("the socket failed: {error}"));
        self.endpoint.send(to, ask).map_err(broken)?;
        self.endpoint.flush().map_err(broken)?;
        let until = self.endpoint.deadline(PATIENCE);
        while let Some(mut received) = self.endpoint.recv(until).map_err(broken)? {
            let answer = received.find_map(|frame| match frame {
                Frame::Reply(reply) if reply.head.request == ask.head.request => {
                    let state = reply.iter().flatten().find_map(|frame| match frame {
                        Frame::OrderState(state) => Some(state.state),
                        _ => None,
                    });
                    let ReplyHead { status, index, leader_addr, .. } = reply.head;
                    Some(Heard { status, state, index, leader_addr })
                }
                _ => None,
            });
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }
}

/// An order to a slot that nobody has: it ends as soon as the leader has looked at it.
fn submit() -> Result<Vec<u8>, Failure> {
    let mut nobody = [0; 64];
    let len = idset::encode([(100_000, 100_001)].into_iter(), &mut nobody).unwrap_or(0);
    let head = OrderHead {
        id: OrderId(0),
        term: Term(0),
        deadline_ms: 20_000,
        verb: OrderVerb::Run as u8,
        policy: OrderHead::ALL,
        flags: 0,
        need: 0,
        reserved: 0,
    };
    let to = IdSet::parse(&nobody[..len]).unwrap_or(IdSet::EMPTY);
    pack(&Submit { head, to, payload: b"true\0" })
}
