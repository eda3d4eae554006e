//! A publication, its images and a network between them, in virtual time: a bottleneck that sends
//! so many bytes per second from a queue of fixed length, and a way that takes its time and loses.

use crate::{Flow, Image, ImageConfig, Phase, Post, Publication, PublicationConfig, Source, Taken};
use std::collections::BTreeMap;
use std::vec::Vec;
use syncom_seam::{Counter, Origin, Rng, SECOND, Time};
use syncom_wire::frame::{self, Frame, Frames};
use syncom_wire::{Addr, Boot, Emit, FrameHeader, Header, PeerId};

const SPEAKER: Addr = Addr::v4([10, 0, 0, 1], 1);

/// What the way between them is like.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) bytes_per_s: u64,
    /// Bytes that wait at the bottleneck; what comes on top is lost.
    pub(super) queue: u64,
    /// One way.
    pub(super) delay_ns: u64,
    pub(super) jitter_ns: u64,
    pub(super) loss_per_mille: u64,
}

/// Where frames go: to whom, and what.
#[derive(Default)]
struct Outgoing {
    frames: Vec<(Addr, Vec<u8>)>,
    counts: BTreeMap<Counter, u64>,
}

impl Post for Outgoing {
    fn post<E: Emit>(&mut self, to: Addr, frame: &E) -> bool {
        let mut bytes = std::vec![0; frame.size() + FrameHeader::SIZE];
        frame::emit(frame, &mut bytes).unwrap();
        self.frames.push((to, bytes));
        true
    }

    fn count(&mut self, counter: Counter, by: u64) {
        *self.counts.entry(counter).or_default() += by;
    }
}

/// One receiver.
pub(super) struct Reader {
    pub(super) image: Option<Image>,
    pub(super) config: ImageConfig,
    /// Numbers of the messages that were read.
    pub(super) heard: Vec<u64>,
    /// Until when it neither hears nor says anything.
    pub(super) stopped_until: Time,
    pub(super) naks: u64,
    /// What it was told that it has missed.
    pub(super) missed: Vec<(u64, u64)>,
    boot: Boot,
}

/// All of it.
pub(super) struct Course {
    pub(super) now: Time,
    pub(super) speaker: Publication,
    pub(super) readers: Vec<Reader>,
    pub(super) way: Way,
    pub(super) rng: Rng,
    /// Messages offered and taken.
    pub(super) sent: u64,
    pub(super) resent: u64,
    /// Datagrams for which the queue had no room.
    pub(super) lost: u64,
    /// So many datagrams are lost next, before anybody gets them.
    pub(super) lose: u64,
    size: usize,
    /// When the bottleneck has sent all that waits there.
    busy_until: Time,
    under_way: BTreeMap<(Time, u64), (Addr, Vec<u8>)>,
    sequence: u64,
}

impl Course {
    pub(super) fn new(way: Way, config: PublicationConfig, readers: usize, size: usize) -> Self {
        let image = ImageConfig { window: config.window, ..ImageConfig::default() };
        let reader = || Reader {
            image: None,
            config: ImageConfig { is_one_of_many: readers > 1, ..image.clone() },
            heard: Vec::new(),
            stopped_until: Time(0),
            naks: 0,
            missed: Vec::new(),
            boot: Boot(1),
        };
        Self {
            now: Time(SECOND),
            speaker: Publication::new(config, 5),
            readers: (0..readers).map(|_| reader()).collect(),
            way,
            rng: Rng::new(9),
            sent: 0,
            resent: 0,
            lost: 0,
            lose: 0,
            size,
            busy_until: Time(0),
            under_way: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub(super) fn config(mtu: usize, window: usize, flow: Option<Flow>) -> PublicationConfig {
        let to = if flow.is_some() { group() } else { address(0) };
        PublicationConfig { flow, ..PublicationConfig::new(1, to, mtu, window) }
    }

    /// Lets time pass until `until`, offering messages as long as they are taken.
    pub(super) fn run(&mut self, until: Time, offers: bool) {
        while self.now < until && !(self.speaker.phase() == Phase::Ended && self.is_silent()) {
            if offers {
                self.offer();
            }
            self.turn();
            let next = self.under_way.keys().next().map_or(Time::NEVER, |key| key.0);
            let due = self.readers.iter().filter_map(|reader| Some(reader.image.as_ref()?.due()));
            let due = due.min().unwrap_or(Time::NEVER).min(self.speaker.deadline());
            // A reader that is stopped, or reads slowly, looks again in a while.
            let step = next.min(due).max(self.now.after(1_000));
            self.now = step.min(self.now.after(1_000_000)).min(until);
        }
    }

    fn is_silent(&self) -> bool {
        self.under_way.is_empty()
    }

    fn offer(&mut self) {
        self.offer_some(usize::MAX);
    }

    /// Offers up to so many messages, as long as they are taken.
    pub(super) fn offer_some(&mut self, count: usize) {
        let mut message = std::vec![7; self.size];
        for _ in 0..count {
            message[..8].copy_from_slice(&self.sent.to_le_bytes());
            if self.speaker.offer(&message).is_err() {
                return;
            }
            self.sent += 1;
        }
    }

    fn turn(&mut self) {
        let mut out = Outgoing::default();
        if self.speaker.deadline() <= self.now {
            self.speaker.on_deadline(self.now, &mut out);
        }
        self.speaker.transmit(self.now, true, &mut out);
        self.resent += out.counts.get(&Counter::StreamResent).copied().unwrap_or(0);
        self.send(out, true);
        while let Some(entry) = self.under_way.first_entry()
            && entry.key().0 <= self.now
        {
            let (to, bytes) = entry.remove();
            if to == SPEAKER { self.speaker_hears(&bytes) } else { self.reader_hears(to, &bytes) }
        }
        for at in 0..self.readers.len() {
            self.read(at);
        }
    }

    /// Puts frames under way; through the bottleneck in one direction.
    fn send(&mut self, out: Outgoing, is_forth: bool) {
        for (to, bytes) in out.frames {
            let len = (bytes.len() + Header::OVERHEAD) as u64;
            let mut at = self.now;
            if is_forth {
                let waiting = self.busy_until.since(self.now) * self.way.bytes_per_s / SECOND;
                if waiting + len > self.way.queue || self.lose > 0 {
                    self.lose = self.lose.saturating_sub(1);
                    self.lost += 1;
                    continue;
                }
                let start = self.busy_until.max(self.now);
                self.busy_until = start.after(len * SECOND / self.way.bytes_per_s);
                at = self.busy_until;
            }
            let readers = if to == group() { self.readers.len() } else { 1 };
            for reader in 0..readers {
                if self.rng.chance(self.way.loss_per_mille, 1_000) {
                    continue;
                }
                let jitter = self.rng.below(self.way.jitter_ns + 1);
                let to = if to == group() { address(reader) } else { to };
                self.sequence += 1;
                let moment = at.after(self.way.delay_ns + jitter);
                self.under_way.insert((moment, self.sequence), (to, bytes.clone()));
            }
        }
    }

    fn speaker_hears(&mut self, bytes: &[u8]) {
        // The first two bytes say which reader speaks.
        let (reader, bytes) = bytes.split_first_chunk().unwrap();
        let reader = u16::from_le_bytes(*reader);
        let from = Origin {
            peer: PeerId::client(u64::from(reader)),
            boot: self.readers[usize::from(reader)].boot,
            addr: address(usize::from(reader)),
            heard: self.now,
        };
        let mut out = Outgoing::default();
        for frame in Frames::new(bytes) {
            match frame.unwrap() {
                Frame::StreamStatus(status) => {
                    self.speaker.on_status(self.now, &from, &status);
                }
                Frame::StreamNak(nak) => self.speaker.on_nak(self.now, &from, &nak, &mut out),
                Frame::StreamReset(reset) => self.speaker.on_done(self.now, &from, &reset),
                other => panic!("{other:?}"),
            }
        }
        self.resent += out.counts.get(&Counter::StreamResent).copied().unwrap_or(0);
        self.send(out, true);
    }

    fn reader_hears(&mut self, to: Addr, bytes: &[u8]) {
        let reader = &mut self.readers[usize::from(to.port) - 100];
        if reader.stopped_until > self.now {
            return;
        }
        let now = self.now;
        match Frames::new(bytes).next().unwrap().unwrap() {
            Frame::StreamData(data) => {
                let session = data.head.session;
                let (peer, boot, lane) = (PeerId::client(99), Boot(1), data.head.lane);
                let source = Source { peer, boot, lane, session };
                if reader.image.is_none() {
                    reader.image = Image::join(&reader.config, source, SPEAKER, now, &data.head);
                }
                let Some(image) = &mut reader.image else { return };
                let heard = &mut reader.heard;
                let mut left = usize::MAX;
                let mut look = |message: &[u8]| {
                    heard.push(u64::from_le_bytes(message[..8].try_into().unwrap()));
                };
                let taken = image.on_data(now, SPEAKER, &data.head, data.payload);
                reader.missed.extend(image.take_missed());
                match taken {
                    Taken::InPlace(skip) => {
                        let piece = &data.payload[skip..];
                        assert_eq!(image.read(piece, &mut left, &mut look), Ok(piece.len()));
                    }
                    Taken::Kept => image.read_kept(&mut left, &mut look).unwrap(),
                }
            }
            Frame::StreamReset(reset) => {
                if let Some(image) = &mut reader.image {
                    image.on_end(now, reset.position);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// The end of a reader's burst.
    fn read(&mut self, at: usize) {
        let (now, chance) = (self.now, self.rng.next_u64());
        let reader = &mut self.readers[at];
        let Some(image) = &mut reader.image else { return };
        if reader.stopped_until > now || image.on_burst_end(now) > now {
            return;
        }
        let mut out = Outgoing::default();
        image.flush(now, chance, &mut out);
        reader.naks += out.counts.get(&Counter::StreamNaks).copied().unwrap_or(0);
        for (_, bytes) in &mut out.frames {
            bytes.splice(..0, u16::try_from(at).unwrap().to_le_bytes());
        }
        self.send(out, false);
    }
}

fn address(reader: usize) -> Addr {
    Addr::v4([10, 0, 0, 2], 100 + u16::try_from(reader).unwrap())
}

fn group() -> Addr {
    Addr::v4([239, 1, 2, 3], 99)
}
