//! Orders: executed once, answered as often as asked.
//!
//! An order may come many times, through any satellite, and again from the next recovery manager
//! under the same number. The first time it is executed; afterwards it is answered from memory. An
//! order of an older term than the newest seen is refused: whoever issued it no longer decides.
//! Refusals are not remembered, because the same order may come again under better circumstances.

use crate::node::{Identity, Node};
use crate::remembered::{Memory, Progress, Remembered};
use crate::services::{Performed, Services, words};
use crate::timers::TimerKind;
use syncom_seam::limits::{ORDERS_RUNNING_MAX, OUTPUT_MAX};
use syncom_seam::{Counter, Exit, MS, Now, Origin, Outbox, Spawn, Time};
use syncom_wire::order::{Order, OrderHead, Receipt, ReceiptAck, ReceiptHead, Verb};
use syncom_wire::{Addr, OrderId};

/// Sendings of one receipt that nobody acknowledged; then the satellite has to ask again.
const RECEIPTS_MAX: u32 = 10;
const SIGKILL: i32 = 9;

/// Orders of this node.
#[derive(Debug)]
pub(crate) struct Orders {
    memory: Memory,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self { memory: Memory::new() }
    }

    pub(crate) fn on_order<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        order: &Order<'_>,
        services: &mut Services,
        node: &mut Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        let id = order.head.id;
        let is_current = node.see_term(order.head.term);
        if order.head.flags & OrderHead::CANCEL != 0 {
            if is_current {
                self.cancel(now, from, id, out);
            }
            return;
        }
        if let Some(known) = self.memory.get_mut(id) {
            // Whoever asks last gets the answer: the satellite that asked first may be gone.
            known.reply_to = from.addr;
            known.repeats = 0;
            out.count(Counter::OrdersRepeated, 1);
            known.send(now, identity, None, out);
            self.arm(node, out);
            return;
        }
        if order.head.deadline_ms == 0 {
            // Too late for everybody; the satellite has stopped waiting.
            out.count(Counter::OrdersRefused, 1);
            return;
        }
        let ends = now.at.after(u64::from(order.head.deadline_ms) * MS);
        let fresh = Remembered::new(id, now.at, ends, from.addr);
        let executed = if is_current {
            self.execute(now, order, fresh, services, node, out)
        } else {
            Err(Receipt::STALE_TERM)
        };
        match executed {
            Ok(()) => {
                out.count(Counter::OrdersExecuted, 1);
                if let Some(known) = self.memory.get_mut(id) {
                    known.send(now, identity, None, out);
                }
                self.arm(node, out);
            }
            Err(code) => {
                out.count(Counter::OrdersRefused, 1);
                refuse(id, code, from.addr, identity, out);
            }
        }
    }

    /// Ends what runs for an order; one that has not come yet is not begun when it does.
    fn cancel<O: Outbox>(&mut self, now: Now, from: &Origin, id: OrderId, out: &mut O) {
        if let Some(known) = self.memory.get_mut(id) {
            if let Progress::Running { token } = known.progress
                && known.ends != Time::NEVER
            {
                out.kill(token, SIGKILL);
                known.ends = Time::NEVER;
            }
            return;
        }
        self.memory.keep(Remembered::new(id, now.at, Time::NEVER, from.addr));
        self.memory.finish(id, now.at, Receipt::CANCELLED, &[], 0);
        if let Some(known) = self.memory.get_mut(id) {
            // Nobody waits for it.
            known.acked = true;
        }
    }

    pub(crate) fn on_receipt_ack(&mut self, ack: &ReceiptAck, node: &Node) {
        let is_mine = node.identity.is_some_and(|identity| {
            (identity.slot, identity.incarnation) == (ack.slot, ack.incarnation)
        });
        if let Some(known) = self.memory.get_mut(ack.id).filter(|_| is_mine) {
            known.acked |= known.is_finished();
        }
    }

    /// A command of an order ended; false when it was none.
    pub(crate) fn on_exit<O: Outbox>(
        &mut self,
        now: Now,
        token: u64,
        exit: &Exit,
        node: &mut Node,
        out: &mut O,
    ) -> bool {
        let Some(id) = self.memory.find(|one| one.progress == Progress::Running { token }) else {
            return false;
        };
        self.finish(now, id, exit.code, &exit.output, exit.output_total, node, out);
        true
    }

    /// An order has its result.
    #[expect(clippy::too_many_arguments, reason = "the parts of a result")]
    pub(crate) fn finish<O: Outbox>(
        &mut self,
        now: Now,
        id: OrderId,
        code: i32,
        output: &[u8],
        output_total: u64,
        node: &mut Node,
        out: &mut O,
    ) {
        let Some(identity) = node.identity else { return };
        self.memory.finish(id, now.at, code, output, output_total);
        if let Some(known) = self.memory.get_mut(id) {
            known.send(now, identity, Some(node), out);
        }
        self.arm(node, out);
    }

    /// Ends commands whose time is over and sends receipts again.
    pub(crate) fn on_timer<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let Some(identity) = node.identity else { return };
        for one in self.memory.iter_mut() {
            if let Progress::Running { token } = one.progress
                && one.ends <= now.at
            {
                out.kill(token, SIGKILL);
                one.ends = Time::NEVER;
            }
            if one.next_moment() <= now.at {
                one.send(now, identity, Some(node), out);
            }
        }
        self.arm(node, out);
    }

    fn execute<O: Outbox>(
        &mut self,
        now: Now,
        order: &Order<'_>,
        mut fresh: Remembered,
        services: &mut Services,
        node: &mut Node,
        out: &mut O,
    ) -> Result<(), i32> {
        if self.memory.unfinished() >= ORDERS_RUNNING_MAX {
            return Err(Receipt::BUSY);
        }
        let id = fresh.id;
        match Verb::from_wire(order.head.verb).ok_or(Receipt::BAD_PAYLOAD)? {
            Verb::Run => {
                let argv = words(order.payload).ok_or(Receipt::BAD_PAYLOAD)?;
                if argv.first().is_none_or(|program| program.is_empty()) {
                    return Err(Receipt::BAD_PAYLOAD);
                }
                let token = node.token();
                out.spawn(Spawn { token, argv, output_max: OUTPUT_MAX, stdin: [].into() });
                fresh.progress = Progress::Running { token };
                self.memory.keep(fresh);
            }
            Verb::Ping => {
                self.memory.keep(fresh);
                self.memory.finish(id, now.at, 0, &[], 0);
            }
            verb @ (Verb::ServiceStart
            | Verb::ServiceStop
            | Verb::ServiceRestart
            | Verb::ServiceStatus) => {
                match services.perform(now, verb, order.payload, id, node, out) {
                    Performed::Refused(code) => return Err(code),
                    Performed::Waits => self.memory.keep(fresh),
                    Performed::Done(code, output) => {
                        self.memory.keep(fresh);
                        let total = output.len() as u64;
                        self.memory.finish(id, now.at, code, output.as_bytes(), total);
                    }
                }
            }
        }
        Ok(())
    }

    fn arm<O: Outbox>(&self, node: &mut Node, out: &mut O) {
        let next = self.memory.iter().map(Remembered::next_moment).min().unwrap_or(Time::NEVER);
        node.timers.by(TimerKind::Orders, next, out);
    }
}

impl Remembered {
    /// When there is something to do about it.
    fn next_moment(&self) -> Time {
        match self.progress {
            Progress::Running { .. } => self.ends,
            Progress::Waiting => Time::NEVER,
            Progress::Finished { .. } if self.acked || self.repeats >= RECEIPTS_MAX => Time::NEVER,
            Progress::Finished { .. } => self.next,
        }
    }

    /// Answers with what there is: directly to an order, which comes again where the answer is lost;
    /// or, with `unasked`, by itself, and then until somebody says that it arrived.
    fn send<O: Outbox>(
        &mut self,
        now: Now,
        identity: Identity,
        unasked: Option<&mut Node>,
        out: &mut O,
    ) {
        let mut flags = 0;
        self.next = Time::NEVER;
        if let Some(node) = unasked {
            let wait_ns = node.homes.receipt_time_out_ns(self.reply_to, self.repeats);
            self.next = now.at.after(node.rng.jitter(wait_ns));
            flags = Receipt::ASKS_ACK;
        }
        self.repeats = self.repeats.saturating_add(1);
        let mut head = ReceiptHead {
            id: self.id,
            slot: identity.slot,
            incarnation: identity.incarnation,
            state: Receipt::ACCEPTED,
            cut: 0,
            flags,
            code: 0,
            output_total: 0,
            took_us: now.at.since(self.started) / 1_000,
        };
        let mut output: &[u8] = &[];
        if let Progress::Finished { code, output_total, took_us } = self.progress {
            output = &self.output;
            head.state = Receipt::DONE;
            head.cut = u8::from(output_total > output.len() as u64);
            (head.code, head.output_total, head.took_us) = (code, output_total, took_us);
        }
        out.send(self.reply_to, &Receipt { head, output });
    }
}

/// Answers that an order will not be executed; the same order may be offered again.
fn refuse<O: Outbox>(id: OrderId, code: i32, to: Addr, identity: Identity, out: &mut O) {
    let head = ReceiptHead {
        id,
        slot: identity.slot,
        incarnation: identity.incarnation,
        state: Receipt::REFUSED,
        cut: 0,
        flags: 0,
        code,
        output_total: 0,
        took_us: 0,
    };
    out.send(to, &Receipt { head, output: &[] });
}
