//! One client of a campaign: it submits an order, or reads one that some client is submitting, of any
//! replica, and asks on until it has an answer.

use super::pause;
use crate::client::{exchange, open_endpoint, pack};
use crate::exit::Failure;
use crate::place::Place;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
/// Orders of one campaign: no more than the station keeps. They are spread over all of it.
const ORDERS_MAX: u64 = 900;
/// A client rests for up to so long between two operations: the replicas share its cores.
const REST_NS: u64 = 3 * MS;
/// One read of so many takes a stale answer for a current one, when that is injected.
const STALE_OF: u64 = 4;

/// What the clients of a campaign share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) is_over: AtomicBool,
    began: Time,
    lasts_ns: u64,
    /// Whether stale reads are injected.
    stale: bool,
    orders: Mutex<Vec<OrderId>>,
    history: Mutex<History>,
}

impl Common {
    /// A campaign that begins now.
    pub(super) fn new(lasts_ns: u64, stale: bool) -> Self {
        Self {
            is_over: AtomicBool::new(false),
            began: clock::now(),
            lasts_ns,
            stale,
            orders: Mutex::default(),
            history: Mutex::default(),
        }
    }

    /// What the clients saw.
    pub(super) fn take_history(&self) -> History {
        std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Orders that may have been given by now.
    fn orders_due(&self) -> u64 {
        let elapsed_ms = clock::now().since(self.began) / MS;
        (1 + ORDERS_MAX * elapsed_ms / (self.lasts_ns / MS).max(1)).min(ORDERS_MAX)
    }
}

/// What an answer says.
struct Heard {
    status: u8,
    state: Option<u8>,
    index: u64,
    leader_addr: Addr,
}

/// See the module.
pub(super) struct Asker {
    endpoint: Endpoint,
    replicas: Vec<Addr>,
    common: Arc<Common>,
    rng: Rng,
    request: u64,
}

impl Asker {
    /// A client of its own socket.
    pub(super) fn open(place: &Place, common: Arc<Common>, rng: Rng) -> Result<Self, Failure> {
        let endpoint = open_endpoint(place)?;
        let replicas = crate::assemble::addrs(&place.replicas).collect();
        Ok(Self { endpoint, replicas, common, rng, request: 0 })
    }

    /// Does one thing after the other until the campaign is over.
    pub(super) fn work(&mut self) -> Result<(), Failure> {
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
            drop(history);
            pause(self.rng.below(REST_NS));
        }
        Ok(())
    }

    /// What to do next: a new order when one is due, mostly; else a read.
    fn choose(&mut self) -> (OrderId, bool) {
        let mut orders = self.common.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = (orders.len() as u64) < self.common.orders_due();
        if orders.is_empty() || is_due && self.rng.chance(1, 2) {
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
        let argument = if is_submit { order_to_nobody()? } else { Vec::new() };
        let (verb, cursor) =
            if is_submit { (Verb::Submit, 0) } else { (Verb::OrderState, order.0) };
        let is_stale = self.common.stale && self.rng.chance(1, STALE_OF);
        let freshness = if is_stale { Ask::STALE } else { Ask::CURRENT };
        let request = self.request;
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
        let answer = exchange(&mut self.endpoint, to, ask, PATIENCE)?;
        Ok(answer.map(|answer| {
            let state = answer.frames().find_map(|frame| match frame {
                Frame::OrderState(state) => Some(state.state),
                _ => None,
            });
            let ReplyHead { status, index, leader_addr, .. } = answer.head;
            Heard { status, state, index, leader_addr }
        }))
    }
}

/// An order to a slot that nobody has: it ends as soon as the leader has looked at it.
pub(in crate::commands::bench) fn order_to_nobody() -> Result<Vec<u8>, Failure> {
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
