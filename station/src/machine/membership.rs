//! Joins, leaves and deaths: who is a member, under which number, in which life.

use crate::machine::command::{list, text, whole_frame};
use crate::machine::encoder::Encoder;
use std::collections::BTreeMap;
use syncom_group::{Entry, Members, Rings, SlotSet};
use syncom_seam::limits::MEMBERS_MAX;
use syncom_wire::join::{Join, Leave};
use syncom_wire::limits::{DOMAIN_MAX, SATELLITES_MAX};
use syncom_wire::member::{Member, MemberHead, MemberState};
use syncom_wire::{Boot, Incarnation, Malformed, PeerId, Reader, Slot, View};

/// Bytes of an encoded member.
const MEMBER_MAX: usize = 512;

/// What became of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// A member, new or in a new life.
    Entered(PeerId, Incarnation),
    /// The present member, in this very life.
    Already(PeerId, Incarnation),
    /// The present member has begun a newer life since.
    Stale(PeerId, Incarnation),
    /// Not to be had: a name or number that another has, or no room.
    Refused,
}

/// The member list and what is counted beside it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Membership {
    members: Members,
    /// Counts changes of the satellites.
    roster: u64,
    /// Deaths that were taken back.
    false_deaths: u64,
    joins: u32,
    /// Failure domains in the order in which they were first named; number 0 is the empty label.
    domains: BTreeMap<Box<str>, u16>,
    /// Who observes whom in the view: follows from the members, and is not part of a snapshot.
    rings: Rings,
    /// Members changed since the view was sealed.
    dirty: Vec<PeerId>,
}

impl Membership {
    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    /// Who observes whom in the sealed view.
    pub(crate) const fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Who serves as a replica has changed.
    pub(crate) const fn renew_roster(&mut self) {
        self.roster += 1;
    }

    /// Number of the roster, from 1: 0 on the wire means that nobody has one.
    pub(crate) const fn roster(&self) -> u64 {
        self.roster + 1
    }

    pub(crate) const fn false_deaths(&self) -> u64 {
        self.false_deaths
    }

    /// Takes a join at Raft index `view`.
    pub(crate) fn join(&mut self, join: &Join<'_>, view: View, now_ns: u64) -> Joined {
        let old = self.members.with_uuid(join.head.uuid);
        if let Some(old) = old.filter(|old| old.is_present()) {
            let peer_and_life = (old.head.peer, old.head.incarnation);
            if old.head.boot == join.head.boot {
                return Joined::Already(peer_and_life.0, peer_and_life.1);
            }
            if old.head.boot > join.head.boot {
                return Joined::Stale(peer_and_life.0, peer_and_life.1);
            }
        }
        let Some(peer) = self.number_for(join, old) else { return Joined::Refused };
        let taken_back = old
            .is_some_and(|old| old.state() == MemberState::Dead && old.head.boot == join.head.boot);
        let incarnation = Incarnation(old.map_or(0, |old| old.head.incarnation.0) + 1);
        let since = self.members.get(peer).map_or(0, |holder| holder.head.incarnation.0);
        let incarnation = Incarnation(incarnation.0.max(since + 1));
        let Some(domain) = self.domain_number(join.domain) else { return Joined::Refused };
        self.false_deaths += u64::from(taken_back);
        self.joins += 1;
        let head = MemberHead {
            uuid: join.head.uuid,
            boot: join.head.boot,
            peer,
            incarnation,
            view,
            since_ns: now_ns,
            addr: join.head.addr,
            domain,
            pid: join.head.pid,
            state: MemberState::Alive as u8,
            reserved: 0,
            weight: join.head.weight,
            join_index: self.joins,
        };
        self.put(&Member { head, name: join.name, domain: join.domain });
        Joined::Entered(peer, incarnation)
    }

    /// Takes a leave; the member that left.
    pub(crate) fn leave(&mut self, leave: &Leave, view: View, now_ns: u64) -> Option<PeerId> {
        let entry = self.members.with_uuid(leave.uuid)?;
        let peer = entry.head.peer;
        if !entry.is_present() || entry.head.boot != leave.boot {
            return None;
        }
        self.set_state(peer, MemberState::Left, view, now_ns);
        Some(peer)
    }

    /// Marks a node; false when that life of it is not there or already so.
    pub(crate) fn mark(
        &mut self,
        slot: Slot,
        incarnation: Incarnation,
        state: MemberState,
        view: View,
        now_ns: u64,
    ) -> bool {
        let Some(entry) = self.members.agent(slot) else { return false };
        let same_life = entry.head.incarnation == incarnation;
        if !same_life || !entry.is_present() || entry.state() == state {
            return false;
        }
        self.set_state(PeerId::agent(slot), state, view, now_ns);
        true
    }

    /// Marks a satellite dead; false when that life of it is not there.
    pub(crate) fn satellite_dead(
        &mut self,
        peer: PeerId,
        boot: Boot,
        view: View,
        now_ns: u64,
    ) -> bool {
        let Some(entry) = self.members.get(peer) else { return false };
        if peer.slot().is_some() || entry.head.boot != boot || !entry.is_present() {
            return false;
        }
        self.set_state(peer, MemberState::Dead, view, now_ns);
        true
    }

    /// Declares the list whole at `view`, after everything of one entry was taken; false when
    /// nothing has changed.
    pub(crate) fn seal(&mut self, view: View) -> bool {
        if self.dirty.is_empty() {
            return false;
        }
        for peer in std::mem::take(&mut self.dirty) {
            let (Some(slot), Some(entry)) = (peer.slot(), self.members.get(peer)) else { continue };
            if entry.is_present() {
                self.rings.insert(slot, entry.head.uuid, entry.head.domain);
            } else {
                self.rings.remove(slot);
            }
        }
        self.rings.settle(&mut SlotSet::new());
        self.members.set_view(view);
        true
    }

    /// The number that a joiner gets: the one it had, or the next; `None` when it is refused.
    fn number_for(&self, join: &Join<'_>, old: Option<&Entry>) -> Option<PeerId> {
        let other = |entry: &Entry| entry.is_present() && entry.head.uuid != join.head.uuid;
        if self.members.named(join.name).is_some_and(other) {
            return None;
        }
        if join.head.role == Join::SATELLITE {
            let number = join.head.number;
            let peer = PeerId::satellite(number);
            let in_range = (1..=SATELLITES_MAX).contains(&usize::from(number));
            let moved = old.is_some_and(|old| old.head.peer != peer);
            let taken = self.members.get(peer).is_some_and(other);
            return (in_range && !moved && !taken).then_some(peer);
        }
        match old {
            Some(old) => old.head.peer.slot().map(PeerId::agent),
            None => self.members.next_slot().map(PeerId::agent),
        }
    }

    fn domain_number(&mut self, label: &str) -> Option<u16> {
        if label.is_empty() {
            return Some(0);
        }
        if let Some(number) = self.domains.get(label) {
            return Some(*number);
        }
        let number = u16::try_from(self.domains.len() + 1).ok()?;
        self.domains.insert(label.into(), number);
        Some(number)
    }

    fn set_state(&mut self, peer: PeerId, state: MemberState, view: View, now_ns: u64) {
        let Some(entry) = self.members.get(peer).cloned() else { return };
        let head = MemberHead { state: state as u8, view, since_ns: now_ns, ..entry.head };
        self.put(&Member { head, name: &entry.name, domain: &entry.domain });
    }

    fn put(&mut self, member: &Member<'_>) {
        if member.head.peer.slot().is_none() {
            self.roster += 1;
        }
        self.members.apply(member);
        self.dirty.push(member.head.peer);
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.members.view());
        out.field(self.roster);
        out.field(self.false_deaths);
        out.field(self.joins);
        out.count(self.domains.len());
        for (label, number) in &self.domains {
            out.long(label.as_bytes());
            out.field(*number);
        }
        out.count(self.members.len());
        for entry in self.members.agents().chain(self.members.satellites()) {
            out.section(|out| out.frame(&entry.as_member()));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let view = reader.field()?;
        let mut this = Self {
            roster: reader.field()?,
            false_deaths: reader.field()?,
            joins: reader.field()?,
            ..Self::default()
        };
        let domains = list(reader, usize::from(u16::MAX), |r| {
            Ok((text(r, DOMAIN_MAX)?.into_boxed_str(), r.field()?))
        })?;
        this.domains = domains.into_iter().collect();
        let members = list(reader, MEMBERS_MAX, |r| r.long(MEMBER_MAX))?;
        for bytes in members {
            let member: Member<'_> = whole_frame(bytes)?;
            if this.members.apply(&member) == syncom_group::Change::Refused {
                return Err(Malformed("member out of range"));
            }
            this.dirty.push(member.head.peer);
        }
        this.seal(view);
        this.members.set_view(view);
        Ok(this)
    }
}
