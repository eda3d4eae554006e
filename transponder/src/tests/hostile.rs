//! Frames from whom they must not come, and frames with nonsense in them.

use super::fixture::Rig;
use proptest::prelude::*;
use std::vec::Vec;
use syncom_seam::{Counter, MS, Origin, Role as _, SECOND};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::{Addr, Boot, Frame, FrameHeader, Incarnation, Kind, PeerId, Slot};

fn peers() -> impl Strategy<Value = PeerId> {
    prop_oneof![
        (0..30u32).prop_map(|slot| PeerId::agent(Slot(slot))),
        (1..4u16).prop_map(PeerId::station),
        (1..4u16).prop_map(PeerId::satellite),
        any::<u64>().prop_map(PeerId::client),
        any::<u32>().prop_map(PeerId),
    ]
}

/// Bytes that are more often small numbers than random, so that checks are passed.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0..4u8, 1 => any::<u8>()];
    prop::collection::vec(byte, 0..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_from_the_network_panics(
        frames in prop::collection::vec((0..64u8, bodies(), peers()), 1..120),
    ) {
        let mut rig = Rig::new(20, 4);
        for (kind, body, peer) in frames {
            let kinds: Vec<u8> = Kind::ALL.iter().map(|kind| *kind as u8).collect();
            let kind = kinds[usize::from(kind) % kinds.len()];
            let version = 1;
            let header =
                FrameHeader { kind, version, reserved: 0, len: u32::try_from(body.len()).unwrap() };
            // A body longer than its frame is refused; cut it to what the frame takes.
            let fits = (0..=body.len()).rev().find_map(|len| Frame::parse(header, &body[..len]).ok());
            let Some(frame) = fits else { continue };
            let addr = Addr::v4([10, 9, 9, 9], 1);
            let origin = Origin { peer, boot: Boot(1), addr, heard: rig.now.at };
            rig.satellite.on_frame(rig.now, &origin, &frame, &mut rig.out);
            rig.end_burst();
        }
        rig.run(2 * SECOND);
        let told = rig.records(syncom_wire::report::EventKind::DEAD);
        prop_assert!(told.is_empty(), "{told:?}");
    }
}

#[test]
fn frames_from_the_wrong_role_only_count() {
    let mut rig = Rig::new(4, 1);
    let beat = Heartbeat {
        slot: Slot(1),
        incarnation: Incarnation(1),
        seq: 1,
        interval_us: 200_000,
        progress: 0,
        sent_ns: 0,
        neighbours: 0,
        rtt_us: 0,
        services_up: 0,
        services_down: 0,
        plane: Heartbeat::HOME,
        health: 0,
        flags: 0,
        load: 0,
        peers_interval_us: 0,
    };
    let addr = Addr::v4([10, 9, 9, 9], 1);
    let strangers =
        [PeerId::agent(Slot(2)), PeerId::satellite(2), PeerId::station(1), PeerId::client(1)];
    for peer in strangers {
        rig.hear(peer, addr, &beat);
    }
    rig.hear(PeerId::agent(Slot(1)), addr, &Heartbeat { plane: Heartbeat::PEER, ..beat });
    assert_eq!(rig.count(Counter::DropRole), 5);
    assert!(rig.sent.is_empty());
    rig.run(50 * MS);
    assert!(rig.batches.is_empty());
}
