//! Replacing a replica while the station serves.
//!
//! ```text
//! ordered ─▶ added (learns) ─▶ joint (both majorities decide) ─▶ swapped (the old one learns) ─▶ done
//! ```
//!
//! Where it stands follows from the log alone: each arrow is an entry, proposed by whoever leads
//! when it sees that the step before is applied. A leader that dies half-way leaves nothing behind
//! that its successor would not find.

use crate::control::{Page, order_id};
use crate::machine::Effect;
use crate::machine::command::Command;
use crate::machine::replicas::name;
use crate::raft::conf::Change;
use crate::station::Station;
use raft::eraftpb::Entry;
use syncom_seam::{MS, Now, Origin, Outbox, Time};
use syncom_wire::control::{Ask, Line, Reply};
use syncom_wire::replica::Replace;
use syncom_wire::{Addr, Frame, Frames, OrderId, PeerId};

/// A step that was proposed is proposed again when it did not come about after this long.
const AGAIN_NS: u64 = 200 * MS;
/// Entries that the new replica may still be behind when it gets its vote.
const BEHIND_MAX: u64 = 64;

/// What a leader remembers of the replacement that it drives: nothing that a successor needs.
#[derive(Debug, Default)]
pub(crate) struct Replacing {
    /// Until then it waits for what it has proposed.
    waits_until: Time,
}

impl Station {
    /// Numbers of the replicas that vote, in order, as this one has applied it.
    #[must_use]
    pub fn voters(&self) -> &[u64] {
        &self.machine.replicas.conf.voters
    }

    /// Whether who votes is changing, as far as this replica has applied it.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        let conf = &self.machine.replicas.conf;
        conf.is_joint() || !conf.learners.is_empty()
    }

    /// Applies a change of the replicas, if it belongs to what is under way; whether one was added.
    pub(crate) fn apply_change<O: Outbox>(
        &mut self,
        entry: &Entry,
        effects: &mut Vec<Effect>,
        out: &mut O,
    ) -> bool {
        let change = Change::decode(&entry.data).ok();
        let wanted = change.filter(|change| self.machine.replicas.wants(*change));
        let mut changed = None;
        if let Some(change) = wanted {
            match self.node.apply_change(change) {
                Ok(conf) => changed = Some((change, conf)),
                Err(why) => self.stop(&format!("the log changes the replicas wrongly: {why}"), out),
            }
        }
        self.machine.apply_change(entry.index, entry.term, changed, effects);
        matches!(wanted, Some(Change::Add(_)))
    }

    /// An operator replaces a replica, or asks how far that is: the same order as before.
    pub(crate) fn on_replace<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        out: &mut O,
    ) {
        let Some(Ok(Frame::Replace(order))) = Frames::new(ask.argument).next() else {
            return self.refuse(now, from.addr, ask, "that is no replacement of a replica", out);
        };
        let standing = self.machine.replicas.standing(order.old, order.new);
        let cancels = order.flags & Replace::CANCEL != 0;
        match standing {
            Some((Replace::ORDERED | Replace::ADDED, _)) if cancels => {}
            Some((Replace::JOINT | Replace::SWAPPED, _)) if cancels => {
                let why = format!("too late: {} votes already", name(order.new));
                return self.refuse(now, from.addr, ask, &why, out);
            }
            Some(_) => {
                let page = self.replace_page(order.old, order.new);
                return self.reply(now, from.addr, ask.head.request, page, out);
            }
            None if cancels => {
                return self.refuse(now, from.addr, ask, "nobody ordered that replacement", out);
            }
            None => {
                if let Some(why) = self.objection(now.at, &order) {
                    return self.refuse(now, from.addr, ask, &why, out);
                }
                // Who has just begun to lead has not heard the living yet.
                if now.at.since(self.led_since) < self.config.timing.election_max_ns() {
                    return self.say_busy(now, from.addr, ask.head.request, out);
                }
            }
        }
        let asked_by = order_id(from.peer, from.boot, ask.head.request);
        if self.wait_for(now, from, ask, asked_by, out) {
            self.propose(now, &Command::Replace { asked_by, order }, out);
        }
    }

    /// What speaks against an order, in the log or as far as this leader hears and sees.
    fn objection(&self, now: Time, order: &Replace) -> Option<String> {
        if let Some(why) = self.machine.replicas.objection(order) {
            return Some(why);
        }
        let same = |(_, addr): &(PeerId, Addr)| *addr == order.addr;
        if let Some((peer, _)) = self.replica_addrs().iter().find(|one| same(one)) {
            let theirs = u16::try_from(peer.number()).unwrap_or(0);
            if theirs != order.old {
                return Some(format!("{} listens at {} already", name(theirs), order.addr));
            }
        }
        let patience = 2 * self.config.timing.election_max_ns();
        let heard = self.node.heard_at(u64::from(order.old));
        let lives =
            order.old == self.config.me || heard.is_some_and(|heard| now.since(heard) < patience);
        if lives && order.flags & Replace::FORCE == 0 {
            return Some(format!(
                "{} still answers: stop it first, or replace it all the same with --force",
                name(order.old)
            ));
        }
        None
    }

    /// An order is in the log, or could not be taken: whoever gave it hears how it stands.
    pub(crate) fn answer_replacing<O: Outbox>(
        &mut self,
        now: Now,
        id: OrderId,
        (old, new): (u16, u16),
        out: &mut O,
    ) {
        let page = self.replace_page(old, new);
        self.answer_pending(now, id, page, out);
    }

    fn replace_page(&self, old: u16, new: u16) -> Page {
        let Some((state, index)) = self.machine.replicas.standing(old, new) else {
            let mut page = Page::status(Reply::REFUSED, 0);
            page.push(&Line { text: "another replacement was ordered first" });
            return page;
        };
        let addr = self.addr_of(PeerId::station(new)).unwrap_or(Addr::NONE);
        let (matched, _) = self.node.progress(u64::from(new)).unwrap_or_default();
        let last = self.node.last_index();
        let mut page = Page::done();
        page.push(&Replace { state, matched, last, index, ..Replace::order(old, new, addr, 0) });
        page
    }

    /// Takes the next step of the replacement under way, if it is time.
    pub(crate) fn tick_replacing<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(change) = self.machine.replicas.next_change() else { return };
        if now.at < self.replacing.waits_until || !self.node.may_change() || !self.is_due(change) {
            return;
        }
        self.replacing.waits_until = now.at.after(AGAIN_NS);
        if let Change::Swap { old, .. } = change
            && old == u64::from(self.config.me)
            && self.node.step_down()
        {
            out.info(|| "this replica is being replaced: another is to lead".to_owned());
            self.replacing.waits_until = now.at.after(2 * self.config.timing.election_max_ns());
            return;
        }
        out.info(|| format!("replacement: {change}"));
        self.node.propose_change(change);
    }

    /// Whether a change may be made as soon as the log allows it.
    fn is_due(&self, change: Change) -> bool {
        let Change::Swap { old, new } = change else { return true };
        let seated = u16::try_from(new).ok().and_then(|new| self.machine.replicas.seat(new));
        let stored = self.config.disk == 0 || seated.is_some_and(|seat| seat.disk != 0);
        stored && self.node.has_caught_up(new, BEHIND_MAX) && self.node.can_spare(old)
    }
}
