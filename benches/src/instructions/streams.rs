//! Both ends of a channel's stream, without the datagrams around its fragments.

use super::{Done, Path};
use syncom_seam::{Counter, Origin, SECOND, Time};
use syncom_stream::{
    Control, Image, ImageConfig, Post, Publication, PublicationConfig, Source, Taken,
};
use syncom_wire::ids::mix;
use syncom_wire::stream::{Gap, StreamNak, StreamNakHead, StreamStatus};
use syncom_wire::{Addr, Boot, Emit, Frame, FrameHeader, Frames, List, PeerId, frame};

const NOW: Time = Time(SECOND);
const TO: Addr = Addr::v4([10, 0, 0, 9], 9);
const MTU: usize = 1408;
const WINDOW: usize = 4 << 20;
const SESSION: u64 = 7;
/// Messages of a walk: some bursts.
const MESSAGES: u64 = 10_000;

pub(super) fn paths() -> Vec<Path> {
    vec![
        out("stream: message of 64 B out", 64),
        out("stream: message of 1024 B out", 1024),
        arriving("stream: message of 64 B in", 64),
        arriving("stream: message of 1024 B in", 1024),
        repairing(),
    ]
}

/// Keeps fragments as they would lie in datagrams; when it is told not to, writes them all to the
/// same place.
struct Wire {
    keeps: bool,
    kept: Vec<Vec<u8>>,
    place: Vec<u8>,
    bytes: u64,
}

impl Wire {
    fn new(keeps: bool) -> Self {
        Self { keeps, kept: Vec::new(), place: vec![0; MTU], bytes: 0 }
    }
}

impl Post for Wire {
    fn post<E: Emit>(&mut self, _: Addr, item: &E) -> bool {
        let written = frame::emit(item, &mut self.place).unwrap_or(0);
        self.bytes += written as u64;
        if self.keeps {
            self.kept.push(self.place[..written].to_vec());
        }
        true
    }

    fn count(&mut self, _: Counter, _: u64) {}
}

fn publication() -> Publication {
    let config = PublicationConfig::new(1, TO, MTU, WINDOW);
    Publication::new(PublicationConfig { control: Control::Static, ..config }, SESSION)
}

fn receiver() -> Origin {
    Origin { peer: PeerId::client(1), boot: Boot(1), addr: TO, heard: NOW }
}

/// The receiver has everything up to `next`.
fn status(next: u64) -> StreamStatus {
    let window = u32::try_from(WINDOW).unwrap_or(u32::MAX);
    StreamStatus { lane: 1, tag: 0, session: SESSION, next, window, ahead: 0, echo_us: 0 }
}

/// Offers a walk's messages, cutting bursts whenever one is full; all of it arrives.
fn offer(publication: &mut Publication, message: &mut [u8], wire: &mut Wire) {
    for number in 0..MESSAGES {
        if let Some(front) = message.first_chunk_mut() {
            *front = number.to_le_bytes();
        }
        let taken = publication.offer(message);
        debug_assert!(taken.is_ok(), "less than a window is under way");
        if publication.has_burst() {
            publication.transmit(NOW, false, wire);
        }
        if publication.position() - publication.acknowledged() > WINDOW as u64 / 8 {
            acknowledge(publication, wire);
        }
    }
    acknowledge(publication, wire);
}

/// Sends the rest, and hears that all of it has arrived.
fn acknowledge(publication: &mut Publication, wire: &mut Wire) {
    publication.transmit(NOW, true, wire);
    publication.on_status(NOW, &receiver(), &status(publication.position()));
}

fn out(name: &'static str, size: usize) -> Path {
    let (mut publication, mut message, mut wire) = (publication(), vec![7; size], Wire::new(false));
    publication.on_status(NOW, &receiver(), &status(0));
    Path::new(name, move || {
        offer(&mut publication, &mut message, &mut wire);
        Done { operations: MESSAGES, hash: mix(publication.acknowledged() ^ wire.bytes) }
    })
}

/// The fragments of two walks are made beforehand.
fn arriving(name: &'static str, size: usize) -> Path {
    let (mut publication, mut message) = (publication(), vec![7; size]);
    publication.on_status(NOW, &receiver(), &status(0));
    let mut walks = [(); 2].map(|()| {
        let mut wire = Wire::new(true);
        offer(&mut publication, &mut message, &mut wire);
        wire.kept
    });
    let mut image = None;
    let mut turn = 0;
    Path::new(name, move || {
        let fragments = std::mem::take(&mut walks[turn % 2]);
        turn += 1;
        let (mut heard, mut hash) = (0, 0);
        for fragment in &fragments {
            read(&mut image, fragment, &mut |message| {
                heard += 1;
                let front = message.first_chunk().copied().map_or(0, u64::from_le_bytes);
                hash = mix(hash ^ front);
            });
        }
        Done { operations: heard, hash }
    })
}

fn read(image: &mut Option<Image>, fragment: &[u8], on_message: &mut impl FnMut(&[u8])) {
    let Some(Ok(Frame::StreamData(data))) = Frames::new(fragment).next() else { return };
    if image.is_none() {
        let config = ImageConfig { window: WINDOW, ..ImageConfig::default() };
        let (peer, boot) = (PeerId::client(2), Boot(1));
        let source = Source { peer, boot, lane: 1, session: SESSION };
        *image = Image::join(&config, source, TO, NOW, &data.head);
    }
    let Some(image) = image else { return };
    let mut left = usize::MAX;
    let read = match image.on_data(NOW, TO, &data.head, data.payload) {
        Taken::InPlace(skip) => {
            image.read(data.payload.get(skip..).unwrap_or_default(), &mut left, on_message)
        }
        Taken::Kept => image.read_kept(&mut left, on_message).map(|()| 0),
    };
    debug_assert!(read.is_ok(), "the line is whole");
}

/// Requests for a datagram each: what a lossy network makes of the sending end.
fn repairing() -> Path {
    const NAKS: u64 = 200;
    let (mut publication, mut wire) = (publication(), Wire::new(false));
    let message = [7; 64];
    publication.on_status(NOW, &receiver(), &status(0));
    while publication.offer(&message).is_ok() {}
    publication.transmit(NOW, true, &mut wire);
    Path::new("stream: fragment asked for and repeated", move || {
        for number in 0..NAKS {
            let head = StreamNakHead { lane: 1, reserved: 0, session: SESSION };
            let fragment = MTU - FrameHeader::SIZE;
            let position = mix(number) % (WINDOW - fragment) as u64;
            let gaps = [Gap { position, len: 1200 }];
            let nak = StreamNak { head, gaps: List::new(&gaps) };
            publication.on_nak(NOW, &receiver(), &nak, &mut wire);
        }
        Done { operations: NAKS, hash: mix(wire.bytes) }
    })
}
