//! Sending: payloads written straight into slots, headers in front of them, and a kick.

use super::checksum::Sum;
use super::headers::{Begun, Headers, ROOM};
use super::socket::Socket;
use super::umem::Umem;
use crate::slots::Slot;
use std::io;
use std::ops::Range;

/// Where in its slot a payload begins: behind the longest headers, at a good alignment.
const PAYLOAD: usize = 64;
/// Where the room for headers begins.
const START: usize = PAYLOAD - ROOM;
/// Errors about earlier packets that one flush steps over.
const ERRORS_MAX: u32 = 1024;

const _: () = assert!(ROOM <= PAYLOAD);

/// The slots to send from.
#[derive(Debug)]
pub(super) struct Sender {
    /// By index; the kernel only reads those that it has.
    slots: Vec<Slot>,
    /// The indices of those that it does not have.
    free: Vec<u32>,
    claimed: Option<Claim>,
    last: Option<Last>,
    /// The kernel's position in the transmit ring at the last flush.
    flushed: u32,
    refused: u64,
}

/// A slot that is being written: the headers are there.
#[derive(Debug)]
struct Claim {
    index: u32,
    len: usize,
    begun: Begun,
}

/// The frame that was committed last.
#[derive(Clone, Copy, Debug)]
struct Last {
    index: u32,
    len: usize,
    sum: Sum,
}

impl Sender {
    /// Takes `count` slots out of the pool, which must be untouched.
    pub(super) fn new(umem: &mut Umem, count: u32) -> Self {
        let slots: Vec<Slot> = (0..count).map_while(|_| umem.pool_mut().take()).collect();
        let in_order = slots.iter().zip(0..).all(|(slot, index)| slot.index() == index);
        assert!(in_order, "a pool gives its slots in order at first");
        let free = (0..count).rev().collect();
        Self { slots, free, claimed: None, last: None, flushed: 0, refused: 0 }
    }

    /// A slot for a payload of `len` bytes behind `headers`; `None` when the kernel has them all.
    pub(super) fn claim(
        &mut self,
        socket: &mut Socket,
        umem: &Umem,
        headers: &Headers,
        to_port: u16,
        len: usize,
    ) -> Option<&mut [u8]> {
        self.give_up_claim();
        if self.free.is_empty() {
            self.take_back(socket, umem);
        }
        let index = self.free.pop()?;
        if self.last.is_some_and(|last| last.index == index) {
            self.last = None;
        }
        let place = self.slots.get_mut(index as usize)?.bytes_mut(START..PAYLOAD + len)?;
        let (room, payload) = place.split_first_chunk_mut()?;
        let begun = headers.begin(room, to_port);
        self.claimed = Some(Claim { index, len, begun });
        Some(payload)
    }

    /// Forgets what was claimed and not committed.
    pub(super) fn give_up_claim(&mut self) {
        if let Some(claim) = self.claimed.take() {
            self.free.push(claim.index);
        }
    }

    /// Queues the first `len` bytes of what was claimed.
    ///
    /// # Panics
    /// Without a claim, or when `len` exceeds it.
    pub(super) fn commit(&mut self, socket: &mut Socket, umem: &Umem, len: usize) {
        let claim = self.claimed.take().filter(|claim| len <= claim.len);
        let Some(claim) = claim else { panic!("committed {len} bytes that were not claimed") };
        let index = claim.index;
        let bytes = self.slots[index as usize].bytes(payload(len));
        let sum = Sum::of(bytes.unwrap_or_default());
        let last = Last { index, len, sum };
        self.last = Some(last);
        self.queue(socket, umem, last, |_| claim.begun);
    }

    /// Queues a copy of what was committed last behind other headers: a frame is in flight once.
    /// False when there is none, or no room.
    pub(super) fn again(
        &mut self,
        socket: &mut Socket,
        umem: &Umem,
        headers: &Headers,
        to_port: u16,
    ) -> bool {
        self.give_up_claim();
        let Some(last) = self.last else { return false };
        if self.free.is_empty() {
            self.take_back(socket, umem);
        }
        let Some(index) = self.free.pop() else { return false };
        // The kernel may have given the slot back that holds the bytes: then they are there.
        if index != last.index {
            let pair = [last.index as usize, index as usize];
            let Ok([from, to]) = self.slots.get_disjoint_mut(pair) else { return false };
            let range = payload(last.len);
            if let (Some(from), Some(to)) = (from.bytes(range.clone()), to.bytes_mut(range)) {
                to.copy_from_slice(from);
            }
        }
        let last = Last { index, ..last };
        self.last = Some(last);
        self.queue(socket, umem, last, |room| headers.begin(room, to_port));
        true
    }

    /// The bytes that were committed last.
    pub(super) fn last(&self) -> Option<&[u8]> {
        let last = self.last?;
        self.slots.get(last.index as usize)?.bytes(payload(last.len))
    }

    /// Forgets what was committed last.
    pub(super) const fn forget_last(&mut self) {
        self.last = None;
    }

    /// Completes the headers in front of a payload and queues both.
    fn queue(
        &mut self,
        socket: &mut Socket,
        umem: &Umem,
        Last { index, len, sum }: Last,
        begin: impl FnOnce(&mut [u8; ROOM]) -> Begun,
    ) {
        let room = self.slots[index as usize].bytes_mut(START..PAYLOAD);
        let Some(room) = room.and_then(<[u8]>::first_chunk_mut) else { return };
        let begun = begin(room);
        begun.complete(room, len, sum);
        let frame_len = u32::try_from(begun.len() + len).unwrap_or(u32::MAX);
        let addr = umem.address(index, PAYLOAD - begun.len());
        // There are as many slots as entries of the ring, so there is room.
        let queued = socket.tx.push(libc::xdp_desc { addr, len: frame_len, options: 0 });
        assert!(queued, "more slots than room in the transmit ring");
    }

    /// Has the kernel send what is queued, as far as it can; returns how many it took.
    pub(super) fn flush(&mut self, socket: &mut Socket, umem: &Umem) -> io::Result<usize> {
        self.give_up_claim();
        socket.tx.publish();
        let (mut waiting, mut errors, mut lost) = (socket.tx.waiting(), 0, 0_usize);
        while waiting > 0 && socket.tx.needs_wakeup() {
            let result = socket.wake_tx();
            let before = std::mem::replace(&mut waiting, socket.tx.waiting());
            match result.map_err(|error| error.raw_os_error()) {
                // A copying kernel takes a few at a time. One that took none has no room, unless it
                // waits for completed slots to be taken back.
                Ok(()) | Err(Some(libc::EAGAIN | libc::ENOBUFS)) if waiting < before => {}
                Err(Some(libc::ENOBUFS | libc::EAGAIN)) if self.take_back(socket, umem) => {}
                Ok(()) | Err(Some(libc::EAGAIN | libc::ENOBUFS | libc::ENETDOWN)) => break,
                // The way out dropped one, and it is gone.
                Err(Some(libc::EBUSY)) if errors < ERRORS_MAX => {
                    errors += 1;
                    lost += 1;
                }
                Err(Some(libc::EINTR)) if errors < ERRORS_MAX => errors += 1,
                Err(Some(libc::EBUSY | libc::EINTR)) => break,
                Err(Some(code)) => return Err(io::Error::from_raw_os_error(code)),
                Err(None) => break,
            }
        }
        self.take_back(socket, umem);
        if waiting == 0 {
            self.last = None;
        }
        let consumed = socket.tx.consumed();
        let taken = consumed.wrapping_sub(std::mem::replace(&mut self.flushed, consumed));
        self.refused += lost as u64;
        Ok((taken as usize).saturating_sub(lost))
    }

    /// Takes slots back that the kernel has sent; whether there were any.
    fn take_back(&mut self, socket: &mut Socket, umem: &Umem) -> bool {
        let mut any = false;
        while let Some(address) = socket.completion.pop() {
            any = true;
            let index = umem.index(address);
            // Never more than there are slots, each once.
            self.free.extend(index.filter(|index| (*index as usize) < self.slots.len()));
        }
        if any {
            socket.completion.release();
        }
        any
    }

    /// Datagrams that the way out dropped since the last call.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

const fn payload(len: usize) -> Range<usize> {
    PAYLOAD..PAYLOAD + len
}
