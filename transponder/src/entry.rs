//! The port of entry: whoever asks is told the roster; whoever joins waits here for the station.
//!
//! A node is welcomed only when the view holds it: from then on every satellite knows it.

use crate::uplink::batch::{Batches, Tag};
use crate::world::World;
use syncom_group::Entry;
use syncom_seam::bounded::BoundedMap;
use syncom_seam::{Counter, Origin, Outbox, SECOND, Time};
use syncom_wire::ids::hash;
use syncom_wire::join::{Join, JoinHead, JoinRefused, Leave, Welcome};
use syncom_wire::uplink::ItemResult;
use syncom_wire::{Addr, Boot, Slot, Uuid};

/// How long a join waits for the view before it is forgotten, in ns: its node asks again anyway.
const PATIENCE_NS: u64 = 5 * SECOND;

/// A node that wants in.
#[derive(Clone, Copy, Debug)]
struct Pending {
    uuid: Uuid,
    boot: Boot,
    addr: Addr,
    since: Time,
}

/// Joins that wait for the station's word.
#[derive(Debug)]
pub(crate) struct Gate {
    pending: BoundedMap<Pending>,
}

impl Gate {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { pending: BoundedMap::new(capacity) }
    }

    /// Takes a join: welcomes a member at once, passes anybody else's on, once.
    pub(crate) fn on_join<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        join: &Join<'_>,
        world: &World,
        batches: &mut Batches,
        out: &mut O,
    ) {
        let head = &join.head;
        if let Some(entry) = member(world, head.uuid, head.boot) {
            welcome(from.addr, entry, world, out);
            return;
        }
        let key = hash(&head.uuid.0);
        let fresh = Pending { uuid: head.uuid, boot: head.boot, addr: from.addr, since: now };
        if let Some(pending) = self.pending.get_mut(key) {
            let is_same = pending.boot == head.boot;
            *pending = Pending { since: if is_same { pending.since } else { now }, ..fresh };
            if is_same && batches.holds(Tag::Join(key)) {
                return;
            }
        } else if self.pending.insert(key, fresh).is_err() {
            out.count(Counter::UplinkShed, 1);
            return;
        }
        let addr = if head.addr.is_some() { head.addr } else { from.addr };
        let join = Join { head: JoinHead { addr, ..*head }, ..*join };
        if batches.push(now, &join, Tag::Join(key)).is_err() {
            self.pending.remove(key);
            out.count(Counter::UplinkShed, 1);
        }
    }

    /// The station's word on a join. Only a refusal is news: all else shows in the view.
    pub(crate) fn on_result<O: Outbox>(&mut self, key: u64, result: &ItemResult, out: &mut O) {
        if result.code != ItemResult::REFUSED {
            return;
        }
        if let Some(pending) = self.pending.remove(key) {
            let reason = "the station refused: another present node has this name, or the \
                          cluster is full";
            let refused = JoinRefused { uuid: pending.uuid, boot: pending.boot, reason };
            out.send(pending.addr, &refused);
        }
    }

    /// The view moved: welcomes everybody whom it holds now.
    pub(crate) fn on_view<O: Outbox>(&mut self, world: &World, out: &mut O) {
        let held = |pending: &Pending| member(world, pending.uuid, pending.boot);
        for (_, pending) in self.pending.iter() {
            if let Some(entry) = held(pending) {
                welcome(pending.addr, entry, world, out);
            }
        }
        self.drop_where(|pending| held(pending).is_some());
    }

    /// Forgets whoever waited too long.
    pub(crate) fn sweep(&mut self, now: Time) {
        self.drop_where(|pending| now.since(pending.since) >= PATIENCE_NS);
    }

    fn drop_where(&mut self, is_over: impl Fn(&Pending) -> bool) {
        let mut room = [0; 64];
        loop {
            let over = self.pending.iter().filter(|(_, pending)| is_over(pending));
            let count = room.iter_mut().zip(over).map(|(place, (key, _))| *place = key).count();
            for key in room.iter().take(count) {
                self.pending.remove(*key);
            }
            if count < room.len() {
                return;
            }
        }
    }
}

/// Passes a node's leave on, when the view still holds it in that life.
pub(crate) fn on_leave(now: Time, leave: &Leave, world: &World, batches: &mut Batches) {
    let is_member = world
        .living(leave.slot, leave.incarnation)
        .is_some_and(|entry| entry.head.uuid == leave.uuid && entry.head.boot == leave.boot);
    if is_member {
        // Without room the leave is lost and the node will be found dead: the same end.
        let _ = batches.push(now, leave, Tag::Leave);
    }
}

/// The present member with this identity in this life.
fn member(world: &World, uuid: Uuid, boot: Boot) -> Option<&Entry> {
    let entry = world.members().with_uuid(uuid)?;
    (entry.is_present() && entry.head.boot == boot && entry.slot() != Slot::NONE).then_some(entry)
}

fn welcome<O: Outbox>(to: Addr, entry: &Entry, world: &World, out: &mut O) {
    out.send(
        to,
        &Welcome {
            uuid: entry.head.uuid,
            boot: entry.head.boot,
            slot: entry.slot(),
            incarnation: entry.head.incarnation,
            view: world.view(),
            peer: entry.head.peer,
            domain: entry.head.domain,
            reserved: 0,
        },
    );
}
