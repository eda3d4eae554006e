//! The port of entry: any member answers with the satellites and replicas.

use crate::bytes::{List, Reader, Writer};
use crate::frame::{Emit, Kind, Parse, fixed_frame};
use crate::ids::{Addr, PeerId, Term};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{REPLICAS_MAX, SATELLITES_MAX};

layout! {
    /// Who serves here? Padded to the size of an answer with a few entries, so that a stranger with
    /// a key cannot use it to amplify.
    pub struct RosterAsk: 16 {
        /// Epoch of the roster that the asker holds; 0 for none.
        have: u64,
        /// Zero.
        reserved: u64,
    }
}

fixed_frame!(RosterAsk, RosterAsk);

layout! {
    /// A satellite or a replica.
    pub struct RosterEntry: 26 {
        /// Its number.
        peer: PeerId,
        /// Where it listens.
        addr: Addr,
        /// Relative weight in rendezvous hashing.
        weight: u16,
        /// 1 serves, 2 leaves.
        state: u8,
        /// Zero.
        reserved: u8,
    }
}

impl RosterEntry {
    /// State: it serves.
    pub const SERVING: u8 = 1;
    /// State: it leaves; give it nothing new.
    pub const LEAVING: u8 = 2;

    /// One that serves.
    #[must_use]
    pub const fn serving(peer: PeerId, addr: Addr, weight: u16) -> Self {
        Self { peer, addr, weight, state: Self::SERVING, reserved: 0 }
    }
}

layout! {
    /// The fixed part of a roster.
    pub struct RosterHead: 24 {
        /// Grows with every change; a newer one replaces an older one.
        epoch: u64,
        /// Newest term known to the sender.
        term: Term,
        /// Entries of the whole roster.
        total: u16,
        /// Index of the first entry in this frame.
        first: u16,
        /// The leading replica, [`PeerId::ANY`] when unknown.
        leader: PeerId,
    }
}

/// A part of the roster; all of it up to some 50 entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roster<'a> {
    /// The fixed part.
    pub head: RosterHead,
    /// Entries from `first` on, satellites before replicas, by number.
    pub entries: List<'a, RosterEntry>,
}

impl Roster<'_> {
    /// Entries that fit one datagram.
    pub const PER_FRAME: usize = 48;
    /// Entries of the largest roster.
    pub const MAX: usize = SATELLITES_MAX + REPLICAS_MAX;
}

impl Emit for Roster<'_> {
    const KIND: Kind = Kind::Roster;
    fn size(&self) -> usize {
        RosterHead::SIZE + 2 + self.entries.len() * RosterEntry::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.entries)
    }
}

impl<'a> Parse<'a> for Roster<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: RosterHead = reader.fixed()?;
        let entries: List<'a, RosterEntry> = reader.list(Self::PER_FRAME)?;
        if usize::from(head.total) > Self::MAX {
            return Err(Malformed("roster too long"));
        }
        if usize::from(head.first) + entries.len() > usize::from(head.total) {
            return Err(Malformed("roster part beyond its total"));
        }
        if entries.iter().any(|e| !matches!(e.state, RosterEntry::SERVING | RosterEntry::LEAVING)) {
            return Err(Malformed("unknown roster state"));
        }
        Ok(Self { head, entries })
    }
}
