//! What a hostile peer can do to a channel: nothing that is not bounded.

use crate::{Broken, Image, ImageConfig, Post, Publication, PublicationConfig, Source, Taken};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::vec::Vec;
use syncom_seam::{Counter, MS, Origin, SECOND, Time};
use syncom_wire::stream::{
    Gap, StreamDataHead, StreamNak, StreamNakHead, StreamReset, StreamStatus,
};
use syncom_wire::{Addr, Boot, Emit, List, PeerId};

const WINDOW: usize = 64 * 1024;
const MTU: usize = 1408;

/// Counts what is sent.
#[derive(Default)]
struct Scale {
    frames: usize,
    bytes: usize,
}

impl Post for Scale {
    fn post<E: Emit>(&mut self, _: Addr, frame: &E) -> bool {
        self.frames += 1;
        self.bytes += frame.size();
        true
    }

    fn count(&mut self, _: Counter, _: u64) {}
}

fn origin(peer: u64, boot: u64) -> Origin {
    let addr = Addr::v4([10, 0, 0, 9], 9);
    Origin { peer: PeerId::client(peer), boot: Boot(boot), addr, heard: Time(0) }
}

fn position() -> impl Strategy<Value = u64> {
    let rim = WINDOW as u64;
    prop_oneof![0..40_u64, 0..5000_u64, rim - 3000..rim + 3000, Just(u64::MAX), any::<u64>(),]
}

fn publication() -> Publication {
    let to = Addr::v4([10, 0, 0, 9], 9);
    let mut publication = Publication::new(PublicationConfig::new(1, to, MTU, WINDOW), 7);
    while publication.offer(&[7; 100]).is_ok() {}
    publication
}

#[derive(Clone, Debug)]
enum Said {
    Status(u64, u32, u32, u32),
    Nak(Vec<(u64, u32)>),
    Done(u64),
}

fn said() -> impl Strategy<Value = (u64, u64, Said)> {
    let what = prop_oneof![
        4 => (position(), any::<u32>(), any::<u32>(), any::<u32>())
            .prop_map(|(next, window, ahead, echo)| Said::Status(next, window, ahead, echo)),
        4 => vec((position(), any::<u32>()), 0..64).prop_map(Said::Nak),
        1 => position().prop_map(Said::Done),
    ];
    (0..3_u64, 0..3_u64, what)
}

proptest! {
    /// Whatever receivers say: positions keep their order, and the answers to everything said
    /// within one round trip are at most a window of repairs and a window of news.
    #[test]
    fn a_storm_of_statuses_and_requests_costs_a_window_per_round_trip(
        storm in vec(said(), 1..200),
    ) {
        let mut publication = publication();
        let now = Time(SECOND);
        let mut out = Scale::default();
        publication.transmit(now, true, &mut out);
        let before = out.bytes;
        let mut base = 0;
        for (peer, boot, said) in &storm {
            let from = origin(*peer, *boot);
            match said {
                Said::Status(next, window, ahead, echo_us) => {
                    let status = StreamStatus {
                        lane: 1, tag: 0, session: 7,
                        next: *next, window: *window, ahead: *ahead, echo_us: *echo_us,
                    };
                    publication.on_status(now, &from, &status);
                }
                Said::Nak(gaps) => {
                    let gaps: Vec<_> =
                        gaps.iter().map(|(position, len)| Gap { position: *position, len: *len }).collect();
                    let head = StreamNakHead { lane: 1, reserved: 0, session: 7 };
                    let nak = StreamNak { head, gaps: List::new(&gaps) };
                    publication.on_nak(now, &from, &nak, &mut out);
                }
                Said::Done(position) => {
                    let reset = StreamReset {
                        lane: 1, from_sender: 0, reserved: 0, session: 7, position: *position,
                    };
                    publication.on_done(now, &from, &reset);
                }
            }
            publication.transmit(now, true, &mut out);
            assert!(publication.acknowledged() >= base && publication.acknowledged() <= publication.position());
            base = publication.acknowledged();
        }
        let whole = usize::try_from(publication.position()).unwrap();
        assert!(out.bytes - before <= 2 * (WINDOW + whole), "{} bytes", out.bytes - before);
    }

    /// Whatever a sender sends: no panic, no message above the bound, and memory of a window.
    #[test]
    fn any_fragments_are_survived_within_bounds(
        fragments in vec((position(), position(), any::<u16>(), 0..MTU, any::<u8>(), 0..9_usize), 1..200),
    ) {
        let config = ImageConfig { window: WINDOW, message_max: 5_000, ..ImageConfig::default() };
        let source = Source { peer: PeerId::client(1), boot: Boot(1), lane: 1, session: 7 };
        let addr = Addr::v4([10, 0, 0, 9], 9);
        let mut image: Option<Image> = None;
        let (mut now, mut out) = (Time(SECOND), Scale::default());
        for (position, oldest, first, len, byte, limit) in fragments {
            let payload = std::vec![byte % 3; len];
            let head = StreamDataHead {
                lane: 1, first, session: 7, position, oldest: oldest.min(position),
                stamp_us: u32::from(first), pace: u32::from(byte) << 20,
            };
            if image.is_none() {
                image = Image::join(&config, source, addr, now, &head);
            }
            let Some(joined) = &mut image else { continue };
            let before = joined.position();
            let look = &mut |message: &[u8]| assert!(message.len() <= 5_000);
            let mut left = limit;
            let read = match joined.on_data(now, addr, &head, &payload) {
                Taken::InPlace(skip) => {
                    let mut rest = payload.get(skip..).unwrap();
                    loop {
                        left = limit.max(1);
                        match joined.read(rest, &mut left, look) {
                            Ok(taken) if taken < rest.len() => rest = &rest[taken..],
                            Ok(_) => break Ok(()),
                            Err(Broken) => break Err(Broken),
                        }
                    }
                }
                Taken::Kept => joined.read_kept(&mut left, look),
            };
            assert!(read.is_err() || joined.position() >= before || head.oldest > before);
            joined.on_burst_end(now);
            joined.flush(now, 5, &mut out);
            now = now.after(MS);
            if read.is_err() {
                image = None;
            }
        }
        assert!(out.frames <= 3 * 200);
    }
}

/// A stream to many of which three receivers have everything, and what was kept of it.
fn to_many() -> Publication {
    let to = Addr::v4([239, 0, 0, 9], 9);
    let flow = Some(crate::Flow::Min);
    let config = PublicationConfig { flow, ..PublicationConfig::new(1, to, MTU, WINDOW) };
    let mut publication = Publication::new(config, 7);
    let mut out = Scale::default();
    while publication.acknowledged() < 3 * WINDOW as u64 {
        while publication.offer(&[7; 100]).is_ok() {}
        publication.transmit(Time(SECOND), true, &mut out);
        let next = publication.position().min(publication.acknowledged() + 16 * 1024);
        for peer in 0..3 {
            let window = u32::try_from(WINDOW).unwrap();
            let status =
                StreamStatus { lane: 1, tag: 0, session: 7, next, window, ahead: 0, echo_us: 0 };
            publication.on_status(Time(SECOND), &origin(peer, 1), &status);
        }
    }
    publication
}

fn ask(publication: &mut Publication, now: Time, peer: u64, gaps: &[Gap]) -> usize {
    let mut out = Scale::default();
    let head = StreamNakHead { lane: 1, reserved: 0, session: 7 };
    publication.on_nak(now, &origin(peer, 1), &StreamNak { head, gaps: List::new(gaps) }, &mut out);
    out.bytes
}

#[test]
fn a_storm_of_requests_by_one_of_many_is_bounded_and_leaves_the_others_their_share() {
    let mut publication = to_many();
    let oldest = publication.oldest();
    let (mut stormed, mut served, rounds) = (0, 0, 100);
    for round in 1..=rounds {
        let now = Time(SECOND + round * MS);
        for n in 0..200 {
            // Never the same range twice, and absurd ones.
            let gaps = [
                Gap { position: oldest + n * 7 + round, len: u32::MAX },
                Gap { position: 0, len: u32::MAX },
                Gap { position: u64::MAX, len: u32::MAX },
            ];
            stormed += ask(&mut publication, now, 0, &gaps);
        }
        let honest = Gap { position: publication.acknowledged() + 150 * round, len: 100 };
        served += usize::from(ask(&mut publication, now, 1, &[honest]) >= 100);
    }
    let rounds = usize::try_from(rounds).unwrap();
    // An eighth of the window each millisecond, and the frames around it.
    assert!(stormed <= rounds * (WINDOW / 8 + WINDOW / 64), "{stormed}");
    assert!(served * 10 >= rounds * 9, "{served} of {rounds}");
}

#[test]
fn requests_of_strangers_and_of_earlier_lives_cost_nothing() {
    let mut publication = to_many();
    let gap = [Gap { position: publication.oldest(), len: 5_000 }];
    assert_eq!(ask(&mut publication, Time(2 * SECOND), 77, &gap), 0);
    assert!(ask(&mut publication, Time(2 * SECOND), 2, &gap) > 5_000);
}

#[test]
fn absurd_statuses_of_one_of_many_move_neither_the_others_nor_the_memory() {
    let mut publication = to_many();
    let (base, mut out) = (publication.acknowledged(), Scale::default());
    for (next, window, ahead) in [
        (u64::MAX, u32::MAX, u32::MAX),
        (base, u32::MAX, u32::MAX),
        (0, 0, 0),
        (base + 1, 0, u32::MAX),
    ] {
        let status = StreamStatus { lane: 1, tag: 9, session: 7, next, window, ahead, echo_us: 1 };
        publication.on_status(Time(SECOND), &origin(0, 1), &status);
        while publication.offer(&[7; 100]).is_ok() {}
        publication.transmit(Time(SECOND), true, &mut out);
        assert_eq!(publication.acknowledged(), base, "the two others are where they were");
        assert!(publication.position() - base <= 2 * WINDOW as u64);
    }
    assert!(out.bytes <= 3 * WINDOW);
}

#[test]
fn replayed_beginnings_and_foreign_sessions_change_nothing() {
    let mut publication = publication();
    let now = Time(SECOND);
    publication.transmit(now, true, &mut Scale::default());
    let status = |session, next| StreamStatus {
        lane: 1,
        tag: 0,
        session,
        next,
        window: 0,
        ahead: 0,
        echo_us: 0,
    };
    assert!(publication.on_status(now, &origin(1, 5), &status(7, 1000)));
    assert_eq!(publication.acknowledged(), 1000);
    for (from, session, next) in [
        (origin(1, 5), 7, 0),
        (origin(1, 4), 7, 2000),
        (origin(2, 3), 7, 3000),
        (origin(1, 5), 6, 3000),
    ] {
        assert!(!publication.on_status(now, &from, &status(session, next)));
        assert_eq!(publication.acknowledged(), 1000);
    }
    let beyond = publication.position() + 1;
    assert!(!publication.on_status(now, &origin(1, 5), &status(7, beyond)), "never sent");
    assert_eq!(publication.acknowledged(), 1000);
}

fn nak(gaps: &[Gap]) -> StreamNak<'_> {
    StreamNak { head: StreamNakHead { lane: 1, reserved: 0, session: 7 }, gaps: List::new(gaps) }
}

fn status(next: u64, window: u32, ahead: u32, echo_us: u32) -> StreamStatus {
    StreamStatus { lane: 1, tag: 0, session: 7, next, window, ahead, echo_us }
}

/// Everything, in as many pieces as a request has room for.
const EVERYTHING: [Gap; StreamNak::GAPS_MAX] =
    [Gap { position: 0, len: u32::MAX }; StreamNak::GAPS_MAX];
/// Single bytes: each costs a datagram.
const CRUMBS: [Gap; StreamNak::GAPS_MAX] = [Gap { position: 9, len: 1 }; StreamNak::GAPS_MAX];
/// Bytes of a datagram beside those of the line, here.
const AROUND: usize = 100;

#[test]
fn a_receiver_that_asks_and_never_acknowledges_gets_a_window_in_a_tenth_of_a_second() {
    for gaps in [EVERYTHING, CRUMBS] {
        let mut publication = publication();
        let (began, mut now, mut out) = (Time(SECOND), Time(SECOND), Scale::default());
        publication.transmit(now, true, &mut out);
        publication.on_status(now, &origin(1, 1), &status(0, u32::MAX, 0, 0));
        publication.transmit(now, true, &mut out);
        let (before, mut asked) = ((out.frames, out.bytes), 0);
        while now.since(began) < SECOND {
            now = now.after(10_000);
            // It says that the way is as short as can be, so that rounds are.
            let stamp_us = u32::try_from(now.0 / 1_000).unwrap();
            publication.on_status(now, &origin(1, 1), &status(0, u32::MAX, 0, stamp_us));
            publication.on_nak(now, &origin(1, 1), &nak(&gaps), &mut out);
            asked += nak(&gaps).size() + status(0, 0, 0, 0).size();
        }
        let (frames, bytes) = (out.frames - before.0, out.bytes - before.1);
        assert!(frames > 0 && bytes <= 11 * WINDOW, "{bytes} bytes repeated");
        assert!(frames * AROUND / 2 <= 11 * WINDOW, "{frames} datagrams repeated");
        assert!(bytes < asked / 50, "{asked} hostile bytes cost {bytes}");
    }
}

#[test]
fn a_receiver_that_acknowledges_byte_by_byte_earns_no_storm() {
    let mut publication = publication();
    let (mut now, mut out) = (Time(SECOND), Scale::default());
    publication.transmit(now, true, &mut out);
    publication.on_status(now, &origin(1, 1), &status(0, u32::MAX, 0, 0));
    publication.transmit(now, true, &mut out);
    let before = out.bytes;
    for next in 1..5_000_u64 {
        now = now.after(10_000);
        publication.on_status(now, &origin(1, 1), &status(next, 0, 0, 0));
        publication.on_nak(now, &origin(1, 1), &nak(&EVERYTHING), &mut out);
    }
    // Fifty milliseconds: what it was given first, and two bytes for each.
    let repeated = out.bytes - before;
    assert!(repeated <= 3 * WINDOW, "{repeated} bytes repeated");
}

#[test]
fn strangers_get_no_answer_at_all() {
    let mut publication = publication();
    let (now, mut out) = (Time(SECOND), Scale::default());
    publication.transmit(now, true, &mut out);
    publication.on_status(now, &origin(1, 5), &status(0, 4096, 0, 0));
    publication.transmit(now, true, &mut out);
    let before = out.frames;
    for (peer, boot) in [(2, 5), (1, 4), (1, 6), (3, 0)] {
        publication.on_nak(now, &origin(peer, boot), &nak(&EVERYTHING), &mut out);
    }
    assert_eq!(out.frames, before, "requests of others than the receiver");
}

#[test]
fn absurd_windows_put_no_more_under_way_than_our_own() {
    let around = |bytes: usize| bytes + bytes.div_ceil(MTU - AROUND) * AROUND;
    let mut publication = publication();
    let (now, mut out) = (Time(SECOND), Scale::default());
    publication.on_status(now, &origin(1, 1), &status(0, u32::MAX, 0, 0));
    publication.transmit(now, true, &mut out);
    assert!(out.bytes <= around(WINDOW), "{} bytes", out.bytes);
    // Whoever says that all has arrived behind a gap sets free what the ring holds, and no more.
    for next in 0..50 {
        publication.on_status(now, &origin(1, 1), &status(next, u32::MAX, u32::MAX, 0));
        publication.transmit(now, true, &mut out);
        while publication.offer(&[7; 100]).is_ok() {}
    }
    assert!(out.bytes <= around(2 * WINDOW), "{} bytes", out.bytes);
}

fn fragment(position: u64) -> StreamDataHead {
    StreamDataHead { lane: 1, first: 0, session: 7, position, oldest: 0, stamp_us: 1, pace: 0 }
}

fn image() -> Image {
    let config = ImageConfig { window: WINDOW, ..ImageConfig::default() };
    let source = Source { peer: PeerId::client(1), boot: Boot(1), lane: 1, session: 7 };
    let addr = Addr::v4([10, 0, 0, 9], 9);
    Image::join(&config, source, addr, Time(SECOND), &fragment(0)).unwrap()
}

#[test]
fn questions_and_tatters_are_answered_with_less_than_they_cost() {
    let (mut image, mut now, mut out) = (image(), Time(SECOND), Scale::default());
    let addr = Addr::v4([10, 0, 0, 9], 9);
    let mut heard = 0;
    for number in 1..20_000_u64 {
        // Every second byte of the window, and a question behind each.
        let head = fragment(2 * (number % 30_000) + 1);
        assert_eq!(image.on_data(now, addr, &head, &[7]), Taken::Kept);
        image.on_data(now, addr, &fragment(60_000), &[]);
        // A datagram each, with all that is in front.
        heard += 2 * (48 + 8 + 40) + 1;
        if number.is_multiple_of(16) {
            image.on_burst_end(now);
            image.flush(now, number, &mut out);
        }
        now = now.after(1_000);
    }
    assert!(out.frames > 0 && out.bytes < heard / 2, "{heard} heard, {} said", out.bytes);
}

#[test]
fn fragments_that_overlap_are_kept_once_and_copied_as_often_as_they_come() {
    let (mut image, now) = (image(), Time(SECOND));
    let addr = Addr::v4([10, 0, 0, 9], 9);
    let (payload, mut came) = ([7; 1000], 0);
    for shift in 0..900_u64 {
        let taken = image.on_data(now, addr, &fragment(5_000 + shift), &payload);
        assert_eq!(taken, Taken::Kept);
        came += payload.len() as u64;
    }
    let copied = image.take_copied();
    assert!(copied > 1_000 && copied <= came, "{copied} of {came} bytes");
    // Nothing can be read, and what is far beyond the window leaves no trace.
    for position in [WINDOW as u64, u64::MAX - 1000, 1 << 40] {
        assert_eq!(image.on_data(now, addr, &fragment(position), &payload), Taken::Kept);
    }
    assert_eq!((image.take_copied(), image.position(), image.has_kept()), (0, 0, false));
}

#[test]
fn a_whole_message_is_heard_where_it_arrived() {
    let (mut image, now) = (image(), Time(SECOND));
    let payload = [&500_u32.to_le_bytes()[..], &[9; 500]].concat();
    let addr = Addr::v4([10, 0, 0, 9], 9);
    assert_eq!(image.on_data(now, addr, &fragment(0), &payload), Taken::InPlace(0));
    let mut heard = 0;
    let mut look = |message: &[u8]| {
        assert_eq!(message.as_ptr_range(), payload[4..].as_ptr_range());
        heard += 1;
    };
    image.read(&payload, &mut 9, &mut look).unwrap();
    assert_eq!((heard, image.take_copied()), (1, 0));
}
