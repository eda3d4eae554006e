//! Clients: they report through agents and submit orders to the leader, and remember what they were
//! promised.

use crate::rules;
use std::collections::BTreeMap;
use syncom_seam::Time;
use syncom_wire::control::{Ask, AskHead, Reply, Verb};
use syncom_wire::idset::{self, IdSet};
use syncom_wire::order::{OrderHead, Submit};
use syncom_wire::replica::Replace;
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Addr, Frame, Frames, Incarnation, OrderId, Slot, Subject, Term, limits};

/// A report that a client made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Its kind: unique, so that its event can be recognised.
    pub(crate) kind: String,
    /// Which agent took it, and in which life.
    pub(crate) agent: (usize, u32),
    /// The event it was acknowledged with.
    pub(crate) acknowledged: Option<u64>,
    pub(crate) asked_at: Time,
}

/// A replacement of a replica that an operator ordered.
#[derive(Clone, Debug)]
pub(crate) struct Replacing {
    pub(crate) order: Replace,
    /// The station has said so.
    pub(crate) is_done: bool,
}

/// An order that a client submitted.
#[derive(Clone, Debug)]
pub(crate) struct Ordered {
    pub(crate) argument: String,
    pub(crate) slots: Vec<u32>,
    pub(crate) deadline_ms: u32,
    /// Its number, once the station took it.
    pub(crate) id: Option<u64>,
    pub(crate) complete: Option<(u32, u32, u32)>,
}

/// All clients of a run, as one.
#[derive(Debug, Default)]
pub(crate) struct Client {
    next_request: u64,
    pub(crate) reports: BTreeMap<u64, Made>,
    pub(crate) orders: BTreeMap<u64, Ordered>,
    /// The question that installs a policy.
    policy: Option<u64>,
    /// Number of the last event before it was installed, at least.
    pub(crate) policy_at: Option<u64>,
    pub(crate) replacements: BTreeMap<u64, Replacing>,
}

impl Client {
    fn request(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }

    /// A new report through an agent; the question to send.
    pub(crate) fn report(&mut self, now: Time, agent: (usize, u32)) -> Vec<u8> {
        let request = self.request();
        let kind = format!("sim-{request}");
        let bytes = report_ask(request, &kind);
        self.reports.insert(request, Made { kind, agent, acknowledged: None, asked_at: now });
        bytes
    }

    /// A new order for some slots; the question to send.
    pub(crate) fn order(&mut self, slots: Vec<u32>) -> (u64, Vec<u8>) {
        self.order_of("order", slots, 20_000)
    }

    /// A new order with a command of this name; the question to send.
    pub(crate) fn order_of(
        &mut self,
        name: &str,
        slots: Vec<u32>,
        deadline_ms: u32,
    ) -> (u64, Vec<u8>) {
        let request = self.request();
        let argument = format!("{name}-{request}");
        let bytes = submit_ask(request, &argument, &slots, deadline_ms);
        self.orders
            .insert(request, Ordered { argument, slots, deadline_ms, id: None, complete: None });
        (request, bytes)
    }

    /// The question that installs the policy, until it is answered.
    pub(crate) fn ask_policy(&mut self) -> Option<Vec<u8>> {
        if self.policy_at.is_some() {
            return None;
        }
        let request = match self.policy {
            Some(request) => request,
            None => self.request(),
        };
        self.policy = Some(request);
        Some(ask(request, Verb::SetPolicy, 0, &rules::policy()))
    }

    /// An operator orders a replica in the place of another.
    pub(crate) fn replace(&mut self, old: u16, new: u16, addr: Addr) {
        let request = self.request();
        let order = Replace::order(old, new, addr, Replace::FORCE);
        self.replacements.insert(request, Replacing { order, is_done: false });
    }

    /// The oldest replacement that is not done: one at a time.
    pub(crate) fn repeat_replacements(&self) -> Option<Vec<u8>> {
        let (request, open) = self.replacements.iter().find(|(_, one)| !one.is_done)?;
        Some(ask(*request, Verb::Replace, 0, &pack(&open.order)))
    }

    /// The same questions again, for those that were not answered.
    pub(crate) fn repeat_orders(&self) -> Vec<Vec<u8>> {
        let open = self.orders.iter().filter(|(_, order)| order.complete.is_none());
        open.map(|(request, order)| match order.id {
            None => submit_ask(*request, &order.argument, &order.slots, order.deadline_ms),
            Some(id) => ask(*request, Verb::OrderState, id, &[]),
        })
        .collect()
    }

    /// Reports not acknowledged yet and asked before `before`: (agent, question).
    pub(crate) fn repeat_reports(&self, before: Time) -> Vec<((usize, u32), Vec<u8>)> {
        let open = self.reports.iter();
        open.filter(|(_, made)| made.acknowledged.is_none() && made.asked_at < before)
            .map(|(request, made)| (made.agent, report_ask(*request, &made.kind)))
            .collect()
    }

    /// An answer arrived.
    pub(crate) fn on_datagram(&mut self, bytes: &[u8], last_event: u64) {
        for frame in Frames::new(bytes).flatten() {
            if let Frame::Reply(reply) = frame {
                if self.policy == Some(reply.head.request) && reply.head.status == Reply::DONE {
                    self.policy_at.get_or_insert(last_event);
                }
                self.on_reply(&reply);
            }
        }
    }

    fn on_reply(&mut self, reply: &Reply<'_>) {
        if reply.head.status != Reply::DONE && reply.head.status != Reply::PENDING {
            return;
        }
        for frame in reply.iter().flatten() {
            match frame {
                Frame::ReportAck(ack) => {
                    if let Some(made) = self.reports.get_mut(&reply.head.request)
                        && let Some(item) = ack.items.get(0)
                        && item.event > 0
                    {
                        made.acknowledged.get_or_insert(item.event);
                    }
                }
                Frame::Replace(standing) if standing.state == Replace::DONE => {
                    if let Some(open) = self.replacements.get_mut(&reply.head.request) {
                        open.is_done = true;
                    }
                }
                Frame::OrderState(state) => {
                    if let Some(order) = self.orders.get_mut(&reply.head.request) {
                        order.id = Some(state.id.0);
                        if state.state >= 3 {
                            order.complete = Some((state.done, state.failed, state.missing));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn ask(request: u64, verb: Verb, cursor: u64, argument: &[u8]) -> Vec<u8> {
    let head =
        AskHead { request, verb: verb as u16, freshness: Ask::STALE, reserved: [0; 5], cursor };
    pack(&Ask { head, argument })
}

fn report_ask(request: u64, kind: &str) -> Vec<u8> {
    let head = ReportHead {
        id: ReportId { slot: Slot(0), incarnation: Incarnation(0), seq: 0 },
        subject: Subject::named("sim"),
        incarnation: Incarnation(0),
        kind: EventKind::named(kind),
        heard_ago_us: 0,
        domain: 0,
        flags: 0,
        neighbours: 0,
        health: 0,
        severity: 1,
        reserved: 0,
        count: 1,
    };
    ask(request, Verb::Report, 0, &pack(&Report { head, subject: "sim", kind, detail: "load" }))
}

fn submit_ask(request: u64, argument: &str, slots: &[u32], deadline_ms: u32) -> Vec<u8> {
    let set = self::slots(slots);
    let payload = format!("run\0{argument}\0");
    let submit = Submit {
        head: OrderHead {
            id: OrderId(request),
            term: Term(0),
            deadline_ms,
            verb: syncom_wire::order::Verb::Run as u8,
            policy: OrderHead::ALL,
            flags: 0,
            need: 0,
            reserved: 0,
        },
        to: IdSet::parse(&set).unwrap_or(IdSet::EMPTY),
        payload: payload.as_bytes(),
    };
    ask(request, Verb::Submit, 0, &pack(&submit))
}

/// A set of slots, which must be in order.
pub(crate) fn slots(slots: &[u32]) -> Vec<u8> {
    let mut set = vec![0; limits::IDSET_MAX];
    let runs = slots.chunk_by(|one, next| one + 1 == *next);
    let ranges = runs.map(|run| (run[0], run[run.len() - 1] + 1));
    let len = idset::encode(ranges, &mut set).unwrap_or(0);
    set.truncate(len);
    set
}

pub(crate) fn pack<E: syncom_wire::Emit>(frame: &E) -> Vec<u8> {
    let mut bytes = vec![0; frame.size() + syncom_wire::FrameHeader::SIZE];
    let len = syncom_wire::frame::emit(frame, &mut bytes).unwrap_or(0);
    bytes.truncate(len);
    bytes
}
