//! The short list that every node holds: satellites and replicas.
//!
//! It comes in numbered parts from any member of the group. A newer epoch replaces an older one as
//! a whole and only when it is complete, so nobody ever works with half a roster.

use crate::rendezvous::{Candidate, Homes, Preference, Rendezvous};
use alloc::vec::Vec;
use syncom_wire::limits::{REPLICAS_MAX, SATELLITES_MAX};
use syncom_wire::roster::{Roster as Part, RosterEntry, RosterHead};
use syncom_wire::{Addr, List, PeerId, Role, Slot, Term};

/// Entries of the largest roster.
const ENTRIES_MAX: usize = SATELLITES_MAX + REPLICAS_MAX;

/// What a part of a roster changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it is older than, or the same as, what is held.
    Nothing,
    /// The same roster names another leader.
    Leader,
    /// It is newer, and parts are still missing; the old roster stays in force.
    Partial,
    /// A newer roster is complete and now in force.
    Replaced,
}

/// Satellites and replicas with their addresses; room for the largest is allocated once.
#[derive(Clone, Debug)]
pub struct Roster {
    epoch: u64,
    term: Term,
    leader: PeerId,
    /// By number: satellites, then replicas.
    entries: Vec<RosterEntry>,
    rendezvous: Rendezvous,
    arriving: Arriving,
}

/// A newer roster of which parts are still missing.
#[derive(Clone, Debug)]
struct Arriving {
    epoch: u64,
    entries: Vec<Option<RosterEntry>>,
}

impl Default for Roster {
    fn default() -> Self {
        Self::new()
    }
}

impl Roster {
    /// An empty roster of epoch 0, older than every real one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            epoch: 0,
            term: Term(0),
            leader: PeerId::ANY,
            entries: Vec::with_capacity(ENTRIES_MAX),
            rendezvous: Rendezvous::new(),
            arriving: Arriving { epoch: 0, entries: Vec::with_capacity(ENTRIES_MAX) },
        }
    }

    /// Takes one part as it came from the wire.
    pub fn apply(&mut self, part: &Part<'_>) -> Applied {
        let head = &part.head;
        if head.epoch < self.epoch || head.epoch == 0 {
            return Applied::Nothing;
        }
        if head.epoch == self.epoch {
            let led = self.set_leader(head.leader, head.term);
            return if led { Applied::Leader } else { Applied::Nothing };
        }
        if !self.arriving.take(part) {
            return Applied::Partial;
        }
        self.entries.clear();
        self.entries.extend(self.arriving.entries.iter().flatten());
        self.install(head.epoch);
        self.set_leader(head.leader, head.term);
        Applied::Replaced
    }

    /// Replaces the roster by one that was made here, by the station or from a member list. Entries
    /// may come in any order; those beyond the largest roster are left out.
    pub fn set(&mut self, epoch: u64, entries: impl Iterator<Item = RosterEntry>) {
        self.entries.clear();
        self.entries.extend(entries.take(ENTRIES_MAX));
        self.install(epoch);
    }

    /// Notes who leads, as of `term`; whether that is news. An older term is ignored, and within a
    /// term an unknown leader replaces nobody.
    pub fn set_leader(&mut self, leader: PeerId, term: Term) -> bool {
        let before = (self.leader, self.term);
        if term > self.term || (term == self.term && leader != PeerId::ANY) {
            (self.leader, self.term) = (leader, term);
        }
        before != (self.leader, self.term)
    }

    /// The number of this roster: it grows with every change.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest term heard of.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.term
    }

    /// The leading replica; [`PeerId::ANY`] when unknown.
    #[must_use]
    pub const fn leader(&self) -> PeerId {
        self.leader
    }

    /// The entry of a satellite or replica.
    #[must_use]
    pub fn entry(&self, peer: PeerId) -> Option<&RosterEntry> {
        let at = self.entries.binary_search_by_key(&peer, |entry| entry.peer).ok()?;
        self.entries.get(at)
    }

    /// Where a satellite or replica listens.
    #[must_use]
    pub fn addr(&self, peer: PeerId) -> Option<Addr> {
        self.entry(peer).map(|entry| entry.addr)
    }

    /// All entries by number: satellites, then replicas.
    #[must_use]
    pub fn entries(&self) -> &[RosterEntry] {
        &self.entries
    }

    /// The satellites, leaving ones included, by number.
    pub fn satellites(&self) -> impl Iterator<Item = &RosterEntry> {
        self.entries.iter().filter(|entry| entry.peer.role() == Role::Satellite)
    }

    /// The replicas of the station, by number.
    pub fn replicas(&self) -> impl Iterator<Item = &RosterEntry> {
        self.entries.iter().filter(|entry| entry.peer.role() == Role::Station)
    }

    /// The homes of the node in `slot`.
    #[must_use]
    pub fn homes(&self, slot: Slot) -> Homes {
        self.rendezvous.homes(slot)
    }

    /// The order in which the node in `slot` should try satellites.
    #[must_use]
    pub const fn preference(&self, slot: Slot) -> Preference<'_> {
        self.rendezvous.preference(slot)
    }

    /// The serving satellites, for homes of things that are not nodes.
    #[must_use]
    pub const fn rendezvous(&self) -> &Rendezvous {
        &self.rendezvous
    }

    /// Bytes that satellites and replicas take here, once the roster is complete.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.entries.as_slice()) + self.rendezvous.bytes()
    }

    /// The roster as frames; at least one, also when it is empty.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let count = self.entries.len().div_ceil(Part::PER_FRAME).max(1);
        (0..count).map(|n| {
            let first = n * Part::PER_FRAME;
            let end = self.entries.len().min(first + Part::PER_FRAME);
            Part {
                head: RosterHead {
                    epoch: self.epoch,
                    term: self.term,
                    total: u16::try_from(self.entries.len()).unwrap_or(u16::MAX),
                    first: u16::try_from(first).unwrap_or(u16::MAX),
                    leader: self.leader,
                },
                entries: List::new(&self.entries[first..end]),
            }
        })
    }

    fn install(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.entries.sort_unstable_by_key(|entry| entry.peer);
        self.entries.dedup_by_key(|entry| entry.peer);
        let satellites = self.entries.iter().filter(|e| e.peer.role() == Role::Satellite);
        self.rendezvous.set(satellites.map(|entry| Candidate {
            peer: entry.peer,
            weight: entry.weight,
            leaving: entry.state == RosterEntry::LEAVING,
        }));
    }
}

impl Arriving {
    /// Fills in one part; whether the roster is now complete.
    fn take(&mut self, part: &Part<'_>) -> bool {
        let total = usize::from(part.head.total).min(ENTRIES_MAX);
        if part.head.epoch < self.epoch {
            return false;
        }
        if part.head.epoch > self.epoch || total != self.entries.len() {
            self.epoch = part.head.epoch;
            self.entries.clear();
            self.entries.resize(total, None);
        }
        let room = self.entries.iter_mut().skip(usize::from(part.head.first));
        for (place, entry) in room.zip(part.entries.iter()) {
            *place = Some(entry);
        }
        self.entries.iter().all(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(peer: PeerId, state: u8) -> RosterEntry {
        let addr = Addr::v4([10, 0, 0, 1], u16::try_from(peer.number()).unwrap());
        RosterEntry { peer, addr, weight: 1, state, reserved: 0 }
    }

    fn roster(epoch: u64, satellites: u16) -> Roster {
        let mut roster = Roster::new();
        let replicas = (1..=3).map(PeerId::station);
        let peers = replicas.chain((1..=satellites).map(PeerId::satellite));
        roster.set(epoch, peers.map(|peer| entry(peer, RosterEntry::SERVING)));
        roster.set_leader(PeerId::station(2), Term(4));
        roster
    }

    #[test]
    fn a_small_roster_comes_in_one_part() {
        let source = roster(7, 10);
        let mut copy = Roster::new();
        let parts: Vec<_> = source.parts().collect();
        assert_eq!(parts.len(), 1);
        assert_eq!(copy.apply(&parts[0]), Applied::Replaced);
        assert_eq!(copy.apply(&parts[0]), Applied::Nothing);
        assert_eq!(copy.entries(), source.entries());
        assert_eq!((copy.leader(), copy.term()), (PeerId::station(2), Term(4)));
        assert_eq!((copy.satellites().count(), copy.replicas().count()), (10, 3));
        assert_eq!(copy.addr(PeerId::satellite(9)), Some(Addr::v4([10, 0, 0, 1], 9)));
        assert!((0..50).map(Slot).all(|slot| copy.homes(slot) == source.homes(slot)));
    }

    #[test]
    fn half_a_roster_is_not_in_force() {
        let (old, new) = (roster(7, 100), roster(8, 120));
        let mut copy = old.clone();
        let parts: Vec<_> = new.parts().collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(copy.apply(&parts[2]), Applied::Partial);
        assert_eq!(copy.apply(&parts[2]), Applied::Partial);
        assert_eq!(copy.apply(&parts[0]), Applied::Partial);
        assert_eq!((copy.epoch(), copy.entries().len()), (7, 103));
        assert_eq!(copy.apply(&parts[1]), Applied::Replaced);
        assert_eq!((copy.epoch(), copy.entries().len()), (8, 123));
        assert_eq!(old.parts().map(|part| copy.apply(&part)).last(), Some(Applied::Nothing));
    }

    #[test]
    fn parts_of_different_epochs_do_not_mix() {
        let (old, new) = (roster(7, 60), roster(8, 60));
        let mut copy = Roster::new();
        let (old, new): (Vec<_>, Vec<_>) = (old.parts().collect(), new.parts().collect());
        assert_eq!(copy.apply(&old[0]), Applied::Partial);
        assert_eq!(copy.apply(&new[1]), Applied::Partial);
        assert_eq!(copy.apply(&old[1]), Applied::Partial, "too late for the older one");
        assert_eq!(copy.apply(&new[0]), Applied::Replaced);
        assert_eq!(copy.epoch(), 8);
    }

    #[test]
    fn a_new_leader_is_news_and_an_old_term_is_not() {
        let mut copy = roster(7, 2);
        let mut source = roster(7, 2);
        assert!(source.set_leader(PeerId::ANY, Term(5)));
        assert!(source.set_leader(PeerId::station(1), Term(5)));
        assert_eq!(copy.apply(&source.parts().next().unwrap()), Applied::Leader);
        assert_eq!(copy.leader(), PeerId::station(1));
        assert!(!copy.set_leader(PeerId::station(3), Term(4)));
        assert!(!copy.set_leader(PeerId::ANY, Term(5)));
    }

    #[test]
    fn a_leaving_satellite_is_listed_but_nobodys_home() {
        let mut roster = roster(7, 4);
        let leaving = PeerId::satellite(2);
        let mut entries = roster.entries().to_vec();
        entries[1].state = RosterEntry::LEAVING;
        roster.set(8, entries.into_iter());
        assert!(roster.entry(leaving).is_some());
        assert!((0..200).map(Slot).all(|slot| !roster.homes(slot).contains(leaving)));
    }
}
