//! Whom a node sends heartbeats to, and whom it watches. Pushed by its home, always as a whole.

use crate::bytes::{List, Reader, Writer};
use crate::frame::{Emit, Kind, Parse};
use crate::ids::{Addr, Incarnation, Slot};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::NEIGHBOURS_MAX;

layout! {
    /// A neighbour.
    pub struct Neighbour: 28 {
        /// Its slot.
        slot: Slot,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Where it listens.
        addr: Addr,
        /// Its failure domain, as the station numbered it.
        domain: u16,
    }
}

layout! {
    /// The fixed part of a neighbour set.
    pub struct NeighboursHead: 16 {
        /// Whom it is for.
        slot: Slot,
        /// Which life of it.
        incarnation: Incarnation,
        /// Grows with every change of this node's set; a newer set replaces an older one.
        epoch: u64,
    }
}

/// A node's neighbour set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbours<'a> {
    /// The fixed part.
    pub head: NeighboursHead,
    /// Who watches this node: it sends them heartbeats.
    pub observers: List<'a, Neighbour>,
    /// Whom this node watches.
    pub subjects: List<'a, Neighbour>,
}

impl Emit for Neighbours<'_> {
    const KIND: Kind = Kind::Neighbours;
    fn size(&self) -> usize {
        NeighboursHead::SIZE + 4 + (self.observers.len() + self.subjects.len()) * Neighbour::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.observers)?;
        writer.list(self.subjects)
    }
}

impl<'a> Parse<'a> for Neighbours<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            head: reader.fixed()?,
            observers: reader.list(NEIGHBOURS_MAX)?,
            subjects: reader.list(NEIGHBOURS_MAX)?,
        })
    }
}
