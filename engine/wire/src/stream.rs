//! Streams: fragments, gaps, positions.

use crate::bytes::{List, Reader, Writer};
use crate::frame::{Emit, Kind, Parse, fixed_frame};
use crate::layout::{Fixed, Malformed, Overflow, layout};

layout! {
    /// The fixed part of a fragment.
    pub struct StreamDataHead: 24 {
        /// Which stream between these two processes.
        lane: u8,
        /// See [`StreamData::FIRST`].
        flags: u8,
        /// Zero.
        reserved: u16,
        /// Which life of the stream; a higher one replaces a lower one.
        session: u32,
        /// Number of the fragment, from 0.
        seq: u64,
        /// Oldest fragment that the sender can still resend.
        oldest: u64,
    }
}

/// A fragment of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamData<'a> {
    /// The fixed part.
    pub head: StreamDataHead,
    /// Its part of the message.
    pub payload: &'a [u8],
}

impl StreamData<'_> {
    /// Flag: first fragment of a message.
    pub const FIRST: u8 = 1;
    /// Flag: last fragment of a message.
    pub const LAST: u8 = 2;
    /// Flag: nothing follows for now; answer with a status at once.
    pub const PUSH: u8 = 4;
    /// Flag: no data, `seq` is what comes next: tells the receiver what it may be missing.
    pub const IDLE: u8 = 8;
}

impl Emit for StreamData<'_> {
    const KIND: Kind = Kind::StreamData;
    fn size(&self) -> usize {
        StreamDataHead::SIZE + self.payload.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.payload)
    }
}

impl<'a> Parse<'a> for StreamData<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: StreamDataHead = reader.fixed()?;
        if head.flags > 15 || head.reserved != 0 {
            return Err(Malformed("reserved bits set"));
        }
        if head.oldest > head.seq {
            return Err(Malformed("oldest fragment is newer than this one"));
        }
        Ok(Self { head, payload: reader.rest() })
    }
}

layout! {
    /// A run of missing fragments.
    pub struct Gap: 12 {
        /// First missing fragment.
        from: u64,
        /// How many are missing.
        count: u32,
    }
}

layout! {
    /// The fixed part of a NAK.
    pub struct StreamNakHead: 8 {
        /// Which stream.
        lane: u8,
        /// Zero.
        reserved: [u8; 3],
        /// Which life of it.
        session: u32,
    }
}

/// Fragments are missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamNak<'a> {
    /// The fixed part.
    pub head: StreamNakHead,
    /// What is missing, oldest first.
    pub gaps: List<'a, Gap>,
}

impl StreamNak<'_> {
    /// Gaps of one frame.
    pub const GAPS_MAX: usize = 64;
}

impl Emit for StreamNak<'_> {
    const KIND: Kind = Kind::StreamNak;
    fn size(&self) -> usize {
        StreamNakHead::SIZE + 2 + self.gaps.len() * Gap::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.gaps)
    }
}

impl<'a> Parse<'a> for StreamNak<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { head: reader.fixed()?, gaps: reader.list(Self::GAPS_MAX)? })
    }
}

layout! {
    /// How far a receiver is.
    pub struct StreamStatus: 24 {
        /// Which stream.
        lane: u8,
        /// Zero.
        reserved: [u8; 3],
        /// Which life of it.
        session: u32,
        /// All fragments below this one have arrived.
        next: u64,
        /// Fragments from `next` on that the receiver has room for.
        window: u32,
        /// Zero.
        spare: u32,
    }
}

impl StreamStatus {
    const fn check(&self) -> Result<(), Malformed> {
        if self.spare != 0 { Err(Malformed("reserved bits set")) } else { Ok(()) }
    }
}
fixed_frame!(StreamStatus, StreamStatus);

layout! {
    /// A stream has ended: the receiver knows nothing of it, or the sender cannot go on.
    pub struct StreamReset: 16 {
        /// Which stream.
        lane: u8,
        /// 0 from the receiver to the sender, 1 the other way.
        from_sender: u8,
        /// Zero.
        reserved: u16,
        /// Which life of it.
        session: u32,
        /// The fragment at which it happened.
        seq: u64,
    }
}

impl StreamReset {
    const fn check(&self) -> Result<(), Malformed> {
        if self.from_sender > 1 { Err(Malformed("unknown direction")) } else { Ok(()) }
    }
}
fixed_frame!(StreamReset, StreamReset);
