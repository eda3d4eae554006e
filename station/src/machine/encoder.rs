//! Growing buffers: how entries and snapshots are written. They are read by [`syncom_wire::Reader`].

use syncom_wire::{Emit, Field, Fixed, FrameHeader, Writer, frame};

/// Appends numbers, strings, fixed structs and whole frames to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn field<T: Field>(&mut self, value: T) {
        let at = self.bytes.len();
        self.bytes.resize(at + size_of::<T::Wire>(), 0);
        let _ = Writer::new(&mut self.bytes[at..]).field(value);
    }

    pub(crate) fn fixed<T: Fixed>(&mut self, value: &T) {
        let at = self.bytes.len();
        self.bytes.resize(at + T::SIZE, 0);
        // The room was just made, so this cannot fail.
        let _ = value.write(&mut self.bytes[at..]);
    }

    /// A count or length; what exceeds 32 bits cannot be held in memory here anyway.
    pub(crate) fn count(&mut self, count: usize) {
        self.field(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub(crate) fn long(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Header and body of a frame.
    pub(crate) fn frame<E: Emit>(&mut self, value: &E) {
        let at = self.bytes.len();
        self.bytes.resize(at + FrameHeader::SIZE + value.size(), 0);
        let written = frame::emit(value, &mut self.bytes[at..]).unwrap_or(0);
        self.bytes.truncate(at + written);
    }

    /// What `write` appends, behind its length.
    pub(crate) fn section(&mut self, write: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(self);
        let len = u32::try_from(self.bytes.len() - at - 4).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
