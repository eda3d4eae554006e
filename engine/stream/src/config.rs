//! Bounds and paces of streams, with their reasons.

use syncom_seam::{MS, SECOND};
use syncom_wire::limits::MESSAGE_MAX;
use syncom_wire::stream::StreamData;

/// Lanes between two processes: a peer cannot fill the table of streams with more.
pub const LANES_MAX: u8 = 8;

/// Bytes in front of every message on the line: its length.
pub(crate) const PREFIX: usize = 4;

/// What a [`crate::Streams`] may hold and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Streams in each direction. A station needs two lanes for each of 256 satellites and 8 peers.
    /// Too few: new peers are not heard until an idle stream makes room.
    pub streams_max: usize,
    /// Bytes sent and not yet acknowledged, per stream: the static window. It bounds what one burst
    /// may drop into the receiver's socket buffer, and throughput to this much per round trip.
    pub in_flight_max: usize,
    /// Bytes that a sender keeps, unsent ones included; beyond them [`crate::Refusal::Full`]. At
    /// least one message of the largest size. Memory grows on demand to at most three times this.
    pub send_buffer_max: usize,
    /// Bytes that a receiver keeps, untaken messages included: the window that it announces. At
    /// least one message of the largest size. Memory grows on demand to at most three times this.
    pub receive_buffer_max: usize,
    /// Shortest retransmission timeout: longer than a receiver's usual delay in scheduling.
    pub rto_min_ns: u64,
    /// Longest retransmission timeout, and the longest pause between two questions to a silent or
    /// full receiver.
    pub rto_max_ns: u64,
    /// A sender with messages under way that hears nothing for so long gives up and begins anew.
    pub give_up_ns: u64,
    /// A receiving stream without anything pending that was silent for so long may make room.
    pub idle_ns: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams_max: 1024,
            in_flight_max: 256 * 1024,
            send_buffer_max: MESSAGE_MAX + 64 * 1024,
            receive_buffer_max: MESSAGE_MAX + 64 * 1024,
            rto_min_ns: 5 * MS,
            rto_max_ns: SECOND,
            give_up_ns: 10 * SECOND,
            idle_ns: 60 * SECOND,
        }
    }
}

impl Config {
    /// This configuration with every bound raised to the least that can work.
    pub(crate) fn sane(mut self) -> Self {
        self.streams_max = self.streams_max.max(1);
        self.in_flight_max = self.in_flight_max.max(StreamData::PAYLOAD_MAX);
        self.send_buffer_max = self.send_buffer_max.max(MESSAGE_MAX + PREFIX);
        self.receive_buffer_max = self.receive_buffer_max.max(MESSAGE_MAX + PREFIX);
        self.rto_min_ns = self.rto_min_ns.max(MS);
        self.rto_max_ns = self.rto_max_ns.max(self.rto_min_ns);
        self
    }
}
