//! One answer's worth of frames.

use crate::machine::encoder::Encoder;
use syncom_wire::control::{Reply, ReplyHead};
use syncom_wire::limits::MTU;
use syncom_wire::{Emit, Fixed, FrameHeader, Header};

/// Bytes of frames that fit one unfragmented datagram beside everything around them.
const BODY: usize = MTU - Header::OVERHEAD - FrameHeader::SIZE - ReplyHead::SIZE;

/// The body of an answer, and where to go on.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u8,
    pub(crate) retry_ms: u32,
    /// The next cursor, when there is more.
    pub(crate) next: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl Page {
    /// An answer that so far says only how it stands.
    pub(crate) const fn status(status: u8, retry_ms: u32) -> Self {
        Self { status, retry_ms, next: None, body: Vec::new() }
    }

    /// An answer that is done.
    pub(crate) const fn done() -> Self {
        Self::status(Reply::DONE, 0)
    }

    /// Appends a frame, however large.
    pub(crate) fn push<E: Emit>(&mut self, frame: &E) {
        let mut out = Encoder::default();
        out.frame(frame);
        self.body.extend(out.finish());
    }

    /// Appends what belongs to one cursor, unless the page is full; then the next one begins there.
    /// A page takes at least one item, so that everybody gets on.
    pub(crate) fn offer(&mut self, cursor: u64, item: &[u8], max: usize) -> bool {
        if !self.body.is_empty() && self.body.len() + item.len() > max {
            self.next = Some(cursor);
            return false;
        }
        self.body.extend_from_slice(item);
        true
    }

    /// Fills a page with items, each a cursor and its frames, up to one datagram.
    pub(crate) fn fill(items: impl Iterator<Item = (u64, Vec<u8>)>) -> Self {
        let mut page = Self::done();
        for (cursor, item) in items {
            if !page.offer(cursor, &item, BODY) {
                break;
            }
        }
        page
    }
}

/// Frames of one item.
pub(crate) fn item(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::default();
    write(&mut out);
    out.finish()
}
