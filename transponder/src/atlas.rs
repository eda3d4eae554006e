//! What follows from the view alone: members, who observes whom, who is whose home.
//!
//! It is the same at every satellite, and most of what a satellite holds; so whoever runs many
//! satellites in one memory may let them share it. The next view makes a new atlas, in place where
//! nobody else holds the old one. Atlases of one view and fingerprint show the same members, and the
//! same delta leads from them to the same; a satellite that was **offered** the atlas which it would
//! make takes it instead.
//!
//! The **epoch** of a node's neighbour set is the view in which the set last changed, as far as this
//! atlas saw the views one by one; one that came later may name a later view for the same set.

use alloc::sync::Arc;
use alloc::vec::Vec;
use syncom_group::{Candidate, Change, Homes, Members, Quorum, Rendezvous, Rings, SlotSet};
use syncom_wire::ids::{hash, mix};
use syncom_wire::limits::NODES_MAX;
use syncom_wire::member::Member;
use syncom_wire::neighbours::Neighbour;
use syncom_wire::{Frame, Frames, Slot, View};

/// A node's neighbour set as it is announced.
#[derive(Clone, Copy, Debug, Default)]
struct Set {
    /// The view in which the set last changed; 0 when it never had one.
    epoch: u64,
    /// Of everything that the set tells.
    digest: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    members: Members,
    rings: Rings,
    sets: Vec<Set>,
    /// Homes by slot, by the satellites of the last view.
    homes: Vec<Homes>,
    satellites: u64,
    /// Whose neighbour sets the last view changed.
    changed: SlotSet,
    /// Present nodes per failure domain, by its number modulo 64.
    domains: Vec<u32>,
    /// Of all members: two lists with the same one are the same.
    fingerprint: u64,
    /// The fingerprint before the last view, and the hash of the delta that led from it.
    step: (u64, u64),
}

impl Atlas {
    /// An atlas of nobody, to be told all members again. What was announced to nodes is kept.
    pub(crate) fn begin(&self) -> Self {
        Self { sets: self.sets.clone(), ..Self::default() }
    }

    /// Becomes the atlas of the view `to`, to which `members` lead, the frames of a whole delta: takes
    /// one of `offers` if it is that, else makes it.
    pub(crate) fn turn(self: &mut Arc<Self>, members: &[u8], to: View, offers: &[Arc<Self>]) {
        let step = (self.fingerprint, hash(members));
        let is_it = |offer: &&Arc<Self>| offer.step == step && offer.members.view() == to;
        if let Some(offer) = offers.iter().find(is_it) {
            *self = Arc::clone(offer);
            return;
        }
        Arc::make_mut(self).step_to(members, to);
        Arc::make_mut(self).step = step;
    }

    fn step_to(&mut self, members: &[u8], to: View) {
        for frame in Frames::new(members) {
            if let Ok(Frame::Member(member)) = frame {
                self.apply(&member);
            }
        }
        self.members.set_view(to);
        self.settle();
    }

    /// Takes what is newest about one member.
    fn apply(&mut self, member: &Member<'_>) {
        let old = self.members.get(member.head.peer);
        let before = old.map_or(0, |old| print(&old.as_member()));
        let was = old.filter(|old| old.is_present()).map(|old| old.head.domain);
        let change = self.members.apply(member);
        if matches!(change, Change::Nothing | Change::Refused) {
            return;
        }
        self.fingerprint = self.fingerprint.wrapping_sub(before).wrapping_add(print(member));
        let Some(slot) = member.head.peer.slot() else { return };
        let is_present = member.state().is_present();
        self.domains.resize(64, 0);
        for (domain, is_one_more) in
            [(was, false), (is_present.then_some(member.head.domain), true)]
        {
            let Some(domain) = domain else { continue };
            let present = &mut self.domains[usize::from(domain % 64)];
            *present = if is_one_more { *present + 1 } else { present.saturating_sub(1) };
        }
        if is_present {
            self.rings.insert(slot, member.head.uuid, member.head.domain);
            if matches!(change, Change::NewLife { .. } | Change::Details) {
                self.rings.touch(slot);
            }
        } else {
            self.rings.remove(slot);
        }
    }

    /// Settles who observes whom and who is whose home.
    fn settle(&mut self) {
        let mut touched = core::mem::take(&mut self.changed);
        touched.clear();
        self.rings.settle(&mut touched);
        let mut changed = SlotSet::new();
        for slot in touched.iter() {
            if self.renew(slot) {
                changed.insert(slot);
            }
        }
        self.changed = changed;
        self.settle_homes();
    }

    fn settle_homes(&mut self) {
        let mut rendezvous = Rendezvous::new();
        let candidate = |entry: &syncom_group::Entry| Candidate {
            peer: entry.head.peer,
            weight: entry.head.weight,
            leaving: false,
        };
        rendezvous.set(self.members.satellites_serving().map(candidate));
        let fold =
            |print, one: Candidate| mix(print ^ u64::from(one.peer.0)) ^ u64::from(one.weight);
        let satellites = self.members.satellites_serving().map(candidate).fold(1, fold);
        if satellites != self.satellites {
            self.satellites = satellites;
            self.homes.clear();
        }
        let slots = u32::try_from(self.sets.len()).unwrap_or(0);
        let known = u32::try_from(self.homes.len()).unwrap_or(slots);
        self.homes.extend((known..slots).map(|slot| rendezvous.homes(Slot(slot))));
    }

    /// Compares a node's set with what was announced; whether it is new.
    fn renew(&mut self, slot: Slot) -> bool {
        let at = slot.0 as usize;
        if at >= NODES_MAX {
            return false;
        }
        if self.sets.len() <= at {
            self.sets.resize(at + 1, Set::default());
        }
        let set = Set { epoch: self.members.view().0, digest: self.digest(slot) };
        if self.sets[at].digest == set.digest {
            return false;
        }
        self.sets[at] = set;
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

    /// What a node is told of others.
    pub(crate) fn neighbours<'a>(
        &'a self,
        slots: &'a [Slot],
    ) -> impl Iterator<Item = Neighbour> + 'a {
        slots.iter().filter_map(|slot| self.members.agent(*slot)).map(|entry| Neighbour {
            slot: entry.slot(),
            incarnation: entry.head.incarnation,
            addr: entry.head.addr,
            domain: entry.head.domain,
        })
    }

    /// The homes of a node that the view holds, or held.
    pub(crate) fn homes(&self, slot: Slot) -> Option<&Homes> {
        self.homes.get(slot.0 as usize)
    }

    /// Epoch of a node's neighbour set; 0 when it has none.
    pub(crate) fn epoch(&self, slot: Slot) -> u64 {
        self.sets.get(slot.0 as usize).map_or(0, |set| set.epoch)
    }

    /// Whose neighbour sets are new as of the last view.
    pub(crate) const fn changed(&self) -> &SlotSet {
        &self.changed
    }

    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) const fn rings(&self) -> &Rings {
        &self.rings
    }

    pub(crate) fn quorum(&self) -> Quorum {
        Quorum::of(self.rings.len())
    }

    /// Bit per failure domain (number modulo 64) of present nodes.
    pub(crate) fn domains(&self) -> u64 {
        let present = self.domains.iter().enumerate().filter(|(_, present)| **present > 0);
        present.fold(0, |bits, (domain, _)| bits | 1 << domain)
    }
}

/// Of one member as the station's log has it.
fn print(member: &Member<'_>) -> u64 {
    let head = &member.head;
    let life = u64::from(head.peer.0) << 32 | u64::from(head.incarnation.0);
    let parts = [head.view.0, u64::from(head.state), head.boot.0, hash(&head.uuid.0)];
    parts.into_iter().fold(mix(life), |print, part| mix(print ^ part).rotate_left(23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::Rng;
    use syncom_wire::member::{MemberHead, MemberState};
    use syncom_wire::{Addr, Boot, Emit, FrameHeader, Incarnation, PeerId, Uuid, frame};

    fn put(members: &mut Vec<u8>, member: &Member<'_>) {
        let at = members.len();
        members.resize(at + FrameHeader::SIZE + member.size(), 0);
        let len = frame::emit(member, &mut members[at..]).unwrap();
        members.truncate(at + len);
    }

    fn member(number: u32, view: u64, state: MemberState) -> Vec<u8> {
        let mut members = Vec::new();
        let head = MemberHead {
            uuid: Uuid([u8::try_from(number).unwrap(); 16]),
            boot: Boot(1),
            peer: PeerId::agent(Slot(number)),
            incarnation: Incarnation(1),
            view: View(view),
            since_ns: 0,
            addr: Addr::v4([10, 0, 0, u8::try_from(number).unwrap()], 1),
            domain: u16::try_from(number % 5).unwrap(),
            pid: 0,
            state: state as u8,
            reserved: 0,
            weight: 0,
            join_index: number,
        };
        let name = std::format!("node{number}");
        put(&mut members, &Member { head, name: &name, domain: "rack" });
        members
    }

    fn shows(atlas: &Atlas) -> impl PartialEq + core::fmt::Debug {
        let of = |slot: u32| {
            let slot = Slot(slot);
            (atlas.rings.observers(slot).to_vec(), atlas.epoch(slot), atlas.homes(slot).copied())
        };
        let all: Vec<_> = (0..60).map(of).collect();
        (all, atlas.members.view(), atlas.fingerprint, atlas.domains(), atlas.changed.to_image())
    }

    #[test]
    fn an_atlas_that_was_offered_is_the_one_that_would_be_made() {
        let mut rng = Rng::new(3);
        let (mut maker, mut taker, mut alone): (Arc<Atlas>, Arc<Atlas>, Arc<Atlas>) =
            Default::default();
        for view in 1..200 {
            let state = if rng.chance(2, 3) { MemberState::Alive } else { MemberState::Dead };
            let number = u32::try_from(rng.below(60)).unwrap();
            let delta = member(number, view, state);
            maker.turn(&delta, View(view), &[]);
            taker.turn(&delta, View(view), &[Arc::clone(&maker)]);
            alone.turn(&delta, View(view), &[]);
            assert!(Arc::ptr_eq(&maker, &taker), "shared");
            assert_eq!(shows(&maker), shows(&alone), "view {view}");
        }
    }

    #[test]
    fn an_atlas_of_another_view_or_history_is_not_taken() {
        let (mut maker, mut taker): (Arc<Atlas>, Arc<Atlas>) = Default::default();
        let delta = member(7, 2, MemberState::Alive);
        maker.turn(&member(3, 1, MemberState::Alive), View(1), &[]);
        maker.turn(&delta, View(2), &[]);
        taker.turn(&delta, View(2), &[Arc::clone(&maker)]);
        assert!(!Arc::ptr_eq(&maker, &taker));
        assert_eq!((taker.rings.len(), maker.rings.len()), (1, 2));
    }
}
