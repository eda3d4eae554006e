//! Receiving: frames from the receive ring into a burst, without a copy.

use super::headers::{Foreign, Parsed, parse_as};
use super::socket::{Copying, Socket};
use super::umem::Umem;
use crate::link::RxBurst;
use crate::link::rx::Received;
use crate::slots::Slot;

/// Slots that are given to the kernel at once at least: it reads the same lines of memory.
const REFILL_MIN: u32 = 64;

/// What goes round between the rings and the bursts.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Slots that the kernel shall have to receive into.
    target: u32,
    /// Slots that it has: filled, and not yet read, ones included.
    with_kernel: u32,
    copying: Copying,
    /// Whether a seal proves what arrives.
    is_proved: bool,
    /// The kernel ran out of slots, so it may have dropped something since it was last asked.
    may_have_dropped: bool,
    /// The kernel's own count of drops, when it was last asked.
    dropped_seen: u64,
    /// Frames that were redirected and could not be read.
    foreign: u64,
}

impl Receiver {
    /// A receiver that keeps `target` slots with the kernel.
    pub(super) const fn new(target: u32, copying: Copying, is_proved: bool) -> Self {
        Self {
            target,
            with_kernel: 0,
            copying,
            is_proved,
            may_have_dropped: false,
            dropped_seen: 0,
            foreign: 0,
        }
    }

    /// Gives the kernel slots to receive into, as many as it lacks, once it lacks a good number.
    #[inline]
    pub(super) fn refill(&mut self, socket: &mut Socket, umem: &mut Umem) {
        let lacks = self.target - self.with_kernel;
        if lacks >= REFILL_MIN.min(self.target / 8) || socket.fill.needs_wakeup() {
            self.give(socket, umem);
        }
    }

    fn give(&mut self, socket: &mut Socket, umem: &mut Umem) {
        // Only the kernel takes from this ring: had it run dry since the last time, it would be dry
        // now.
        self.may_have_dropped |= socket.fill.waiting() == 0;
        let before = self.with_kernel;
        while self.with_kernel < self.target {
            let Some(slot) = umem.pool_mut().take() else { break };
            match umem.give(slot) {
                Ok(address) if socket.fill.push(address) => self.with_kernel += 1,
                Ok(address) => {
                    let slot = umem.take(address);
                    slot.into_iter().for_each(|slot| umem.pool_mut().give(slot));
                    break;
                }
                Err(slot) => umem.pool_mut().give(slot),
            }
        }
        if self.with_kernel > before {
            socket.fill.publish();
        }
        if socket.fill.needs_wakeup() {
            socket.wake_rx();
        }
    }

    /// Whether the kernel has so few slots left that it should get more before what has arrived is
    /// handled; else there is time for that when the next burst is taken.
    pub(super) const fn is_low(&self) -> bool {
        self.with_kernel < self.target / 4 * 3
    }

    /// Moves what has arrived into `burst`, as far as it has room.
    #[inline]
    pub(super) fn fill(&mut self, socket: &mut Socket, umem: &mut Umem, burst: &mut RxBurst) {
        // When too many slots are held elsewhere, datagrams are copied, so that the kernel never
        // runs dry because of somebody who keeps what it got.
        let is_scarce = self.with_kernel < self.target / 2;
        let mut any = false;
        while !burst.is_full()
            && let Some(descriptor) = socket.rx.pop()
        {
            any = true;
            self.with_kernel = self.with_kernel.saturating_sub(1);
            umem.prefetch(descriptor.addr, descriptor.len);
            let Some(slot) = umem.take(descriptor.addr) else { continue };
            let range = umem.range(descriptor.addr, descriptor.len);
            let parsed = slot.bytes(range.clone()).ok_or(Foreign::Length);
            let parsed = parsed.and_then(|frame| parse_as(frame, self.is_proved));
            match take_in(slot, range.start, parsed, is_scarce, burst) {
                Taken::Lent => {}
                Taken::Copied(slot) => umem.pool_mut().give(slot),
                Taken::Foreign(slot) => {
                    self.foreign += 1;
                    umem.pool_mut().give(slot);
                }
            }
        }
        if any {
            socket.rx.release();
        }
    }

    /// Datagrams that the kernel dropped since the last call for want of slots, and frames that
    /// were damaged.
    pub(super) fn take_dropped(&mut self, socket: &Socket) -> u64 {
        let damaged = std::mem::take(&mut self.foreign);
        if !std::mem::take(&mut self.may_have_dropped) {
            return damaged;
        }
        let Ok(told) = socket.statistics() else { return damaged };
        // A card that finds no slot drops by itself; the kernel then counts only that.
        let dry = match self.copying {
            Copying::Zero => told.rx_fill_ring_empty_descs,
            Copying::Kernel => 0,
        };
        let dropped = told.rx_dropped + told.rx_ring_full + dry;
        let new = dropped.saturating_sub(self.dropped_seen);
        self.dropped_seen = dropped;
        damaged + new
    }
}

/// What became of a slot.
enum Taken {
    Lent,
    Copied(Slot),
    Foreign(Slot),
}

#[inline]
fn take_in(
    slot: Slot,
    start: usize,
    parsed: Result<Parsed, Foreign>,
    is_scarce: bool,
    burst: &mut RxBurst,
) -> Taken {
    let Ok(parsed) = parsed else { return Taken::Foreign(slot) };
    let payload = start + parsed.payload.start..start + parsed.payload.end;
    let from = parsed.from;
    if is_scarce || payload.len() > burst.slot_size() {
        let bytes = slot.bytes(payload).unwrap_or_default();
        return if burst.put(from, None, [bytes, &[]]) {
            Taken::Copied(slot)
        } else {
            Taken::Foreign(slot)
        };
    }
    let what = Received { from, stamp: None, truncated: false };
    match burst.lend(slot, payload, 0, what) {
        Ok(()) => Taken::Lent,
        Err(slot) => Taken::Foreign(slot),
    }
}
