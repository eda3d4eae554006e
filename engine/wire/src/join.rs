//! Becoming a member, and ceasing to be one.

use crate::announced::Announced;
use crate::bytes::{Reader, Writer};
use crate::frame::{Emit, Kind, Parse, fixed_frame};
use crate::ids::{Addr, Boot, Incarnation, PeerId, Slot, Uuid, View};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{ANNOUNCEMENT_MAX, DETAIL_MAX, DOMAIN_MAX, NAME_MAX};

layout! {
    /// The fixed part of a join.
    pub struct JoinHead: 56 {
        /// The host's identity.
        uuid: Uuid,
        /// This life of the process: a join with the boot of the present member changes nothing.
        boot: Boot,
        /// Process id, for people on the same machine.
        pid: u32,
        /// [`Join::AGENT`] or [`Join::SATELLITE`].
        role: u8,
        /// Zero.
        reserved: u8,
        /// Where it listens; port 0 means: where this came from.
        addr: Addr,
        /// Relative weight of a satellite in rendezvous hashing; 0 for agents.
        weight: u16,
        /// Satellite number; 0 for agents.
        number: u16,
        /// Zero.
        spare: u32,
    }
}

/// A node or satellite wants to be a member. Sent to any member of the group until answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join<'a> {
    /// The fixed part.
    pub head: JoinHead,
    /// Its name, unique in the cluster.
    pub name: &'a str,
    /// Its failure domain's label; may be empty.
    pub domain: &'a str,
    /// What it runs, as far as there was room to say so; nothing for satellites.
    pub services: Announced<'a>,
}

impl Join<'_> {
    /// Role: a node's agent.
    pub const AGENT: u8 = 1;
    /// Role: a satellite.
    pub const SATELLITE: u8 = 2;
}

impl Emit for Join<'_> {
    const KIND: Kind = Kind::Join;
    fn size(&self) -> usize {
        JoinHead::SIZE
            + 2
            + self.name.len()
            + self.domain.len()
            + 4
            + self.services.as_bytes().len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.name.as_bytes())?;
        writer.short(self.domain.as_bytes())?;
        writer.long(self.services.as_bytes())
    }
}

impl<'a> Parse<'a> for Join<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: JoinHead = reader.fixed()?;
        if !matches!(head.role, Self::AGENT | Self::SATELLITE) {
            return Err(Malformed("unknown role"));
        }
        let name = reader.text(NAME_MAX)?;
        if name.is_empty() {
            return Err(Malformed("empty name"));
        }
        let domain = reader.text(DOMAIN_MAX)?;
        let services = Announced::parse(reader.long(ANNOUNCEMENT_MAX)?)?;
        Ok(Self { head, name, domain, services })
    }
}

layout! {
    /// The station took the join.
    pub struct Welcome: 48 {
        /// Whom it is for.
        uuid: Uuid,
        /// Which life of it.
        boot: Boot,
        /// Its slot; [`Slot::NONE`] for satellites.
        slot: Slot,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The view that it is a member of.
        view: View,
        /// Its number on the wire.
        peer: PeerId,
        /// Its failure domain, as the station numbered it.
        domain: u16,
        /// Zero.
        reserved: u16,
    }
}

fixed_frame!(Welcome, Welcome);

/// The station refused the join, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinRefused<'a> {
    /// Whom it is for.
    pub uuid: Uuid,
    /// Which life of it.
    pub boot: Boot,
    /// Why, for a person.
    pub reason: &'a str,
}

impl Emit for JoinRefused<'_> {
    const KIND: Kind = Kind::JoinRefused;
    fn size(&self) -> usize {
        16 + 8 + 2 + self.reason.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.field(self.uuid)?;
        writer.field(self.boot)?;
        writer.long_text(self.reason)
    }
}

impl<'a> Parse<'a> for JoinRefused<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            uuid: reader.field()?,
            boot: reader.field()?,
            reason: reader.long_text(DETAIL_MAX)?,
        })
    }
}

layout! {
    /// A member goes in good order.
    pub struct Leave: 32 {
        /// Who goes.
        uuid: Uuid,
        /// Which life of it.
        boot: Boot,
        /// Its slot; [`Slot::NONE`] for satellites.
        slot: Slot,
        /// Its incarnation.
        incarnation: Incarnation,
    }
}

fixed_frame!(Leave, Leave);
