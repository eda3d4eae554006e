//! Questions of clients, and their answers.
//!
//! Reads show the applied state of whoever is asked, with its index; a client that wants the
//! leader's says so. Only an order needs the log: its answer comes after it was applied.

mod pages;
mod reads;
mod writes;

use crate::machine::command::{Command, NewOrder};
use crate::machine::orders::order_number;
use crate::station::Station;
use pages::Page;
use std::collections::BTreeMap;
use syncom_seam::{Counter, Now, Origin, Outbox, SECOND, Time};
use syncom_wire::control::{Ask, Line, Reply, ReplyHead, Verb};
use syncom_wire::ids::{hash, mix};
use syncom_wire::order::Submit;
use syncom_wire::{Addr, Frame, Frames, OrderId, PeerId};

/// Submissions that wait for the log at a time.
const PENDING_MAX: usize = 256;
/// A client has asked again or gone after this long.
const PENDING_NS: u64 = 10 * SECOND;
/// When a client may ask again that finds no leader or no room.
const RETRY_MS: u32 = 200;

/// A submission that waits for the log.
#[derive(Clone, Copy, Debug)]
struct Pending {
    addr: Addr,
    request: u64,
    until: Time,
}

/// What the desk remembers: nothing but submissions under way.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pending: BTreeMap<OrderId, Pending>,
}

impl Desk {
    pub(crate) fn forget_old(&mut self, now: Time) {
        self.pending.retain(|_, pending| pending.until > now);
    }
}

impl Station {
    /// A client asks.
    pub(crate) fn on_ask<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        out: &mut O,
    ) {
        out.count(Counter::ControlAsked, 1);
        let Some(verb) = ask.verb() else {
            return self.refuse(from.addr, ask, "this version knows no such question", out);
        };
        let writes = matches!(verb, Verb::Submit | Verb::SetPolicy | Verb::Drain);
        let leader_only = ask.head.leader_only == 1 || writes;
        if leader_only && !self.is_settled() {
            let elsewhere = self.leader_hint() != PeerId::ANY && !self.node.is_leader();
            let status = if elsewhere { Reply::NOT_LEADER } else { Reply::BUSY };
            return self.reply(from.addr, ask.head.request, Page::status(status, RETRY_MS), out);
        }
        let page = match verb {
            Verb::Status => self.status_page(now),
            Verb::Nodes => self.nodes_page(ask.head.cursor),
            Verb::Events => self.events_page(ask.head.cursor),
            Verb::Explain => self.explain_page(ask),
            Verb::OrderState => self.order_page(ask.head.cursor),
            Verb::Decisions => self.decisions_page(ask.head.cursor),
            Verb::Graph => self.graph_page(ask.head.cursor),
            Verb::Policy => self.policy_page(),
            Verb::Submit => return self.on_submit(now, from, ask, out),
            Verb::SetPolicy => return self.on_set_policy(now, from, ask, out),
            Verb::Drain => return self.on_drain(now, from, ask, out),
            Verb::Report => {
                return self.refuse(from.addr, ask, "reports go to an agent", out);
            }
        };
        self.reply(from.addr, ask.head.request, page, out);
    }

    /// An operator's order: the same question makes the same order, however often it is asked.
    fn on_submit<O: Outbox>(&mut self, now: Now, from: &Origin, ask: &Ask<'_>, out: &mut O) {
        let Some(Ok(Frame::Submit(submit))) = Frames::new(ask.argument).next() else {
            return self.refuse(from.addr, ask, "that is no order", out);
        };
        if submit.to.is_empty() {
            return self.refuse(from.addr, ask, "an order to nobody", out);
        }
        let id = order_id(from, ask.head.request);
        if self.machine.orders.get(id).is_some() {
            let page = self.order_page(id.0);
            return self.reply(from.addr, ask.head.request, page, out);
        }
        if self.wait_for(now, from, ask, id, out) {
            self.propose(now, &Command::Submit(new_order(id, &submit)), out);
        }
    }

    /// Remembers who waits for the log; false when somebody does already, or too many do.
    fn wait_for<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        id: OrderId,
        out: &mut O,
    ) -> bool {
        let pending =
            Pending { addr: from.addr, request: ask.head.request, until: now.at.after(PENDING_NS) };
        if self.desk.pending.insert(id, pending).is_some() {
            return false;
        }
        if self.desk.pending.len() > PENDING_MAX {
            self.desk.pending.remove(&id);
            self.reply(from.addr, ask.head.request, Page::status(Reply::BUSY, RETRY_MS), out);
            return false;
        }
        true
    }

    /// What somebody waits for is in the log: he hears so.
    fn answer_pending<O: Outbox>(&mut self, id: OrderId, page: Page, out: &mut O) {
        if let Some(pending) = self.desk.pending.remove(&id) {
            self.reply(pending.addr, pending.request, page, out);
        }
    }

    /// An order was committed: whoever waits for it hears so.
    pub(crate) fn answer_submitted<O: Outbox>(&mut self, _now: Now, id: OrderId, out: &mut O) {
        if self.desk.pending.contains_key(&id) {
            let page = self.order_page(id.0);
            self.answer_pending(id, page, out);
        }
    }

    /// This replica no longer leads: the outcome of what was submitted is unknown here, and asking
    /// the next leader the same question finds it out.
    pub(crate) fn refuse_pending<O: Outbox>(&mut self, out: &mut O) {
        for pending in std::mem::take(&mut self.desk.pending).into_values() {
            let page = Page::status(Reply::BUSY, RETRY_MS);
            self.reply(pending.addr, pending.request, page, out);
        }
    }

    fn refuse<O: Outbox>(&self, to: Addr, ask: &Ask<'_>, why: &str, out: &mut O) {
        let mut page = Page::status(Reply::REFUSED, 0);
        page.push(&Line { text: why });
        self.reply(to, ask.head.request, page, out);
    }

    fn reply<O: Outbox>(&self, to: Addr, request: u64, page: Page, out: &mut O) {
        let leader = self.leader_hint();
        let head = ReplyHead {
            request,
            status: page.status,
            more: u8::from(page.next.is_some()),
            leader_addr: self.config.addr_of(leader).unwrap_or(Addr::NONE),
            leader,
            index: self.machine.applied,
            term: self.node.term(),
            next: page.next.unwrap_or(0),
            retry_ms: page.retry_ms,
            reserved: 0,
        };
        out.send(to, &Reply { head, body: &page.body });
    }
}

/// Numbers an operator's order by who asked, in which life, and the question's number.
fn order_id(from: &Origin, request: u64) -> OrderId {
    let cause = [u64::from(from.peer.0), from.boot.0, request].map(u64::to_le_bytes);
    order_number(mix(hash(cause.as_flattened())))
}

fn new_order(id: OrderId, submit: &Submit<'_>) -> NewOrder {
    NewOrder {
        id,
        verb: submit.head.verb,
        policy: submit.head.policy,
        need: submit.head.need,
        deadline_ms: submit.head.deadline_ms,
        event: 0,
        to: submit.to.as_bytes().to_vec(),
        payload: submit.payload.to_vec(),
    }
}
