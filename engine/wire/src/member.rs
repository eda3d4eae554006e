//! The member list as station and satellites hold it.

use crate::bytes::{Reader, Writer};
use crate::frame::{Emit, Frames, Kind, Parse, fixed_frame};
use crate::ids::{Addr, Boot, Incarnation, PeerId, Term, Uuid, View};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{DOMAIN_MAX, NAME_MAX};

layout! {
    /// The fixed part of a member.
    pub struct MemberHead: 80 {
        /// Its identity.
        uuid: Uuid,
        /// Its present life on the wire.
        boot: Boot,
        /// Its number on the wire: an agent's slot, or a satellite's number.
        peer: PeerId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The view in which it last changed.
        view: View,
        /// When it last changed, wall clock of the leader, in ns.
        since_ns: u64,
        /// Where it listens.
        addr: Addr,
        /// Its failure domain, as the station numbered it.
        domain: u16,
        /// Process id, for people on the same machine.
        pid: u32,
        /// See [`MemberState`].
        state: u8,
        /// Zero.
        reserved: u8,
        /// Relative weight in rendezvous hashing; 0 for agents.
        weight: u16,
        /// How often it joined: the order in the ring of circulating processes.
        join_index: u32,
    }
}

impl MemberHead {
    /// What the station believes of the member; a state that does not parse is death.
    #[must_use]
    pub const fn state(&self) -> MemberState {
        match MemberState::from_wire(self.state) {
            Some(state) => state,
            None => MemberState::Dead,
        }
    }
}

/// What the station believes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MemberState {
    /// It lives.
    Alive = 1,
    /// It is neither dead nor well: no fencing, no new work.
    Gray = 2,
    /// It is dead.
    Dead = 3,
    /// It left in good order.
    Left = 4,
}

impl MemberState {
    /// The state with this number.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Alive),
            2 => Some(Self::Gray),
            3 => Some(Self::Dead),
            4 => Some(Self::Left),
            _ => None,
        }
    }

    /// Its name for people and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Gray => "gray",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }

    /// Whether it is on the rings: watched, and given work.
    #[must_use]
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Gray)
    }
}

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The fixed part.
    pub head: MemberHead,
    /// Its name.
    pub name: &'a str,
    /// Its failure domain's label.
    pub domain: &'a str,
}

impl Member<'_> {
    /// What the station believes of it.
    #[must_use]
    pub const fn state(&self) -> MemberState {
        self.head.state()
    }
}

impl Emit for Member<'_> {
    const KIND: Kind = Kind::Member;
    fn size(&self) -> usize {
        MemberHead::SIZE + 2 + self.name.len() + self.domain.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.name.as_bytes())?;
        writer.short(self.domain.as_bytes())
    }
}

impl<'a> Parse<'a> for Member<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: MemberHead = reader.fixed()?;
        if MemberState::from_wire(head.state).is_none() {
            return Err(Malformed("unknown member state"));
        }
        Ok(Self { head, name: reader.text(NAME_MAX)?, domain: reader.text(DOMAIN_MAX)? })
    }
}

layout! {
    /// The fixed part of a view delta.
    pub struct ViewDeltaHead: 40 {
        /// The view that the receiver must hold for this part to fit; 0 begins from nothing.
        from: View,
        /// The view that it holds after the last part.
        to: View,
        /// Term of the sender.
        term: Term,
        /// Epoch of the roster that belongs to `to`.
        roster: u64,
        /// The leading replica.
        leader: PeerId,
        /// 1 when more parts of this delta follow.
        more: u8,
        /// Zero.
        reserved: [u8; 3],
    }
}

/// Members that changed from one view to another: agents and satellites alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewDelta<'a> {
    /// The fixed part.
    pub head: ViewDeltaHead,
    /// [`Member`] frames.
    pub members: &'a [u8],
}

impl<'a> ViewDelta<'a> {
    /// The changed members.
    pub fn iter(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        Frames::new(self.members).filter_map(|frame| match frame {
            Ok(crate::Frame::Member(member)) => Some(member),
            _ => None,
        })
    }
}

impl Emit for ViewDelta<'_> {
    const KIND: Kind = Kind::ViewDelta;
    fn size(&self) -> usize {
        ViewDeltaHead::SIZE + self.members.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.members)
    }
}

impl<'a> Parse<'a> for ViewDelta<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { head: reader.fixed()?, members: reader.rest() })
    }
}

layout! {
    /// A satellite asks a replica to be fed with views and to take its batches.
    pub struct Attach: 24 {
        /// The satellite.
        peer: PeerId,
        /// Zero.
        reserved: u32,
        /// Which life of it.
        boot: Boot,
        /// The view that it holds; 0 for none.
        have: View,
    }
}

fixed_frame!(Attach, Attach);
