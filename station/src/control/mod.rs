//! Questions of clients, and their answers.
//!
//! A read shows everything that was acknowledged before it was asked, unless it says that it wants
//! no more than what the replica at hand has: see [`reading`]. Only an order needs the log: its
//! answer comes after it was applied.

mod pages;
pub(crate) mod reading;
mod reads;
mod writes;

use crate::machine::command::{Command, NewOrder};
use crate::machine::orders::order_number;
use crate::station::Station;
pub(crate) use pages::Page;
use std::collections::BTreeMap;
use syncom_seam::{Counter, MS, Now, Origin, Outbox, SECOND, Time};
use syncom_wire::control::{Ask, AskHead, Line, Reply, ReplyHead, Verb};
use syncom_wire::ids::{hash, mix};
use syncom_wire::order::Submit;
use syncom_wire::{Addr, Boot, Frame, Frames, OrderId, PeerId};

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
            return self.refuse(now, from.addr, ask, "this version knows no such question", out);
        };
        let writes = matches!(
            verb,
            Verb::Submit | Verb::SetPolicy | Verb::Drain | Verb::Replace | Verb::Cancel
        );
        let leader_only = ask.head.freshness == Ask::LEADER || writes;
        if leader_only && !self.is_settled() {
            return self.send_elsewhere(now, from.addr, ask.head.request, out);
        }
        match verb {
            Verb::Submit => self.on_submit(now, from, ask, out),
            Verb::SetPolicy => self.on_set_policy(now, from, ask, out),
            Verb::Drain => self.on_drain(now, from, ask, out),
            Verb::Cancel => self.on_cancel(now, from, ask, out),
            Verb::Replace => self.on_replace(now, from, ask, out),
            Verb::Report | Verb::Watched | Verb::Judged => {
                self.refuse(
                    now,
                    from.addr,
                    ask,
                    "that is a question to an agent or a satellite",
                    out,
                );
            }
            _ if ask.head.freshness == Ask::STALE => self.answer(now, from.addr, ask, out),
            _ => self.on_read(now, from.addr, ask, out),
        }
    }

    /// Answers a read from what is applied here.
    pub(crate) fn answer<O: Outbox>(&self, now: Now, to: Addr, ask: &Ask<'_>, out: &mut O) {
        let page = match ask.verb() {
            Some(Verb::Status) => self.status_page(now),
            Some(Verb::Nodes) => self.nodes_page(ask.head.cursor),
            Some(Verb::Events) => self.events_page(ask.head.cursor),
            Some(Verb::Explain) => self.explain_page(ask),
            Some(Verb::OrderState) => self.order_page(ask.head.cursor),
            Some(Verb::Decisions) => self.decisions_page(ask.head.cursor),
            Some(Verb::Graph) => self.graph_page(ask.head.cursor),
            Some(Verb::Policy) => self.policy_page(),
            Some(
                Verb::Submit
                | Verb::Report
                | Verb::SetPolicy
                | Verb::Drain
                | Verb::Replace
                | Verb::Watched
                | Verb::Judged
                | Verb::Cancel,
            )
            | None => return,
        };
        self.reply(now, to, ask.head.request, page, out);
    }

    /// This replica cannot say: names the leader, if there is one elsewhere.
    pub(crate) fn send_elsewhere<O: Outbox>(&self, now: Now, to: Addr, request: u64, out: &mut O) {
        let elsewhere = self.leader_hint() != PeerId::ANY && !self.node.is_leader();
        let status = if elsewhere { Reply::NOT_LEADER } else { Reply::BUSY };
        self.reply(now, to, request, Page::status(status, RETRY_MS), out);
    }

    /// There is no room, or no quorum, for now.
    pub(crate) fn say_busy<O: Outbox>(&self, now: Now, to: Addr, request: u64, out: &mut O) {
        self.reply(now, to, request, Page::status(Reply::BUSY, RETRY_MS), out);
    }

    /// An operator's order: the same question makes the same order, however often it is asked.
    fn on_submit<O: Outbox>(&mut self, now: Now, from: &Origin, ask: &Ask<'_>, out: &mut O) {
        let Some(Ok(Frame::Submit(submit))) = Frames::new(ask.argument).next() else {
            return self.refuse(now, from.addr, ask, "that is no order", out);
        };
        if submit.to.is_empty() {
            return self.refuse(now, from.addr, ask, "an order to nobody", out);
        }
        let id = order_id(from.peer, from.boot, ask.head.request);
        if self.machine.orders.get(id).is_some() {
            let head = AskHead { verb: Verb::OrderState as u16, cursor: id.0, ..ask.head };
            return self.on_read(now, from.addr, &Ask { head, argument: &[] }, out);
        }
        if self.wait_for(now, from, ask, id, out) {
            self.propose(now, &Command::Submit(new_order(id, &submit)), out);
        }
    }

    /// An operator stops an order: he hears how far it came when that is in the log.
    fn on_cancel<O: Outbox>(&mut self, now: Now, from: &Origin, ask: &Ask<'_>, out: &mut O) {
        let id = OrderId(ask.head.cursor);
        if !self.machine.orders.get(id).is_some_and(|entry| entry.is_open()) {
            let page = self.order_page(id.0);
            return self.reply(now, from.addr, ask.head.request, page, out);
        }
        if self.wait_for(now, from, ask, id, out) && !self.cancel_order(now, id, out) {
            self.desk.pending.remove(&id);
            self.say_busy(now, from.addr, ask.head.request, out);
        }
    }

    /// Remembers who waits for the log; false when somebody does already, or too many do.
    pub(crate) fn wait_for<O: Outbox>(
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
            self.say_busy(now, from.addr, ask.head.request, out);
            return false;
        }
        true
    }

    /// What somebody waits for is in the log: he hears so.
    pub(crate) fn answer_pending<O: Outbox>(
        &mut self,
        now: Now,
        id: OrderId,
        page: Page,
        out: &mut O,
    ) {
        if let Some(pending) = self.desk.pending.remove(&id) {
            self.reply(now, pending.addr, pending.request, page, out);
        }
    }

    /// An order was committed, or has ended: whoever waits for that hears so.
    pub(crate) fn answer_submitted<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        if self.desk.pending.contains_key(&id) {
            let page = self.order_page(id.0);
            self.answer_pending(now, id, page, out);
        }
    }

    /// This replica no longer leads: the outcome of what was submitted is unknown here, and asking
    /// the next leader the same question finds it out.
    pub(crate) fn refuse_pending<O: Outbox>(&mut self, now: Now, out: &mut O) {
        for pending in std::mem::take(&mut self.desk.pending).into_values() {
            self.say_busy(now, pending.addr, pending.request, out);
        }
    }

    pub(crate) fn refuse<O: Outbox>(
        &self,
        now: Now,
        to: Addr,
        ask: &Ask<'_>,
        why: &str,
        out: &mut O,
    ) {
        let mut page = Page::status(Reply::REFUSED, 0);
        page.push(&Line { text: why });
        self.reply(now, to, ask.head.request, page, out);
    }

    pub(crate) fn reply<O: Outbox>(
        &self,
        now: Now,
        to: Addr,
        request: u64,
        page: Page,
        out: &mut O,
    ) {
        let leader = self.leader_hint();
        let head = ReplyHead {
            request,
            status: page.status,
            more: u8::from(page.next.is_some()),
            leader_addr: self.addr_of(leader).unwrap_or(Addr::NONE),
            leader,
            index: self.machine.applied,
            term: self.node.term(),
            next: page.next.unwrap_or(0),
            retry_ms: page.retry_ms,
            age_ms: u32::try_from(now.at.since(self.node.current_at(now.at)) / MS)
                .unwrap_or(u32::MAX),
        };
        out.send(to, &Reply { head, body: &page.body });
    }
}

/// The number of an operator's order, by who asked for it, in which life, and the question's number:
/// a client knows it before the station does.
#[must_use]
pub fn order_id(peer: PeerId, boot: Boot, request: u64) -> OrderId {
    let cause = [u64::from(peer.0), boot.0, request].map(u64::to_le_bytes);
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
