//! Committed events, the evidence behind them, and what was decided.

use crate::bytes::{List, Reader, Writer};
use crate::frame::{Emit, Kind, Parse};
use crate::ids::{Incarnation, OrderId, Slot, Subject, Term, View};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{DETAIL_MAX, KIND_MAX, NAME_MAX, OBSERVERS_MAX};
use crate::report::EventKind;

layout! {
    /// The fixed part of an event.
    pub struct EventHead: 64 {
        /// Position in the order of events, from 1, without gaps.
        seq: u64,
        /// When it was committed, wall clock of the leader, in ns.
        time_ns: u64,
        /// What it is about.
        subject: Subject,
        /// The view after it.
        view: View,
        /// Bit per failure domain (number modulo 64) of the reporters.
        domains: u64,
        /// The subject's incarnation, for nodes; else 0.
        incarnation: Incarnation,
        /// What happened.
        kind: EventKind,
        /// Distinct reporters.
        reporters: u32,
        /// How many times it happened.
        count: u32,
        /// 0 notice, 1 warning, 2 error, 3 critical.
        severity: u8,
        /// 1 when the recovery manager has dealt with it.
        settled: u8,
        /// Zero.
        reserved: [u8; 6],
    }
}

/// A committed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventEntry<'a> {
    /// The fixed part.
    pub head: EventHead,
    /// The subject's name, nodes included.
    pub subject: &'a str,
    /// The kind's name, built-in ones included.
    pub kind: &'a str,
    /// What a person should read.
    pub detail: &'a str,
}

impl Emit for EventEntry<'_> {
    const KIND: Kind = Kind::Event;
    fn size(&self) -> usize {
        EventHead::SIZE + 4 + self.subject.len() + self.kind.len() + self.detail.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.subject.as_bytes())?;
        writer.short(self.kind.as_bytes())?;
        writer.long_text(self.detail)
    }
}

impl<'a> Parse<'a> for EventEntry<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            head: reader.fixed()?,
            subject: reader.text(NAME_MAX)?,
            kind: reader.text(KIND_MAX)?,
            detail: reader.long_text(DETAIL_MAX)?,
        })
    }
}

layout! {
    /// The fixed part of the evidence of an event.
    pub struct EvidenceHead: 48 {
        /// Which event.
        seq: u64,
        /// First report, wall clock of the satellite, in ns.
        first_ns: u64,
        /// Last report, wall clock of the satellite, in ns.
        last_ns: u64,
        /// Freshest sign of the subject's life, in µs before the record was made.
        heard_ago_us: u32,
        /// Score in sixteenths.
        score_x16: u16,
        /// Threshold in sixteenths.
        needed_x16: u16,
        /// Observers of the subject that reported, as bits over `observers`.
        reported: u64,
        /// Probes that stayed unanswered.
        probes: u8,
        /// Votes of silent homes.
        homes_silent: u8,
        /// Highest local health among reporters.
        health_max: u8,
        /// Zero.
        reserved: [u8; 5],
    }
}

layout! {
    /// One slot in a list.
    pub struct SlotItem: 4 {
        /// The slot.
        slot: Slot,
    }
}

/// Why an event was believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence<'a> {
    /// The fixed part.
    pub head: EvidenceHead,
    /// The subject's observers when it was committed; where there are none, the first reporters.
    pub observers: List<'a, SlotItem>,
}

impl Emit for Evidence<'_> {
    const KIND: Kind = Kind::Evidence;
    fn size(&self) -> usize {
        EvidenceHead::SIZE + 2 + self.observers.len() * SlotItem::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.observers)
    }
}

impl<'a> Parse<'a> for Evidence<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { head: reader.fixed()?, observers: reader.list(OBSERVERS_MAX)? })
    }
}

layout! {
    /// The fixed part of a decision.
    pub struct DecisionHead: 40 {
        /// Position in the decision log, from 1.
        seq: u64,
        /// When it was committed, wall clock of the leader, in ns.
        time_ns: u64,
        /// Which event it answers.
        event: u64,
        /// Term of the recovery manager.
        term: Term,
        /// The order that it issued; 0 for none.
        order: OrderId,
    }
}

/// What the recovery manager decided about an event, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The fixed part.
    pub head: DecisionHead,
    /// The rule that fired.
    pub rule: &'a str,
    /// What was done, for a person.
    pub action: &'a str,
}

impl Emit for Decision<'_> {
    const KIND: Kind = Kind::Decision;
    fn size(&self) -> usize {
        DecisionHead::SIZE + 3 + self.rule.len() + self.action.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.rule.as_bytes())?;
        writer.long_text(self.action)
    }
}

impl<'a> Parse<'a> for Decision<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            head: reader.fixed()?,
            rule: reader.text(NAME_MAX)?,
            action: reader.long_text(DETAIL_MAX)?,
        })
    }
}
