//! The member list that station and satellites hold.
//!
//! Agents stand by slot in a dense table and satellites by number in a small one; every entry
//! carries the view in which it last changed. A list is therefore a join-semilattice: entries may
//! come in any order and any number of times, and the newest view of each member wins.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;
use syncom_wire::limits::{DOMAIN_MAX, NAME_MAX, NODES_MAX, SATELLITES_MAX};
use syncom_wire::member::{Member, MemberHead, MemberState};
use syncom_wire::{PeerId, Role, Slot, Uuid, View};

/// One member, agent or satellite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The fixed part; its `state` is always a known [`MemberState`].
    pub head: MemberHead,
    /// Its name.
    pub name: Box<str>,
    /// Its failure domain's label; may be empty.
    pub domain: Box<str>,
}

impl Entry {
    /// What the station believes of it.
    #[must_use]
    pub const fn state(&self) -> MemberState {
        self.head.state()
    }

    /// Whether it is on the rings: alive or gray.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.state().is_present()
    }

    /// Its slot; [`Slot::NONE`] for satellites.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.head.peer.slot().unwrap_or(Slot::NONE)
    }

    /// The entry as a frame.
    #[must_use]
    pub const fn as_member(&self) -> Member<'_> {
        Member { head: self.head, name: &self.name, domain: &self.domain }
    }
}

/// What an entry changed when it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is older than, or the same as, what is held.
    Nothing,
    /// The member was not known before.
    New,
    /// The member came back in a new life: evidence about the old one is void.
    NewLife {
        /// What was believed of the old life at last.
        was: MemberState,
    },
    /// What is believed of the same life has changed.
    State {
        /// What was believed before.
        was: MemberState,
    },
    /// Address, weight, name or domain have changed; life and state have not.
    Details,
    /// There is no place for it: neither agent nor satellite, or a number beyond the limits.
    Refused,
}

/// How many members are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alive.
    pub alive: usize,
    /// Gray.
    pub gray: usize,
    /// Dead.
    pub dead: usize,
    /// Left in good order.
    pub left: usize,
}

impl Counts {
    /// Alive and gray together: N of all formulas.
    #[must_use]
    pub const fn present(&self) -> usize {
        self.alive + self.gray
    }

    const fn of(&mut self, state: MemberState) -> &mut usize {
        match state {
            MemberState::Alive => &mut self.alive,
            MemberState::Gray => &mut self.gray,
            MemberState::Dead => &mut self.dead,
            MemberState::Left => &mut self.left,
        }
    }
}

/// The numbered member list.
#[derive(Clone, Debug, Default)]
pub struct Members {
    view: View,
    agents: Vec<Option<Entry>>,
    satellites: Vec<Option<Entry>>,
    agent_counts: Counts,
    satellite_counts: Counts,
    by_name: BTreeMap<Box<str>, PeerId>,
    by_uuid: BTreeMap<Uuid, PeerId>,
    by_view: BTreeSet<(View, PeerId)>,
}

impl Members {
    /// An empty list at view 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The view that this list shows. Set by [`Self::set_view`]; entries do not move it, because a
    /// list is whole only after the last part of a delta.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// Declares the list whole at `view`; an older view is ignored.
    pub fn set_view(&mut self, view: View) {
        self.view = self.view.max(view);
    }

    /// Forgets everything, to begin from nothing.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes what is newest about one member.
    ///
    /// An entry of an older view than the one held changes nothing. A member that is present takes
    /// its name over from one that is not.
    pub fn apply(&mut self, member: &Member<'_>) -> Change {
        let peer = member.head.peer;
        let fits = member.name.len() <= NAME_MAX && member.domain.len() <= DOMAIN_MAX;
        let known = MemberState::from_wire(member.head.state).is_some();
        if !fits || !known || index(peer).is_none() {
            return Change::Refused;
        }
        let old = self.get(peer);
        if old.is_some_and(|old| old.head.view > member.head.view || old.as_member() == *member) {
            return Change::Nothing;
        }
        let change = old.map_or(Change::New, |old| compare(old, member));
        self.unlink(peer);
        self.link(member);
        change
    }

    /// The member with this number on the wire.
    #[must_use]
    pub fn get(&self, peer: PeerId) -> Option<&Entry> {
        self.table(peer.role())?.get(index(peer)?)?.as_ref()
    }

    /// The node in `slot`.
    #[must_use]
    pub fn agent(&self, slot: Slot) -> Option<&Entry> {
        self.agents.get(slot.0 as usize)?.as_ref()
    }

    /// Satellite number `n`, counted from 1.
    #[must_use]
    pub fn satellite(&self, n: u16) -> Option<&Entry> {
        self.get(PeerId::satellite(n))
    }

    /// The member with this name: the present one if several had it, else the one that had it last.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Entry> {
        self.get(*self.by_name.get(name)?)
    }

    /// The member with this identity.
    #[must_use]
    pub fn with_uuid(&self, uuid: Uuid) -> Option<&Entry> {
        self.get(*self.by_uuid.get(&uuid)?)
    }

    /// All nodes by slot, whatever their state.
    pub fn agents(&self) -> impl Iterator<Item = &Entry> {
        self.agents.iter().flatten()
    }

    /// The nodes on the rings, by slot.
    pub fn present(&self) -> impl Iterator<Item = &Entry> {
        self.agents().filter(|entry| entry.is_present())
    }

    /// All satellites by number, whatever their state.
    pub fn satellites(&self) -> impl Iterator<Item = &Entry> {
        self.satellites.iter().flatten()
    }

    /// The satellites that serve, by number: alive or gray.
    pub fn satellites_serving(&self) -> impl Iterator<Item = &Entry> {
        self.satellites().filter(|entry| entry.is_present())
    }

    /// Everybody who changed after `view`, oldest change first: what a delta from `view` holds.
    pub fn changed_since(&self, view: View) -> impl Iterator<Item = &Entry> {
        self.by_view
            .range((Bound::Excluded((view, PeerId::ANY)), Bound::Unbounded))
            .filter_map(|(_, peer)| self.get(*peer))
    }

    /// How many nodes are in which state.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.agent_counts
    }

    /// How many satellites are in which state.
    #[must_use]
    pub const fn satellite_counts(&self) -> Counts {
        self.satellite_counts
    }

    /// How many members there are, agents and satellites, whatever their state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_view.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_view.is_empty()
    }

    /// The first slot that nobody ever had; `None` when all are given away.
    #[must_use]
    pub fn next_slot(&self) -> Option<Slot> {
        let at = self.agents.len();
        if at < NODES_MAX { u32::try_from(at).ok().map(Slot) } else { None }
    }

    fn table(&self, role: Role) -> Option<&[Option<Entry>]> {
        match role {
            Role::Agent => Some(&self.agents),
            Role::Satellite => Some(&self.satellites),
            Role::Station | Role::Client => None,
        }
    }

    fn table_mut(&mut self, role: Role) -> Option<(&mut Vec<Option<Entry>>, &mut Counts)> {
        match role {
            Role::Agent => Some((&mut self.agents, &mut self.agent_counts)),
            Role::Satellite => Some((&mut self.satellites, &mut self.satellite_counts)),
            Role::Station | Role::Client => None,
        }
    }

    fn link(&mut self, member: &Member<'_>) {
        let Member { head, name, domain } = *member;
        let entry = Entry { head, name: name.into(), domain: domain.into() };
        let Some(at) = index(head.peer) else { return };
        let holder_is_present = self
            .named(name)
            .is_some_and(|holder| holder.head.peer != head.peer && holder.is_present());
        if entry.is_present() || !holder_is_present {
            self.by_name.insert(entry.name.clone(), head.peer);
        }
        self.by_uuid.insert(head.uuid, head.peer);
        self.by_view.insert((head.view, head.peer));
        let Some((table, counts)) = self.table_mut(head.peer.role()) else { return };
        *counts.of(entry.state()) += 1;
        if table.len() <= at {
            table.resize(at + 1, None);
        }
        table[at] = Some(entry);
    }

    fn unlink(&mut self, peer: PeerId) {
        let Some(at) = index(peer) else { return };
        let Some((table, counts)) = self.table_mut(peer.role()) else { return };
        let Some(entry) = table.get_mut(at).and_then(Option::take) else { return };
        *counts.of(entry.state()) -= 1;
        self.by_view.remove(&(entry.head.view, peer));
        if self.by_name.get(&entry.name) == Some(&peer) {
            self.by_name.remove(&entry.name);
        }
        if self.by_uuid.get(&entry.head.uuid) == Some(&peer) {
            self.by_uuid.remove(&entry.head.uuid);
        }
    }
}

/// Where a member stands in the table of its role, if there can be such a member.
fn index(peer: PeerId) -> Option<usize> {
    let number = peer.number() as usize;
    match peer.role() {
        Role::Agent => (number < NODES_MAX).then_some(number),
        Role::Satellite => (1..=SATELLITES_MAX).contains(&number).then(|| number - 1),
        Role::Station | Role::Client => None,
    }
}

fn compare(old: &Entry, new: &Member<'_>) -> Change {
    let life = |head: &MemberHead| (head.uuid, head.boot, head.incarnation);
    let was = old.state();
    if life(&old.head) != life(&new.head) {
        Change::NewLife { was }
    } else if was != new.state() {
        Change::State { was }
    } else {
        Change::Details
    }
}

#[cfg(test)]
mod tests;
