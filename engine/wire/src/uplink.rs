//! What a satellite tells the station: records of evidence, joins, leaves; and the answer.

use crate::bytes::{List, Reader, Writer};
use crate::frame::{Emit, Frames, Kind, Parse};
use crate::ids::{Addr, Boot, Incarnation, PeerId, Slot, Subject, Term};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{ACKS_MAX, CONTRIBUTORS_MAX, DETAIL_MAX, KIND_MAX, NAME_MAX};
use crate::report::{EventKind, ReportId};

layout! {
    /// The fixed part of a record: the evidence for one (subject, incarnation, kind), merged.
    pub struct RecordHead: 72 {
        /// What it is about.
        subject: Subject,
        /// The subject's incarnation, for nodes; else 0.
        incarnation: Incarnation,
        /// What the satellite concludes: an event's kind.
        kind: EventKind,
        /// Bit per observer of the subject that reported, for nodes.
        observers: u64,
        /// Bit per failure domain (number modulo 64) that reporters belong to.
        domains: u64,
        /// First report, wall clock of the satellite, in ns.
        first_ns: u64,
        /// Last report, wall clock of the satellite, in ns.
        last_ns: u64,
        /// Freshest sign of the subject's life when the record was made, in µs before it.
        heard_ago_us: u32,
        /// Distinct reporters.
        reporters: u32,
        /// How many times it happened, summed over reporters.
        count: u32,
        /// Score in sixteenths.
        score_x16: u16,
        /// Threshold in sixteenths.
        needed_x16: u16,
        /// Observers that the subject has (K).
        observers_of: u8,
        /// Probes that stayed unanswered.
        probes: u8,
        /// Votes of silent homes.
        homes_silent: u8,
        /// Highest local health among reporters.
        health_max: u8,
        /// 0 notice, 1 warning, 2 error, 3 critical.
        severity: u8,
        /// Zero.
        reserved: [u8; 3],
    }
}

impl RecordHead {
    /// What one reporter said once, with nothing known beyond it.
    #[must_use]
    pub const fn new(subject: Subject, incarnation: Incarnation, kind: EventKind) -> Self {
        Self {
            subject,
            incarnation,
            kind,
            observers: 0,
            domains: 0,
            first_ns: 0,
            last_ns: 0,
            heard_ago_us: 0,
            reporters: 1,
            count: 1,
            score_x16: 0,
            needed_x16: 0,
            observers_of: 0,
            probes: 0,
            homes_silent: 0,
            health_max: 0,
            severity: 0,
            reserved: [0; 3],
        }
    }
}

/// The evidence for one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// The fixed part.
    pub head: RecordHead,
    /// Reports that went into it; not all, when there are more than [`CONTRIBUTORS_MAX`].
    pub contributors: List<'a, ReportId>,
    /// The subject's name, when it is not a node.
    pub subject: &'a str,
    /// The kind's name, when a user named it.
    pub kind: &'a str,
    /// What a person should read: the first reporter's words.
    pub detail: &'a str,
}

impl Emit for Record<'_> {
    const KIND: Kind = Kind::Record;
    fn size(&self) -> usize {
        RecordHead::SIZE
            + 2
            + self.contributors.len() * ReportId::SIZE
            + 4
            + self.subject.len()
            + self.kind.len()
            + self.detail.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.contributors)?;
        writer.short(self.subject.as_bytes())?;
        writer.short(self.kind.as_bytes())?;
        writer.long_text(self.detail)
    }
}

impl<'a> Parse<'a> for Record<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            head: reader.fixed()?,
            contributors: reader.list(CONTRIBUTORS_MAX)?,
            subject: reader.text(NAME_MAX)?,
            kind: reader.text(KIND_MAX)?,
            detail: reader.long_text(DETAIL_MAX)?,
        })
    }
}

layout! {
    /// The fixed part of a batch.
    pub struct BatchHead: 24 {
        /// The satellite.
        peer: PeerId,
        /// How many items the batch holds.
        items: u32,
        /// Which life of the satellite.
        boot: Boot,
        /// Counts the satellite's batches from 1; a batch sent again keeps its number.
        seq: u64,
    }
}

/// What a satellite gathered, as one Raft proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The fixed part.
    pub head: BatchHead,
    /// Record, Join and Leave frames.
    pub items: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The items, in order.
    #[must_use]
    pub const fn iter(&self) -> Frames<'a> {
        Frames::new(self.items)
    }
}

impl Emit for Batch<'_> {
    const KIND: Kind = Kind::Batch;
    fn size(&self) -> usize {
        BatchHead::SIZE + self.items.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.items)
    }
}

impl<'a> Parse<'a> for Batch<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: BatchHead = reader.fixed()?;
        if head.items as usize > ACKS_MAX {
            return Err(Malformed("batch has too many items"));
        }
        Ok(Self { head, items: reader.rest() })
    }
}

layout! {
    /// What became of one item of a batch.
    pub struct ItemResult: 16 {
        /// Sequence number of the event that the item made or belongs to; the slot for a join.
        event: u64,
        /// The incarnation given, for a join.
        incarnation: Incarnation,
        /// See [`ItemResult::DONE`].
        code: u8,
        /// Zero.
        reserved: [u8; 3],
    }
}

impl ItemResult {
    /// The item is committed: it made an event, or belongs to one.
    pub const DONE: u8 = 0;
    /// The item is committed and changed nothing: known, stale, or contradicted.
    pub const KNOWN: u8 = 1;
    /// There was no room in the queue: keep it and try again later.
    pub const BUSY: u8 = 2;
    /// The item is refused for good (a name that another node has, a full cluster).
    pub const REFUSED: u8 = 3;
}

layout! {
    /// The fixed part of a batch's acknowledgement.
    pub struct BatchAckHead: 48 {
        /// The batch's number.
        seq: u64,
        /// Which life of the satellite.
        boot: Boot,
        /// Term of the answerer.
        term: Term,
        /// Raft index at which the batch was applied; 0 when it was not.
        index: u64,
        /// The leading replica as far as known, [`PeerId::ANY`] otherwise.
        leader: PeerId,
        /// Records that the station takes per second from this satellite.
        credit: u32,
        /// See [`BatchAck::COMMITTED`].
        status: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

/// The station's answer to a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchAck<'a> {
    /// The fixed part.
    pub head: BatchAckHead,
    /// What became of each item, in order; empty unless committed.
    pub results: List<'a, ItemResult>,
}

impl BatchAck<'_> {
    /// Status: committed and applied.
    pub const COMMITTED: u8 = 0;
    /// Status: this replica does not lead; attach to `leader`.
    pub const NOT_LEADER: u8 = 1;
    /// Status: too much at once; send the same batch later.
    pub const BUSY: u8 = 2;
    /// Status: the batch could not be understood and never will be.
    pub const REFUSED: u8 = 3;
}

impl Emit for BatchAck<'_> {
    const KIND: Kind = Kind::BatchAck;
    fn size(&self) -> usize {
        BatchAckHead::SIZE + 2 + self.results.len() * ItemResult::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.results)
    }
}

impl<'a> Parse<'a> for BatchAck<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { head: reader.fixed()?, results: reader.list(ACKS_MAX)? })
    }
}

layout! {
    /// What a home knows of one node beyond what is replicated.
    pub struct HomeStat: 38 {
        /// The node.
        slot: Slot,
        /// Its smoothed round trip to this home, in µs; 0 when unknown.
        rtt_us: u32,
        /// Its announced interval on the peer plane or home plane, in µs.
        interval_us: u32,
        /// How long ago it was heard here, in µs.
        heard_ago_us: u32,
        /// Managed services up and down.
        services_up: u16,
        /// Managed services that should run and do not.
        services_down: u16,
        /// Where it was heard from.
        addr: Addr,
    }
}

/// Soft facts about a home's own nodes, every few seconds, for `syncom nodes`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HomeStats<'a> {
    /// The satellite.
    pub peer: PeerId,
    /// Reports that it took in the last second.
    pub reports_per_s: u32,
    /// Nodes that may be dead and that it has not judged yet; told at once when there are more or none.
    pub undecided: u32,
    /// Its nodes, or some of them.
    pub items: List<'a, HomeStat>,
}

impl HomeStats<'_> {
    /// Items of one frame.
    pub const PER_FRAME: usize = 1_024;
}

impl Emit for HomeStats<'_> {
    const KIND: Kind = Kind::HomeStats;
    fn size(&self) -> usize {
        12 + 2 + self.items.len() * HomeStat::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.field(self.peer)?;
        writer.field(self.reports_per_s)?;
        writer.field(self.undecided)?;
        writer.list(self.items)
    }
}

impl<'a> Parse<'a> for HomeStats<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            peer: reader.field()?,
            reports_per_s: reader.field()?,
            undecided: reader.field()?,
            items: reader.list(Self::PER_FRAME)?,
        })
    }
}
