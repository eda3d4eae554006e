//! A port: a link with a seal and counters. What is common to hosts and endpoints.

use crate::clock::Clock;
use crate::counters::Counters;
use crate::link::{Datagram, Link};
use crate::seal::{Opened, SealError, Sealer};
use std::io;
use syncom_seam::{Counter, Origin};
use syncom_wire::limits::{DATAGRAM_MAX, MTU};
use syncom_wire::{
    Addr, Brief, Emit, Fixed as _, Frame, FrameHeader, Frames, Header, Overflow, Writer, frame,
};

/// Bytes of frames in a datagram that the network need not fragment.
const BODY_MTU: usize = MTU - Header::OVERHEAD;
/// Bytes of frames in the largest datagram.
const BODY_MAX: usize = DATAGRAM_MAX - Header::OVERHEAD;
/// Frames above this size travel alone, encoded where the link wants them; smaller ones to the
/// same address are gathered first.
const GATHER_MAX: usize = BODY_MTU / 2;

/// A link, the seal of the member that speaks through it, and what is counted about both.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) link: Box<dyn Link>,
    pub(crate) sealer: Sealer,
    pub(crate) counters: Counters,
}

impl Port {
    /// Opens a received datagram that has the whole header; counts it, or why it is refused.
    pub(crate) fn open<'a>(
        &mut self,
        datagram: Datagram<'a>,
        clock: &Clock,
    ) -> Option<(Origin, &'a [u8])> {
        let (origin, opened) = self.prove(datagram, clock)?;
        if opened.is_brief {
            self.counters.add(Counter::DropMalformed, 1);
            return None;
        }
        Some((origin, opened.body))
    }

    /// Opens a received datagram into its frames; counts it, or why it is refused.
    pub(crate) fn open_frames<'a>(
        &mut self,
        datagram: Datagram<'a>,
        clock: &Clock,
    ) -> Option<(Origin, Frames<'a>)> {
        let (origin, opened) = self.prove(datagram, clock)?;
        Some((origin, opened.frames()))
    }

    fn prove<'a>(&mut self, datagram: Datagram<'a>, clock: &Clock) -> Option<(Origin, Opened<'a>)> {
        let (addr, heard, len) = (datagram.from, clock.heard(datagram.stamp), datagram.bytes.len());
        if datagram.truncated {
            self.counters.add(Counter::DropOversize, 1);
            return None;
        }
        match self.sealer.open(datagram.bytes, clock.now()) {
            Ok(opened) => {
                self.counters.add(Counter::RxDatagrams, 1);
                self.counters.add(Counter::RxBytes, len as u64);
                let origin = Origin { peer: opened.peer, boot: opened.boot, addr, heard };
                Some((origin, opened))
            }
            Err(reason) => {
                self.counters.add(reason, 1);
                None
            }
        }
    }

    /// The next datagram that came back, read into `room` and proved to be our own: where it went, and
    /// its frames. `Ok(None)` when there is none.
    ///
    /// # Errors
    /// When one was no datagram of ours, or was not quoted as a whole; it is counted.
    pub(crate) fn returned<'a>(
        &mut self,
        room: &'a mut [u8],
    ) -> Result<Option<(Addr, Frames<'a>)>, Counter> {
        let Some((to, len)) = self.link.returned(room) else { return Ok(None) };
        let opened = room.get_mut(..len).and_then(|datagram| self.sealer.open_own(datagram));
        let counter = if opened.is_some() { Counter::Returned } else { Counter::DropReturned };
        self.counters.add(counter, 1);
        opened.map(|opened| Some((to, opened.frames()))).ok_or(counter)
    }

    /// So many frames were read, and whether the rest was void.
    pub(crate) fn count_frames(&self, count: u64, is_void: bool) {
        self.counters.add(Counter::RxFrames, count);
        self.counters.add(Counter::DropMalformed, is_void.into());
    }

    /// The next frame of an opened datagram; counts it, or that the rest is void.
    pub(crate) fn next_frame<'a>(&self, frames: &mut Frames<'a>) -> Option<Frame<'a>> {
        match frames.next()? {
            Ok(frame) => {
                self.counters.add(Counter::RxFrames, 1);
                Some(frame)
            }
            Err(_) => {
                self.counters.add(Counter::DropMalformed, 1);
                None
            }
        }
    }

    /// Sends one frame to `to`: at once into a slot of the link, or gathered with others.
    ///
    /// # Errors
    /// [`Overflow`] when the frame fits no datagram; it is counted and nothing is sent.
    pub(crate) fn send<E: Emit>(
        &mut self,
        gather: &mut Gather,
        to: Addr,
        frame: &E,
    ) -> Result<(), Overflow> {
        let size = FrameHeader::SIZE + frame.size();
        let sent = if size > GATHER_MAX {
            gather.close(self, to);
            self.transmit(to, size, |body| frame::emit(frame, body)).map(|_| ())
        } else {
            gather.push(self, to, size, frame)
        };
        self.counters.add(if sent.is_ok() { Counter::TxFrames } else { Counter::TxOversize }, 1);
        sent
    }

    /// Sends one frame to many, encoded and sealed once.
    pub(crate) fn send_all<E: Emit>(&mut self, to: &[Addr], frame: &E) {
        let mut rest = to;
        while let Some((first, others)) = rest.split_first() {
            let Ok(sent) = self.transmit_alone(*first, frame) else {
                self.counters.add(Counter::TxOversize, 1);
                return;
            };
            self.counters.add(Counter::TxFrames, 1);
            rest = others;
            while let (Some(len), Some((next, others))) = (sent, rest.split_first())
                && self.link.tx_again(*next)
            {
                self.counters.add(Counter::TxFrames, 1);
                self.count_queued(len);
                rest = others;
            }
        }
    }

    /// Sends a frame in a datagram of its own, under the short header if that is how it goes.
    fn transmit_alone<E: Emit>(&mut self, to: Addr, frame: &E) -> Result<Option<usize>, Overflow> {
        if E::IS_BRIEF {
            let write = |body: &mut [u8]| {
                let mut writer = Writer::new(body);
                frame.emit(&mut writer).map(|()| writer.written())
            };
            self.fill(to, Brief::SIZE, frame.size(), write, Sealer::seal_brief)
        } else {
            let size = FrameHeader::SIZE + frame.size();
            self.transmit(to, size, |body| frame::emit(frame, body))
        }
    }

    /// Claims a slot, has its body written, seals it and queues it. Returns the datagram's length;
    /// `None` when the link had no room and the datagram is lost, as datagrams may be.
    pub(crate) fn transmit(
        &mut self,
        to: Addr,
        body_max: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, Overflow>,
    ) -> Result<Option<usize>, Overflow> {
        self.fill(to, Header::SIZE, body_max, write, |sealer, slot, len| {
            sealer.seal(slot, len, None)
        })
    }

    /// The same, behind `image_len` bytes for a header.
    #[inline]
    fn fill(
        &mut self,
        to: Addr,
        image_len: usize,
        body_max: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, Overflow>,
        seal: impl FnOnce(&mut Sealer, &mut [u8], usize) -> Result<usize, SealError>,
    ) -> Result<Option<usize>, Overflow> {
        if body_max > BODY_MAX {
            return Err(Overflow);
        }
        let Some(slot) = claim(&mut *self.link, to, image_len + body_max + Header::TAG) else {
            self.counters.add(Counter::TxDropped, 1);
            return Ok(None);
        };
        let body_len = write(slot.get_mut(image_len..image_len + body_max).ok_or(Overflow)?)?;
        let Ok(len) = seal(&mut self.sealer, slot, body_len) else {
            self.counters.add(Counter::TxDropped, 1);
            return Ok(None);
        };
        self.link.tx_commit(len);
        self.count_queued(len);
        Ok(Some(len))
    }

    /// Queues a datagram whose body lies elsewhere in two parts: sealed into a slot without being
    /// copied first, where that is faster. False when it is lost for want of room.
    #[inline]
    pub(crate) fn transmit_parts(&mut self, to: Addr, parts: [&[u8]; 2]) -> bool {
        let len = parts[0].len() + parts[1].len() + Header::OVERHEAD;
        let sealed = claim(&mut *self.link, to, len)
            .and_then(|slot| self.sealer.seal_parts(slot, parts, None).ok());
        let Some(len) = sealed else {
            self.counters.add(Counter::TxDropped, 1);
            return false;
        };
        self.link.tx_commit(len);
        self.count_queued(len);
        true
    }

    fn count_queued(&self, len: usize) {
        self.counters.add(Counter::TxDatagrams, 1);
        self.counters.add(Counter::TxBytes, len as u64);
    }

    /// Hands everything queued to the network, and counts what network and kernel have lost.
    ///
    /// # Errors
    /// When the link is of no use any more.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.link.tx_flush()?;
        self.counters.add(Counter::TxRefused, self.link.refused());
        self.counters.add(Counter::RxOverflow, self.link.overflow());
        Ok(())
    }
}

/// A slot of the link, which may flush to make room.
#[inline]
fn claim(link: &mut dyn Link, to: Addr, len: usize) -> Option<&mut [u8]> {
    if link.tx_claim(to, len).is_none() {
        // A link that is of no use any more says so when it is flushed at the end of the burst.
        let _ = link.tx_flush();
    }
    link.tx_claim(to, len)
}

/// Datagrams being gathered, one per address: small frames of a burst share them.
#[derive(Debug)]
pub(crate) struct Gather {
    open: Box<[Open]>,
    /// Which one makes room next.
    hand: usize,
}

#[derive(Clone, Debug)]
struct Open {
    to: Addr,
    len: usize,
    body: [u8; BODY_MTU],
}

impl Gather {
    /// Addresses gathered for at the same time; a further one closes the oldest.
    const ADDRESSES: usize = 16;

    pub(crate) fn new() -> Self {
        let empty = Open { to: Addr::NONE, len: 0, body: [0; BODY_MTU] };
        Self { open: vec![empty; Self::ADDRESSES].into_boxed_slice(), hand: 0 }
    }

    fn push<E: Emit>(
        &mut self,
        port: &mut Port,
        to: Addr,
        size: usize,
        frame: &E,
    ) -> Result<(), Overflow> {
        let at = self.find(to).unwrap_or_else(|| self.make_room(port));
        let open = &mut self.open[at];
        open.to = to;
        if open.len + size > BODY_MTU {
            open.close(port);
        }
        open.len += frame::emit(frame, &mut open.body[open.len..])?;
        Ok(())
    }

    fn find(&self, to: Addr) -> Option<usize> {
        self.open.iter().position(|open| open.len > 0 && open.to == to)
    }

    fn make_room(&mut self, port: &mut Port) -> usize {
        let at = self.open.iter().position(|open| open.len == 0).unwrap_or_else(|| {
            self.hand = (self.hand + 1) % self.open.len();
            self.hand
        });
        self.open[at].close(port);
        at
    }

    /// Sends off what is gathered for one address.
    fn close(&mut self, port: &mut Port, to: Addr) {
        if let Some(at) = self.find(to) {
            self.open[at].close(port);
        }
    }

    /// Sends off everything.
    pub(crate) fn close_all(&mut self, port: &mut Port) {
        for open in &mut self.open {
            open.close(port);
        }
    }

    /// Forgets everything: its member is gone.
    pub(crate) fn discard(&mut self) {
        for open in &mut self.open {
            open.len = 0;
        }
    }
}

impl Open {
    fn close(&mut self, port: &mut Port) {
        let len = std::mem::take(&mut self.len);
        if len > 0 {
            let body = &self.body[..len];
            let sent = port.transmit(self.to, len, |room| {
                room.copy_from_slice(body);
                Ok(len)
            });
            debug_assert!(sent.is_ok(), "a gathered body fits a datagram");
        }
    }
}
