//! What operators change: the policy, and which nodes are drained.

use super::order_id;
use super::pages::Page;
use crate::machine::command::Command;
use crate::machine::policy;
use crate::station::Station;
use syncom_seam::{Now, Origin, Outbox};
use syncom_wire::control::{Ask, Line};
use syncom_wire::{Frame, Frames, OrderId};

impl Station {
    /// An operator's policy: checked here, so that the log holds none that cannot be installed.
    pub(super) fn on_set_policy<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        out: &mut O,
    ) {
        let Some(Ok(Frame::Policy(policy))) = Frames::new(ask.argument).next() else {
            return self.refuse(now, from.addr, ask, "that is no policy", out);
        };
        let image = match policy::check(&policy) {
            Ok(image) => image,
            Err(why) => return self.refuse(now, from.addr, ask, why.0, out),
        };
        let asked_by = order_id(from.peer, from.boot, ask.head.request);
        if self.machine.rules.is_of(asked_by.0) {
            let page = self.policy_page();
            return self.reply(now, from.addr, ask.head.request, page, out);
        }
        if self.wait_for(now, from, ask, asked_by, out) {
            self.propose(now, &Command::Policy { asked_by, image }, out);
        }
    }

    /// An operator drains nodes, or lets them work again; twice is as good as once.
    pub(super) fn on_drain<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        out: &mut O,
    ) {
        let Some(Ok(Frame::Drain(drain))) = Frames::new(ask.argument).next() else {
            return self.refuse(now, from.addr, ask, "that is no set of nodes to drain", out);
        };
        let asked_by = order_id(from.peer, from.boot, ask.head.request);
        if self.wait_for(now, from, ask, asked_by, out) {
            let command = Command::Drain {
                asked_by,
                drained: drain.drained == 1,
                nodes: drain.nodes.as_bytes().to_vec(),
                reason: drain.reason.to_owned(),
            };
            self.propose(now, &command, out);
        }
    }

    /// A policy holds: whoever sent it hears so.
    pub(crate) fn answer_policy<O: Outbox>(&mut self, now: Now, id: OrderId, out: &mut O) {
        let page = self.policy_page();
        self.answer_pending(now, id, page, out);
    }

    /// A drain is done: whoever asked for it hears for how many nodes it was news.
    pub(crate) fn answer_drain<O: Outbox>(
        &mut self,
        now: Now,
        id: OrderId,
        nodes: u32,
        out: &mut O,
    ) {
        let mut page = Page::done();
        page.push(&Line { text: &nodes.to_string() });
        self.answer_pending(now, id, page, out);
    }

    pub(super) fn policy_page(&self) -> Page {
        let mut page = Page::done();
        page.push(&self.machine.rules.policy());
        page
    }
}
