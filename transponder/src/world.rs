//! What this satellite knows of the cluster: members, who observes whom, and the roster.
//!
//! All of it follows from the view that the station feeds. The **epoch** of a node's neighbour set
//! is the view in which the set last changed, as far as this satellite saw the views one by one;
//! one that came later may name a later view for the same set, so a later epoch that a node holds
//! already is adopted when nothing changed since.

use alloc::vec::Vec;
use syncom_group::{Change, Entry, Homes, Members, Quorum, Rings, Roster, SlotSet};
use syncom_seam::{SECOND, Time};
use syncom_wire::ids::{hash, mix};
use syncom_wire::limits::{NODES_MAX, OBSERVERS_MAX};
use syncom_wire::member::{Member, ViewDeltaHead};
use syncom_wire::neighbours::Neighbour;
use syncom_wire::roster::RosterEntry;
use syncom_wire::{Addr, Incarnation, PeerId, Role, Slot, View};

/// How long former observers of a node still count: until their successors have heard the node and
/// could miss it.
const FORMER_NS: u64 = 5 * SECOND;
/// Former observers of one node that are kept: those of some views in quick succession.
const FORMER_MAX: usize = 2 * OBSERVERS_MAX;

/// Who observed a node before, and until when.
#[derive(Clone, Copy, Debug)]
struct Former {
    slot: Slot,
    replaced: Time,
}

/// A node's neighbour set as it was announced.
#[derive(Clone, Debug, Default)]
struct Watch {
    /// The view in which the set last changed; 0 when it never had one.
    epoch: u64,
    /// Of everything that the set tells.
    digest: u64,
    observers: [Slot; OBSERVERS_MAX],
    count: usize,
    /// Those replaced last stand last.
    former: Vec<Former>,
}

impl Watch {
    /// Replaces the observers. Those who go are remembered, the last ones of any number of views.
    fn replace(&mut self, observers: &[Slot], now: Time) {
        self.former
            .retain(|old| now.since(old.replaced) <= FORMER_NS && !observers.contains(&old.slot));
        let held = self.observers.get(..self.count).unwrap_or(&[]);
        for slot in held.iter().filter(|slot| !observers.contains(slot)) {
            if self.former.len() == FORMER_MAX {
                self.former.remove(0);
            }
            self.former.push(Former { slot: *slot, replaced: now });
        }
        self.count = observers.len().min(OBSERVERS_MAX);
        self.observers[..self.count].copy_from_slice(&observers[..self.count]);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    me: PeerId,
    members: Members,
    rings: Rings,
    roster: Roster,
    watches: Vec<Watch>,
    changed: SlotSet,
    quorum: Quorum,
    domains: u64,
    is_whole: bool,
}

impl World {
    pub(crate) fn new(me: PeerId) -> Self {
        Self {
            me,
            members: Members::new(),
            rings: Rings::new(),
            roster: Roster::new(),
            watches: Vec::new(),
            changed: SlotSet::new(),
            quorum: Quorum::of(0),
            domains: 0,
            is_whole: false,
        }
    }

    /// Forgets the members, to be told all of them again. What was announced to nodes is kept.
    pub(crate) fn begin(&mut self) {
        self.members.clear();
        self.rings = Rings::new();
        self.is_whole = false;
    }

    /// Takes what is newest about one member.
    pub(crate) fn apply(&mut self, member: &Member<'_>) {
        let change = self.members.apply(member);
        let Some(slot) = member.head.peer.slot() else { return };
        if matches!(change, Change::Nothing | Change::Refused) {
            return;
        }
        if member.state().is_present() {
            self.rings.insert(slot, member.head.uuid, member.head.domain);
            if matches!(change, Change::NewLife { .. } | Change::Details) {
                self.rings.touch(slot);
            }
        } else {
            self.rings.remove(slot);
        }
    }

    /// Declares the list whole: settles who observes whom and the roster. Afterwards
    /// [`Self::changed`] tells whose neighbour sets are new.
    pub(crate) fn complete(
        &mut self,
        now: Time,
        head: &ViewDeltaHead,
        replicas: impl Iterator<Item = (PeerId, Addr)>,
    ) {
        self.members.set_view(head.to);
        self.is_whole = true;
        let mut touched = core::mem::take(&mut self.changed);
        touched.clear();
        self.rings.settle(&mut touched);
        let mut changed = SlotSet::new();
        for slot in touched.iter() {
            if self.renew(now, slot) {
                changed.insert(slot);
            }
        }
        self.changed = changed;
        self.quorum = Quorum::of(self.rings.len());
        self.domains = self.members.present().fold(0, |bits, entry| bits | bit(entry.head.domain));
        self.set_roster(head.roster, replicas);
        self.roster.set_leader(head.leader, head.term);
    }

    /// Makes the roster anew, of the satellites in the list and these replicas.
    pub(crate) fn set_roster(
        &mut self,
        epoch: u64,
        replicas: impl Iterator<Item = (PeerId, Addr)>,
    ) {
        let serving = RosterEntry::serving;
        let satellites = self
            .members
            .satellites_serving()
            .map(|entry| serving(entry.head.peer, entry.head.addr, entry.head.weight));
        let replicas = replicas.map(|(peer, addr)| serving(peer, addr, 1));
        self.roster.set(epoch, satellites.chain(replicas));
    }

    /// Compares a node's set with what was announced; whether it is new.
    fn renew(&mut self, now: Time, slot: Slot) -> bool {
        let at = slot.0 as usize;
        if at >= NODES_MAX {
            return false;
        }
        if self.watches.len() <= at {
            self.watches.resize(at + 1, Watch::default());
        }
        let digest = self.digest(slot);
        let epoch = self.members.view().0;
        let observers = self.rings.observers(slot);
        let watch = &mut self.watches[at];
        if watch.digest == digest {
            return false;
        }
        (watch.digest, watch.epoch) = (digest, epoch);
        watch.replace(observers, now);
        true
    }

    fn digest(&self, slot: Slot) -> u64 {
        let own = self.members.agent(slot).map_or(0, |entry| u64::from(entry.head.incarnation.0));
        let fold = |seed: u64, neighbour: Neighbour| {
            let parts = [
                u64::from(neighbour.slot.0) << 32 | u64::from(neighbour.incarnation.0),
                u64::from(neighbour.addr.port) << 16 | u64::from(neighbour.domain),
                hash(&neighbour.addr.ip),
            ];
            parts.into_iter().fold(seed, |h, part| mix(h ^ part).rotate_left(17))
        };
        let observers = self.neighbours(self.rings.observers(slot)).fold(mix(own + 1), fold);
        self.neighbours(self.rings.subjects(slot)).fold(mix(observers), fold)
    }

    fn neighbours<'a>(&'a self, slots: &'a [Slot]) -> impl Iterator<Item = Neighbour> + 'a {
        slots.iter().filter_map(|slot| self.members.agent(*slot)).map(|entry| Neighbour {
            slot: entry.slot(),
            incarnation: entry.head.incarnation,
            addr: entry.head.addr,
            domain: entry.head.domain,
        })
    }

    /// Who observes a node, to be told to it.
    pub(crate) fn observers_of(&self, slot: Slot) -> impl Iterator<Item = Neighbour> + '_ {
        self.neighbours(self.rings.observers(slot))
    }

    /// Whom a node observes, to be told to it.
    pub(crate) fn subjects_of(&self, slot: Slot) -> impl Iterator<Item = Neighbour> + '_ {
        self.neighbours(self.rings.subjects(slot))
    }

    /// The observers of a node at present, by bit of evidence.
    pub(crate) fn observers(&self, slot: Slot) -> &[Slot] {
        self.rings.observers(slot)
    }

    /// The bit of a reporter in evidence about `subject`: its place among the observers, or behind
    /// them among those who were until lately. `None`: it has no vote.
    pub(crate) fn observer_bit(&self, subject: Slot, reporter: Slot, now: Time) -> Option<usize> {
        if !self.agent_present(reporter) {
            return None;
        }
        if let Some(at) = self.observers(subject).iter().position(|slot| *slot == reporter) {
            return Some(at);
        }
        let watch = self.watches.get(subject.0 as usize)?;
        let counts = |old: &Former| old.slot == reporter && now.since(old.replaced) <= FORMER_NS;
        watch.former.iter().position(counts).map(|at| OBSERVERS_MAX + at)
    }

    /// Epoch of a node's neighbour set; 0 when it has none.
    pub(crate) fn epoch(&self, slot: Slot) -> u64 {
        self.watches.get(slot.0 as usize).map_or(0, |watch| watch.epoch)
    }

    /// A node holds its set under a later epoch, from another home: the same set when nothing
    /// changed since. Whether that is so.
    pub(crate) fn adopt(&mut self, slot: Slot, epoch: u64) -> bool {
        let view = self.members.view().0;
        let Some(watch) = self.watches.get_mut(slot.0 as usize) else { return false };
        let fits = epoch > watch.epoch && epoch <= view && watch.epoch > 0;
        if fits {
            watch.epoch = epoch;
        }
        fits
    }

    /// Whose neighbour sets are new as of the last view.
    pub(crate) const fn changed(&self) -> &SlotSet {
        &self.changed
    }

    /// The node in `slot`, when it is present in exactly this life.
    pub(crate) fn living(&self, slot: Slot, incarnation: Incarnation) -> Option<&Entry> {
        let entry = self.members.agent(slot)?;
        (entry.is_present() && entry.head.incarnation == incarnation).then_some(entry)
    }

    /// Whether the node in `slot` is present, in whatever life.
    pub(crate) fn agent_present(&self, slot: Slot) -> bool {
        self.members.agent(slot).is_some_and(Entry::is_present)
    }

    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    /// This satellite as the view has it, if it does.
    pub(crate) fn me(&self) -> Option<&Entry> {
        self.members.get(self.me)
    }

    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(crate) const fn roster_mut(&mut self) -> &mut Roster {
        &mut self.roster
    }

    pub(crate) const fn view(&self) -> View {
        self.members.view()
    }

    pub(crate) const fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// Bit per failure domain (number modulo 64) of present nodes.
    pub(crate) const fn domains(&self) -> u64 {
        self.domains
    }

    /// How many nodes are present.
    pub(crate) const fn population(&self) -> usize {
        self.rings.len()
    }

    /// Whether a complete view is held: before, nobody can be called a stranger.
    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn homes(&self, slot: Slot) -> Homes {
        self.roster.homes(slot)
    }

    /// Whether this satellite is one of the homes of a node.
    pub(crate) fn is_home(&self, slot: Slot) -> bool {
        self.homes(slot).contains(self.me)
    }

    /// Whether this satellite is the first home of a node.
    pub(crate) fn is_first_home(&self, slot: Slot) -> bool {
        self.homes(slot).first() == Some(self.me)
    }

    /// Whether somebody may speak as a node: an agent's number, and that slot.
    pub(crate) fn speaks_for(peer: PeerId, slot: Slot) -> bool {
        peer.role() == Role::Agent && peer.slot() == Some(slot)
    }
}

/// The bit of a failure domain.
pub(crate) const fn bit(domain: u16) -> u64 {
    1 << (domain % 64)
}
