//! Receiving: frames from the receive ring into a burst, without a copy.

use super::headers::{Foreign, Parsed, parse_as};
use super::socket::{Copying, Socket};
use super::umem::Umem;
use crate::link::RxBurst;
use crate::link::rx::Received;
use crate::slots::Slot;

/// Slots that are given to the kernel at once at least: it reads the same lines of memory.
const REFILL_MIN: u32 = 64;

/// Slots that a kernel which copies gets for a loop that looks all the time and finds little. It
/// fills them in turn, so they are as many as caches and page tables of both sides keep at hand: a
/// datagram gets there up to 0.2 µs sooner than through 2048.
pub(super) const STOCK_MIN: u32 = 256;
/// How many times the most that was found at once lies ready: for a loop that is away for longer
/// than it ever was.
const STOCK_SPARE: u32 = 4;
/// Looks that found something, after which the most that was found at once is found out anew.
const FINDS: u32 = 512;

/// What goes round between the rings and the bursts.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Slots that the kernel may have to receive into.
    target: u32,
    /// Slots that it shall have now.
    stock: u32,
    /// The most that waited when something was found, and how often that was.
    most: u32,
    finds: u32,
    /// Somebody sleeps until something comes: nobody knows how much it will be.
    is_awaited: bool,
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
            stock: target,
            most: 0,
            finds: 0,
            is_awaited: false,
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
        let lacks = self.stock.saturating_sub(self.with_kernel);
        if lacks >= REFILL_MIN.min(self.stock / 8) || socket.fill.needs_wakeup() {
            self.give(socket, umem);
        }
    }

    fn give(&mut self, socket: &mut Socket, umem: &mut Umem) {
        // Only the kernel takes from this ring: had it run dry since the last time, it would be dry
        // now.
        self.may_have_dropped |= socket.fill.waiting() == 0;
        let before = self.with_kernel;
        while self.with_kernel < self.stock {
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

    /// Has the kernel keep all the slots that it may have from now on.
    pub(super) const fn expect_sleep(&mut self) {
        self.is_awaited = true;
        self.stock = self.target;
    }

    /// Sees that `waiting` datagrams had come since the last look, and judges by that how many slots
    /// the kernel shall have.
    #[inline]
    fn find(&mut self, waiting: u32) {
        self.most = self.most.max(waiting);
        self.finds += 1;
        let wanted = self.most.saturating_mul(STOCK_SPARE).max(STOCK_MIN);
        if wanted > self.stock {
            self.stock = wanted.min(self.target);
        } else if self.finds >= FINDS {
            // A card that writes by itself keeps a ring of its own full out of these.
            let can_shrink = self.copying == Copying::Kernel && !self.is_awaited;
            self.stock = if can_shrink { wanted.min(self.target) } else { self.target };
            (self.most, self.finds) = (0, 0);
        }
    }

    /// Whether the kernel has so few slots left that it should get more before what has arrived is
    /// handled; else there is time for that when the next burst is taken.
    pub(super) const fn is_low(&self) -> bool {
        self.with_kernel < self.stock / 4 * 3
    }

    /// Moves what has arrived into `burst`, as far as it has room.
    #[inline]
    pub(super) fn fill(&mut self, socket: &mut Socket, umem: &mut Umem, burst: &mut RxBurst) {
        let (mut any, mut is_scarce) = (false, false);
        if socket.rx.waiting() == 0 && socket.rx.look() {
            // The kernel fills slots in the order in which it got them: where the first frame lies is
            // known before its descriptor has come from the other core.
            umem.prefetch_front(socket.fill.pushed(socket.rx.position()));
        }
        while !burst.is_full()
            && let Some(descriptor) = socket.rx.pop()
        {
            if !any {
                any = true;
                self.find(socket.rx.waiting() + 1);
                // When too many slots are held elsewhere, datagrams are copied, so that the kernel
                // never runs dry because of somebody who keeps what it got.
                is_scarce = self.with_kernel < self.stock / 2
                    && self.with_kernel as usize + umem.pool().free() < self.target as usize / 2;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u32 = 2048;

    /// What a receiver stocks after so many looks that found `waiting` each.
    fn stock_after(receiver: &mut Receiver, finds: u32, waiting: u32) -> u32 {
        (0..finds).for_each(|_| receiver.find(waiting));
        receiver.stock
    }

    #[test]
    fn a_loop_that_finds_little_at_once_uses_few_slots_and_more_when_more_comes() {
        let mut receiver = Receiver::new(ALL, Copying::Kernel, false);
        assert_eq!(receiver.stock, ALL, "before anything is known of the loop");
        assert_eq!(stock_after(&mut receiver, FINDS, 1), STOCK_MIN);
        assert_eq!(stock_after(&mut receiver, 1, 200), 200 * STOCK_SPARE);
        assert_eq!(stock_after(&mut receiver, 1, STOCK_MIN * 2), ALL);
        assert_eq!(stock_after(&mut receiver, FINDS - 2, 1), ALL, "it was so a moment ago");
        assert_eq!(stock_after(&mut receiver, FINDS, 1), STOCK_MIN);
    }

    #[test]
    fn a_loop_that_sleeps_and_a_card_that_writes_by_itself_keep_all_slots() {
        let mut receiver = Receiver::new(ALL, Copying::Kernel, false);
        stock_after(&mut receiver, FINDS, 1);
        receiver.expect_sleep();
        assert_eq!(stock_after(&mut receiver, 3 * FINDS, 1), ALL);
        let mut receiver = Receiver::new(ALL, Copying::Zero, false);
        assert_eq!(stock_after(&mut receiver, 3 * FINDS, 1), ALL);
    }

    #[test]
    fn a_small_link_never_stocks_more_than_it_may() {
        let mut receiver = Receiver::new(32, Copying::Kernel, false);
        assert_eq!(stock_after(&mut receiver, 3 * FINDS, 1), 32);
        assert_eq!(stock_after(&mut receiver, 1, 1000), 32);
    }
}
