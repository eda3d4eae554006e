//! Streams: pieces of a line of bytes, what is missing of it, how far it got.
//!
//! A stream carries messages as one line of bytes: a four-byte little-endian length, the message,
//! the next length, and so on. Positions count its bytes from 0. A fragment may start and end
//! anywhere, so a repair need not repeat the cuts of the first attempt.

use crate::bytes::{List, Reader, Writer};
use crate::datagram::Header;
use crate::frame::{Emit, FrameHeader, Kind, Parse, fixed_frame};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::MTU;

/// No stream gets as far as this position, in bytes: whatever a frame adds to a position that it may
/// name fits into 64 bits.
pub const POSITION_MAX: u64 = 1 << 62;

const fn check_position(position: u64) -> Result<(), Malformed> {
    if position > POSITION_MAX { Err(Malformed("position beyond 2^62")) } else { Ok(()) }
}

layout! {
    /// The fixed part of a fragment.
    pub struct StreamDataHead: 36 {
        /// Which stream between these two processes.
        lane: u16,
        /// Where in the payload the first message begins, for those who join late;
        /// [`StreamDataHead::NO_START`] when none does.
        first: u16,
        /// Which life of the stream: the sender's monotonic clock when it began, in ns. A later one
        /// replaces an earlier one, and a restarted sender never repeats one.
        session: u64,
        /// Position of the first byte of the payload. Without payload: how far the sender got, so
        /// that the receiver learns what it misses and answers.
        position: u64,
        /// Oldest position that the sender can still resend. Not 0: whoever knows nothing of this
        /// session has missed its beginning.
        oldest: u64,
        /// The sender's clock in µs, modulo 2^32, never 0: comes back in the status.
        stamp_us: u32,
        /// How patient receivers are to be when they ask for what is missing, see
        /// [`StreamDataHead::pace_of`]: the sender's smoothed round trip in µs, in the lower 24
        /// bits, and the binary logarithm of how many listen, rounded up, in the upper 8.
        pace: u32,
    }
}

impl StreamDataHead {
    /// No message begins in this fragment, or its sender takes nobody in the middle.
    pub const NO_START: u16 = u16::MAX;
    const RTT_BITS: u32 = 24;
    const RTT_MAX: u32 = (1 << Self::RTT_BITS) - 1;

    /// The pace of a round trip of `rtt_us`, at most 16 s, and of so many listeners.
    #[must_use]
    pub const fn pace_of(rtt_us: u32, listeners: usize) -> u32 {
        let rtt_us = if rtt_us > Self::RTT_MAX { Self::RTT_MAX } else { rtt_us };
        let crowd = if listeners > 1 { (listeners - 1).ilog2() + 1 } else { 0 };
        rtt_us | crowd << Self::RTT_BITS
    }

    /// The sender's smoothed round trip: a receiver asks for the same bytes no sooner.
    #[must_use]
    pub const fn rtt_us(&self) -> u32 {
        self.pace & Self::RTT_MAX
    }

    /// The binary logarithm of how many listen, rounded up.
    #[must_use]
    pub const fn crowd(&self) -> u8 {
        self.pace.to_le_bytes()[3]
    }
}

/// Bytes of a fragment's frame in front of its payload.
const FRONT: usize = FrameHeader::SIZE + <StreamDataHead as Fixed>::SIZE;

/// A fragment of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamData<'a> {
    /// The fixed part.
    pub head: StreamDataHead,
    /// Its piece of the line; may be empty.
    pub payload: &'a [u8],
}

impl StreamData<'_> {
    /// Bytes of payload that fill a datagram.
    pub const PAYLOAD_MAX: usize =
        MTU - Header::OVERHEAD - FrameHeader::SIZE - <StreamDataHead as Fixed>::SIZE;

    /// The frame without its payload, for those who take that from where it lies.
    ///
    /// # Errors
    /// [`Overflow`] when the payload is longer than a frame can say.
    #[inline]
    pub fn front(&self) -> Result<[u8; FRONT], Overflow> {
        let mut front = [0; FRONT];
        let (kind, version) = (Self::KIND as u8, Self::VERSION);
        let len = u32::try_from(Emit::size(self)).map_err(|_| Overflow)?;
        FrameHeader { kind, version, reserved: 0, len }.write(&mut front)?;
        self.head.write(&mut front[FrameHeader::SIZE..])?;
        Ok(front)
    }
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
        if head.oldest > head.position {
            return Err(Malformed("oldest position is newer than this one"));
        }
        check_position(head.position)?;
        Ok(Self { head, payload: reader.rest() })
    }
}

layout! {
    /// A run of missing bytes.
    pub struct Gap: 12 {
        /// Position of the first one.
        position: u64,
        /// How many are missing.
        len: u32,
    }
}

layout! {
    /// The fixed part of a NAK.
    pub struct StreamNakHead: 12 {
        /// Which stream.
        lane: u16,
        /// Zero.
        reserved: u16,
        /// Which life of it.
        session: u64,
    }
}

/// Bytes are missing.
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
        let nak = Self { head: reader.fixed()?, gaps: reader.list(Self::GAPS_MAX)? };
        nak.gaps.iter().try_for_each(|gap| check_position(gap.position))?;
        Ok(nak)
    }
}

layout! {
    /// How far a receiver is.
    pub struct StreamStatus: 32 {
        /// Which stream.
        lane: u16,
        /// The group that the receiver belongs to, for senders that wait for one group only; or 0.
        tag: u16,
        /// Which life of it.
        session: u64,
        /// All bytes below this position have arrived.
        next: u64,
        /// Bytes from `next` on that the receiver has room for.
        window: u32,
        /// Bytes from `next` up to the furthest that has arrived: what is under way lies beyond.
        ahead: u32,
        /// Stamp of the fragment that this answers; 0 when it answers none.
        echo_us: u32,
    }
}

impl StreamStatus {
    const fn check(&self) -> Result<(), Malformed> {
        check_position(self.next)
    }
}
fixed_frame!(StreamStatus, StreamStatus, StreamStatus::check);

layout! {
    /// A stream has ended: the receiver knows nothing of it, or the sender cannot go on.
    pub struct StreamReset: 20 {
        /// Which stream.
        lane: u16,
        /// 0 from the receiver to the sender, 1 the other way.
        from_sender: u8,
        /// Zero.
        reserved: u8,
        /// Which life of it.
        session: u64,
        /// The position at which it happened.
        position: u64,
    }
}

impl StreamReset {
    const fn check(&self) -> Result<(), Malformed> {
        if self.from_sender > 1 {
            return Err(Malformed("unknown direction"));
        }
        check_position(self.position)
    }
}
fixed_frame!(StreamReset, StreamReset, StreamReset::check);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Frame};
    use crate::limits::MTU;

    const HEAD: StreamDataHead = StreamDataHead {
        lane: 1,
        first: StreamDataHead::NO_START,
        session: 2,
        position: 100,
        oldest: 90,
        stamp_us: 3,
        pace: 4,
    };

    fn round_trip<E: Emit>(frame: &E, buffer: &mut [u8]) -> usize {
        let len = frame::emit(frame, buffer).unwrap();
        assert_eq!(len, frame.size() + FrameHeader::SIZE);
        len
    }

    #[test]
    fn a_full_fragment_fills_a_datagram_and_survives_the_round_trip() {
        let payload = [7; StreamData::PAYLOAD_MAX];
        let data = StreamData { head: HEAD, payload: &payload };
        let mut buffer = [0; MTU];
        let len = round_trip(&data, &mut buffer);
        assert_eq!(len + Header::OVERHEAD, MTU);
        assert_eq!(&buffer[..len], [&data.front().unwrap()[..], &payload].concat());
        let (header, body) = FrameHeader::split(&buffer[..len]).unwrap();
        assert_eq!(Frame::parse(header, body), Ok(Frame::StreamData(data)));
    }

    #[test]
    fn a_pace_is_a_round_trip_and_a_crowd() {
        for (rtt_us, listeners, crowd) in
            [(0, 0, 0), (9, 1, 0), (9, 2, 1), (9, 3, 2), (9, 4, 2), (u32::MAX, 1000, 10)]
        {
            let head = StreamDataHead { pace: StreamDataHead::pace_of(rtt_us, listeners), ..HEAD };
            assert_eq!((head.rtt_us(), head.crowd()), (rtt_us.min((1 << 24) - 1), crowd));
        }
    }

    #[test]
    fn a_fragment_older_than_the_oldest_is_refused() {
        let data = StreamData { head: StreamDataHead { oldest: 101, ..HEAD }, payload: &[] };
        let mut buffer = [0; 64];
        let len = round_trip(&data, &mut buffer);
        let (header, body) = FrameHeader::split(&buffer[..len]).unwrap();
        let refusal = Malformed("oldest position is newer than this one");
        assert_eq!(Frame::parse(header, body), Err(refusal));
    }

    #[test]
    fn positions_that_no_stream_reaches_are_refused() {
        fn refused<E: Emit>(frame: &E) -> bool {
            let mut buffer = [0; 128];
            let len = round_trip(frame, &mut buffer);
            let (header, body) = FrameHeader::split(&buffer[..len]).unwrap();
            Frame::parse(header, body) == Err(Malformed("position beyond 2^62"))
        }
        for (position, is_refused) in [(POSITION_MAX, false), (POSITION_MAX + 1, true)] {
            let head = StreamDataHead { position, ..HEAD };
            assert_eq!(refused(&StreamData { head, payload: &[1] }), is_refused);
            let head = StreamNakHead { lane: 1, reserved: 0, session: 2 };
            let gaps = [Gap { position, len: 1 }];
            assert_eq!(refused(&StreamNak { head, gaps: List::new(&gaps) }), is_refused);
            let (lane, session) = (1, 2);
            let reset = StreamReset { lane, from_sender: 0, reserved: 0, session, position };
            assert_eq!(refused(&reset), is_refused);
            let next = position;
            let status =
                StreamStatus { lane, tag: 0, session, next, window: 0, ahead: 0, echo_us: 0 };
            assert_eq!(refused(&status), is_refused);
        }
    }

    #[test]
    fn gaps_survive_the_round_trip() {
        let gaps = [Gap { position: 5, len: 6 }, Gap { position: 50, len: 1 }];
        let head = StreamNakHead { lane: 1, reserved: 0, session: 2 };
        let nak = StreamNak { head, gaps: List::new(&gaps) };
        let mut buffer = [0; 64];
        let len = round_trip(&nak, &mut buffer);
        let (header, body) = FrameHeader::split(&buffer[..len]).unwrap();
        assert_eq!(Frame::parse(header, body), Ok(Frame::StreamNak(nak)));
    }
}
