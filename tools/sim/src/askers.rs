//! Clients that submit orders and read them at any replica, each one thing at a time, and keep what
//! they saw for the judge.
//!
//! A question is asked again under its number, of another replica when one does not answer, until
//! there is an answer or the client gives up; so an operation lasts from its first question to its
//! answer, whatever happened in between.

use crate::linear::{History, Seen};
use crate::schedule::{Datagram, Happening};
use crate::world::{CLIENT, WALL_NS, World, address};
use std::rc::Rc;
use syncom_seam::{MS, Rng, SECOND, Time};
use syncom_station::order_id;
use syncom_wire::control::{Ask, AskHead, OrderState, Reply, Verb};
use syncom_wire::idset::IdSet;
use syncom_wire::order::{OrderHead, Submit};
use syncom_wire::{Boot, Frame, Frames, OrderId, PeerId, Term};

/// How long a client waits for one answer, in ns.
const PATIENCE_NS: u64 = 300 * MS;
/// How long it goes on asking, in ns.
const GIVE_UP_NS: u64 = 6 * SECOND;
/// Reads are of the last so many orders: of those that are being given.
const RECENT: u64 = 6;
/// Orders of one run: no more than the station keeps.
const ORDERS_MAX: usize = 900;

/// What a client is doing.
#[derive(Clone, Copy, Debug)]
struct Doing {
    order: OrderId,
    request: u64,
    is_submit: bool,
    called: Time,
    asked: Time,
}

#[derive(Clone, Debug)]
struct Asker {
    doing: Option<Doing>,
    replica: usize,
    /// When it does something next, or asks again.
    next: Time,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Askers {
    askers: Vec<Asker>,
    freshness: u8,
    replicas: usize,
    /// Orders that somebody has begun to submit.
    orders: Vec<OrderId>,
    next_request: u64,
    rng: Rng,
    pub(crate) history: History,
}

impl Askers {
    pub(crate) fn new(seed: u64, count: usize, freshness: u8, replicas: usize) -> Self {
        let asker = Asker { doing: None, replica: 0, next: Time(0) };
        Self {
            askers: vec![asker; count],
            freshness,
            replicas,
            orders: Vec::new(),
            next_request: 0,
            rng: Rng::new(seed ^ 0x6173_6b65),
            history: History::default(),
        }
    }

    /// Which of them lives at this index of the network.
    pub(crate) fn at(&self, index: usize) -> Option<usize> {
        (1..=self.askers.len()).find(|n| CLIENT - n == index).map(|n| n - 1)
    }

    fn peer(number: usize) -> PeerId {
        PeerId::client(0x61_736b + number as u64)
    }

    /// Begins something new.
    fn begin(&mut self, now: Time, number: usize) {
        self.next_request += 1;
        let request = self.next_request;
        let may_submit = self.orders.len() < ORDERS_MAX;
        let is_submit = self.orders.is_empty() || may_submit && self.rng.chance(1, 5);
        let order = if is_submit {
            let order = order_id(Self::peer(number), Boot(WALL_NS), request);
            self.orders.push(order);
            order
        } else {
            let back = usize::try_from(self.rng.below(RECENT)).unwrap_or(0);
            self.orders[self.orders.len().saturating_sub(1 + back)]
        };
        self.askers[number].doing =
            Some(Doing { order, request, is_submit, called: now, asked: now });
        let replica = self.rng.below(self.replicas as u64);
        self.askers[number].replica = usize::try_from(replica).unwrap_or(0);
    }

    /// An answer arrived.
    fn on_reply(&mut self, now: Time, number: usize, reply: &Reply<'_>) {
        let asker = &mut self.askers[number];
        let Some(doing) = asker.doing.filter(|doing| doing.request == reply.head.request) else {
            return;
        };
        let state = reply.iter().flatten().find_map(|frame| match frame {
            Frame::OrderState(state) => Some(state.state),
            _ => None,
        });
        let seen = match (reply.head.status, state) {
            (Reply::DONE, Some(OrderState::WAITING | OrderState::UNDER_WAY)) => Seen::Open,
            (Reply::DONE, Some(_)) => Seen::Closed,
            (Reply::NOT_FOUND, _) if !doing.is_submit => Seen::Absent,
            (Reply::NOT_LEADER, _) => {
                let leader = usize::try_from(reply.head.leader.number()).unwrap_or(0);
                asker.replica = leader.saturating_sub(1) % self.replicas;
                asker.next = now.after(MS);
                return;
            }
            _ => {
                asker.next = now.after(20 * MS);
                return;
            }
        };
        let (order, index) = (doing.order.0, reply.head.index);
        self.history.answered(order, doing.is_submit, seen, (doing.called.0, now.0), index);
        asker.doing = None;
        asker.next = now.after(MS + self.rng.below(30 * MS));
    }

    /// What a client sends now, and to which replica.
    fn act(&mut self, now: Time, number: usize, is_over: bool) -> Option<(usize, Vec<u8>)> {
        if self.askers[number].next > now {
            return None;
        }
        if let Some(doing) = self.askers[number].doing
            && now.since(doing.called) > GIVE_UP_NS
        {
            if doing.is_submit {
                self.history.unknown(doing.order.0, doing.called.0);
            }
            self.askers[number].doing = None;
        }
        if self.askers[number].doing.is_none() {
            if is_over {
                return None;
            }
            self.begin(now, number);
        }
        let asker = &mut self.askers[number];
        let doing = asker.doing.as_mut()?;
        if now.since(doing.asked) >= PATIENCE_NS {
            asker.replica = (asker.replica + 1) % self.replicas;
        }
        doing.asked = now;
        asker.next = now.after(PATIENCE_NS);
        Some((asker.replica, question(doing, self.freshness)))
    }
}

fn question(doing: &Doing, freshness: u8) -> Vec<u8> {
    let (verb, cursor) =
        if doing.is_submit { (Verb::Submit, 0) } else { (Verb::OrderState, doing.order.0) };
    let head =
        AskHead { request: doing.request, verb: verb as u16, freshness, reserved: [0; 5], cursor };
    // To a slot that nobody has: it ends as soon as the leader has looked at it.
    let nobody = crate::client::slots(&[100_000]);
    let submit = Submit {
        head: OrderHead {
            id: OrderId(0),
            term: Term(0),
            deadline_ms: 20_000,
            verb: syncom_wire::order::Verb::Run as u8,
            policy: OrderHead::ALL,
            flags: 0,
            need: 0,
            reserved: 0,
        },
        to: IdSet::parse(&nobody).unwrap_or(IdSet::EMPTY),
        payload: b"run\0read\0",
    };
    let argument = if doing.is_submit { crate::client::pack(&submit) } else { Vec::new() };
    crate::client::pack(&Ask { head, argument: &argument })
}

impl World {
    /// Every few milliseconds: whoever has something to ask asks.
    pub(crate) fn askers_act(&mut self) {
        let is_over = self.is_quiet();
        for number in 0..self.askers.askers.len() {
            let Some((replica, bytes)) = self.askers.act(self.now, number, is_over) else {
                continue;
            };
            let index = CLIENT - 1 - number;
            let datagram = Datagram {
                from: address(index),
                peer: Askers::peer(number),
                boot: Boot(WALL_NS),
                is_brief: false,
                bytes: Rc::from(bytes),
            };
            self.launch(index, replica, datagram);
        }
        self.schedule.at(self.now.after(2 * MS), Happening::Askers);
    }

    /// An answer for a client.
    pub(crate) fn answer_asker(&mut self, number: usize, bytes: &[u8]) {
        for frame in Frames::new(bytes).flatten() {
            if let Frame::Reply(reply) = frame {
                self.askers.on_reply(self.now, number, &reply);
            }
        }
    }
}
