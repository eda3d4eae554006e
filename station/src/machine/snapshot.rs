//! The whole machine as bytes, and back.

use crate::machine::clock::Clock;
use crate::machine::decisions::Decisions;
use crate::machine::encoder::Encoder;
use crate::machine::events::Events;
use crate::machine::graph::Graph;
use crate::machine::machine::Machine;
use crate::machine::membership::Membership;
use crate::machine::orders::Orders;
use crate::machine::policy::Rules;
use crate::machine::producers::Producers;
use crate::machine::recovery::Recovery;
use crate::machine::replicas::Replicas;
use crate::machine::sessions::Sessions;
use syncom_wire::ids::hash;
use syncom_wire::{Malformed, Reader};

/// First bytes of a snapshot: what it is, and in which version.
const MAGIC: u64 = u64::from_le_bytes(*b"syncomM4");
/// The version before is read, too: it has fewer forms of sets, and is the same otherwise.
const MAGIC_BEFORE: u64 = u64::from_le_bytes(*b"syncomM3");
/// Bytes of the largest snapshot that is read.
pub(crate) const SNAPSHOT_MAX: usize = 1 << 30;

impl Machine {
    /// The machine as bytes; equal machines give equal bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.field(MAGIC);
        out.field(self.applied);
        out.field(self.applied_term);
        out.field(self.manager.0);
        out.field(self.manager.1);
        out.section(|out| self.membership.encode(out));
        out.section(|out| self.sessions.encode(out));
        out.section(|out| self.producers.encode(out));
        out.section(|out| self.events.encode(out));
        out.section(|out| self.orders.encode(out));
        out.section(|out| self.decisions.encode(out));
        out.section(|out| self.graph.encode(out));
        out.section(|out| self.clock.encode(out));
        out.section(|out| self.rules.encode(out));
        out.section(|out| self.recovery.encode(out));
        out.section(|out| self.replicas.encode(out));
        out.finish()
    }

    /// The machine that these bytes are.
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if ![MAGIC, MAGIC_BEFORE].contains(&reader.field::<u64>()?) {
            return Err(Malformed("not a snapshot of this version"));
        }
        let (applied, applied_term) = (reader.field()?, reader.field()?);
        let manager = (reader.field()?, reader.field()?);
        let machine = Self {
            applied,
            applied_term,
            manager,
            membership: section(&mut reader, Membership::decode)?,
            sessions: section(&mut reader, Sessions::decode)?,
            producers: section(&mut reader, Producers::decode)?,
            events: section(&mut reader, Events::decode)?,
            orders: section(&mut reader, Orders::decode)?,
            decisions: section(&mut reader, Decisions::decode)?,
            graph: section(&mut reader, Graph::decode)?,
            clock: section(&mut reader, Clock::decode)?,
            rules: section(&mut reader, Rules::decode)?,
            recovery: section(&mut reader, Recovery::decode)?,
            replicas: section(&mut reader, Replicas::decode)?,
        };
        reader.end()?;
        Ok(machine)
    }

    /// A number that equal machines share and different ones do not.
    pub(crate) fn state_hash(&self) -> u64 {
        hash(&self.encode())
    }
}

fn section<'a, T>(
    reader: &mut Reader<'a>,
    decode: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut inner = Reader::new(reader.long(SNAPSHOT_MAX)?);
    let value = decode(&mut inner)?;
    inner.end()?;
    Ok(value)
}
