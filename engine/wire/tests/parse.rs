//! What holds for every kind of frame, whatever bytes come.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod samples;

use proptest::prelude::*;
use samples::{Source, every_kind};
use syncom_wire::frame::emit;
use syncom_wire::{Frame, FrameHeader, Frames, Header, Kind, Malformed, Overflow};

/// Emits a parsed frame again. `None` for kinds that this version does not know.
fn emitted_again(frame: &Frame<'_>, out: &mut [u8]) -> Option<Result<usize, Overflow>> {
    macro_rules! by_kind {
        ($($kind:ident)*) => {
            match frame {
                $( Frame::$kind(inner) => Some(emit(inner, out)), )*
                Frame::Unknown(_) => None,
            }
        };
    }
    by_kind!(
        Beat Heartbeat HomeAnswer Opinion Probe ProbeAnswer Report ReportAck Join Welcome JoinRefused RosterAsk
        Roster Neighbours Leave Order Receipt ReceiptAck StreamData StreamNak StreamStatus
        StreamReset Raft SnapshotAsk SnapshotChunk Batch BatchAck Record HomeStats ViewDelta Member
        Shard ShardProgress Outcome Attach Ask Reply Status OrderState NodeDetail Line Event
        Evidence Decision Submit CpVersion Policy Threshold Rule Step Drain
        ReplicaHello ReplicaWord Replace Watch Case
    )
}

/// Looks at everything that a frame gives access to.
fn walk(frame: &Frame<'_>) {
    match frame {
        Frame::Batch(batch) => batch.iter().for_each(drop),
        Frame::ViewDelta(delta) => delta.iter().for_each(drop),
        Frame::Reply(reply) => reply.iter().for_each(drop),
        Frame::Policy(policy) => drop((policy.thresholds().count(), policy.rules().count())),
        Frame::Rule(rule) => drop((rule.steps().count(), rule.subject.terms().count())),
        Frame::Raft(raft) => raft.iter().for_each(drop),
        Frame::ShardProgress(progress) => Frames::new(progress.outcomes).for_each(drop),
        Frame::Submit(submit) => drop((submit.to.len(), submit.to.iter().last())),
        Frame::Shard(shard) => drop((shard.to.len(), shard.to.iter().last())),
        Frame::Outcome(outcome) => drop((outcome.nodes.len(), outcome.nodes.is_empty())),
        _ => drop(format!("{frame:?}")),
    }
}

fn header(kind: Kind, version: u8, body: &[u8]) -> FrameHeader {
    FrameHeader { kind: kind as u8, version, reserved: 0, len: u32::try_from(body.len()).unwrap() }
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_emitted_parses_into_the_same_frame(seed in bytes(400)) {
        every_kind(&mut Source::cycling(seed), &mut |kind, bytes, frame| {
            assert_eq!(Frames::new(&bytes).collect::<Vec<_>>(), [Ok(frame)], "{}", kind.name());
        });
    }

    #[test]
    fn any_body_of_any_kind_is_parsed_or_refused(body in bytes(300), version in 0..4_u8) {
        for kind in Kind::ALL {
            if let Ok(frame) = Frame::parse(header(*kind, version, &body), &body) {
                walk(&frame);
            }
        }
    }

    #[test]
    fn what_parses_is_emitted_again_byte_for_byte(
        seed in bytes(200),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        every_kind(&mut Source::cycling(seed), &mut |kind, bytes, _| {
            let mut body = bytes[FrameHeader::SIZE..].to_vec();
            let at = at.index(body.len());
            body[at] ^= flip;
            if let Ok(frame) = Frame::parse(header(kind, 1, &body), &body) {
                walk(&frame);
                let mut again = vec![0; bytes.len()];
                assert_eq!(emitted_again(&frame, &mut again), Some(Ok(bytes.len())));
                assert_eq!(&again[FrameHeader::SIZE..], &body, "{}", kind.name());
            }
        });
    }

    #[test]
    fn any_datagram_ends_in_frames_or_one_refusal(datagram in bytes(600)) {
        let results: Vec<_> = Frames::new(&datagram).collect();
        let refused = results.iter().filter(|result| result.is_err()).count();
        prop_assert!(refused <= 1);
        prop_assert!(results.iter().take(results.len().saturating_sub(1)).all(Result::is_ok));
        let _ = Header::parse(&datagram);
    }

    #[test]
    fn a_newer_version_with_more_behind_is_read_as_far_as_known(seed in bytes(80)) {
        every_kind(&mut Source::cycling(seed), &mut |kind, bytes, frame| {
            let takes_the_rest = matches!(frame, Frame::StreamData(_) | Frame::Batch(_)
                | Frame::ViewDelta(_) | Frame::ShardProgress(_) | Frame::Ask(_) | Frame::Reply(_)
                | Frame::Raft(_) | Frame::Policy(_) | Frame::Rule(_));
            if takes_the_rest {
                return;
            }
            let mut body = bytes[FrameHeader::SIZE..].to_vec();
            body.extend([1, 2, 3]);
            assert_eq!(Frame::parse(header(kind, 2, &body), &body), Ok(frame));
            assert!(Frame::parse(header(kind, 1, &body), &body).is_err(), "{}", kind.name());
        });
    }
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    every_kind(&mut Source::counting(), &mut |kind, bytes, _| {
        for len in 1..bytes.len() {
            let first = Frames::new(&bytes[..len]).next();
            assert!(matches!(first, Some(Err(_))), "{} cut to {len}", kind.name());
        }
    });
}

#[test]
fn a_body_cut_with_its_header_adjusted_never_panics_and_never_equals_the_whole() {
    every_kind(&mut Source::counting(), &mut |kind, bytes, frame| {
        let body = &bytes[FrameHeader::SIZE..];
        for len in 0..body.len() {
            let cut = &body[..len];
            if let Ok(shorter) = Frame::parse(header(kind, 1, cut), cut) {
                walk(&shorter);
                assert_ne!(shorter, frame, "{} cut to {len}", kind.name());
            }
        }
    });
}

#[test]
fn what_is_kept_for_later_must_be_zero_in_every_kind_that_keeps_some() {
    // Kinds whose layouts or items have such a field, and the bytes of it in the sample.
    let kept = [
        (Kind::HomeAnswer, 2),
        (Kind::Probe, 4),
        (Kind::ProbeAnswer, 7),
        (Kind::Opinion, 2),
        (Kind::Report, 2),
        (Kind::Join, 5),
        (Kind::Welcome, 2),
        (Kind::RosterAsk, 8),
        (Kind::Order, 5),
        (Kind::Receipt, 1),
        (Kind::StreamNak, 2),
        (Kind::StreamReset, 1),
        (Kind::SnapshotAsk, 8),
        (Kind::Record, 3),
        (Kind::ViewDelta, 3),
        (Kind::Member, 1),
        (Kind::Shard, 12),
        (Kind::ShardProgress, 7),
        (Kind::Attach, 4),
        (Kind::Ask, 5),
        (Kind::OrderState, 7),
        (Kind::Event, 6),
        (Kind::Evidence, 5),
        (Kind::Submit, 5),
        (Kind::CpVersion, 3),
        (Kind::NodeDetail, 7),
        // With those of the frames in them, and a length that makes the next head a wrong one.
        (Kind::Policy, 41),
        (Kind::Threshold, 8),
        (Kind::Rule, 18),
        (Kind::Step, 6),
        (Kind::ReplicaHello, 7),
        (Kind::ReplicaWord, 3),
        (Kind::Replace, 16),
    ];
    every_kind(&mut Source::counting(), &mut |kind, bytes, _| {
        let body = &bytes[FrameHeader::SIZE..];
        let refused = (0..body.len()).filter(|at| {
            let mut set = body.to_vec();
            set[*at] ^= 1;
            Frame::parse(header(kind, 1, &set), &set) == Err(Malformed("reserved bits set"))
        });
        let refused = refused.count();
        match kept.iter().find(|(other, _)| *other == kind) {
            Some((_, bytes)) => assert_eq!(refused, *bytes, "{}", kind.name()),
            // Items of lists keep some as well; how many there are is up to the sample.
            None => {
                let in_items = matches!(
                    kind,
                    Kind::ReportAck | Kind::Roster | Kind::Raft | Kind::BatchAck | Kind::Status
                );
                assert_eq!(refused > 0, in_items, "{}", kind.name());
            }
        }
    });
}

#[test]
fn a_buffer_too_small_is_refused_by_every_kind() {
    every_kind(&mut Source::counting(), &mut |kind, bytes, frame| {
        for size in 0..bytes.len() {
            let refused = emitted_again(&frame, &mut vec![0; size]);
            assert_eq!(refused, Some(Err(Overflow)), "{} in {size} bytes", kind.name());
        }
    });
}

#[test]
fn an_unknown_kind_is_skipped_by_its_length() {
    let bytes = [200, 1, 0, 0, 2, 0, 0, 0, 9, 9];
    assert_eq!(Frames::new(&bytes).collect::<Vec<_>>(), [Ok(Frame::Unknown(200))]);
}
