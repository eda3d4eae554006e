//! What happens next: a heap of moments, ties broken by order of scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use syncom_seam::{Exit, Time, Timer};
use syncom_wire::{Addr, Boot, PeerId};

/// A datagram under way: opened frames and who sealed them.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: Addr,
    pub(crate) peer: PeerId,
    pub(crate) boot: Boot,
    pub(crate) bytes: std::rc::Rc<[u8]>,
}

/// Something that is going to happen to a member. `life` voids what was meant for an earlier life.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Deliver { to: usize, datagram: Datagram },
    Timer { member: usize, life: u32, timer: Timer },
    DiskSynced { member: usize, life: u32 },
    ChildEnded { member: usize, life: u32, token: u64, exit: Exit },
    Start { member: usize },
    Resume { member: usize, life: u32 },
    Fault(crate::fault::Fault),
    Client,
    Askers,
}

/// The heap. Events of the same moment come in the order in which they were scheduled.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    heap: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slab: Vec<Option<Happening>>,
    free: Vec<usize>,
    scheduled: u64,
}

impl Schedule {
    pub(crate) fn at(&mut self, at: Time, what: Happening) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() - 1
        });
        self.slab[index] = Some(what);
        self.scheduled += 1;
        self.heap.push(Reverse((at, self.scheduled, index)));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Happening)> {
        let Reverse((at, _, index)) = self.heap.pop()?;
        self.free.push(index);
        self.slab[index].take().map(|what| (at, what))
    }

    pub(crate) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }
}
