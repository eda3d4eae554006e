//! One frame of every kind, filled from a source of bytes.
//!
//! Fixed parts are filled by reading them from the source's bytes, then made valid field by field.
//! With [`Source::counting`] the bytes of a frame run 01 02 03 …, so a field that moves, swaps or
//! changes its byte order shows up in the golden files; with [`Source::cycling`] they are random.

mod clients;
mod members;
mod orders;
mod policies;
mod station;

use syncom_wire::frame::emit;
use syncom_wire::limits::{DATAGRAM_MAX, NODES_MAX};
use syncom_wire::{Emit, Fixed, Frame, Kind, idset};

/// Where the contents of sample frames come from. Never runs dry.
pub(crate) struct Source {
    bytes: Vec<u8>,
    at: usize,
}

impl Source {
    /// The bytes 1, 2, 3 and so on, without zero.
    pub(crate) fn counting() -> Self {
        Self::cycling((1..=255).collect())
    }

    /// The given bytes, over and over.
    pub(crate) fn cycling(mut bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            bytes.push(0);
        }
        Self { bytes, at: 0 }
    }

    /// Begins at the front again.
    pub(crate) fn rewind(&mut self) {
        self.at = 0;
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let byte = self.bytes[self.at % self.bytes.len()];
        self.at += 1;
        byte
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// A fixed struct, valid or not.
    pub(crate) fn fixed<T: Fixed>(&mut self) -> T {
        T::read(&self.take(T::SIZE)).unwrap()
    }

    /// Up to six fixed structs.
    pub(crate) fn list<T: Fixed>(&mut self) -> Vec<T> {
        let count = self.byte() % 7;
        (0..count).map(|_| self.fixed()).collect()
    }

    /// A printable text of 1 to `max` bytes, some of them not ASCII.
    pub(crate) fn text(&mut self, max: usize) -> String {
        let mut text = String::from("n");
        for _ in 0..self.byte() % 24 {
            let next = match self.byte() {
                byte @ b' '..=b'~' => char::from(byte),
                byte => char::from(0xC0 + byte % 64),
            };
            if text.len() + next.len_utf8() <= max {
                text.push(next);
            }
        }
        text
    }

    /// Any bytes, fewer than 60.
    pub(crate) fn payload(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte() % 60);
        self.take(count)
    }

    /// The image of a set of slots.
    pub(crate) fn idset(&mut self) -> Vec<u8> {
        let mut ranges = Vec::new();
        let mut end = 0;
        for _ in 0..self.byte() % 6 {
            let from = end + 1 + u32::from(self.byte()) * 64;
            end = from + 1 + u32::from(self.byte());
            ranges.push((from, end));
        }
        assert!(end as usize <= NODES_MAX);
        let mut image = vec![0; NODES_MAX / 8];
        let len = idset::encode(ranges.into_iter(), &mut image).unwrap();
        image.truncate(len);
        image
    }

    /// A few frames one behind the other, as nested bodies hold them.
    pub(crate) fn nested<E: Emit>(&mut self, frames: &[E]) -> Vec<u8> {
        frames.iter().flat_map(encoded).collect()
    }
}

/// Header and body of a frame.
pub(crate) fn encoded<E: Emit>(frame: &E) -> Vec<u8> {
    let mut out = vec![0; DATAGRAM_MAX];
    let len = emit(frame, &mut out).unwrap();
    out.truncate(len);
    out
}

/// Calls `visit` with one frame of every kind: as the type that emits it, encoded, and as what
/// parsing should give.
pub(crate) fn every_kind(source: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    members::visit(source, visit);
    orders::visit(source, visit);
    station::visit(source, visit);
    clients::visit(source, visit);
    policies::visit(source, visit);
}

/// Hands one frame to the visitor and rewinds the source, so that each frame begins at 01.
macro_rules! show {
    ($source:ident, $visit:ident, $kind:ident, $frame:expr) => {{
        let frame = $frame;
        let bytes = crate::samples::encoded(&frame);
        assert_eq!(
            bytes.len(),
            syncom_wire::FrameHeader::SIZE + syncom_wire::Emit::size(&frame),
            "{} announces its size",
            stringify!($kind)
        );
        $visit(syncom_wire::Kind::$kind, bytes, syncom_wire::Frame::$kind(frame));
        $source.rewind();
    }};
}
pub(crate) use show;
