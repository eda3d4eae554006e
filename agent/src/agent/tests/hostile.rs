//! Whatever arrives, the agent neither panics nor grows.

use crate::fixture::World;
use proptest::prelude::*;
use std::vec::Vec;
use syncom_seam::Action;
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::join::Welcome;
use syncom_wire::neighbours::{Neighbour, Neighbours, NeighboursHead};
use syncom_wire::order::{Order, OrderHead};
use syncom_wire::report::{AckItem, ReportAck};
use syncom_wire::{
    Addr, Emit, Fixed, Frame, FrameHeader, Incarnation, Kind, List, PeerId, Slot, Uuid,
};

/// Frames of every kind with bytes from anywhere, as far as they parse.
fn parsed(kind: u8, body: &[u8]) -> Option<Frame<'_>> {
    let len = u32::try_from(body.len()).ok()?;
    Frame::parse(FrameHeader { kind, version: 1, reserved: 0, len }, body).ok()
}

fn peer(choice: u8, slot: u32) -> PeerId {
    match choice % 4 {
        0 => PeerId::agent(Slot(slot)),
        1 => PeerId::satellite(1 + u16::from(choice) % 3),
        2 => PeerId::station(1),
        _ => PeerId::client(u64::from(slot)),
    }
}

/// A body of a kind: often with a plausible front, so that it gets past the parser and the first
/// checks of identity.
fn body(kind: u8, noise: &[u8], small: u32) -> Vec<u8> {
    let mut image = [0; 64];
    for (to, from) in image.iter_mut().zip(noise.iter().cycle()) {
        *to = *from;
    }
    let slot = Slot(small);
    let incarnation = Incarnation(small % 3);
    let mut out = [0; 4_096];
    let mut writer = syncom_wire::Writer::new(&mut out);
    let written = match kind {
        k if k == Kind::Heartbeat as u8 => Heartbeat::read(&image).map(|beat| {
            Heartbeat { slot, incarnation, plane: 0, health: 3, interval_us: 1_000 + small, ..beat }
                .emit(&mut writer)
        }),
        k if k == Kind::HomeAnswer as u8 => HomeAnswer::read(&image)
            .map(|answer| HomeAnswer { reserved: 0, ..answer }.emit(&mut writer)),
        k if k == Kind::Welcome as u8 => Welcome::read(&image).map(|welcome| {
            let slot = crate::fixture::SLOT;
            let (uuid, boot) = (Uuid([5; 16]), syncom_wire::Boot(77));
            let peer = PeerId::agent(slot);
            Welcome { uuid, boot, slot, incarnation, peer, reserved: 0, ..welcome }
                .emit(&mut writer)
        }),
        k if k == Kind::Neighbours as u8 => Neighbour::read(&image).map(|one| {
            let (first, count) = (u32::from(image[0] % 8), usize::from(image[1] % 33));
            let mut list = [Neighbour { incarnation, ..one }; 32];
            for (one, slot) in list.iter_mut().zip(first..) {
                one.slot = Slot(slot % 12);
            }
            let list = &list[..count];
            let epoch = u64::from(image[2]);
            let incarnation = Incarnation(1 + u32::from(image[3] % 2));
            Neighbours {
                head: NeighboursHead { slot: crate::fixture::SLOT, incarnation, epoch },
                observers: List::new(list),
                subjects: List::new(list),
            }
            .emit(&mut writer)
        }),
        k if k == Kind::ReportAck as u8 => AckItem::read(&image).map(|item| {
            let items = [AckItem { seq: u64::from(small), level: image[0] % 4, ..item }];
            ReportAck { incarnation, items: List::new(&items) }.emit(&mut writer)
        }),
        k if k == Kind::Order as u8 => OrderHead::read(&image).map(|head| {
            let id = syncom_wire::OrderId(u64::from(small));
            let term = syncom_wire::Term(u64::from(image[1] / 64));
            let head = OrderHead { id, term, verb: 1 + image[0] % 5, policy: 0, ..head };
            let text = noise.iter().map(|byte| byte % 128).collect::<Vec<_>>();
            let payload = if image[2] % 4 == 0 { noise } else { &text };
            Order { head, payload }.emit(&mut writer)
        }),
        _ => None,
    };
    match written {
        Some(Ok(())) => {
            let len = writer.written();
            out[..len].to_vec()
        }
        Some(Err(_)) | None => noise.to_vec(),
    }
}

/// Any kind, and more often one that does something.
fn kinds() -> impl Strategy<Value = u8> {
    let known = [
        Kind::Heartbeat,
        Kind::HomeAnswer,
        Kind::Welcome,
        Kind::Neighbours,
        Kind::ReportAck,
        Kind::Order,
    ];
    prop_oneof![0..62u8, prop::sample::select(known.map(|kind| kind as u8).to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_frames_never_panic(
        frames in prop::collection::vec(
            (any::<u8>(), kinds(), prop::collection::vec(any::<u8>(), 0..300), 0..12u32, 0..400u64),
            0..80,
        )
    ) {
        let mut world = World::member(3);
        for (from, kind, noise, small, wait_ms) in frames {
            let bytes = body(kind, &noise, small);
            if let Some(frame) = parsed(kind, &bytes) {
                world.hear(peer(from, small), Addr::v4([10, 0, 0, 9], 77), &frame);
            }
            world.run_ms(wait_ms);
            prop_assert!(world.timers.len() < 64, "timers do not pile up");
            world.clear();
        }
    }
}

#[test]
fn a_flood_makes_no_more_children_and_no_more_sends_per_frame_than_its_bounds_allow() {
    let mut world = World::member(2);
    let mut children = 0;
    for id in 0..5_000 {
        let head = OrderHead {
            id: syncom_wire::OrderId(id),
            term: syncom_wire::Term(1),
            deadline_ms: u32::MAX,
            verb: 1,
            policy: 0,
            flags: 0,
            need: 0,
            reserved: 0,
        };
        world.hear_satellite(1, &Frame::Order(Order { head, payload: b"x" }));
        assert!(world.sent.len() <= 1);
        children += world.asked.iter().filter(|one| matches!(one, Action::Spawn(_))).count();
        world.clear();
    }
    assert_eq!(children, 16);
}

#[test]
fn full_neighbour_sets_over_and_over_keep_bursts_bounded() {
    let mut world = World::member(2);
    for epoch in 1..200 {
        let slots: Vec<u32> = (0..32).map(|n| 1_000 + epoch * 32 + n).collect();
        let slots: Vec<u32> = slots.into_iter().map(|slot| slot % 60_000).collect();
        world.neighbours(u64::from(epoch), &slots, &slots);
        world.clear();
        world.run_ms(200);
        assert!(world.of(Kind::Heartbeat).len() <= 64 + 32 + 2, "32 of them calls");
    }
}
