//! The memory that a socket shares with the kernel: slots to receive into and slots to send from.
//!
//! Slots for receiving go round: ready here, with the kernel (fill ring), filled (receive ring),
//! lent to a burst, back. Slots for sending are taken out of the pool for good; they are filled,
//! with the kernel (transmit ring, completion ring), or free. So neither kind can starve the other.

use crate::slots::{Pool, Slot};
use std::ops::Range;

/// Bytes of a slot. The kernel wants a power of two of at least this, and keeps 256 of it for
/// itself when receiving.
const SLOT_SMALL: usize = 2048;
const SLOT_LARGE: usize = 4096;
const _: () = assert!(SLOT_SMALL.is_power_of_two() && SLOT_LARGE.is_power_of_two());
/// Bytes of a received slot in front of the frame.
const KERNEL_ROOM: usize = 256;

/// Bytes of a frame that are fetched at once, however long it is: headers, and a short datagram.
const FRONT: usize = 192;

/// A pool of slots with the addresses that the kernel knows them by.
#[derive(Debug)]
pub(super) struct Umem {
    pool: Pool,
    slot_size: usize,
    /// The slots' size is two to the power of this: addresses are taken apart without dividing.
    slot_bits: u32,
}

impl Umem {
    /// Memory for `count` frames, on an interface whose frames have up to `frame_bytes` bytes.
    pub(super) fn new(count: u32, frame_bytes: usize) -> Self {
        let fits = KERNEL_ROOM + frame_bytes <= SLOT_SMALL;
        let slot_size = if fits { SLOT_SMALL } else { SLOT_LARGE };
        Self { pool: Pool::new(count, slot_size), slot_size, slot_bits: slot_size.ilog2() }
    }

    /// The longest frame that a slot can receive.
    pub(super) const fn frame_bytes_max(&self) -> usize {
        self.slot_size - KERNEL_ROOM
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) const fn pool_mut(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Hands a slot to the kernel to receive into, and returns its address; the slot comes back
    /// when parts of it are still shared.
    #[inline]
    pub(super) fn give(&mut self, slot: Slot) -> Result<u64, Slot> {
        let index = self.pool.to_device(slot)?;
        Ok(self.address(index, 0))
    }

    /// Takes back the slot that contains `address`; `None` when the kernel did not have it.
    #[inline]
    pub(super) fn take(&mut self, address: u64) -> Option<Slot> {
        let index = self.index(address)?;
        self.pool.from_device(index)
    }

    /// Has the processor fetch a frame that has arrived, and the slot that it lies in, at once: to wait
    /// for one after the other takes as long as to open a short datagram.
    #[inline]
    pub(super) fn prefetch(&self, address: u64, len: u32) {
        if let Some(index) = self.index(address) {
            let Range { start, end } = self.range(address, len);
            self.pool.prefetch(index, start..end);
        }
    }

    /// As [`Self::prefetch`], for the front of a frame that was received into the slot at `address`.
    #[inline]
    pub(super) fn prefetch_front(&self, address: u64) {
        if let Some(index) = self.index(address) {
            self.pool.prefetch(index, KERNEL_ROOM..KERNEL_ROOM + FRONT);
        }
    }

    /// The kernel's address of the byte at `offset` of a slot.
    pub(super) const fn address(&self, index: u32, offset: usize) -> u64 {
        (((index as usize) << self.slot_bits) + offset) as u64
    }

    /// The index of the slot that contains `address`.
    #[inline]
    pub(super) fn index(&self, address: u64) -> Option<u32> {
        u32::try_from(address >> self.slot_bits).ok()
    }

    /// Where in its slot a frame lies.
    #[inline]
    pub(super) fn range(&self, address: u64, len: u32) -> Range<usize> {
        let start = usize::try_from(address).unwrap_or(0) & (self.slot_size - 1);
        start..start.saturating_add(len as usize).min(self.slot_size)
    }
}
