//! Telling nodes whom they watch and who watches them.
//!
//! A mass join changes the set of every node many times within a second; only the last set is
//! worth sending. So the first home waits until the view was quiet for a moment, but not for ever.
//! A node that takes a set sends its homes a heartbeat, which names the epoch that it holds. Until
//! the first home hears that it sends the set again, for new observers wait for the node; later,
//! whatever was lost shows in any heartbeat.

use crate::homes::Homes;
use crate::world::World;
use syncom_group::SlotSet;
use syncom_seam::{MS, Outbox, Time};
use syncom_wire::limits::NEIGHBOURS_MAX;
use syncom_wire::neighbours::{Neighbour, Neighbours, NeighboursHead};
use syncom_wire::{Addr, Incarnation, List, Slot};

/// A view is quiet when it did not change for so long, in ns.
const QUIET_NS: u64 = 100 * MS;
/// Sets are pushed at the latest so long after they changed, in ns.
const DELAY_MAX_NS: u64 = 500 * MS;
/// Least time between two pushes to one node, in ns.
const REPAIR_NS: u64 = 100 * MS;
/// Time between two pushes of a set that no heartbeat has named yet, in ns.
const REPEAT_NS: u64 = 250 * MS;
/// How often a set is pushed unasked.
const PUSHES_MAX: u8 = 8;
/// Sets pushed per tick: a burst that socket buffers hold.
const PER_TICK: usize = 256;

/// Sets that wait to be pushed.
#[derive(Debug, Default)]
pub(crate) struct Pushes {
    waiting: SlotSet,
    oldest: Time,
    newest: Time,
    /// Pushed, and not named by a heartbeat yet.
    unconfirmed: SlotSet,
    /// When to push those again.
    repeat_at: Time,
}

impl Pushes {
    /// Notes whose sets the last view changed.
    pub(crate) fn on_view(&mut self, now: Time, world: &World) {
        if world.changed().is_empty() {
            return;
        }
        if self.waiting.is_empty() {
            self.oldest = now;
        }
        self.newest = now;
        for slot in world.changed().iter().filter(|slot| world.is_first_home(*slot)) {
            self.waiting.insert(slot);
        }
    }

    /// Whether something waits.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || !self.unconfirmed.is_empty()
    }

    fn is_quiet(&self, now: Time) -> bool {
        now.since(self.newest) >= QUIET_NS || now.since(self.oldest) >= DELAY_MAX_NS
    }

    /// Pushes what waits, once the view is quiet.
    pub(crate) fn on_tick<O: Outbox>(
        &mut self,
        now: Time,
        world: &World,
        homes: &mut Homes,
        out: &mut O,
    ) {
        if !self.is_quiet(now) {
            return;
        }
        if now >= self.repeat_at {
            self.repeat_at = now.after(REPEAT_NS);
            for slot in self.unconfirmed.iter() {
                self.waiting.insert(slot);
            }
            self.unconfirmed.clear();
        }
        for _ in 0..PER_TICK {
            let Some(slot) = self.waiting.iter().next() else { return };
            self.waiting.remove(slot);
            let Some(addr) = homes.addr(world, slot) else { continue };
            push(now, slot, addr, world, homes, out);
            if homes.pushes(slot) < PUSHES_MAX {
                self.unconfirmed.insert(slot);
            }
        }
    }

    /// A node names the epoch that it holds: pushes what it should hold when that differs.
    pub(crate) fn on_heartbeat<O: Outbox>(
        &mut self,
        now: Time,
        (slot, addr): (Slot, Addr),
        held: u64,
        world: &mut World,
        homes: &mut Homes,
        out: &mut O,
    ) {
        let epoch = world.epoch(slot);
        let is_behind = epoch > held || (epoch < held && !world.adopt(slot, held));
        if !is_behind {
            self.unconfirmed.remove(slot);
            homes.on_confirmed(slot);
            return;
        }
        // A node ahead of this view will be understood when the view has moved.
        if held > world.view().0 || !self.is_quiet(now) {
            return;
        }
        let pushed = homes.pushed(slot);
        if pushed == Time(0) || now.since(pushed) >= REPAIR_NS {
            push(now, slot, addr, world, homes, out);
        }
    }
}

const NOBODY: Neighbour =
    Neighbour { slot: Slot::NONE, incarnation: Incarnation(0), addr: Addr::NONE, domain: 0 };

fn push<O: Outbox>(
    now: Time,
    slot: Slot,
    addr: Addr,
    world: &World,
    homes: &mut Homes,
    out: &mut O,
) {
    let Some(entry) = world.members().agent(slot).filter(|entry| entry.is_present()) else {
        return;
    };
    let mut observers = [NOBODY; NEIGHBOURS_MAX];
    let mut subjects = [NOBODY; NEIGHBOURS_MAX];
    let observers = fill(&mut observers, world.observers_of(slot));
    let subjects = fill(&mut subjects, world.subjects_of(slot));
    let head =
        NeighboursHead { slot, incarnation: entry.head.incarnation, epoch: world.epoch(slot) };
    out.send(addr, &Neighbours { head, observers, subjects });
    homes.on_push(slot, now);
}

fn fill(
    room: &mut [Neighbour; NEIGHBOURS_MAX],
    items: impl Iterator<Item = Neighbour>,
) -> List<'_, Neighbour> {
    let mut count = 0;
    for (place, item) in room.iter_mut().zip(items) {
        *place = item;
        count += 1;
    }
    List::new(&room[..count])
}
