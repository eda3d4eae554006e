//! Both ends of a channel's stream, with a network between them that does anything, and peers who
//! are authentic and mad.

use crate::reached::Reached;
use crate::script::Script;
use syncom_seam::{Counter, Origin, SECOND, Time};
use syncom_stream::{Image, ImageConfig, Post, Publication, PublicationConfig, Source, Taken};
use syncom_wire::stream::{
    Gap, StreamData, StreamDataHead, StreamNak, StreamNakHead, StreamReset, StreamStatus,
};
use syncom_wire::{Addr, Boot, Emit, Frame, FrameHeader, Frames, List, PeerId, frame};

/// Steps of one script.
const STEPS_MAX: usize = 256;
/// Bytes under way at most.
const WINDOW: usize = 32 * 1024;
/// Bytes of a datagram.
const MTU: usize = 1408;
/// Longest message that is taken.
const MESSAGE_MAX: usize = 100_000;
/// Bytes that one step may make an end send: a window of repairs, one of news, and little else.
const ANSWER_MAX: usize = 4 * WINDOW;
/// Frames under way that the network remembers.
const UNDER_WAY_MAX: usize = 256;

const ADDR: Addr = Addr::v4([10, 0, 0, 1], 4000);
const SESSION: u64 = 7;

/// Any sequence of offers, losses, repetitions, overlaps and lies.
///
/// # Panics
/// When a message comes out that was not put in, or twice, or out of order, though nobody lied; or
/// when an answer is out of proportion.
pub fn channel(data: &[u8]) {
    let _ = play_channel(data);
}

/// The same, and what was reached.
pub fn play_channel(data: &[u8]) -> Reached {
    let mut script = Script::new(data);
    let mut room = Room::new();
    for _ in 0..STEPS_MAX {
        if script.is_done() {
            break;
        }
        room.step(&mut script);
        assert!(room.out.bytes <= ANSWER_MAX, "one step sends {} bytes", room.out.bytes);
        room.out.bytes = 0;
    }
    Reached { set_ups: room.set_ups, ..room.out.reached }
}

/// Frames on their way, oldest first.
#[derive(Default)]
struct Way {
    frames: Vec<Vec<u8>>,
    bytes: usize,
    reached: Reached,
}

impl Post for Way {
    fn post<E: Emit>(&mut self, _: Addr, emit: &E) -> bool {
        let mut bytes = vec![0; emit.size() + FrameHeader::SIZE];
        assert!(frame::emit(emit, &mut bytes).is_ok(), "a frame that cannot be written");
        self.bytes += bytes.len();
        if self.frames.len() < UNDER_WAY_MAX {
            self.frames.push(bytes);
        }
        true
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.reached.note(counter, by);
    }
}

struct Room {
    speaker: Publication,
    image: Option<Image>,
    now: Time,
    out: Way,
    /// Messages taken and read.
    sent: u32,
    heard: u32,
    /// Somebody lied: what is read need not be what was sent.
    is_forged: bool,
    /// Streams that began to be followed.
    set_ups: u64,
}

impl Room {
    fn new() -> Self {
        Self {
            speaker: Publication::new(PublicationConfig::new(1, ADDR, MTU, WINDOW), SESSION),
            image: None,
            now: Time(SECOND),
            out: Way::default(),
            sent: 0,
            heard: 0,
            is_forged: false,
            set_ups: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 10 {
            0 => {
                self.now = self.now.after(script.pause());
                self.speaker.on_deadline(self.now, &mut self.out);
            }
            1 | 2 => self.offer(script),
            3 => {
                let all = script.byte().is_multiple_of(2);
                self.speaker.transmit(self.now, all, &mut self.out);
            }
            4 | 5 => self.pass(script),
            6 => {
                let lost = script.below(self.out.frames.len() + 1);
                self.out.frames.drain(..lost);
            }
            7 => self.burst_end(script),
            8 => self.lie_to_speaker(script),
            _ => self.lie_to_image(script),
        }
    }

    /// A message whose content follows from its number.
    fn offer(&mut self, script: &mut Script<'_>) {
        let len = [0, 4, 64, 1000, 1312, 1400, 9000, 70_000][script.below(8)];
        let message = message(self.sent, len);
        if self.speaker.offer(&message).is_ok() {
            self.sent += 1;
        }
    }

    /// One of the frames under way arrives, and stays under way perhaps.
    fn pass(&mut self, script: &mut Script<'_>) {
        if self.out.frames.is_empty() {
            return;
        }
        let at = script.below(self.out.frames.len());
        let stays = script.byte().is_multiple_of(4);
        let bytes = if stays { self.out.frames[at].clone() } else { self.out.frames.remove(at) };
        self.arrive(&bytes, script);
    }

    fn arrive(&mut self, bytes: &[u8], script: &mut Script<'_>) {
        let from = origin(1, 1);
        match Frames::new(bytes).next() {
            Some(Ok(Frame::StreamData(data))) => {
                self.hear(&data.head, data.payload, script.below(5));
            }
            Some(Ok(Frame::StreamStatus(status))) => {
                self.speaker.on_status(self.now, &from, &status);
            }
            Some(Ok(Frame::StreamNak(nak))) => {
                self.speaker.on_nak(self.now, &from, &nak, &mut self.out);
            }
            Some(Ok(Frame::StreamReset(reset))) if reset.from_sender == 1 => {
                if let Some(image) = &mut self.image {
                    image.on_end(self.now, reset.position);
                }
            }
            Some(Ok(Frame::StreamReset(reset))) => self.speaker.on_done(self.now, &from, &reset),
            other => panic!("a frame that cannot be read: {other:?}"),
        }
    }

    /// The image hears a fragment, and reads it a few messages at a time.
    fn hear(&mut self, head: &StreamDataHead, payload: &[u8], limit: usize) {
        let config =
            ImageConfig { window: WINDOW, message_max: MESSAGE_MAX, ..ImageConfig::default() };
        let source =
            Source { peer: PeerId::client(9), boot: Boot(1), lane: 1, session: head.session };
        if self.image.is_none() {
            self.image = Image::join(&config, source, ADDR, self.now, head);
            self.set_ups += u64::from(self.image.is_some());
            self.is_forged |= self.image.as_ref().is_some_and(|image| image.position() != 0);
        }
        let Some(image) = &mut self.image else { return };
        let (heard, is_forged) = (&mut self.heard, self.is_forged);
        let mut look = |bytes: &[u8]| {
            assert!(bytes.len() <= MESSAGE_MAX);
            assert!(is_forged || bytes == message(*heard, bytes.len()), "message {heard}");
            *heard += 1;
        };
        let mut left = usize::MAX;
        let read = match image.on_data(self.now, ADDR, head, payload) {
            Taken::Kept => image.read_kept(&mut left, &mut look),
            Taken::InPlace(skip) => {
                let mut rest = &payload[skip..];
                loop {
                    left = limit + 1;
                    match image.read(rest, &mut left, &mut look) {
                        Ok(taken) if taken < rest.len() => rest = &rest[taken..],
                        Ok(_) => break Ok(()),
                        Err(broken) => break Err(broken),
                    }
                }
            }
        };
        assert!(is_forged || self.heard <= self.sent, "more is heard than was said");
        if read.is_err() {
            assert!(is_forged, "a true line is broken");
            self.image = None;
        }
    }

    fn burst_end(&mut self, script: &mut Script<'_>) {
        if let Some(image) = &mut self.image {
            image.on_burst_end(self.now);
            image.flush(self.now, script.number(), &mut self.out);
        }
        if script.byte() == 0 {
            self.speaker.end(self.now);
        }
    }

    fn lie_to_speaker(&mut self, script: &mut Script<'_>) {
        let from = origin(script.byte() % 3, script.byte() % 3);
        let session = if script.byte() < 200 { SESSION } else { script.number() };
        // What is acknowledged falsely is let go of.
        self.is_forged = true;
        match script.byte() % 3 {
            0 => {
                let status = StreamStatus {
                    lane: 1,
                    tag: script.byte().into(),
                    session,
                    next: script.number(),
                    window: script.number_u32(),
                    ahead: script.number_u32(),
                    echo_us: script.number_u32(),
                };
                let before = self.speaker.acknowledged();
                if can_come(&status) {
                    self.speaker.on_status(self.now, &from, &status);
                }
                assert!((before..=self.speaker.position()).contains(&self.speaker.acknowledged()));
            }
            1 => {
                let gap = |script: &mut Script<'_>| Gap {
                    position: script.number(),
                    len: script.number_u32(),
                };
                let gaps: Vec<_> = (0..script.byte() % 64).map(|_| gap(script)).collect();
                let head = StreamNakHead { lane: 1, reserved: 0, session };
                let nak = StreamNak { head, gaps: List::new(&gaps) };
                if can_come(&nak) {
                    self.speaker.on_nak(self.now, &from, &nak, &mut self.out);
                }
            }
            _ => {
                let position = script.number();
                let reset = StreamReset { lane: 1, from_sender: 0, reserved: 0, session, position };
                if can_come(&reset) {
                    self.speaker.on_done(self.now, &from, &reset);
                }
            }
        }
    }

    fn lie_to_image(&mut self, script: &mut Script<'_>) {
        self.is_forged = true;
        let position = script.number();
        let head = StreamDataHead {
            lane: 1,
            first: [0, 1, 100, StreamDataHead::NO_START][script.below(4)],
            session: SESSION,
            position,
            oldest: script.number().min(position),
            stamp_us: script.number_u32(),
            pace: script.number_u32(),
        };
        let len = [0, 3, 8, 1316, 60_000][script.below(5)];
        let mut payload = script.bytes(len.min(20)).to_vec();
        payload.resize(len, 0);
        if can_come(&StreamData { head, payload: &payload }) {
            self.hear(&head, &payload, script.below(5));
        }
    }
}

/// Whether a frame survives the parser, so that somebody can send it.
fn can_come<E: Emit>(frame: &E) -> bool {
    let mut bytes = vec![0; frame.size() + FrameHeader::SIZE];
    frame::emit(frame, &mut bytes).is_ok() && Frames::new(&bytes).all(|frame| frame.is_ok())
}

/// Message number `n` of that length.
fn message(n: u32, len: usize) -> Vec<u8> {
    let seed = n.wrapping_mul(31).to_le_bytes();
    (0..len).map(|at| seed[at % 4] ^ at.to_le_bytes()[0]).collect()
}

fn origin(peer: u8, boot: u8) -> Origin {
    let (peer, boot) = (PeerId::client(peer.into()), Boot(boot.into()));
    Origin { peer, boot, addr: ADDR, heard: Time(0) }
}
