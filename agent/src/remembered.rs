//! The orders that an agent remembers: what it executed, and what came of it.
//!
//! Memory is bounded twice: by the number of orders and by the bytes of their outputs. The oldest
//! finished order makes room, acknowledged ones first; what still runs is never forgotten.

use alloc::vec::Vec;
use syncom_seam::Time;
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::limits::{ORDERS_REMEMBERED_MAX, OUTPUT_MAX};
use syncom_wire::{Addr, OrderId};

/// Bytes of output remembered over all orders: room for the outputs of all that can run at once.
const OUTPUTS_MAX: usize = syncom_seam::limits::ORDERS_RUNNING_MAX * OUTPUT_MAX;

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its command runs.
    Running {
        /// The child.
        token: u64,
    },
    /// It waits for a service to stop.
    Waiting,
    /// It is done.
    Finished {
        /// Exit code.
        code: i32,
        /// Bytes of the whole output.
        output_total: u64,
        /// How long it took, in µs.
        took_us: u64,
    },
}

/// One order that was executed.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) id: OrderId,
    pub(crate) progress: Progress,
    /// The kept part of the output.
    pub(crate) output: Vec<u8>,
    pub(crate) started: Time,
    /// When its command is ended by force.
    pub(crate) ends: Time,
    /// Where the answer goes.
    pub(crate) reply_to: Addr,
    /// When to answer again, if nobody says that the answer arrived.
    pub(crate) next: Time,
    pub(crate) repeats: u32,
    pub(crate) acked: bool,
}

impl Remembered {
    /// An order that begins now.
    pub(crate) const fn new(id: OrderId, started: Time, ends: Time, reply_to: Addr) -> Self {
        Self {
            id,
            progress: Progress::Waiting,
            output: Vec::new(),
            started,
            ends,
            reply_to,
            next: Time(0),
            repeats: 0,
            acked: false,
        }
    }

    /// Whether it has its result.
    pub(crate) const fn is_finished(&self) -> bool {
        matches!(self.progress, Progress::Finished { .. })
    }
}

/// All orders that are remembered, oldest first.
#[derive(Debug)]
pub(crate) struct Memory {
    orders: BoundedQueue<Remembered>,
    /// Bytes of all outputs.
    bytes: usize,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { orders: BoundedQueue::new(ORDERS_REMEMBERED_MAX), bytes: 0 }
    }

    pub(crate) fn get_mut(&mut self, id: OrderId) -> Option<&mut Remembered> {
        self.orders.iter_mut().find(|one| one.id == id)
    }

    pub(crate) fn find(&self, is_it: impl Fn(&Remembered) -> bool) -> Option<OrderId> {
        self.orders.iter().find(|one| is_it(one)).map(|one| one.id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Remembered> {
        self.orders.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Remembered> {
        self.orders.iter_mut()
    }

    /// How many are not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.orders.iter().filter(|one| !one.is_finished()).count()
    }

    /// Remembers one more. There is always room: fewer can be unfinished than are remembered.
    pub(crate) fn keep(&mut self, one: Remembered) {
        if self.orders.is_full() {
            let finished = || self.orders.iter().filter(|one| one.is_finished());
            let oldest = finished().find(|one| one.acked).or_else(|| finished().next());
            if let Some(id) = oldest.map(|one| one.id) {
                self.bytes -= self.get_mut(id).map_or(0, |one| one.output.len());
                self.orders.retain(|one| one.id != id);
            }
        }
        let kept = self.orders.push(one);
        debug_assert!(kept.is_ok(), "fewer orders run than are remembered");
    }

    /// Notes the result of an order, unless it has one. Outputs of others are dropped when there
    /// are too many bytes of them: acknowledged ones first, then the oldest.
    pub(crate) fn finish(&mut self, id: OrderId, now: Time, code: i32, output: &[u8], total: u64) {
        let output = output.get(..OUTPUT_MAX).unwrap_or(output);
        for acked_only in [true, false] {
            for one in self.orders.iter_mut().filter(|one| one.acked || !acked_only) {
                if self.bytes + output.len() > OUTPUTS_MAX {
                    self.bytes -= one.output.len();
                    one.output = Vec::new();
                }
            }
        }
        let Some(one) = self.get_mut(id).filter(|one| !one.is_finished()) else { return };
        let took_us = now.since(one.started) / 1_000;
        one.progress =
            Progress::Finished { code, output_total: total.max(output.len() as u64), took_us };
        one.output = output.into();
        one.repeats = 0;
        self.bytes += output.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn finished(memory: &mut Memory, id: u64, bytes: usize) {
        memory.keep(Remembered::new(OrderId(id), Time(0), Time(1), Addr::NONE));
        memory.finish(OrderId(id), Time(1), 0, &vec![7; bytes], bytes as u64);
    }

    #[test]
    fn what_runs_is_never_forgotten() {
        let mut memory = Memory::new();
        memory.keep(Remembered::new(OrderId(0), Time(0), Time(1), Addr::NONE));
        for id in 1..1_000 {
            finished(&mut memory, id, 1);
        }
        assert!(memory.get_mut(OrderId(0)).is_some());
        assert_eq!(memory.iter().count(), ORDERS_REMEMBERED_MAX);
        assert_eq!(memory.bytes, ORDERS_REMEMBERED_MAX - 1);
    }

    #[test]
    fn an_acknowledged_order_is_forgotten_first() {
        let mut memory = Memory::new();
        for id in 0..ORDERS_REMEMBERED_MAX as u64 {
            finished(&mut memory, id, 1);
        }
        memory.get_mut(OrderId(9)).unwrap().acked = true;
        finished(&mut memory, 1_000, 1);
        assert!(memory.get_mut(OrderId(9)).is_none() && memory.get_mut(OrderId(0)).is_some());
    }

    #[test]
    fn outputs_stay_within_their_bytes_and_results_stay_whole() {
        let mut memory = Memory::new();
        for id in 0..100 {
            finished(&mut memory, id, OUTPUT_MAX);
            assert!(memory.bytes <= OUTPUTS_MAX);
            assert_eq!(memory.get_mut(OrderId(id)).unwrap().output.len(), OUTPUT_MAX);
        }
        assert!(memory.iter().all(Remembered::is_finished));
        assert_eq!(memory.bytes, memory.iter().map(|one| one.output.len()).sum::<usize>());
    }
}
