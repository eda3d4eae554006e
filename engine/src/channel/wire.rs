//! The way out of a channel's streams: a port that posts each frame as a datagram of its own.

use crate::port::Port;
use syncom_seam::Counter;
use syncom_stream::Post;
use syncom_wire::stream::StreamData;
use syncom_wire::{Addr, Emit, FrameHeader, frame};

/// Posts through a port.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) port: Port,
}

impl Post for Wire {
    #[inline]
    fn post<E: Emit>(&mut self, to: Addr, emit: &E) -> bool {
        let size = FrameHeader::SIZE + emit.size();
        let sent = self.port.transmit(to, size, |body| frame::emit(emit, body));
        matches!(sent, Ok(Some(_)))
    }

    #[inline]
    fn post_data(&mut self, to: Addr, data: &StreamData<'_>) -> bool {
        data.front().is_ok_and(|front| self.port.transmit_parts(to, [&front, data.payload]))
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.port.counters.add(counter, by);
    }
}
