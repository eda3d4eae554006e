//! What this satellite knows of the cluster: members, who observes whom, and the roster.
//!
//! All of it follows from the view that the station feeds, most of it from nothing else: see
//! [`Atlas`]. A satellite's own are only the roster, which names who leads, what it remembers of
//! observers that were replaced lately, and later epochs that its nodes hold.
//!
//! A node may hold its set under a later epoch, which another home named that saw fewer views; that
//! epoch is adopted when nothing changed since.

use crate::atlas::Atlas;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syncom_group::{Entry, Homes, Members, Quorum, Roster, SlotSet};
use syncom_seam::{SECOND, Time};
use syncom_wire::limits::OBSERVERS_MAX;
use syncom_wire::member::{MemberState, ViewDelta, ViewDeltaHead};
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

/// Atlases that were offered and are kept at most: the next few views.
const OFFERS_MAX: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    me: PeerId,
    atlas: Arc<Atlas>,
    /// Atlases that the next views may lead to.
    offers: Vec<Arc<Atlas>>,
    /// Members in the parts of a delta of which more will come.
    parts: Vec<u8>,
    roster: Roster,
    /// Of nodes whose home this is; those replaced last stand last.
    former: BTreeMap<Slot, Vec<Former>>,
    /// Epochs beyond those of the atlas.
    adopted: BTreeMap<Slot, u64>,
    is_whole: bool,
}

impl World {
    pub(crate) fn new(me: PeerId) -> Self {
        Self {
            me,
            atlas: Arc::default(),
            offers: Vec::new(),
            parts: Vec::new(),
            roster: Roster::new(),
            former: BTreeMap::new(),
            adopted: BTreeMap::new(),
            is_whole: false,
        }
    }

    /// Forgets the members, to be told all of them again. What was announced to nodes is kept.
    pub(crate) fn begin(&mut self) {
        self.atlas = Arc::new(self.atlas.begin());
        self.parts.clear();
        self.is_whole = false;
    }

    /// Takes one part of a delta from the view that is held.
    pub(crate) fn take(&mut self, delta: &ViewDelta<'_>) {
        self.parts.extend_from_slice(delta.members);
    }

    /// Forgets the parts of a delta that will not be continued.
    pub(crate) fn drop_parts(&mut self) {
        self.parts.clear();
    }

    /// The parts make a whole list: settles who observes whom and the roster. Afterwards
    /// [`Self::changed`] tells whose neighbour sets are new.
    pub(crate) fn complete(
        &mut self,
        now: Time,
        head: &ViewDeltaHead,
        replicas: impl Iterator<Item = (PeerId, Addr)>,
    ) {
        self.atlas.turn(&self.parts, head.to, &self.offers);
        self.parts = Vec::new();
        self.offers.retain(|offer| offer.members().view() > head.to);
        self.is_whole = true;
        self.remember_former(now);
        let atlas = &self.atlas;
        self.adopted.retain(|slot, epoch| *epoch > atlas.epoch(*slot));
        self.set_roster(head.roster, replicas);
        self.roster.set_leader(head.leader, head.term);
    }

    /// Those who observe a node no longer are remembered for a while, the last ones of any number of
    /// views.
    fn remember_former(&mut self, now: Time) {
        let is_over = |old: &Former| now.since(old.replaced) > FORMER_NS;
        self.former.retain(|_, former| {
            former.retain(|old| !is_over(old));
            !former.is_empty()
        });
        for (subject, slot) in self.atlas.rings().replaced() {
            if !self.atlas.homes(*subject).is_some_and(|homes| homes.contains(self.me)) {
                continue;
            }
            let former = self.former.entry(*subject).or_default();
            former.retain(|old| old.slot != *slot);
            if former.len() == FORMER_MAX {
                former.remove(0);
            }
            former.push(Former { slot: *slot, replaced: now });
        }
    }

    /// The atlas that is held, to be offered to others.
    pub(crate) const fn atlas(&self) -> &Arc<Atlas> {
        &self.atlas
    }

    /// Somebody else has made an atlas that may be the next one here.
    pub(crate) fn offer(&mut self, atlas: Arc<Atlas>) {
        if self.offers.len() == OFFERS_MAX {
            self.offers.remove(0);
        }
        self.offers.push(atlas);
    }

    /// Makes the roster anew, of the satellites in the list and these replicas.
    pub(crate) fn set_roster(
        &mut self,
        epoch: u64,
        replicas: impl Iterator<Item = (PeerId, Addr)>,
    ) {
        let serving = RosterEntry::serving;
        let satellites = self
            .atlas
            .members()
            .satellites_serving()
            .map(|entry| serving(entry.head.peer, entry.head.addr, entry.head.weight));
        let replicas = replicas.map(|(peer, addr)| serving(peer, addr, 1));
        self.roster.set(epoch, satellites.chain(replicas));
    }

    /// Who observes a node, to be told to it.
    pub(crate) fn observers_of(&self, slot: Slot) -> impl Iterator<Item = Neighbour> + '_ {
        self.atlas.neighbours(self.observers(slot))
    }

    /// Whom a node observes, to be told to it.
    pub(crate) fn subjects_of(&self, slot: Slot) -> impl Iterator<Item = Neighbour> + '_ {
        self.atlas.neighbours(self.subjects(slot))
    }

    /// The observers of a node at present, by bit of evidence.
    pub(crate) fn observers(&self, slot: Slot) -> &[Slot] {
        self.atlas.rings().observers(slot)
    }

    /// Whom a node observes, as of the present view.
    pub(crate) fn subjects(&self, slot: Slot) -> &[Slot] {
        self.atlas.rings().subjects(slot)
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
        let former = self.former.get(&subject)?;
        let counts = |old: &Former| old.slot == reporter && now.since(old.replaced) <= FORMER_NS;
        former.iter().position(counts).map(|at| OBSERVERS_MAX + at)
    }

    /// How many former observers of a node are dead: they died with it, or soon before or after, and
    /// are replaced by others who have never heard it.
    pub(crate) fn observers_buried(&self, subject: Slot, now: Time) -> u32 {
        let former = self.former.get(&subject).into_iter().flatten();
        let is_dead = |old: &&Former| {
            let entry = self.members().agent(old.slot);
            let is_dead = entry.is_some_and(|entry| entry.state() == MemberState::Dead);
            is_dead && now.since(old.replaced) <= FORMER_NS
        };
        u32::try_from(former.filter(is_dead).count()).unwrap_or(0)
    }

    /// Epoch of a node's neighbour set; 0 when it has none.
    pub(crate) fn epoch(&self, slot: Slot) -> u64 {
        let adopted = self.adopted.get(&slot).copied().unwrap_or(0);
        self.atlas.epoch(slot).max(adopted)
    }

    /// A node holds its set under a later epoch, from another home: the same set when nothing
    /// changed since. Whether that is so.
    pub(crate) fn adopt(&mut self, slot: Slot, epoch: u64) -> bool {
        let held = self.epoch(slot);
        let fits = epoch > held && epoch <= self.view().0 && held > 0;
        if fits {
            self.adopted.insert(slot, epoch);
        }
        fits
    }

    /// Whose neighbour sets are new as of the last view.
    pub(crate) fn changed(&self) -> &SlotSet {
        self.atlas.changed()
    }

    /// The node in `slot`, when it is present in exactly this life.
    pub(crate) fn living(&self, slot: Slot, incarnation: Incarnation) -> Option<&Entry> {
        let entry = self.members().agent(slot)?;
        (entry.is_present() && entry.head.incarnation == incarnation).then_some(entry)
    }

    /// Whether the node in `slot` is present, in whatever life.
    pub(crate) fn agent_present(&self, slot: Slot) -> bool {
        self.members().agent(slot).is_some_and(Entry::is_present)
    }

    pub(crate) fn members(&self) -> &Members {
        self.atlas.members()
    }

    /// This satellite as the view has it, if it does.
    pub(crate) fn me(&self) -> Option<&Entry> {
        self.members().get(self.me)
    }

    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(crate) const fn roster_mut(&mut self) -> &mut Roster {
        &mut self.roster
    }

    pub(crate) fn view(&self) -> View {
        self.members().view()
    }

    pub(crate) fn quorum(&self) -> Quorum {
        self.atlas.quorum()
    }

    /// Bit per failure domain (number modulo 64) of present nodes.
    pub(crate) fn domains(&self) -> u64 {
        self.atlas.domains()
    }

    /// How many nodes are present.
    pub(crate) fn population(&self) -> usize {
        self.atlas.rings().len()
    }

    /// Whether a complete view is held: before, nobody can be called a stranger.
    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(crate) fn homes(&self, slot: Slot) -> Homes {
        self.atlas.homes(slot).copied().unwrap_or_else(|| self.roster.homes(slot))
    }

    /// Whether this satellite is one of the homes of a node.
    pub(crate) fn is_home(&self, slot: Slot) -> bool {
        self.homes(slot).contains(self.me)
    }

    /// The other home of a node whose home this is, if it has one.
    pub(crate) fn other_home(&self, slot: Slot) -> Option<&Entry> {
        let homes = self.homes(slot);
        let other = homes.as_slice().iter().find(|peer| **peer != self.me);
        let other = other.filter(|_| homes.contains(self.me));
        other.and_then(|peer| self.members().get(*peer)).filter(|entry| entry.is_present())
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
