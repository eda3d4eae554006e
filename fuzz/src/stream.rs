//! Streams that hear anything from peers who are authentic and mad.

use crate::reached::Reached;
use crate::script::Script;
use syncom_seam::{Action, Counter, Origin, Recorder, SECOND, Time, Timer};
use syncom_stream::{Config, Delivery, Key, Streams, TIMER};
use syncom_wire::limits::MESSAGE_MAX;
use syncom_wire::stream::{
    Gap, StreamData, StreamDataHead, StreamNak, StreamNakHead, StreamReset, StreamStatus,
};
use syncom_wire::{Addr, Boot, Frame, List, PeerId};

/// Steps of one script.
const STEPS_MAX: usize = 256;
/// Timers that may be armed and not yet due: more would be a leak.
const TIMERS_MAX: usize = STEPS_MAX;
/// Bytes that one frame or timer may make us send on all four streams: two windows of 256 KB each.
const ANSWER_MAX: usize = 8 * 300 * 1024;

/// Any sequence of stream frames, sends, pauses and bursts.
///
/// # Panics
/// When a message is too long, an answer out of proportion, or an index out of place.
pub fn stream(data: &[u8]) {
    let _ = play_stream(data);
}

/// The same, and what was reached.
pub fn play_stream(data: &[u8]) -> Reached {
    let mut script = Script::new(data);
    let mut room = Room::new();
    for _ in 0..STEPS_MAX {
        if script.is_done() {
            break;
        }
        room.step(&mut script);
        room.settle();
    }
    let mut reached = Reached::default();
    Counter::ALL.iter().for_each(|counter| reached.note(*counter, room.out.counter(*counter)));
    reached
}

struct Room {
    streams: Streams,
    keys: Vec<Key>,
    now: Time,
    out: Recorder,
    timers: Vec<(Time, Timer)>,
    buffer: Vec<u8>,
}

impl Room {
    fn new() -> Self {
        let config = Config { streams_max: 4, ..Config::default() };
        let mut streams = Streams::new(config);
        let keys = (0..4_u8).filter_map(|n| streams.connect(peer(n / 2), addr(n / 2), n % 2).ok());
        Self {
            keys: keys.collect(),
            streams,
            now: Time(SECOND),
            out: Recorder::default(),
            timers: Vec::new(),
            buffer: Vec::new(),
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0 => self.now = self.now.after(script.pause()),
            1 => {
                let key = self.keys[script.below(self.keys.len())];
                let len = [0, 1, 3000, 70_000, MESSAGE_MAX, MESSAGE_MAX + 1][script.below(6)];
                let _ = self.streams.send_bytes(self.now, key, &vec![7; len], &mut self.out);
            }
            2 => self.take(script.below(4)),
            3 if script.byte() == 0 => {
                self.streams.close(peer(script.byte() % 3), &mut self.out);
            }
            _ => self.hear(script),
        }
    }

    /// Lets the streams hear one frame.
    fn hear(&mut self, script: &mut Script<'_>) {
        let who = script.byte();
        let from = Origin {
            peer: peer(who % 3),
            boot: Boot(u64::from(who / 3 % 3)),
            addr: addr(who % 3),
            heard: self.now,
        };
        let (lane, session) = (u16::from(script.byte() % 10), script.number());
        match script.byte() % 4 {
            0 | 1 => self.hear_data(lane, session, &from, script),
            2 => {
                let gaps: Vec<Gap> = (0..script.below(8))
                    .map(|_| Gap { position: script.number(), len: script.number_u32() })
                    .collect();
                let head = StreamNakHead { lane, reserved: 0, session };
                let nak = StreamNak { head, gaps: List::new(&gaps) };
                self.on_frame(&from, &Frame::StreamNak(nak));
            }
            _ => {
                let (next, window) = (script.number(), script.number_u32());
                if window & 1 == 0 {
                    let echo_us = script.number_u32();
                    let status = StreamStatus {
                        lane,
                        tag: 0,
                        session,
                        next,
                        window,
                        ahead: window,
                        echo_us,
                    };
                    self.on_frame(&from, &Frame::StreamStatus(status));
                } else {
                    let from_sender = script.byte() % 2;
                    let reset =
                        StreamReset { lane, from_sender, reserved: 0, session, position: next };
                    self.on_frame(&from, &Frame::StreamReset(reset));
                }
            }
        }
    }

    fn hear_data(&mut self, lane: u16, session: u64, from: &Origin, script: &mut Script<'_>) {
        let position = script.number();
        let oldest = script.number().min(position);
        let noise = script.number_u32();
        let head = StreamDataHead {
            lane,
            first: StreamDataHead::NO_START,
            session,
            position,
            oldest,
            stamp_us: noise,
            pace: noise,
        };
        let len = [8, 40, StreamData::PAYLOAD_MAX][script.below(3)];
        let mut payload = script.bytes(len.min(40)).to_vec();
        payload.resize(len, 0);
        self.on_frame(from, &Frame::StreamData(StreamData { head, payload: &payload }));
    }

    fn on_frame(&mut self, from: &Origin, frame: &Frame<'_>) {
        assert!(self.streams.on_frame(self.now, from, frame, &mut self.out));
    }

    fn take(&mut self, count: usize) {
        for _ in 0..count {
            match self.streams.take(&mut self.buffer) {
                Some(Delivery::Message(_)) => assert!(self.buffer.len() <= MESSAGE_MAX),
                Some(Delivery::Reset(..) | Delivery::Writable(_)) | None => {}
            }
        }
        self.streams.on_burst_end(self.now, &mut self.out);
    }

    /// Fires what is due and looks at what was asked for.
    fn settle(&mut self) {
        self.collect();
        let now = self.now;
        let due: Vec<_> = self.timers.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, timer) in due {
            assert_eq!(timer.kind, TIMER);
            assert!(self.streams.on_timer(self.now, timer, &mut self.out));
            self.collect();
        }
    }

    fn collect(&mut self) {
        let mut sent = 0;
        for action in self.out.take() {
            match action {
                Action::Arm(timer, at) => self.timers.push((at, timer)),
                Action::Send(_, bytes) => {
                    assert!(!bytes.is_empty(), "a frame that cannot be written");
                    sent += bytes.len();
                }
                Action::Persist(_) | Action::Spawn(_) | Action::Kill(..) | Action::Notify(_) => {}
            }
        }
        assert!(sent <= ANSWER_MAX, "one step sends {sent} bytes");
        assert!(self.timers.len() <= TIMERS_MAX, "timers pile up");
    }
}

fn peer(n: u8) -> PeerId {
    PeerId::satellite(u16::from(n) + 1)
}

fn addr(n: u8) -> Addr {
    Addr::v4([10, 0, 0, n], 4000)
}
