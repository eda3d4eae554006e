//! Frames: what an opened datagram, and a message of a stream, is a sequence of.
//!
//! Version rule: a newer version of a kind only appends fields, so an older reader takes the part
//! that it knows. A kind that a reader does not know is skipped by its length.

use crate::bytes::{Reader, Writer};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::{
    beat, case, control, cp, event, heartbeat, join, member, neighbours, opinion, order, policy,
    probe, raft, replica, report, roster, snapshot, stream, uplink, watch,
};

layout! {
    /// In front of every frame.
    pub struct FrameHeader: 8 {
        /// See [`Kind`].
        kind: u8,
        /// Version of this kind of frame.
        version: u8,
        /// Zero.
        reserved: u16,
        /// Bytes that follow.
        len: u32,
    }
}

impl FrameHeader {
    /// Bytes of the header.
    pub const SIZE: usize = <Self as Fixed>::SIZE;

    /// Splits the body of the first frame off `bytes`, ignoring what follows.
    ///
    /// # Errors
    /// [`Malformed`] when the header or the body is cut short.
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut reader = Reader::new(bytes);
        let header: Self = reader.fixed()?;
        Ok((header, reader.take(header.len as usize)?))
    }
}

/// A frame that can be written.
pub trait Emit {
    /// Its kind.
    const KIND: Kind;
    /// Its version.
    const VERSION: u8 = 1;
    /// Whether it goes alone in a [`Brief`](crate::Brief) datagram, without a frame header, when it
    /// is sent to many.
    const IS_BRIEF: bool = false;

    /// Bytes of the body.
    fn size(&self) -> usize;

    /// Writes the body.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit, or a part exceeds its bound.
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow>;
}

/// A frame that can be read.
pub trait Parse<'a>: Sized {
    /// Reads the body; what follows in `reader` is a newer version's.
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule.
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
}

/// Writes header and body of a frame to the front of `out` and returns the bytes used.
///
/// # Errors
/// [`Overflow`] when `out` is too small; its content is then void.
pub fn emit<E: Emit>(frame: &E, out: &mut [u8]) -> Result<usize, Overflow> {
    let mut writer = Writer::new(out.get_mut(FrameHeader::SIZE..).ok_or(Overflow)?);
    frame.emit(&mut writer)?;
    let len = writer.written();
    let header = FrameHeader {
        kind: E::KIND as u8,
        version: E::VERSION,
        reserved: 0,
        len: u32::try_from(len).map_err(|_| Overflow)?,
    };
    header.write(out)?;
    Ok(FrameHeader::SIZE + len)
}

macro_rules! frames {
    ($( $(#[$meta:meta])* $variant:ident($ty:ty) = $number:literal, )*) => {
        /// Kinds of frames and their numbers on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $( $(#[$meta])* $variant = $number, )*
        }

        impl Kind {
            /// All kinds, by number.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// Its name in documents.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => stringify!($variant), )* }
            }
        }

        /// A frame, parsed and borrowed from the datagram.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Frame<'a> {
            $( $(#[$meta])* $variant($ty), )*
            /// A kind that this version does not know.
            Unknown(u8),
        }

        impl<'a> Frame<'a> {
            /// Parses a body according to its header.
            ///
            /// # Errors
            /// [`Malformed`] with the first broken rule.
            pub fn parse(header: FrameHeader, body: &'a [u8]) -> Result<Self, Malformed> {
                let mut reader = Reader::new(body);
                let (frame, version) = match header.kind {
                    $( $number => {
                        let frame = <$ty as Parse<'a>>::parse(&mut reader)?;
                        (Self::$variant(frame), <$ty as Emit>::VERSION)
                    } )*
                    other => return Ok(Self::Unknown(other)),
                };
                if header.version == 0 {
                    return Err(Malformed("frame version 0"));
                }
                if header.version <= version {
                    reader.end()?;
                }
                Ok(frame)
            }

            /// Its number on the wire.
            #[must_use]
            pub const fn kind(&self) -> u8 {
                match self { $( Self::$variant(_) => $number, )* Self::Unknown(kind) => *kind }
            }
        }
    };
}

frames! {
    /// Sign of life.
    Heartbeat(heartbeat::Heartbeat) = 1,
    /// A home satellite's answer to a heartbeat.
    HomeAnswer(heartbeat::HomeAnswer) = 2,
    /// A question whether an accused node lives.
    Probe(probe::Probe) = 3,
    /// The answer to a probe.
    ProbeAnswer(probe::ProbeAnswer) = 4,
    /// A report on its way up.
    Report(report::Report<'a>) = 5,
    /// Acknowledges reports.
    ReportAck(report::ReportAck<'a>) = 6,
    /// A node or satellite wants to be a member.
    Join(join::Join<'a>) = 7,
    /// It is one.
    Welcome(join::Welcome) = 8,
    /// It will not be one.
    JoinRefused(join::JoinRefused<'a>) = 9,
    /// Asks any member for the roster.
    RosterAsk(roster::RosterAsk) = 10,
    /// Satellites and replicas.
    Roster(roster::Roster<'a>) = 11,
    /// Whom to send heartbeats to and whom to watch.
    Neighbours(neighbours::Neighbours<'a>) = 12,
    /// A member goes in good order.
    Leave(join::Leave) = 13,
    /// An order at a node.
    Order(order::Order<'a>) = 14,
    /// A node's answer to an order.
    Receipt(order::Receipt<'a>) = 15,
    /// The receipt arrived.
    ReceiptAck(order::ReceiptAck) = 16,
    /// Sign of life of a node that is known and has nothing new to say.
    Beat(beat::Beat) = 17,
    /// What one member makes of another.
    Opinion(opinion::Opinion) = 18,
    /// A fragment of a stream.
    StreamData(stream::StreamData<'a>) = 20,
    /// Fragments are missing.
    StreamNak(stream::StreamNak<'a>) = 21,
    /// How far a receiver is and how much more it takes.
    StreamStatus(stream::StreamStatus) = 22,
    /// A stream has ended or begins anew.
    StreamReset(stream::StreamReset) = 23,
    /// A Raft message.
    Raft(raft::RaftMessage<'a>) = 30,
    /// Asks for a part of a snapshot.
    SnapshotAsk(snapshot::SnapshotAsk) = 31,
    /// A part of a snapshot.
    SnapshotChunk(snapshot::SnapshotChunk<'a>) = 32,
    /// A satellite's records for the station.
    Batch(uplink::Batch<'a>) = 40,
    /// The station's answer to a batch.
    BatchAck(uplink::BatchAck<'a>) = 41,
    /// One record of a batch.
    Record(uplink::Record<'a>) = 42,
    /// What a home knows of its nodes beyond what is replicated.
    HomeStats(uplink::HomeStats<'a>) = 43,
    /// A part of the member list.
    ViewDelta(member::ViewDelta<'a>) = 44,
    /// One member.
    Member(member::Member<'a>) = 45,
    /// A satellite's part of an order.
    Shard(order::Shard<'a>) = 46,
    /// How far a shard is.
    ShardProgress(order::ShardProgress<'a>) = 47,
    /// Nodes with an equal result.
    Outcome(order::Outcome<'a>) = 48,
    /// A satellite asks a replica to be fed.
    Attach(member::Attach) = 49,
    /// A client's question.
    Ask(control::Ask<'a>) = 50,
    /// Its answer.
    Reply(control::Reply<'a>) = 51,
    /// The state of the cluster, in an answer.
    Status(control::Status<'a>) = 52,
    /// The state of an order, in an answer.
    OrderState(control::OrderState) = 53,
    /// Soft facts about a node, in an answer.
    NodeDetail(control::NodeDetail<'a>) = 54,
    /// A line of text, in an answer.
    Line(control::Line<'a>) = 55,
    /// A committed event.
    Event(event::EventEntry<'a>) = 56,
    /// Why an event was believed.
    Evidence(event::Evidence<'a>) = 57,
    /// What the recovery manager decided.
    Decision(event::Decision<'a>) = 58,
    /// An operator's order.
    Submit(order::Submit<'a>) = 59,
    /// Which version of a circulating process a node holds.
    CpVersion(cp::CpVersion) = 60,
    /// What is believed, and what is done about it.
    Policy(policy::Policy<'a>) = 61,
    /// How many must say a thing, in a policy.
    Threshold(policy::Threshold<'a>) = 62,
    /// What is done about some events, in a policy.
    Rule(policy::Rule<'a>) = 63,
    /// One step of a rule.
    Step(policy::Step<'a>) = 64,
    /// An operator drains nodes, or lets them work again.
    Drain(policy::Drain<'a>) = 65,
    /// A replica that is not seated shows its disk.
    ReplicaHello(replica::ReplicaHello) = 66,
    /// What is known of it.
    ReplicaWord(replica::ReplicaWord) = 67,
    /// A replacement of a replica, and how far it is.
    Replace(replica::Replace) = 68,
    /// What an observer makes of one that it watches, in an answer.
    Watch(watch::Watch) = 69,
    /// What a home makes of a node that is accused, in an answer.
    Case(case::Case) = 70,
}

/// Implements [`Parse`] and [`Emit`] for a frame that is one fixed struct, with the check that its
/// fields must pass, if there is one, and what [`Emit`] says of how it goes.
macro_rules! fixed_frame {
    ($name:ty, $kind:ident $(, $check:path)? $(; is_brief = $is_brief:literal)?) => {
        impl $crate::frame::Emit for $name {
            const KIND: $crate::frame::Kind = $crate::frame::Kind::$kind;
            $( const IS_BRIEF: bool = $is_brief; )?
            fn size(&self) -> usize {
                <Self as $crate::layout::Fixed>::SIZE
            }
            fn emit(
                &self,
                writer: &mut $crate::bytes::Writer<'_>,
            ) -> Result<(), $crate::layout::Overflow> {
                writer.fixed(self)
            }
        }
        impl<'a> $crate::frame::Parse<'a> for $name {
            fn parse(
                reader: &mut $crate::bytes::Reader<'a>,
            ) -> Result<Self, $crate::layout::Malformed> {
                let frame: Self = reader.fixed()?;
                $( $check(&frame)?; )?
                Ok(frame)
            }
        }
    };
}
pub(crate) use fixed_frame;

/// Walks the frames of an opened datagram, a stream message or a nested body.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
    is_brief: bool,
}

impl<'a> Frames<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), is_brief: false }
    }

    /// The one frame of a [`Brief`](crate::Brief) datagram, which has no header of its own.
    #[must_use]
    pub const fn brief(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), is_brief: true }
    }

    /// What was not read yet of frames that have headers.
    #[inline]
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        if self.is_brief { &[] } else { self.reader.peek() }
    }

    /// Passes so many bytes: whole frames, which somebody has read from [`Self::rest`].
    #[inline]
    pub fn pass(&mut self, bytes: usize) {
        if self.reader.take(bytes).is_err() {
            self.reader = Reader::new(&[]);
        }
    }

    fn beat(&mut self) -> Result<Frame<'a>, Malformed> {
        let beat = Parse::parse(&mut self.reader)?;
        self.reader.end()?;
        Ok(Frame::Beat(beat))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Malformed>;

    /// The next frame; after an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.remaining() == 0 {
            return None;
        }
        let result = if self.is_brief {
            self.beat()
        } else {
            self.reader.fixed::<FrameHeader>().and_then(|header| {
                let body = self.reader.take(header.len as usize)?;
                Frame::parse(header, body)
            })
        };
        if result.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(result)
    }
}

/// Packs frames one behind the other into a borrowed buffer.
#[derive(Debug)]
pub struct Packer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Packer<'a> {
    /// Starts at the front of `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit; what was packed before stays valid.
    pub fn push<E: Emit>(&mut self, frame: &E) -> Result<(), Overflow> {
        self.at += emit(frame, self.out.get_mut(self.at..).ok_or(Overflow)?)?;
        Ok(())
    }

    /// Bytes packed so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was packed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at == 0
    }
}
