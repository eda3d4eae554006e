//! What arrives at a channel.

use super::{Channel, ChannelError, Event, PublicationId};
use std::ops::Range;
use syncom_seam::{Counter, Origin, Time};
use syncom_stream::{Post as _, Source, Taken};
use syncom_wire::stream::StreamData;
use syncom_wire::{Fixed as _, Frame, FrameHeader, Frames, Header, Kind, Parse as _, Reader};

/// A payload that is being read: which datagram, which bytes of it, and whose.
#[derive(Debug)]
pub(super) struct Reading {
    image: usize,
    datagram: usize,
    range: Range<usize>,
}

impl Channel {
    /// One duty cycle: hands up to `limit` messages that have arrived to `on_message`, in order,
    /// each with the stream that it is of; sends what is to be sent; returns how many messages
    /// there were. 0 means that there is nothing to do: wait as you like.
    ///
    /// The bytes are lent for the call, from where the kernel wrote them.
    ///
    /// # Errors
    /// [`ChannelError::Io`] when the link is of no use any more.
    pub fn poll(
        &mut self,
        limit: usize,
        mut on_message: impl FnMut(&Source, &[u8]),
    ) -> Result<usize, ChannelError> {
        let mut left = limit;
        self.deliver(&mut left, &mut on_message);
        if left > 0 {
            self.turn()?;
            self.deliver(&mut left, &mut on_message);
        }
        self.wire.port.counters.add(Counter::StreamDelivered, (limit - left) as u64);
        Ok(limit - left)
    }

    /// Sends what is due and asks the link for the next burst. The present one was read.
    fn turn(&mut self) -> Result<(), ChannelError> {
        let now = self.clock.tick().at;
        for image in self.images.iter_mut() {
            self.status_due = self.status_due.min(image.on_burst_end(now));
            let copied = image.take_copied();
            if copied > 0 {
                self.wire.port.counters.add(Counter::StreamCopiedIn, copied);
            }
        }
        if self.status_due <= now {
            self.tell(now);
        }
        for publication in &mut self.publications {
            if publication.deadline() <= now {
                publication.on_deadline(now, &mut self.wire);
            }
            publication.transmit(now, true, &mut self.wire);
        }
        self.look_for_laggards();
        if self.wire.port.link.tx_pending() > 0 {
            self.wire.port.flush()?;
        }
        self.next = 0;
        self.wire.port.link.advance(now);
        self.wire.port.link.rx_burst(&mut self.burst)?;
        Ok(())
    }

    /// Sends what is nearly due, because this is a good moment.
    #[cold]
    pub(super) fn tell_early(&mut self, now: Time) -> Result<(), ChannelError> {
        for image in self.images.iter_mut() {
            image.hasten(now, Self::STATUS_EARLY_NS);
        }
        self.tell(now);
        Ok(self.wire.port.flush()?)
    }

    /// Sends the statuses and requests that are due.
    fn tell(&mut self, now: Time) {
        self.status_due = Time::NEVER;
        for image in self.images.iter_mut() {
            if image.due() <= now {
                image.flush(now, self.rng.next_u64(), &mut self.wire);
            }
            self.status_due = self.status_due.min(image.due());
        }
    }

    /// Reads on where the last call stopped, then datagram by datagram.
    fn deliver(&mut self, left: &mut usize, on_message: &mut impl FnMut(&Source, &[u8])) {
        loop {
            self.read_on(left, on_message);
            if *left == 0 || !self.take_datagram() {
                return;
            }
        }
    }

    /// Reads the payload at hand, then what it has made continuous.
    #[inline]
    fn read_on(&mut self, left: &mut usize, on_message: &mut impl FnMut(&Source, &[u8])) {
        if let Some(mut reading) = self.reading.take() {
            let index = reading.image;
            let Some(image) = self.images.get_mut(index) else { return };
            let source = image.source();
            let piece = self.burst.bytes(reading.datagram);
            let piece = piece.and_then(|bytes| bytes.get(reading.range.clone()));
            let piece = piece.unwrap_or_default();
            match image.read(piece, left, &mut |message| on_message(&source, message)) {
                Ok(taken) if taken < piece.len() => {
                    reading.range.start += taken;
                    self.reading = Some(reading);
                    return;
                }
                Ok(_) => {}
                Err(_) => return self.forget(index),
            }
            self.look_at_end(index);
        }
        let Some(index) = self.kept.take() else { return };
        let Some(image) = self.images.get_mut(index) else { return };
        let source = image.source();
        if image.read_kept(left, &mut |message| on_message(&source, message)).is_err() {
            self.forget(index);
        } else if image.has_kept() {
            self.kept = Some(index);
        } else {
            self.look_at_end(index);
        }
    }

    /// Opens the next datagram of the burst and takes what it says. False when there is none.
    #[inline]
    pub(super) fn take_datagram(&mut self) -> bool {
        let index = self.next;
        let Some(datagram) = self.burst.datagram(index) else { return false };
        self.next += 1;
        let Some((from, body)) = self.wire.port.open(datagram, &self.clock) else { return true };
        if let Ok((header, inner)) = FrameHeader::split(body)
            && header.kind == Kind::StreamData as u8
            && header.version == 1
            && let Ok(data) = StreamData::parse(&mut Reader::new(inner))
        {
            let now = self.clock.now().at;
            let at = self.images.of(now, &from, &data.head, &mut self.events);
            let Some((at, image)) = at else { return true };
            match image.on_data(now, from.addr, &data.head, data.payload) {
                Taken::InPlace(skip) => {
                    let end = Header::SIZE + FrameHeader::SIZE + inner.len();
                    let start = end - data.payload.len() + skip;
                    self.reading = Some(Reading { image: at, datagram: index, range: start..end });
                }
                Taken::Kept => self.kept = Some(at),
            }
            if image.has_missed() {
                self.tell_missed(at);
            }
            return true;
        }
        let len = body.len();
        self.take_control(index, len, &from);
        true
    }

    /// What receivers say to our publications, and what senders say about an end.
    #[cold]
    fn take_control(&mut self, index: usize, len: usize, from: &Origin) {
        let now = self.clock.now().at;
        let bytes = self.burst.bytes(index).unwrap_or_default();
        let body = bytes.get(Header::SIZE..Header::SIZE + len).unwrap_or_default();
        for frame in Frames::new(body) {
            let Ok(frame) = frame else {
                self.wire.port.counters.add(Counter::DropMalformed, 1);
                return;
            };
            let session = match &frame {
                Frame::StreamStatus(status) => status.session,
                Frame::StreamNak(nak) => nak.head.session,
                Frame::StreamReset(reset) if reset.from_sender == 0 => reset.session,
                Frame::StreamReset(reset) => {
                    self.images.on_end(now, from, reset);
                    continue;
                }
                _ => continue,
            };
            let of = self.publications.iter().position(|other| other.session() == session);
            let Some(at) = of else { continue };
            let publication = &mut self.publications[at];
            match &frame {
                Frame::StreamStatus(status) if publication.on_status(now, from, status) => {
                    let _ = self.events.push(Event::Heard(PublicationId(at)));
                }
                Frame::StreamNak(nak) => publication.on_nak(now, from, nak, &mut self.wire),
                Frame::StreamReset(reset) => publication.on_done(now, from, reset),
                _ => {}
            }
        }
        for at in 0..self.images.len() {
            self.look_at_end(at);
        }
    }

    /// Says that part of a stream is lost here.
    #[cold]
    fn tell_missed(&mut self, at: usize) {
        if let Some(image) = self.images.get_mut(at)
            && let Some((from, to)) = image.take_missed()
        {
            self.wire.port.counters.add(Counter::StreamMissed, to - from);
            let _ = self.events.push(Event::Missed(image.source(), from, to));
        }
    }

    /// Says whether receivers of our publications fell behind.
    fn look_for_laggards(&mut self) {
        for (at, publication) in self.publications.iter_mut().enumerate() {
            let laggards = publication.take_laggards();
            if laggards > 0 {
                self.wire.port.counters.add(Counter::StreamLaggards, laggards);
                let _ = self.events.push(Event::Behind(PublicationId(at)));
            }
        }
    }

    /// Says once that a stream has ended.
    fn look_at_end(&mut self, at: usize) {
        if let Some(image) = self.images.get_mut(at)
            && image.take_ended()
        {
            let _ = self.events.push(Event::Ended(image.source()));
        }
    }

    /// Forgets a stream that makes no sense.
    #[cold]
    fn forget(&mut self, at: usize) {
        if let Some(image) = self.images.remove(at) {
            self.wire.port.counters.add(Counter::StreamResets, 1);
            self.wire.post(image.addr(), &image.done());
            let _ = self.events.push(Event::Lost(image.source()));
        }
        (self.kept, self.reading) = (None, None);
    }
}
