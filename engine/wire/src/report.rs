//! Reports: what goes up, and its acknowledgement.

use crate::bytes::{List, Reader, Writer};
use crate::frame::{Emit, FrameHeader, Kind, Parse};
use crate::ids::{Incarnation, Slot, Subject, hash};
use crate::layout::{Field, Fixed, Malformed, Overflow, layout};
use crate::limits::{ACKS_MAX, DETAIL_MAX, KIND_MAX, NAME_MAX};
use zerocopy::little_endian::U32;

/// What an event is: a built-in kind, or a user's kind by a hash of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind(pub u32);

impl EventKind {
    /// An observer misses a node's heartbeats. Evidence only, never an event.
    pub const SILENT: Self = Self(1);
    /// A node is dead.
    pub const DEAD: Self = Self(2);
    /// A node is new, or new again.
    pub const NEW: Self = Self(3);
    /// A node is neither dead nor well.
    pub const GRAY: Self = Self(4);
    /// A gray node is well again.
    pub const CLEARED: Self = Self(5);
    /// More nodes died than is believable.
    pub const STORM: Self = Self(6);
    /// A managed service ended without being told to.
    pub const SERVICE: Self = Self(7);
    /// A node left in good order.
    pub const LEFT: Self = Self(8);

    const NAMES: [(&'static str, Self); 8] = [
        ("silent", Self::SILENT),
        ("deadPeer", Self::DEAD),
        ("newPeer", Self::NEW),
        ("gray", Self::GRAY),
        ("cleared", Self::CLEARED),
        ("storm", Self::STORM),
        ("service", Self::SERVICE),
        ("left", Self::LEFT),
    ];

    /// The kind with this name: built in, or a user's.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a hash, cut to 31 bits")]
    pub fn named(name: &str) -> Self {
        Self::NAMES
            .iter()
            .find(|(builtin, _)| *builtin == name)
            .map_or(Self(hash(name.as_bytes()) as u32 | 1 << 31), |(_, kind)| *kind)
    }

    /// The name of a built-in kind.
    #[must_use]
    pub fn builtin_name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map(|(name, _)| *name)
    }

    /// Whether a user named it.
    #[must_use]
    pub const fn is_user(self) -> bool {
        self.0 >> 31 == 1
    }
}

impl Field for EventKind {
    type Wire = U32;
    fn to_wire(self) -> U32 {
        U32::new(self.0)
    }
    fn from_wire(wire: U32) -> Self {
        Self(wire.get())
    }
}

layout! {
    /// Names one report for ever: who, in which life, and a running number.
    pub struct ReportId: 16 {
        /// The reporter's slot.
        slot: Slot,
        /// The reporter's incarnation.
        incarnation: Incarnation,
        /// Counts the reporter's reports from 1.
        seq: u64,
    }
}

layout! {
    /// The fixed part of a report.
    pub struct ReportHead: 56 {
        /// Which report this is.
        id: ReportId,
        /// What it is about.
        subject: Subject,
        /// The subject's incarnation, for nodes; else 0.
        incarnation: Incarnation,
        /// What happened.
        kind: EventKind,
        /// How long ago the subject was last heard, in µs; for [`EventKind::SILENT`].
        heard_ago_us: u32,
        /// The reporter's failure domain, as the station numbered it.
        domain: u16,
        /// See [`Report::RETRACT`].
        flags: u16,
        /// Epoch of the neighbour set that made the reporter an observer; else 0.
        neighbours: u64,
        /// The reporter's local health, 0 to 7.
        health: u8,
        /// 0 notice, 1 warning, 2 error, 3 critical.
        severity: u8,
        /// Zero.
        reserved: u16,
        /// How many times it happened.
        count: u32,
    }
}

/// Something happened to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// The fixed part.
    pub head: ReportHead,
    /// The subject's name, when it is not a node.
    pub subject: &'a str,
    /// The kind's name, when a user named it.
    pub kind: &'a str,
    /// What a person should read.
    pub detail: &'a str,
}

impl Report<'_> {
    /// Flag: the reporter takes an earlier accusation back, or does not accuse when it is asked.
    pub const RETRACT: u16 = 1;
    /// Flag: so many subjects are late that the reporter suspects itself; counts a quarter.
    pub const SELF_SUSPECT: u16 = 2;
    /// Flag: no heartbeat of the subject has ever come to this reporter; a quarter of a vote.
    pub const NEVER_HEARD: u16 = 4;
    /// Flag: no word of an observer. The subject observes the reporter, whose heartbeat came back from
    /// its host: nobody listens there any more. Counts nothing; the homes ask the subject and its
    /// observers.
    pub const REFUSED: u16 = 8;
    /// Flag: a home asked. Not acknowledged; the number is that of the newest report before, so that
    /// it outranks what was said earlier and nothing that is said later.
    pub const ASKED: u16 = 16;
    /// Flag: the subject speaks to its observers in turn, and did not answer the reporter's own
    /// questions. The others know nothing of it before they are asked.
    pub const IN_TURN: u16 = 32;
    /// Flag, with [`IN_TURN`](Self::IN_TURN): the reporter's own turn has passed, too, and nothing came.
    /// One that hears nobody answers no question, and is heard by the next in turn.
    pub const MISSED: u16 = 128;
    /// Flag: of the last eight heartbeats that the subject sent, five at least have not come to this
    /// reporter. Also said unasked, with the flags of a word that a home asked for.
    pub const PATCHY: u16 = 64;

    #[inline]
    fn check(head: &ReportHead) -> Result<(), Malformed> {
        if !head.reserved_is_zero() {
            return Err(Malformed("reserved bits set"));
        }
        if head.health > 7 {
            return Err(Malformed("health above 7"));
        }
        if head.severity > 3 {
            return Err(Malformed("severity above 3"));
        }
        if !head.id.slot.is_some() {
            return Err(Malformed("report without reporter"));
        }
        Ok(())
    }
}

impl Emit for Report<'_> {
    const KIND: Kind = Kind::Report;
    fn size(&self) -> usize {
        ReportHead::SIZE + 4 + self.subject.len() + self.kind.len() + self.detail.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.subject.as_bytes())?;
        writer.short(self.kind.as_bytes())?;
        writer.long_text(self.detail)
    }
}

impl<'a> Parse<'a> for Report<'a> {
    #[inline]
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: ReportHead = reader.fixed()?;
        Self::check(&head)?;
        Ok(Self {
            head,
            subject: reader.text(NAME_MAX)?,
            kind: reader.text(KIND_MAX)?,
            detail: reader.long_text(DETAIL_MAX)?,
        })
    }
}

/// A report that breaks no rule, still where it came: for who asks most reports for their number only.
#[derive(Clone, Copy, Debug)]
pub struct ReportBytes<'a>(&'a [u8]);

impl<'a> ReportBytes<'a> {
    /// Splits a report of this version off the front of a datagram's frames. `None` when the next frame
    /// is another one, or breaks a rule: [`crate::Frames`] says which.
    #[inline(always)]
    #[must_use]
    pub fn split(frames: &'a [u8]) -> Option<(Self, &'a [u8])> {
        /// Bytes of a report without texts.
        const PLAIN: usize = ReportHead::SIZE + 4;
        /// The frame header of such a one.
        const HEADER: [u8; FrameHeader::SIZE] =
            [Kind::Report as u8, <Report<'_> as Emit>::VERSION, 0, 0, 60, 0, 0, 0];
        const { assert!(PLAIN == 60) };
        if let Some((header, rest)) = frames.split_first_chunk()
            && *header == HEADER
            && let Some((body, rest)) = rest.split_first_chunk::<PLAIN>()
            && body[ReportHead::SIZE..] == [0; 4]
        {
            return Report::check(&ReportHead::read(body)?).ok().map(|()| (Self(body), rest));
        }
        Self::split_any(frames)
    }

    /// As [`Self::split`], of a report with texts.
    #[inline(never)]
    fn split_any(frames: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, body) = FrameHeader::split(frames).ok()?;
        if (header.kind, header.version) != (Kind::Report as u8, <Report<'_> as Emit>::VERSION) {
            return None;
        }
        let mut reader = Reader::new(body);
        Report::parse(&mut reader).and_then(|_| reader.end()).ok()?;
        Some((Self(body), frames.get(FrameHeader::SIZE + body.len()..)?))
    }

    /// The same without its header, as [`Self::bytes`] gave it. What is none fails when it is read.
    #[inline]
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// It without its header.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Its fixed part; never `None` for what [`Self::split`] gave.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Option<ReportHead> {
        ReportHead::read(self.0)
    }

    /// Which report it is.
    #[inline]
    #[must_use]
    pub fn id(&self) -> ReportId {
        const { assert!(ReportId::SIZE == 16) };
        // The number is what a report begins with, and all of it is here.
        ReportId::read(self.0).unwrap_or(ReportId {
            slot: Slot::NONE,
            incarnation: Incarnation(0),
            seq: 0,
        })
    }

    /// All of it.
    ///
    /// # Errors
    /// None for what [`Self::split`] gave.
    #[inline]
    pub fn report(&self) -> Result<Report<'a>, Malformed> {
        Report::parse(&mut Reader::new(self.0))
    }
}

layout! {
    /// What became of one report.
    pub struct AckItem: 24 {
        /// The report's running number.
        seq: u64,
        /// Sequence number of the committed event; 0 when there is none (yet, or not needed).
        event: u64,
        /// See [`ReportAck`].
        level: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

/// Acknowledges reports of one reporter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportAck<'a> {
    /// Which life of the reporter is meant.
    pub incarnation: Incarnation,
    /// What became of which report.
    pub items: List<'a, AckItem>,
}

impl ReportAck<'_> {
    /// Level: a satellite has it in memory; only the fast timer rests.
    pub const RECEIVED: u8 = 0;
    /// Level: the station has committed it, or it is no longer needed: forget it.
    pub const COMMITTED: u8 = 1;
    /// Level: there is no room now; try again later.
    pub const BUSY: u8 = 2;
}

impl Emit for ReportAck<'_> {
    const KIND: Kind = Kind::ReportAck;
    fn size(&self) -> usize {
        4 + 2 + self.items.len() * AckItem::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.field(self.incarnation)?;
        writer.list(self.items)
    }
}

impl<'a> Parse<'a> for ReportAck<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { incarnation: reader.field()?, items: reader.list(ACKS_MAX)? })
    }
}
