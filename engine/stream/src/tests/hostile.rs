//! Authenticated peers that send anything at all.

use super::net::{addr, peer};
use crate::{Config, Key, Streams};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::vec::Vec;
use syncom_seam::{Action, Counter, MS, Origin, Outbox, Recorder, SECOND, Time};
use syncom_wire::limits::MESSAGE_MAX;
use syncom_wire::stream::{
    Gap, StreamData, StreamDataHead, StreamNak, StreamNakHead, StreamReset, StreamStatus,
};
use syncom_wire::{Boot, Frame, List};

fn origin(boot: u64) -> Origin {
    Origin { peer: peer(1), boot: Boot(boot), addr: addr(1), heard: Time(0) }
}

fn head(lane: u8, session: u64, position: u64) -> StreamDataHead {
    StreamDataHead {
        lane: lane.into(),
        first: StreamDataHead::NO_START,
        session,
        position,
        oldest: 0,
        stamp_us: 1,
        pace: 0,
    }
}

/// Lets `streams` hear a whole message of one byte on a new stream.
pub(super) fn offer<O: Outbox>(streams: &mut Streams, lane: u8, now: Time, out: &mut O) {
    let data = StreamData { head: head(lane, 1, 0), payload: &[1, 0, 0, 0, 9] };
    streams.on_frame(now, &origin(1), &Frame::StreamData(data), out);
}

/// A stream frame of any content, mostly near enough to the truth to get past the first check.
#[derive(Clone, Debug)]
enum Any {
    Data(StreamDataHead, Vec<u8>),
    Nak(u8, u64, Vec<(u64, u32)>),
    Status(u8, u64, u64, u32, u32),
    Reset(u8, u64, u8),
}

fn position() -> impl Strategy<Value = u64> {
    let rim = MESSAGE_MAX as u64 + 64 * 1024;
    prop_oneof![0..40_u64, 0..3000_u64, rim - 3000..rim + 3000, any::<u64>(), Just(u64::MAX)]
}

fn frames() -> impl Strategy<Value = Vec<(u64, u64, Any)>> {
    let (lane, session) = (
        || prop_oneof![0..3_u8, any::<u8>()],
        || prop_oneof![0..3_u64, Just(SECOND), Just(SECOND + 1)],
    );
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..40),
        (1..StreamData::PAYLOAD_MAX).prop_map(|len| std::vec![0; len]),
        Just(std::vec![255; 8]),
    ];
    let data =
        (lane(), session(), position(), prop_oneof![Just(0), position()], any::<u32>(), bytes);
    let any_frame = prop_oneof![
        4 => data.prop_map(|(lane, session, position, oldest, noise, bytes)| {
            let oldest = oldest.min(position);
            let head = StreamDataHead { oldest, stamp_us: noise, pace: noise, ..head(lane, session, position) };
            Any::Data(head, bytes)
        }),
        2 => (lane(), session(), vec((position(), any::<u32>()), 0..64))
            .prop_map(|(lane, session, gaps)| Any::Nak(lane, session, gaps)),
        2 => (lane(), session(), position(), any::<u32>(), any::<u32>())
            .prop_map(|(lane, session, next, window, echo)| Any::Status(lane, session, next, window, echo)),
        1 => (lane(), session(), 0..2_u8).prop_map(|(l, s, side)| Any::Reset(l, s, side)),
    ];
    vec((0..200 * MS, 1..4_u64, any_frame), 1..120)
}

fn hear(streams: &mut Streams, now: Time, boot: u64, frame: &Any, out: &mut Recorder) {
    let from = origin(boot);
    match frame {
        Any::Data(head, payload) => {
            let data = StreamData { head: *head, payload };
            streams.on_frame(now, &from, &Frame::StreamData(data), out);
        }
        Any::Nak(lane, session, gaps) => {
            let gaps: Vec<_> =
                gaps.iter().map(|(position, len)| Gap { position: *position, len: *len }).collect();
            let head = StreamNakHead { lane: (*lane).into(), reserved: 0, session: *session };
            let nak = StreamNak { head, gaps: List::new(&gaps) };
            streams.on_frame(now, &from, &Frame::StreamNak(nak), out);
        }
        &Any::Status(lane, session, next, window, echo_us) => {
            let status = StreamStatus {
                lane: lane.into(),
                tag: 0,
                session,
                next,
                window,
                ahead: window,
                echo_us,
            };
            streams.on_frame(now, &from, &Frame::StreamStatus(status), out);
        }
        &Any::Reset(lane, session, from_sender) => {
            let reset =
                StreamReset { lane: lane.into(), from_sender, reserved: 0, session, position: 0 };
            streams.on_frame(now, &from, &Frame::StreamReset(reset), out);
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(192))]
    #[test]
    fn no_frame_panics_and_memory_stays_bounded(frames in frames()) {
        let config = Config { streams_max: 4, ..Config::default() };
        let bound = 8 * (3 * config.receive_buffer_max + 8192);
        let (mut streams, mut out) = (Streams::new(config), Recorder::default());
        let keys = [0, 1].map(|lane| streams.connect(peer(1), addr(1), lane).unwrap());
        let (mut now, mut buffer, mut timers) = (Time(SECOND), Vec::new(), Vec::new());
        for key in keys {
            let _ = streams.send_bytes(now, key, b"begins", &mut out);
        }
        for (pause, boot, frame) in &frames {
            now = now.after(*pause);
            for key in keys {
                let _ = streams.send_bytes(now, key, &[1; 3000], &mut out);
            }
            hear(&mut streams, now, *boot, frame, &mut out);
            if pause % 3 == 0 {
                while streams.take(&mut buffer).is_some() {
                    assert!(buffer.len() <= MESSAGE_MAX);
                }
                streams.on_burst_end(now, &mut out);
            }
            for action in out.take() {
                if let Action::Arm(timer, at) = action {
                    timers.push((at, timer));
                }
            }
            for (_, timer) in timers.extract_if(.., |timer| timer.0 <= now) {
                assert!(streams.on_timer(now, timer, &mut out));
            }
            assert!(streams.allocated() <= bound, "{} bytes", streams.allocated());
        }
    }
}

#[test]
fn a_storm_of_naks_costs_at_most_a_window_per_round_trip() {
    let config = Config::default();
    let window = config.in_flight_max / StreamData::PAYLOAD_MAX + 1;
    let (mut streams, mut out) = (Streams::new(config), Recorder::default());
    let key: Key = streams.connect(peer(1), addr(1), 0).unwrap();
    let now = Time(SECOND);
    streams.send_bytes(now, key, &[1; 500_000], &mut out).unwrap();
    let sent = usize::try_from(out.counter(Counter::StreamSent)).unwrap();
    assert!(sent <= window, "{sent} fragments in flight");
    for _ in 0..1000 {
        let frame = Any::Nak(0, SECOND, std::vec![(0, u32::MAX); StreamNak::GAPS_MAX]);
        hear(&mut streams, now, 1, &frame, &mut out);
    }
    let resent = usize::try_from(out.counter(Counter::StreamResent)).unwrap();
    assert!((1..=2 * window).contains(&resent), "{resent} fragments resent");
}

#[test]
fn a_window_of_any_size_does_not_exceed_our_own_bound() {
    let config = Config::default();
    let window = config.in_flight_max / StreamData::PAYLOAD_MAX + 1;
    let (mut streams, mut out) = (Streams::new(config), Recorder::default());
    let key = streams.connect(peer(1), addr(1), 0).unwrap();
    hear(&mut streams, Time(1), 1, &Any::Status(0, 1, 0, u32::MAX, 0), &mut out);
    streams.send_bytes(Time(1), key, &[1; 900_000], &mut out).unwrap();
    assert!(usize::try_from(out.counter(Counter::StreamSent)).unwrap() <= window);
}
