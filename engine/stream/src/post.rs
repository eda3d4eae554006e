//! What the ends of a channel's streams ask of whoever drives them.

use syncom_seam::Counter;
use syncom_wire::stream::StreamData;
use syncom_wire::{Addr, Emit};

/// The way out of a publication or an image: to a link, or to a test's network.
pub trait Post {
    /// Queues a frame as a datagram of its own. False when there is no room now; nothing was
    /// queued then.
    fn post<E: Emit>(&mut self, to: Addr, frame: &E) -> bool;

    /// As [`Self::post`], for a fragment: its payload lies still, so it can be sealed from there.
    #[inline]
    fn post_data(&mut self, to: Addr, data: &StreamData<'_>) -> bool {
        self.post(to, data)
    }

    /// Counts something.
    fn count(&mut self, counter: Counter, by: u64);
}
